//! Statements and what becomes of them, in data files: `UPDATE=1 cargo test` rewrites what is
//! expected, and the difference is read. Errors and names of columns were compared with
//! PostgreSQL 15.

mod limits;
mod soup;
mod summary;

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Statement, output_name, parse, rewrite_query};
use summary::summary;

/// Runs a file of blocks: a message, `----`, what is expected, an empty line. The path is below `src`.
pub(crate) fn golden(path: &str, run: impl Fn(&str) -> String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(path);
    let text = std::fs::read_to_string(&path).expect("the file of the test");
    let mut actual = String::new();
    for block in text
        .split("\n\n")
        .map(str::trim)
        .filter(|block| !block.is_empty())
    {
        if block.lines().all(|line| line.starts_with('#')) {
            let _ = write!(actual, "{block}\n\n");
            continue;
        }
        let message = block.split("\n----").next().unwrap_or_default();
        let _ = write!(actual, "{message}\n----\n{}\n\n", run(message).trim_end());
    }
    let actual = actual.trim_end().to_owned() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, actual).expect("the file of the test");
    } else {
        for (actual, expected) in actual.split("\n\n").zip(text.split("\n\n")) {
            assert_eq!(actual.trim(), expected.trim(), "in {}", path.display());
        }
        assert_eq!(actual.trim(), text.trim(), "in {}", path.display());
    }
}

/// What the parser answers.
fn parsed(message: &str) -> String {
    match parse(message) {
        Ok(statements) => {
            let lines = statements.iter().map(|parsed| {
                let mut line = summary(&parsed.statement);
                if parsed.offset > 0 || parsed.text != message {
                    let _ = write!(line, "\n  at {}: {:?}", parsed.offset, parsed.text);
                }
                line
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        Err(error) => {
            let mut line = error.to_string();
            if let Some(position) = error.position {
                let rest: String = message.chars().skip(position - 1).take(12).collect();
                let _ = write!(line, "\n  at {position}: {rest:?}");
            }
            for (what, more) in [("detail", error.detail), ("hint", error.hint)] {
                if let Some(more) = more {
                    let _ = write!(line, "\n  {what}: {more}");
                }
            }
            line
        }
    }
}

/// What a query is planned as, and the names of its columns.
fn rewritten(message: &str) -> String {
    let mut out = String::new();
    let statements = match parse(message) {
        Ok(statements) => statements,
        Err(error) => return error.to_string(),
    };
    for parsed in statements {
        let Statement::Query(mut query) = parsed.statement else {
            panic!("{message} is no query")
        };
        match rewrite_query(&mut query) {
            Ok(names) => {
                let _ = writeln!(out, "{}", query.to_string().replace('\u{1}', "·"));
                if let Some(names) = names {
                    let _ = writeln!(out, "  names: {}", names.join(", "));
                }
            }
            Err(error) => {
                let _ = writeln!(out, "{error}");
            }
        }
    }
    out
}

#[test]
fn statements() {
    golden("dialect/tests/statements.txt", parsed);
}

#[test]
fn errors() {
    golden("dialect/tests/errors.txt", parsed);
}

#[test]
fn rewrites() {
    golden("dialect/tests/rewrite.txt", rewritten);
}

#[test]
fn psql_describes() {
    let queries = include_str!("tests/psql.txt").split("@@\n");
    let mut count = 0;
    for query in queries
        .map(str::trim)
        .filter(|query| !query.is_empty() && !query.starts_with('#'))
    {
        let query = query.split("\n#").next().unwrap_or_default();
        let parsed = parse(query).unwrap_or_else(|error| panic!("{error:?}\n{query}"));
        for parsed in parsed {
            let Statement::Query(mut tree) = parsed.statement else {
                panic!("{query}")
            };
            rewrite_query(&mut tree).unwrap_or_else(|error| panic!("{error:?}\n{query}"));
            let text = tree.to_string();
            for left in [
                "OPERATOR",
                "COLLATE",
                "pg_catalog.pg_get",
                "AS REGCLASS",
                "::",
            ] {
                assert!(!text.contains(left), "{left} in {text}");
            }
        }
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn marks_come_off() {
    assert_eq!(output_name("count"), "count");
    assert_eq!(output_name("count\u{1}3"), "count");
    assert_eq!(output_name("?column?\u{1}0"), "?column?");
}
