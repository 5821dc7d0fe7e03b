//! The rules that the code and the documents keep, asserted over the text of the repository.
//!
//! A rule is a pure function from a file's path and text to complaints. Each is run over the
//! repository and, so that it cannot become blind, over a bad example that it must complain of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders with code. Every `.rs` file under them is looked at.
const CODE: &[&str] = &["storage", "sql", "src", "benches", "tests"];
/// What a path of this repository begins with.
const TOP: &[&str] = &["storage", "sql", "src", "benches", "tests", "docs", ".ci"];
/// Files at the top that documents name.
const TOP_FILES: &[&str] = &["README.md", "Cargo.toml", "Makefile", "LICENSE"];
/// Lines of a file, at most.
const LINES_MAX: usize = 700;
/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// What the files of one room do not import.
struct Direction {
    room: &'static str,
    /// Files that the rule leaves out: a folder within the room.
    except: &'static str,
    crates: &'static [&'static str],
}

const DIRECTIONS: &[Direction] = &[
    Direction {
        room: "storage/",
        except: "",
        crates: &[
            "slicedb",
            "slicedb_sql",
            "tokio",
            "datafusion",
            "pgwire",
            "futures",
        ],
    },
    Direction {
        room: "storage/",
        except: "storage/src/rocks/",
        crates: &["rocksdb"],
    },
    Direction {
        room: "sql/",
        except: "",
        crates: &["slicedb", "pgwire", "rocksdb"],
    },
    Direction {
        room: "src/",
        except: "",
        crates: &["slicedb_storage", "datafusion", "rocksdb"],
    },
    Direction {
        room: "src/",
        except: "src/pgwire/",
        crates: &["pgwire"],
    },
    Direction {
        room: "src/ingest/",
        except: "",
        crates: &["tokio"],
    },
    Direction {
        room: "src/demo/",
        except: "",
        crates: &["slicedb_sql"],
    },
];

#[test]
fn every_file_says_what_it_is() {
    complain(rust_files().iter().flat_map(|(p, t)| module_doc(p, t)));
    assert!(!module_doc("src/x.rs", "use std::fs;\n//! late\n").is_empty());
    assert!(!module_doc("src/x.rs", "\n").is_empty());
    assert!(!module_doc("src/x.rs", "//!\n").is_empty());
    assert!(module_doc("src/x.rs", "//! What it is.\n").is_empty());
}

#[test]
fn rooms_import_in_one_direction() {
    complain(rust_files().iter().flat_map(|(p, t)| directions(p, t)));
    for (path, bad) in [
        ("storage/src/a.rs", "use slicedb_sql::Database;"),
        ("storage/src/a.rs", "fn f() { tokio::spawn(g()); }"),
        ("storage/src/a.rs", "use datafusion;"),
        ("storage/src/scan.rs", "use rocksdb::DB;"),
        ("sql/src/a.rs", "use slicedb::config::Config;"),
        (
            "src/demo/a.rs",
            "use {std::fs, slicedb_sql::storage::Engine};",
        ),
        ("src/a.rs", "use slicedb_storage::Engine;"),
        ("src/server.rs", "use pgwire::messages::Message;"),
        (
            "src/server.rs",
            "fn f(m: ::pgwire::messages::copy::CopyData) {}",
        ),
        ("src/ingest/a.rs", "use tokio::io::AsyncRead;"),
    ] {
        assert!(!directions(path, bad).is_empty(), "{path}: {bad}");
    }
    for (path, good) in [
        ("storage/src/rocks/store.rs", "use rocksdb::DB;"),
        (
            "storage/src/a.rs",
            "//! Knows no tokio::spawn.\nuse crate::rocks::Store;",
        ),
        ("src/pgwire/a.rs", "use pgwire::messages::Message;"),
        (
            "src/server.rs",
            "use crate::pgwire::{self, serve};\nlet x = pgwire::bind();",
        ),
        ("src/demo/a.rs", "use tokio_postgres::Client;"),
    ] {
        assert_eq!(directions(path, good), Vec::<String>::new());
    }
}

#[test]
fn manifests_depend_in_one_direction() {
    let bad = "[dependencies]\nslicedb-storage.workspace = true\n[dev-dependencies]\ntokio = \"1\"";
    assert_eq!(
        dependencies(bad),
        BTreeSet::from(["slicedb-storage".to_owned()])
    );
    for (manifest, strangers) in [
        (
            "storage/Cargo.toml",
            &["slicedb-sql", "slicedb", "tokio", "datafusion", "pgwire"][..],
        ),
        ("sql/Cargo.toml", &["slicedb", "pgwire", "rocksdb"]),
        ("Cargo.toml", &["slicedb-storage", "datafusion", "rocksdb"]),
    ] {
        let found = dependencies(&read(manifest));
        assert!(!found.is_empty(), "{manifest} lists no dependencies");
        complain(
            strangers
                .iter()
                .filter(|&&stranger| found.contains(stranger))
                .map(|stranger| format!("{manifest}: depends on {stranger}")),
        );
    }
}

#[test]
fn only_the_vfs_knows_the_wall_clock() {
    let outside =
        |path: &str| path.starts_with("storage/src/") && !path.starts_with("storage/src/vfs/");
    let clocks = ["SystemTime", "chrono"];
    let complaints = |path: &str, text: &str| -> Vec<String> {
        let code = code_of(text);
        let words = words_in(&code);
        let uses = |clock: &&&str| outside(path) && words.contains(**clock);
        clocks
            .iter()
            .filter(uses)
            .map(|clock| format!("{path}: {clock}"))
            .collect()
    };
    complain(rust_files().iter().flat_map(|(p, t)| complaints(p, t)));
    assert!(!complaints("storage/src/wal/mod.rs", "let now = SystemTime::now();").is_empty());
    assert!(complaints("storage/src/vfs/real.rs", "use std::time::SystemTime;").is_empty());
}

#[test]
fn every_path_in_the_documents_exists() {
    let root = root();
    let exists = |path: &Path| root.join(path).exists();
    let documents = files(&["docs", "README.md"], &["md"]);
    assert!(documents.len() > 5, "the documents are not where they were");
    complain(
        documents
            .iter()
            .flat_map(|(path, text)| broken_paths(path, text, &exists)),
    );
    let none = |_: &Path| false;
    let all = |_: &Path| true;
    for bad in [
        "see `storage/src/gone.rs`",
        "see [this](gone.md)",
        "see [this](../src/gone.rs#part)",
        "`Makefile`",
    ] {
        assert_eq!(broken_paths("docs/a.md", bad, &none).len(), 1, "{bad}");
        assert!(broken_paths("docs/a.md", bad, &all).is_empty(), "{bad}");
    }
    for other in [
        "`wal/`",
        "`a / b`",
        "`GET /x`",
        "[x](https://example.org/y)",
        "[x](#below)",
    ] {
        assert!(
            broken_paths("docs/a.md", other, &none).is_empty(),
            "{other}"
        );
    }
    let moved = |path: &Path| path == Path::new("docs/decisions/001.md");
    assert!(broken_paths("docs/a.md", "[x](decisions/001.md)", &moved).is_empty());
    assert!(broken_paths("docs/decisions/b.md", "[x](../decisions/001.md)", &moved).is_empty());
}

#[test]
fn the_documented_settings_are_those_of_the_code() {
    let (server, session) = documented_settings(&read("docs/config.md"));
    complain(differences(
        "docs/config.md",
        &server,
        &settings_of(&read("src/config.rs")),
    ));
    complain(differences(
        "docs/config.md",
        &session,
        &settings_of(&read("sql/src/session/settings.rs")),
    ));
    let code = settings_of(
        "macro_rules! settings { (x) => {} }\nsettings! {\n    a_bytes = 16 * MIB, 1, \"A.\";\n    \"B\", \"on\", Kind::Bool, true, \"B.\";\n}\nfn c() {}",
    );
    assert_eq!(code, BTreeSet::from(["a_bytes".to_owned(), "B".to_owned()]));
    let page = "| setting | default |\n|---|---|\n| `a_bytes` | 1 |\n## Settings of a session\n| `B` | `on` |";
    let (server, session) = documented_settings(page);
    assert_eq!(server, BTreeSet::from(["a_bytes".to_owned()]));
    assert_eq!(session, BTreeSet::from(["B".to_owned()]));
    assert_eq!(differences("page", &server, &code).len(), 1);
    assert_eq!(differences("page", &code, &server).len(), 1);
}

#[test]
fn no_file_is_too_long() {
    complain(rust_files().iter().flat_map(|(p, t)| too_long(p, t)));
    let long = "//! x\n".repeat(LINES_MAX + 1);
    assert!(!too_long("src/x.rs", &long).is_empty());
    assert!(too_long("src/x.rs", "//! x\n").is_empty());
    for (path, reason) in LONG_FILES {
        assert!(
            root().join(path).is_file() && reason.len() > 10,
            "{path} is exempt: {reason}"
        );
    }
}

#[test]
fn nothing_unfinished_is_left() {
    complain(rust_files().iter().flat_map(|(p, t)| unfinished(p, t)));
    for macro_name in unfinished_macros() {
        assert!(!unfinished("src/x.rs", &format!("fn f() {{ {macro_name}(); }}")).is_empty());
    }
    assert!(unfinished("src/x.rs", "let to_do = mastodon!();").is_empty());
}

#[test]
fn the_project_stands_alone() {
    let mut texts = files(
        TOP,
        &[
            "rs", "md", "toml", "txt", "slt", "sql", "yml", "sh", "run", "deps",
        ],
    );
    texts.extend(files(TOP_FILES, &["md", "toml", ""]));
    texts.extend(files(&[".gitignore"], &[""]));
    complain(texts.iter().flat_map(|(p, t)| foreign_words(p, t)));
    for word in forbidden_words() {
        let text = format!("first\nsee {word} for more");
        assert_eq!(
            foreign_words("docs/a.md", &text),
            [format!("docs/a.md:2: {word}")]
        );
    }
    assert!(foreign_words("docs/a.md", "a session logs in; work/day").is_empty());
}

#[test]
fn every_module_of_the_tests_is_compiled() {
    let main = read("tests/main.rs");
    let is_named = |main: &str, name: &str| main.contains(&format!("\nmod {name};"));
    assert!(is_named(&main, "tidy") && !is_named("// mod slt;\n", "slt"));
    let modules = std::fs::read_dir(root().join("tests")).expect("tests is a folder");
    let complaints = modules.filter_map(|entry| {
        let path = entry.expect("readable").path();
        let is_module = path.extension().is_some_and(|e| e == "rs") || path.join("mod.rs").exists();
        let name = path.file_stem()?.to_str()?.to_owned();
        let is_known = name == "main" || is_named(&main, &name);
        (is_module && !is_known).then(|| format!("tests/main.rs lacks: mod {name};"))
    });
    complain(complaints);
}

// ---- rules ----

fn module_doc(path: &str, text: &str) -> Vec<String> {
    let said = text
        .strip_prefix("//!")
        .and_then(|rest| rest.lines().next());
    match said.is_some_and(|said| !said.trim().is_empty()) {
        true => Vec::new(),
        false => vec![format!("{path}: does not begin with //! and what it is")],
    }
}

fn directions(path: &str, text: &str) -> Vec<String> {
    let applies = |d: &&Direction| {
        path.starts_with(d.room) && (d.except.is_empty() || !path.starts_with(d.except))
    };
    let code = code_of(text);
    let mut complaints = Vec::new();
    for krate in DIRECTIONS
        .iter()
        .filter(applies)
        .flat_map(|d| d.crates.iter())
    {
        // A module of ours may have the crate's name; then it is imported from `crate`.
        let ours = ["crate::", "super::", "mod "]
            .iter()
            .any(|from| code.contains(&format!("{from}{krate}")));
        if imports(&code, krate, ours) {
            complaints.push(format!("{path}: imports {krate}"));
        }
    }
    complaints
}

/// Whether code names a crate: `use krate`, `krate::x`, `::krate::x`. With a module of the same
/// name in scope only what can be no module counts.
fn imports(code: &str, krate: &str, has_module: bool) -> bool {
    code.match_indices(krate).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + krate.len()..]);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        if before.ends_with(is_part) || after.starts_with(is_part) {
            return false;
        }
        let is_first = before.ends_with("use ") || before.ends_with("extern crate ");
        let is_absolute = before.ends_with("::") && !before[..before.len() - 2].ends_with(is_part);
        let is_path = after.starts_with("::") && !before.ends_with("::");
        is_first || is_absolute || (is_path && !has_module)
    })
}

/// Names under `[dependencies]`.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let lines = manifest.lines().map(str::trim);
    let lines = lines
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let names = lines.filter(|line| line.starts_with(char::is_alphabetic));
    names
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .map(str::to_owned)
        .collect()
}

fn broken_paths(path: &str, text: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let named = quoted_paths(text).chain(linked_paths(path, text));
    named
        .filter(|named| !exists(named))
        .map(|named| format!("{path}: {} does not exist", named.display()))
        .collect()
}

/// Paths between backticks that begin with one of our folders, or are a file at the top.
fn quoted_paths(text: &str) -> impl Iterator<Item = PathBuf> {
    let inline = text.split('`').skip(1).step_by(2);
    let is_path = |quoted: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let mut parts = quoted.split('/');
        let first = parts.next().unwrap_or_default();
        quoted.chars().all(plain)
            && (TOP_FILES.contains(quoted) || (TOP.contains(&first) && parts.next().is_some()))
    };
    inline.filter(is_path).map(PathBuf::from)
}

/// Targets of links, from the top.
fn linked_paths(document: &str, text: &str) -> impl Iterator<Item = PathBuf> {
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let targets = targets.map(|target| target.split('#').next().unwrap_or_default());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .map(move |target| {
            let mut path = PathBuf::from(folder);
            for part in target.split('/') {
                match part {
                    ".." => drop(path.pop()),
                    "." => {}
                    part => path.push(part),
                }
            }
            path
        })
}

/// The first cells of the two tables: settings of the server, settings of a session.
fn documented_settings(page: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let names = |text: &str| {
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
            .collect()
    };
    let (server, session) = page
        .split_once("## Settings of a session")
        .expect("two tables");
    (names(server), names(session))
}

/// The first word of every line of `settings! { … }`.
fn settings_of(code: &str) -> BTreeSet<String> {
    let (_, list) = code
        .split_once("\nsettings! {\n")
        .expect("a list of settings");
    let (list, _) = list.split_once("\n}").expect("the list ends");
    let lines = list
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"));
    let name = |line: &str| match line.strip_prefix('"') {
        Some(rest) => rest.split('"').next().unwrap_or_default().to_owned(),
        None => line.split(' ').next().unwrap_or_default().to_owned(),
    };
    lines.map(name).collect()
}

fn differences(page: &str, said: &BTreeSet<String>, done: &BTreeSet<String>) -> Vec<String> {
    let missing = done
        .difference(said)
        .map(|name| format!("{page} lacks the setting {name}"));
    let invented = said
        .difference(done)
        .map(|name| format!("{page} has the setting {name}, and the code has not"));
    missing.chain(invented).collect()
}

fn too_long(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let is_exempt = LONG_FILES.iter().any(|(long, _)| *long == path);
    match lines > LINES_MAX && !is_exempt {
        true => vec![format!("{path}: {lines} lines; look for the second noun")],
        false => Vec::new(),
    }
}

// Put together here, so that this file passes its own rule.
fn unfinished_macros() -> [String; 3] {
    ["to_do!", "unimpl_emented!", "d_bg!"].map(|name| name.replace('_', ""))
}

fn unfinished(path: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let stands_alone = |name: &String| {
        code.match_indices(name.as_str())
            .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    unfinished_macros()
        .iter()
        .filter(|name| stands_alone(name))
        .map(|name| format!("{path}: {name}"))
        .collect()
}

// Put together here, so that this file passes its own rule.
fn forbidden_words() -> [String; 4] {
    ["/w+ork/", "../sha+red", "fa+rm-", "session l+og"].map(|word| word.replace('+', ""))
}

fn foreign_words(path: &str, text: &str) -> Vec<String> {
    let is_word = |line: &str, at: usize, word: &str| {
        // Part of a longer word is none: a session may log in, or "logs in".
        let after = line[at + word.len()..].chars().next();
        !word.ends_with(char::is_alphabetic) || !after.is_some_and(char::is_alphanumeric)
    };
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in forbidden_words() {
            if line
                .match_indices(&word)
                .any(|(at, _)| is_word(line, at, &word))
            {
                complaints.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    complaints
}

// ---- the repository ----

fn complain(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n  {}", complaints.join("\n  "));
}

/// Code without line comments; what follows `//` in a string goes too.
fn code_of(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn words_in(code: &str) -> BTreeSet<&str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn rust_files() -> Vec<(String, String)> {
    let found = files(CODE, &["rs"]);
    assert!(found.len() > 100, "the code is not where it was");
    // The bad examples of this file are no faults.
    found
        .into_iter()
        .map(|(path, text)| match path == "tests/tidy.rs" {
            true => {
                let examples = text.find("#[test]").unwrap_or(0);
                let rules = text.find("// ---- rules ----").unwrap_or(0);
                let kept = format!("{}{}", &text[..examples], &text[rules..]);
                (path, kept)
            }
            false => (path, text),
        })
        .collect()
}

/// Path from the top and text of every file with one of the extensions, in or at `from`.
fn files(from: &[&str], extensions: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut waiting: Vec<PathBuf> = from.iter().map(|path| root.join(path)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if name == "target" {
                continue;
            }
            let entries = std::fs::read_dir(&path).expect("a readable folder");
            waiting.extend(entries.map(|entry| entry.expect("a readable entry").path()));
            continue;
        }
        // A program without an extension counts by its name.
        let extension = path
            .extension()
            .map_or(name.clone(), |e| e.to_string_lossy().into_owned());
        let is_wanted = extensions.contains(&extension.as_str())
            || (extensions.contains(&"") && path.extension().is_none());
        if is_wanted && let Ok(text) = std::fs::read_to_string(&path) {
            let path = path.strip_prefix(&root).unwrap_or(&path);
            found.push((path.to_string_lossy().into_owned(), text));
        }
    }
    found.sort();
    found
}
