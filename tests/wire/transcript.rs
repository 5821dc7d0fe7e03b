//! Conversations as data: `transcripts/*.txt`.
//!
//! ```text
//! # a comment
//! open                                    a new connection
//! login 3.0 application_name=me           a new connection that logs in as slicedb, quietly
//! > Query "select 1"                      sent, together with the other `>` lines up to a blank one
//! < RowDescription ?column?:23            what came back, until nothing more is due
//! ```
//!
//! Strings know the escapes `\n \t \\ \" \0 \xNN`. ParameterStatus is left out. `UPDATE=1` writes the
//! answers into the files instead of comparing them; read the diff.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::client::{self, Client, Heard, PATIENCE, bind, execute, message, packet, parse, texts};
use crate::server::Server;

// After which nothing more is expected where no ReadyForQuery is.
const SILENCE: Duration = Duration::from_millis(400);

#[test]
fn transcripts() {
    let server = Server::shared();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/transcripts");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("transcripts")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let wanted = fs::read_to_string(&file).expect("a text file");
        let got = replay(server, &wanted);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, got).expect("a writable file");
        } else {
            assert_eq!(got, wanted, "{}", file.display());
        }
    }
}

// The script again, with the answers that came now.
fn replay(server: &Server, script: &str) -> String {
    let mut client = None;
    let mut output = String::new();
    let mut lines = script
        .lines()
        .filter(|line| !line.starts_with("< "))
        .peekable();
    while let Some(line) = lines.next() {
        output += line;
        output.push('\n');
        let words = words(line);
        match words.first().map(String::as_str) {
            Some("open") => client = Some(Client::open(server.address())),
            Some("login") => {
                let mut fresh = Client::open(server.address());
                fresh.send(&startup(&words));
                fresh.until_ready();
                client = Some(fresh);
            }
            Some(">") => {
                let mut group = vec![words];
                while let Some(line) = lines.next_if(|line| line.starts_with("> ")) {
                    output += line;
                    output.push('\n');
                    group.push(self::words(line));
                }
                output += &exchange(client.as_mut().expect("a connection"), &group);
            }
            _ => {}
        }
    }
    output
}

// Sends a group of messages, and prints what comes back.
fn exchange(client: &mut Client, group: &[Vec<String>]) -> String {
    let bytes: Vec<u8> = group.iter().flat_map(|words| encode(&words[1..])).collect();
    client.send(&bytes);
    let first = group[0][1].as_str();
    if matches!(first, "SslRequest" | "GssRequest") && group.len() == 1 {
        let byte = client.byte().map(|byte| byte as char);
        return format!("< {}\n", byte.map_or("closed".into(), String::from));
    }
    let kinds = group.iter().map(|words| words[1].as_str());
    let due = kinds
        .filter(|kind| matches!(*kind, "Query" | "Sync" | "FunctionCall"))
        .count();
    let copying = group.iter().any(|words| words[1].starts_with("Copy"));
    // A Sync within a COPY is not answered, so there the count is no measure.
    let counted = (due > 0 && !copying) || first == "Startup";
    let patience = if counted { PATIENCE } else { SILENCE };
    let mut ready = 0;
    let mut output = String::new();
    loop {
        let answer = match client.hear(patience) {
            Heard::Answer(answer) => answer,
            Heard::Closed => return output + "< closed\n",
            Heard::Nothing => return output,
        };
        if answer.kind != b'S' {
            output += &format!("< {}\n", answer.print());
        }
        ready += usize::from(answer.kind == b'Z');
        if (answer.kind == b'G' && !copying) || (answer.kind == b'Z' && ready >= due) {
            return output;
        }
    }
}

fn encode(words: &[String]) -> Vec<u8> {
    let text = |index: usize| {
        let bytes = bytes(words.get(index).map_or("", String::as_str));
        String::from_utf8(bytes).expect("text; see Bytes for others")
    };
    match words[0].as_str() {
        "Startup" => startup(words),
        "SslRequest" => packet(80_877_103, &[]),
        "GssRequest" => packet(80_877_104, &[]),
        "Query" => client::query(&text(1)),
        "Parse" => parse(&text(1), &text(2)),
        "Bind" | "BindBinary" => {
            let values = words[3..]
                .iter()
                .map(|word| (word != "null").then(|| bytes(word)));
            let format = u16::from(words[0] == "BindBinary");
            bind(&text(1), &text(2), &values.collect::<Vec<_>>(), (0, format))
        }
        "Describe" => message(b'D', &texts(&[&(text(1) + &text(2))])),
        "Close" => message(b'C', &texts(&[&(text(1) + &text(2))])),
        "Execute" => execute(&text(1), text(2).parse().unwrap_or(0)),
        "Sync" => client::sync(),
        "Flush" => message(b'H', &[]),
        "Terminate" => message(b'X', &[]),
        "FunctionCall" => message(b'F', &[0; 10]),
        "CopyData" => message(b'd', &bytes(&words[1])),
        "CopyDone" => message(b'c', &[]),
        "CopyFail" => message(b'f', &texts(&[&text(1)])),
        "Bytes" => bytes(&words[1]),
        other => panic!("{other} is not a message"),
    }
}

// `login 3.2 user=x database=y`
fn startup(words: &[String]) -> Vec<u8> {
    let mut words = words[1..].iter();
    let version = words.next().expect("a version");
    let (major, minor) = version.split_once('.').expect("a version");
    let code =
        major.parse::<i32>().expect("a number") << 16 | minor.parse::<i32>().expect("a number");
    let mut parameters: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
    if !parameters.iter().any(|(name, _)| *name == "user") {
        parameters.push(("user", "slicedb"));
    }
    parameters.retain(|(_, value)| *value != "-");
    let mut body: Vec<u8> = parameters
        .iter()
        .flat_map(|(name, value)| texts(&[name, value]))
        .collect();
    body.push(0);
    packet(code, &body)
}

// Words and quoted strings; escapes of bytes stay for `bytes`.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, more) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.find(|character| {
                    let ends = character == '"' && !escaped;
                    escaped = character == '\\' && !escaped;
                    ends
                });
                let end = end.expect("a closing quote");
                (quoted[..end].to_owned(), &quoted[end + 1..])
            }
            None => {
                let end = rest.find(' ').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = more.trim_start();
    }
    words
}

// The bytes that a string with escapes means.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next().expect("an escape") {
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'0' => bytes.push(0),
            b'x' => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.expect("two digits"));
                let digits = std::str::from_utf8(&digits).expect("two digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
            }
            other => bytes.push(other),
        }
    }
    bytes
}
