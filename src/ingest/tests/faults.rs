//! `answers.txt`: what PostgreSQL makes of odd COPY data, and that we make the same of it.
//!
//! A line is options, data for the table `t (a integer, b text)`, and PostgreSQL's answer, with tabs
//! between them and `\t`, `\n`, `\r`, `\\`, `\xff` inside. An answer is the rows, or `!` and an error; a
//! fourth column is ours where it differs on purpose: the server reads on after `\.` in a file, not
//! from a client, and it forgives a last row that is cut after its first byte.
//! With a PostgreSQL 15 at hand, `UPDATE=1` writes its answers into the file.

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use slicedb_sql::dialect::{CopyHeader, ForceColumns};

use super::*;

const RECORDED: &str = include_str!("answers.txt");

pub(super) struct Case {
    pub(super) options: String,
    pub(super) data: Vec<u8>,
    pub(super) answer: String,
    /// Ours where it differs on purpose.
    pub(super) ours: Option<String>,
}

/// The cases of a line; None for comments.
pub(super) fn parse(line: &str) -> Option<Case> {
    let mut parts = line.split('\t');
    let options = parts
        .next()
        .filter(|options| !options.starts_with('#'))?
        .to_owned();
    let data = unescaped(parts.next()?);
    let answer = parts.next().unwrap_or_default().to_owned();
    Some(Case {
        options,
        data,
        answer,
        ours: parts.next().map(str::to_owned),
    })
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            plain.push(*byte);
            continue;
        }
        let (letter, after) = rest.split_first().expect("a letter after a backslash");
        rest = after;
        plain.push(match letter {
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            b'x' => {
                let digits = std::str::from_utf8(&rest[..2]).expect("digits");
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).expect("digits")
            }
            other => *other,
        });
    }
    plain
}

/// Options as `csv delimiter=| header=match`, for both sides.
pub(super) fn options(text: &str) -> CopyOptions {
    let mut words = text.split(' ');
    let format = match words.next() {
        Some("text") => CopyFormat::Text,
        Some("csv") => CopyFormat::Csv,
        _ => CopyFormat::Binary,
    };
    let mut options = CopyOptions::new(format);
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let byte = value.as_bytes().first().copied().unwrap_or(b' ');
        let force = || match value {
            "*" => ForceColumns::All,
            names => ForceColumns::Columns(names.split(',').map(str::to_owned).collect()),
        };
        match name {
            "delimiter" => options.delimiter = byte,
            "null" => options.null = value.to_owned(),
            "header" if value == "match" => options.header = CopyHeader::Match,
            "header" => options.header = CopyHeader::Present,
            "quote" => (options.quote, options.escape) = (byte, byte),
            "escape" => options.escape = byte,
            "force_quote" => options.force_quote = force(),
            "force_null" => options.force_null = force(),
            "force_not_null" => options.force_not_null = force(),
            other => panic!("answers.txt has option {other}"),
        }
    }
    options
}

/// The same options in SQL.
pub(super) fn sql_options(text: &str) -> String {
    let mut words = text.split(' ');
    let mut sql = format!("FORMAT {}", words.next().unwrap_or_default());
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let value = match name {
            _ if name.starts_with("force") && value == "*" => "*".to_owned(),
            _ if name.starts_with("force") => format!("({value})"),
            "header" => {
                if value.is_empty() {
                    "true".to_owned()
                } else {
                    value.to_owned()
                }
            }
            _ => format!("'{}'", value.replace('\'', "''")),
        };
        sql.push_str(&format!(", {name} {value}"));
    }
    sql
}

const TYPES: [(&str, PgType); 2] = [("a", PgType::Int4), ("b", PgType::Text)];

fn answer(options: &CopyOptions, data: &[u8], pieces: &[usize]) -> String {
    let batches = match decode(options, &TYPES, data, pieces) {
        Ok(batches) => batches,
        Err(fault) => {
            let mut text = format!("!{fault}");
            for more in [&fault.detail, &fault.hint, &fault.context]
                .into_iter()
                .flatten()
            {
                text.push_str(" | ");
                text.push_str(more);
            }
            return escaped(&text);
        }
    };
    let mut rows = Vec::new();
    for batch in batches {
        let (a, b) = (
            batch.column(0).as_primitive::<Int32Type>(),
            batch.column(1).as_string::<i32>(),
        );
        for (a, b) in a.iter().zip(b) {
            let a = a.map_or("NULL".to_owned(), |a| a.to_string());
            rows.push(format!("{a}|{}", b.unwrap_or("NULL")));
        }
    }
    escaped(&rows.join(";"))
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

#[test]
fn odd_data_is_answered_as_recorded() {
    let mut faults = Vec::new();
    for case in RECORDED.lines().filter_map(parse) {
        let options = options(&case.options);
        let whole = answer(&options, &case.data, &[usize::MAX]);
        if whole != *case.ours.as_ref().unwrap_or(&case.answer) {
            let data = String::from_utf8_lossy(&case.data);
            faults.push(format!(
                "{} {data:?}\n   got {whole}\nwanted {}",
                case.options, case.answer
            ));
        }
        // The same however the data is cut.
        for at in 1..case.data.len() {
            assert_eq!(
                answer(&options, &case.data, &[at, usize::MAX]),
                whole,
                "cut at {at}"
            );
        }
        assert_eq!(answer(&options, &case.data, &[1]), whole, "cut everywhere");
    }
    assert!(
        faults.is_empty(),
        "{} differ:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// The recorded answers are a live server's; `UPDATE=1` makes them so.
#[test]
fn recorded_answers_are_postgresqls() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let mut script = String::from(
        r"CREATE TABLE t (a integer, b text);
        CREATE FUNCTION answer(path text, options text) RETURNS text LANGUAGE plpgsql AS $$
        DECLARE state text; message text; detail text; hint text; context text;
        BEGIN
            TRUNCATE t;
            EXECUTE format('COPY t FROM %L (%s)', path, options);
            RETURN (SELECT string_agg(coalesce(a::text, 'NULL') || '|' || coalesce(b, 'NULL'), ';' ORDER BY ctid) FROM t);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
            -- What follows is the context of this function.
            context := regexp_replace(context, E'(^|\n)SQL statement .*', '');
            RETURN format('!%s: %s%s%s%s', state, message,
                CASE WHEN detail <> '' THEN ' | ' || detail END,
                CASE WHEN hint <> '' THEN ' | ' || hint END, CASE WHEN context <> '' THEN ' | ' || context END);
        END $$;
        CREATE FUNCTION shown(v text) RETURNS text LANGUAGE sql AS $$
            SELECT replace(replace(replace(replace(v, '\', '\\'), E'\t', '\t'), E'\n', '\n'), E'\r', '\r')
        $$;
        ",
    );
    for (at, case) in RECORDED.lines().filter_map(parse).enumerate() {
        let path = postgres.path(&format!("case{at}"));
        std::fs::write(&path, &case.data).expect("a file");
        let sql = sql_options(&case.options).replace('\'', "''");
        script.push_str(&format!(
            "SELECT shown(answer('{}', '{sql}'));\n",
            path.display()
        ));
    }
    let answers = String::from_utf8(postgres.run(&script)).expect("UTF-8");
    let mut answers = answers.lines();
    let (mut updated, mut faults) = (String::new(), Vec::new());
    for line in RECORDED.lines() {
        match parse(line) {
            None => updated.push_str(line),
            Some(case) => {
                let live = answers.next().expect("an answer a case");
                if live != case.answer {
                    faults.push(format!("{line}\nlive {live}"));
                }
                let data = line.split('\t').nth(1).unwrap_or_default();
                updated.push_str(&format!("{}\t{data}\t{live}", case.options));
                if let Some(ours) = case.ours {
                    updated.push_str(&format!("\t{ours}"));
                }
            }
        }
        updated.push('\n');
    }
    if std::env::var_os("UPDATE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ingest/tests/answers.txt");
        std::fs::write(path, updated).expect("answers.txt");
        return;
    }
    assert!(
        faults.is_empty(),
        "{} differ:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
