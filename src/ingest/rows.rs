//! [`Rows`]: the columns that a decoder fills, and where in the data it is.
//!
//! The formats hand over fields; this file types them and tells every fault with its place in
//! PostgreSQL's words: `COPY orders, line 3, column gross: "abc"`.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use slicedb_sql::dialect::{CopyOptions, ForceColumns};
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::types::{ColumnBuilder, FormatSettings, PgType};

use super::decoder::CopyColumn;

/// Rows that a column has room for at first.
const CAPACITY_ROWS: usize = 1024;
/// Bytes of a value or line that an error shows, as PostgreSQL.
const SHOWN_BYTES_MAX: usize = 100;

/// Typed columns of the rows so far.
pub(super) struct Rows {
    pub(super) columns: Vec<Column>,
    schema: SchemaRef,
    table: String,
    /// Lines of the data so far, with the one that is read; of the binary format, rows.
    pub(super) line: u64,
    waiting: usize,
}

/// One column of the data.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) builder: ColumnBuilder,
    /// CSV: the NULL string is text.
    pub(super) force_not_null: bool,
    /// CSV: the NULL string is NULL in quotes too.
    pub(super) force_null: bool,
}

impl Rows {
    pub(super) fn new(
        columns: Vec<CopyColumn>,
        options: &CopyOptions,
        table: &str,
        settings: &FormatSettings,
    ) -> Rows {
        let forced = |force: &ForceColumns, name: &String| match force {
            ForceColumns::None => false,
            ForceColumns::All => true,
            ForceColumns::Columns(names) => names.contains(name),
        };
        let fields: Vec<_> = columns
            .iter()
            .map(|column| column.ty.field(&column.name, true))
            .collect();
        let columns = columns
            .into_iter()
            .map(|column| Column {
                builder: ColumnBuilder::new(&column.ty, CAPACITY_ROWS, settings),
                force_not_null: forced(&options.force_not_null, &column.name),
                force_null: forced(&options.force_null, &column.name),
                name: column.name,
            })
            .collect();
        Rows {
            columns,
            schema: Arc::new(Schema::new(fields)),
            table: table.to_owned(),
            line: 0,
            waiting: 0,
        }
    }

    /// Counts a row whose fields were all appended.
    #[inline]
    pub(super) fn end_row(&mut self) {
        self.waiting += 1;
    }

    /// Rows that wait to be taken.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes that they take, about.
    pub(super) fn byte_len(&self) -> usize {
        self.columns
            .iter()
            .map(|column| column.builder.byte_len())
            .sum()
    }

    /// Takes the rows that wait; None if there are none.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        let rows = std::mem::take(&mut self.waiting);
        if rows == 0 {
            return Ok(None);
        }
        let arrays = self
            .columns
            .iter_mut()
            .map(|column| column.builder.finish())
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map(Some)
            .map_err(|fault| SqlError::internal(format!("COPY built a wrong batch: {fault}")))
    }

    /// Appends the text of one field of a line.
    #[inline]
    pub(super) fn append(
        &mut self,
        column: usize,
        text: &[u8],
        line: &[u8],
    ) -> Result<(), SqlError> {
        match self.columns[column].builder.append_text(text) {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.field_fault(column, text, line, fault)),
        }
    }

    /// A fault in the text of a field.
    #[cold]
    fn field_fault(&self, column: usize, text: &[u8], line: &[u8], fault: SqlError) -> SqlError {
        // Whatever else is wrong with a value: that it is no text comes first.
        if let Err(fault) = check_text(line) {
            return self.at_line(fault);
        }
        let number = self.line;
        if let Err(fault) = check_text(text) {
            // Escapes made it so.
            let line = cut(line);
            return fault.in_context(format!("COPY {}, line {number}: \"{line}\"", self.table));
        }
        let (name, text) = (&self.columns[column].name, cut(text));
        fault.in_context(format!(
            "COPY {}, line {number}, column {name}: \"{text}\"",
            self.table
        ))
    }

    /// A fault in a binary field.
    #[cold]
    pub(super) fn at_column(&self, column: usize, fault: SqlError) -> SqlError {
        let (line, name) = (self.line, &self.columns[column].name);
        fault.in_context(format!("COPY {}, line {line}, column {name}", self.table))
    }

    /// A fault in the shape of a line.
    #[cold]
    pub(super) fn in_line(&self, line: &[u8], message: impl Into<String>) -> SqlError {
        if let Err(fault) = check_text(line) {
            return self.at_line(fault);
        }
        self.format_fault(message).in_context(format!(
            "COPY {}, line {}: \"{}\"",
            self.table,
            self.line,
            cut(line)
        ))
    }

    /// A fault of the shape of the data at the current line.
    #[cold]
    pub(super) fn format_fault(&self, message: impl Into<String>) -> SqlError {
        self.at_line(SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message))
    }

    /// A fault at the line after the current one.
    #[cold]
    pub(super) fn at_next_line(&self, fault: SqlError) -> SqlError {
        fault.in_context(format!("COPY {}, line {}", self.table, self.line + 1))
    }

    /// A fault at the current line.
    #[cold]
    pub(super) fn at_line(&self, fault: SqlError) -> SqlError {
        fault.in_context(format!("COPY {}, line {}", self.table, self.line))
    }

    /// The faults of a line with too few or too many fields.
    #[cold]
    pub(super) fn wrong_count(&self, line: &[u8], fields: usize) -> SqlError {
        match self.columns.get(fields) {
            Some(column) => {
                self.in_line(line, format!("missing data for column \"{}\"", column.name))
            }
            None => self.in_line(line, "extra data after last expected column"),
        }
    }
}

/// An error if bytes are no text.
fn check_text(bytes: &[u8]) -> Result<(), SqlError> {
    ColumnBuilder::new(&PgType::Text, 1, &FormatSettings::default()).append_text(bytes)
}

/// Text for an error, cut between characters.
fn cut(text: &[u8]) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return String::from_utf8_lossy(text).into_owned();
    }
    let mut end = SHOWN_BYTES_MAX;
    while end > 0 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    format!("{}...", String::from_utf8_lossy(&text[..end]))
}
