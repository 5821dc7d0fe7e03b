//! The files, cut into their parts.

use std::path::{Path, PathBuf};

use sqllogictest::Record;

use super::client::{Engine, Type, runner};

/// At most so many failures of a part are told.
const FAILURES_MAX: usize = 50;

/// A file of this folder.
pub(super) struct File {
    pub(super) path: PathBuf,
    /// The path within this folder, as a name of a database.
    pub(super) name: String,
    pub(super) is_only_slicedb: bool,
    pub(super) setup: Vec<Record<Type>>,
    pub(super) queries: Vec<Record<Type>>,
}

impl File {
    /// All files, in order of their names; `SLT` chooses some.
    pub(super) fn all() -> Vec<File> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
        let wanted = std::env::var("SLT").unwrap_or_default();
        let mut files = Vec::new();
        collect(&folder, &mut files);
        files.sort();
        let within = |path: &PathBuf| {
            let path = path.strip_prefix(&folder).expect("a file of the folder");
            path.with_extension("").to_string_lossy().into_owned()
        };
        files.retain(|path| within(path).contains(&wanted));
        assert!(!files.is_empty(), "no file has {wanted} in its path");
        files
            .into_iter()
            .map(|path| File::read(within(&path).replace(['/', '-'], "_"), path))
            .collect()
    }

    fn read(name: String, path: PathBuf) -> File {
        let mut records = sqllogictest::parse_file(&path).expect("a valid script");
        let is_split = |record: &Record<Type>| matches!(record, Record::Comment(lines) if lines.iter().any(|l| l.trim() == "---"));
        let split = records.iter().position(is_split);
        let split = split.unwrap_or_else(|| panic!("{} lacks a line # ---", path.display()));
        let is_only_slicedb = matches!(records.first(), Some(Record::Comment(lines)) if lines[0].trim() == "only slicedb");
        let queries = records.split_off(split);
        File {
            path,
            name,
            is_only_slicedb,
            setup: records,
            queries,
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "slt") {
            files.push(path);
        }
    }
}

/// Runs a part of a file over new connections; what went otherwise than expected.
pub(super) fn run(
    engine: Engine<'_>,
    port: u16,
    way: &str,
    records: &[Record<Type>],
) -> Vec<String> {
    let mut runner = runner(engine, port, way);
    let mut failures = Vec::new();
    for record in records {
        // A statement that failed may be why the rest does: yet each is told, for a file holds many.
        if let Err(error) = runner.run(record.clone()) {
            failures.push(format!("[{way}] {error}"));
        }
        if failures.len() == FAILURES_MAX {
            break;
        }
    }
    runner.shutdown();
    failures
}
