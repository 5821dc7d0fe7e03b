//! `COPY`: the statement and its options, checked as PostgreSQL checks them.
//!
//! Only the client's stream is a source or a target. Files and programs of the server are not in
//! the grammar of this server at all, so that no privilege can be forgotten: they answer 0A000.

mod options;
mod parse;

use datafusion::sql::sqlparser::ast;

use super::table::TableName;

pub(crate) use parse::parse;

/// `COPY`.
#[derive(Debug, Clone)]
pub struct Copy {
    /// From the client or to it.
    pub direction: CopyDirection,
    /// What is filled or read.
    pub source: CopySource,
    /// How the bytes look.
    pub options: CopyOptions,
}

/// Which way the rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyDirection {
    /// `FROM STDIN`.
    In,
    /// `TO STDOUT`.
    Out,
}

/// What rows are copied.
#[derive(Debug, Clone)]
pub enum CopySource {
    /// A table.
    Table {
        /// Its name.
        name: TableName,
        /// The columns in the stream's order; empty for all.
        columns: Vec<String>,
    },
    /// `COPY (query) TO`.
    Query(Box<ast::Query>),
}

/// How the stream is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// Text, CSV or binary.
    pub format: CopyFormat,
    /// Between columns, one byte.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: String,
    /// The first line.
    pub header: CopyHeader,
    /// CSV: the quote, one byte.
    pub quote: u8,
    /// CSV: what escapes the quote, one byte.
    pub escape: u8,
    /// CSV out: columns whose values are always quoted.
    pub force_quote: ForceColumns,
    /// CSV in: columns whose values are never NULL.
    pub force_not_null: ForceColumns,
    /// CSV in: columns whose quoted NULL string is NULL too.
    pub force_null: ForceColumns,
}

/// The format of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Tabs and backslashes.
    Text,
    /// Comma-separated values.
    Csv,
    /// PostgreSQL's binary format.
    Binary,
}

/// The first line of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyHeader {
    /// A row.
    Absent,
    /// Column names; skipped when reading.
    Present,
    /// Column names that must be the table's.
    Match,
}

/// Columns that an option is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceColumns {
    /// None of them.
    None,
    /// `*`.
    All,
    /// These.
    Columns(Vec<String>),
}

impl CopyOptions {
    /// What PostgreSQL takes where a COPY says no more than its format.
    pub fn new(format: CopyFormat) -> Self {
        let csv = format == CopyFormat::Csv;
        CopyOptions {
            format,
            delimiter: if csv { b',' } else { b'\t' },
            null: if csv { String::new() } else { "\\N".into() },
            header: CopyHeader::Absent,
            quote: b'"',
            escape: b'"',
            force_quote: ForceColumns::None,
            force_not_null: ForceColumns::None,
            force_null: ForceColumns::None,
        }
    }
}
