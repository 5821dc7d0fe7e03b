//! `version()` and the names of encodings.

use datafusion::arrow::datatypes::DataType;

use super::simple::Simple;

/// What `version()` answers. Clients read the number after `PostgreSQL`.
pub const VERSION: &str = concat!(
    "PostgreSQL 16.9 (SliceDB ",
    env!("CARGO_PKG_VERSION"),
    "), compiled by rustc, 64-bit"
);

/// The functions.
pub(super) fn functions() -> Vec<Simple> {
    vec![
        Simple::new("version", vec![vec![]], |_| Ok(Some(VERSION.to_owned()))),
        Simple::new("pg_encoding_to_char", vec![vec![DataType::Int64]], |row| {
            Ok(row[0].map(|number| encoding(number).to_owned()))
        }),
    ]
}

/// Names of `pg_enc`; an empty one for a number that is none. Data is UTF8.
fn encoding(number: &str) -> &'static str {
    match number {
        "0" => "SQL_ASCII",
        "6" => "UTF8",
        "8" => "LATIN1",
        "24" => "WIN1252",
        _ => "",
    }
}
