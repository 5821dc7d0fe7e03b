//! `values.txt`: what PostgreSQL answers to thousands of texts, and that we answer the same.
//!
//! A line is a type, a text, PostgreSQL's answer, and ours where it differs on purpose, with tabs
//! between them and `\t`, `\n`, `\r`, `\\` inside. An answer is the value printed again, or `!` and an
//! error. A line `set name=value` is for those after it. With a PostgreSQL 15 at hand, `UPDATE=1`
//! writes its answers into the file.

use arrow::array::ArrayRef;

use super::super::*;
use super::postgres::Postgres;
use crate::error::SqlError;

const RECORDED: &str = include_str!("values.txt");

#[derive(Clone)]
struct Line {
    ty: String,
    text: String,
    postgres: String,
    ours: Option<String>,
}

fn parse(line: &str) -> Option<Line> {
    if line.is_empty() || line.starts_with('#') || line.starts_with("set ") {
        return None;
    }
    let mut parts = line.split('\t');
    let ty = parts.next()?.to_owned();
    let text = unescaped(parts.next().unwrap_or_default());
    let postgres = parts.next().unwrap_or_default().to_owned();
    Some(Line {
        ty,
        text,
        postgres,
        ours: parts.next().map(str::to_owned),
    })
}

fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        plain.push(match (c, c == '\\') {
            (c, false) => c,
            _ => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                other => other.unwrap_or('\\'),
            },
        });
    }
    plain
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

/// The types that the file names.
fn pg_type(name: &str) -> PgType {
    if let Some(element) = name.strip_suffix("[]") {
        return PgType::Array(Box::new(pg_type(element)));
    }
    match name {
        "boolean" => PgType::Bool,
        "smallint" => PgType::Int2,
        "integer" => PgType::Int4,
        "bigint" => PgType::Int8,
        "oid" => PgType::Oid,
        "real" => PgType::Float4,
        "double precision" => PgType::Float8,
        "numeric" => PgType::NUMERIC,
        "numeric(5,2)" => PgType::Numeric {
            precision: 5,
            scale: 2,
        },
        "numeric(3,3)" => PgType::Numeric {
            precision: 3,
            scale: 3,
        },
        "numeric(38,0)" => PgType::Numeric {
            precision: 38,
            scale: 0,
        },
        "numeric(38,10)" => PgType::Numeric {
            precision: 38,
            scale: 10,
        },
        "text" => PgType::Text,
        "varchar(3)" => PgType::Varchar(Some(3)),
        "char(3)" => PgType::Char(3),
        "name" => PgType::Name,
        "bytea" => PgType::Bytea,
        "date" => PgType::Date,
        "time" => PgType::Time,
        "timestamp" => PgType::Timestamp,
        "timestamptz" => PgType::Timestamptz,
        "interval" => PgType::Interval,
        "uuid" => PgType::Uuid,
        "json" => PgType::Json,
        other => panic!("values.txt names type {other}"),
    }
}

fn change(settings: &mut FormatSettings, setting: &str) {
    let (name, value) = setting.split_once('=').expect("name=value");
    match name {
        "TimeZone" => settings.time_zone = Zone::parse(value).expect("a zone"),
        "DateStyle" => {
            settings.date_style = settings.date_style.changed_by(value).expect("a style");
        }
        "IntervalStyle" => settings.interval_style = value.parse().expect("a style"),
        "extra_float_digits" => settings.extra_float_digits = value.parse().expect("a number"),
        "bytea_output" => settings.bytea_output = value.parse().expect("a style"),
        other => panic!("values.txt sets {other}"),
    }
}

/// Reads a text and prints it again.
fn answer(ty: &PgType, text: &str, settings: &FormatSettings) -> String {
    match value(ty, text, settings) {
        Ok(array) => escaped(&String::from_utf8_lossy(&written(
            ty,
            &array,
            Format::Text,
            settings,
        ))),
        Err(fault) => escaped(&fault_text(&fault)),
    }
}

fn fault_text(fault: &SqlError) -> String {
    let mut text = format!("!{fault}");
    for more in [&fault.detail, &fault.hint].into_iter().flatten() {
        text.push_str(" | ");
        text.push_str(more);
    }
    text
}

fn value(ty: &PgType, text: &str, settings: &FormatSettings) -> Result<ArrayRef, SqlError> {
    let mut builder = ColumnBuilder::new(ty, 1, settings);
    builder.append_text(text.as_bytes())?;
    assert_eq!(builder.len(), 1);
    Ok(builder.finish())
}

fn written(ty: &PgType, array: &ArrayRef, format: Format, settings: &FormatSettings) -> Vec<u8> {
    let field = ty.field("v", true);
    assert_eq!(array.data_type(), field.data_type());
    let encoder = Encoder::new(&field, array, format, settings).expect("an encoder");
    let mut out = Vec::new();
    encoder.write(0, &mut out);
    out
}

#[test]
fn texts_are_answered_as_recorded() {
    let mut settings = FormatSettings::default();
    let mut faults = Vec::new();
    for line in RECORDED.lines() {
        if let Some(setting) = line.strip_prefix("set ") {
            change(&mut settings, setting);
        }
        let Some(Line {
            ty,
            text,
            postgres,
            ours,
        }) = parse(line)
        else {
            continue;
        };
        let got = answer(&pg_type(&ty), &text, &settings);
        let wanted = ours.as_ref().unwrap_or(&postgres);
        if got != *wanted {
            faults.push(format!("{ty} {text:?}\n   got {got}\nwanted {wanted}"));
        }
    }
    assert!(
        faults.is_empty(),
        "{} differ:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// What text says, binary says too.
#[test]
fn recorded_values_survive_binary() {
    let mut settings = FormatSettings::default();
    for line in RECORDED.lines() {
        if let Some(setting) = line.strip_prefix("set ") {
            change(&mut settings, setting);
        }
        let Some(line) = parse(line) else { continue };
        let ty = pg_type(&line.ty);
        let Ok(array) = value(&ty, &line.text, &settings) else {
            continue;
        };
        let bytes = written(&ty, &array, Format::Binary, &settings);
        let mut builder = ColumnBuilder::new(&ty, 1, &settings);
        builder
            .append_binary(&bytes)
            .unwrap_or_else(|fault| panic!("{} {fault}", line.text));
        let back = builder.finish();
        // NaN differs from itself, so the texts are compared.
        assert_eq!(
            written(&ty, &back, Format::Text, &settings),
            written(&ty, &array, Format::Text, &settings),
            "{} {:?}",
            line.ty,
            line.text
        );
        for end in 0..bytes.len() {
            let mut builder = ColumnBuilder::new(&ty, 1, &settings);
            let _ = builder.append_binary(&bytes[..end]);
        }
    }
}

/// The recorded answers are a live server's; `UPDATE=1` makes them so.
#[test]
fn recorded_answers_are_postgresqls() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let mut script = String::from(
        r"CREATE FUNCTION answer(type text, input text) RETURNS text LANGUAGE plpgsql AS $$
        DECLARE v text; state text; message text; detail text; hint text;
        BEGIN
            EXECUTE format('CREATE TEMP TABLE IF NOT EXISTS %I (v %s)', 'v ' || type, type);
            EXECUTE format('INSERT INTO %I VALUES (%L) RETURNING format(''%%s'', v)', 'v ' || type, input) INTO v;
            RETURN v;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            RETURN format('!%s: %s%s%s', state, message,
                CASE WHEN detail <> '' THEN ' | ' || detail END,
                CASE WHEN hint <> '' THEN ' | ' || hint END);
        END $$;
        CREATE FUNCTION shown(v text) RETURNS text LANGUAGE sql AS $$
            SELECT replace(replace(replace(replace(v, '\', '\\'), E'\t', '\t'), E'\n', '\n'), E'\r', '\r')
        $$;
        SET client_min_messages = error; SET TimeZone = 'UTC';
        ",
    );
    for line in RECORDED.lines() {
        if let Some(setting) = line.strip_prefix("set ") {
            let (name, value) = setting.split_once('=').expect("name=value");
            script.push_str(&format!("SET {name} = '{value}';\n"));
        }
        let Some(line) = parse(line) else { continue };
        let text = line.text.replace('\'', "''");
        script.push_str(&format!("SELECT shown(answer('{}', '{text}'));\n", line.ty));
    }
    let answers = String::from_utf8(postgres.run(&script)).expect("UTF-8");
    let mut answers = answers.lines();
    let mut updated = String::new();
    let mut faults = Vec::new();
    for recorded in RECORDED.lines() {
        match parse(recorded) {
            None => updated.push_str(recorded),
            Some(line) => {
                let live = answers.next().expect("an answer a line");
                if line.postgres != live {
                    faults.push(format!(
                        "{} {:?}\n    live {live}\nrecorded {}",
                        line.ty, line.text, line.postgres
                    ));
                }
                updated.push_str(&format!("{}\t{}\t{live}", line.ty, escaped(&line.text)));
                if let Some(ours) = line.ours.filter(|ours| ours != live) {
                    updated.push_str(&format!("\t{ours}"));
                }
            }
        }
        updated.push('\n');
    }
    if std::env::var_os("UPDATE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/types/tests/values.txt");
        std::fs::write(path, updated).expect("values.txt");
        return;
    }
    assert!(
        faults.is_empty(),
        "{} differ:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
