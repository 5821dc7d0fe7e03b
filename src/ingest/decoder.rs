//! [`CopyDecoder`]: pieces of COPY data in, batches out.
//!
//! Whole rows are typed as soon as they are there; the bytes of an unfinished one wait for the
//! next piece. After an error the decoder is of no more use, because a COPY has all its rows or
//! none.

use arrow::array::RecordBatch;
use slicedb_sql::dialect::{CopyFormat, CopyOptions};
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::types::{FormatSettings, PgType};

use super::binary::BinaryReader;
use super::csv::CsvReader;
use super::rows::Rows;
use super::text::{Progress, TextReader};

/// Bytes that one row may have.
const ROW_BYTES_MAX: usize = 16 << 20;
/// Bytes of typed rows that make a batch, however few they are.
const BATCH_BYTES: usize = 8 << 20;

/// A column of the data, in the order of the data.
#[derive(Debug, Clone)]
pub(crate) struct CopyColumn {
    /// Its name in the table.
    pub name: String,
    /// What its values are.
    pub ty: PgType,
}

/// Decodes the data of one COPY FROM.
pub(crate) struct CopyDecoder {
    reader: Reader,
    rows: Rows,
    /// Bytes of a row that is not all there.
    rest: Vec<u8>,
    ended: bool,
}

enum Reader {
    Text(TextReader),
    Csv(CsvReader),
    Binary(BinaryReader),
}

impl CopyDecoder {
    /// A decoder of data with these columns for a table.
    pub(crate) fn new(
        options: &CopyOptions,
        columns: Vec<CopyColumn>,
        table: &str,
        settings: &FormatSettings,
    ) -> CopyDecoder {
        CopyDecoder {
            reader: match options.format {
                CopyFormat::Text => Reader::Text(TextReader::new(options)),
                CopyFormat::Csv => Reader::Csv(CsvReader::new(options)),
                CopyFormat::Binary => Reader::Binary(BinaryReader::default()),
            },
            rows: Rows::new(columns, options, table, settings),
            rest: Vec::new(),
            ended: false,
        }
    }

    /// Takes a piece of the data, cut anywhere. Errors tell their place in the data.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), SqlError> {
        if self.ended {
            return Ok(()); // What follows the data's own end is ignored, as PostgreSQL does.
        }
        if self.rest.is_empty() {
            let consumed = self.read(piece, false)?;
            self.rest.extend_from_slice(&piece[consumed..]);
        } else {
            let mut input = std::mem::take(&mut self.rest);
            input.extend_from_slice(piece);
            let consumed = self.read(&input, false)?;
            input.drain(..consumed);
            self.rest = input;
        }
        if self.rest.len() > ROW_BYTES_MAX {
            let message = format!("a row of COPY data exceeds {ROW_BYTES_MAX} bytes");
            let fault = SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message);
            return Err(self.rows.at_next_line(fault));
        }
        Ok(())
    }

    /// Takes a batch if there are so many rows, or 8 MiB of them.
    pub(crate) fn batch(&mut self, rows_min: usize) -> Option<RecordBatch> {
        if self.rows.waiting() < rows_min && self.rows.byte_len() < BATCH_BYTES {
            return None;
        }
        self.rows.take().ok().flatten()
    }

    /// Ends the data and takes the rows that are left.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        if !self.ended {
            let rest = std::mem::take(&mut self.rest);
            self.read(&rest, true)?;
            self.ended = true;
        }
        self.rows.take()
    }

    fn read(&mut self, input: &[u8], last: bool) -> Result<usize, SqlError> {
        let Progress { consumed, ended } = match &mut self.reader {
            Reader::Text(reader) => reader.read(input, last, &mut self.rows),
            Reader::Csv(reader) => reader.read(input, last, &mut self.rows),
            Reader::Binary(reader) => reader.read(input, last, &mut self.rows),
        }?;
        self.ended |= ended;
        Ok(consumed)
    }
}
