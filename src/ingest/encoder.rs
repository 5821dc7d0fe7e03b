//! [`CopyEncoder`]: rows to the bytes of COPY TO, in all three formats.
//!
//! One row is one write, because on the wire one row is one message.

use arrow::array::RecordBatch;
use slicedb_sql::dialect::{CopyFormat, CopyHeader, CopyOptions, ForceColumns};
use slicedb_sql::error::SqlError;
use slicedb_sql::session::OutputColumn;
use slicedb_sql::types::{Encoder, Format, FormatSettings};

use super::binary::SIGNATURE;

/// Encodes the data of one COPY TO.
pub(crate) struct CopyEncoder {
    options: CopyOptions,
    columns: Vec<Column>,
    settings: FormatSettings,
    /// Bytes that a value of the text or CSV format cannot hold as they are.
    special: [bool; 256],
}

struct Column {
    output: OutputColumn,
    /// CSV: values are always quoted.
    force_quote: bool,
}

/// A batch that is ready to be written row by row.
pub(crate) struct CopyRows<'a> {
    encoder: &'a CopyEncoder,
    cells: Vec<Encoder>,
}

impl CopyEncoder {
    /// An encoder of rows with these columns.
    pub(crate) fn new(
        options: &CopyOptions,
        columns: &[OutputColumn],
        settings: &FormatSettings,
    ) -> Result<CopyEncoder, SqlError> {
        let forced = |name: &String| match &options.force_quote {
            ForceColumns::None => false,
            ForceColumns::All => true,
            ForceColumns::Columns(names) => names.contains(name),
        };
        let columns = columns
            .iter()
            .map(|output| Column {
                force_quote: forced(output.field.name()),
                output: output.clone(),
            })
            .collect();
        let special = std::array::from_fn(|byte| {
            let byte = byte as u8;
            match options.format {
                CopyFormat::Text => text_escape(byte, options.delimiter).is_some(),
                CopyFormat::Csv => {
                    byte == options.delimiter
                        || byte == options.quote
                        || matches!(byte, b'\n' | b'\r')
                }
                CopyFormat::Binary => false,
            }
        });
        Ok(CopyEncoder {
            special,
            options: options.clone(),
            columns,
            settings: settings.clone(),
        })
    }

    /// Appends what stands before the rows: a line of names, the binary header, or nothing.
    pub(crate) fn header(&self, out: &mut Vec<u8>) {
        if self.options.format == CopyFormat::Binary {
            out.extend_from_slice(SIGNATURE);
            out.extend_from_slice(&[0; 8]); // no flags, no extension
            return;
        }
        if self.options.header == CopyHeader::Absent {
            return;
        }
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(self.options.delimiter);
            }
            let start = out.len();
            out.extend_from_slice(column.output.field.name().as_bytes());
            self.escape(start, false, out);
        }
        out.push(b'\n');
    }

    /// Gets a batch ready.
    pub(crate) fn batch(&self, batch: &RecordBatch) -> Result<CopyRows<'_>, SqlError> {
        let format = match self.options.format {
            CopyFormat::Text | CopyFormat::Csv => Format::Text,
            CopyFormat::Binary => Format::Binary,
        };
        let cells = self
            .columns
            .iter()
            .zip(batch.columns())
            .map(|(column, array)| {
                Encoder::new(&column.output.field, array, format, &self.settings)
            })
            .collect::<Result<_, _>>()?;
        Ok(CopyRows {
            encoder: self,
            cells,
        })
    }

    /// Appends what stands after the rows.
    pub(crate) fn trailer(&self, out: &mut Vec<u8>) {
        if self.options.format == CopyFormat::Binary {
            out.extend_from_slice(&(-1_i16).to_be_bytes());
        }
    }

    /// Escapes the value that was appended last.
    fn escape(&self, start: usize, force_quote: bool, out: &mut Vec<u8>) {
        match self.options.format {
            CopyFormat::Text => self.escape_text(start, out),
            CopyFormat::Csv => {
                if force_quote || self.needs_quotes(&out[start..]) {
                    quote(start, self.options.quote, self.options.escape, out);
                }
            }
            CopyFormat::Binary => {}
        }
    }

    /// Puts backslashes into the value from `start` on.
    fn escape_text(&self, start: usize, out: &mut Vec<u8>) {
        let first = out[start..]
            .iter()
            .position(|byte| self.special[usize::from(*byte)]);
        let Some(first) = first else { return };
        let tail = out.split_off(start + first);
        for byte in tail {
            match text_escape(byte, self.options.delimiter) {
                Some(letter) => out.extend_from_slice(&[b'\\', letter]),
                None => out.push(byte),
            }
        }
    }

    /// Whether a CSV value would be read as something else without quotes.
    fn needs_quotes(&self, value: &[u8]) -> bool {
        value.iter().any(|byte| self.special[usize::from(*byte)])
            || value == self.options.null.as_bytes()
            || (self.columns.len() == 1 && value == b"\\.")
    }
}

impl CopyRows<'_> {
    /// Appends one row, with its line end.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        let options = &self.encoder.options;
        if options.format == CopyFormat::Binary {
            return self.write_binary(row, out);
        }
        for (at, (cells, column)) in self.cells.iter().zip(&self.encoder.columns).enumerate() {
            if at > 0 {
                out.push(options.delimiter);
            }
            if cells.is_null(row) {
                out.extend_from_slice(options.null.as_bytes());
                continue;
            }
            let start = out.len();
            cells.write(row, out);
            self.encoder.escape(start, column.force_quote, out);
        }
        out.push(b'\n');
    }

    fn write_binary(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.cells.len() as i16).to_be_bytes());
        for cells in &self.cells {
            let start = out.len();
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            if !cells.is_null(row) {
                cells.write(row, out);
                let length = (out.len() - start - 4) as i32;
                out[start..start + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
    }
}

/// The letter after a backslash for a byte that the text format cannot hold as it is.
fn text_escape(byte: u8, delimiter: u8) -> Option<u8> {
    Some(match byte {
        8 => b'b',
        9 => b't',
        10 => b'n',
        11 => b'v',
        12 => b'f',
        13 => b'r',
        b'\\' => b'\\',
        byte if byte == delimiter => byte,
        _ => return None,
    })
}

/// Puts quotes around the value from `start` on.
fn quote(start: usize, quote: u8, escape: u8, out: &mut Vec<u8>) {
    let value = out.split_off(start);
    out.push(quote);
    for byte in value {
        if byte == quote || byte == escape {
            out.push(escape);
        }
        out.push(byte);
    }
    out.push(quote);
}
