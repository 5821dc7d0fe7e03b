//! COPY's binary format.
//!
//! ```text
//! | "PGCOPY\n\xff\r\n\0" | flags u32 be | extension length u32 be | extension |
//! per row: | fields i16 be | per field: | length i32 be, -1 is NULL | value in binary form |
//! | -1 i16 be |
//! ```
//! The upper half of the flags is critical: a reader must know every bit that is set. None is known
//! here. Source: PostgreSQL's manual, COPY, "Binary Format".

use slicedb_sql::error::{SqlError, SqlState};

use super::rows::Rows;
use super::text::Progress;

/// What the data begins with.
pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags and length of the extension.
const HEADER_BYTES: usize = 19;
/// More than that is no extension.
const EXTENSION_BYTES_MAX: usize = 1 << 20;

/// Reads rows of the binary format.
#[derive(Default)]
pub(super) struct BinaryReader {
    header_read: bool,
    trailer_read: bool,
    /// Bytes of the row that were looked at: up to the end of a field.
    scanned: usize,
    fields: Vec<Field>,
}

/// Where a value lies in its row; None is NULL.
type Field = Option<(usize, usize)>;

impl BinaryReader {
    /// Reads whole rows.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        last: bool,
        rows: &mut Rows,
    ) -> Result<Progress, SqlError> {
        let mut start = 0;
        if !self.header_read {
            let header = header(input, last);
            match header.map_err(|fault| SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, fault))? {
                None => {
                    return Ok(Progress {
                        consumed: 0,
                        ended: false,
                    });
                }
                Some(length) => start = length,
            }
            self.header_read = true;
        }
        while !self.trailer_read && start < input.len() {
            match self.row(&input[start..], rows)? {
                None => break,
                Some(length) => start += length,
            }
        }
        if start < input.len() && self.trailer_read {
            rows.line += 1;
            return Err(rows.format_fault("received copy data after EOF marker"));
        }
        if start < input.len() && last {
            rows.line += 1;
            let fault = rows.format_fault("unexpected EOF in COPY data");
            // Between two fields is within the next one.
            let within = self.scanned > 0 && self.fields.len() < rows.columns.len();
            return Err(if within {
                rows.at_column(self.fields.len(), fault)
            } else {
                fault
            });
        }
        Ok(Progress {
            consumed: start,
            ended: false,
        })
    }

    /// Reads a row and tells its length; None if it is not all there.
    fn row(&mut self, input: &[u8], rows: &mut Rows) -> Result<Option<usize>, SqlError> {
        if self.scanned == 0 {
            let Some(count) = input.first_chunk::<2>() else {
                return Ok(None);
            };
            let count = i16::from_be_bytes(*count);
            if count == -1 {
                self.trailer_read = true;
                return Ok(Some(2));
            }
            if usize::try_from(count) != Ok(rows.columns.len()) {
                rows.line += 1;
                let expected = rows.columns.len();
                return Err(
                    rows.format_fault(format!("row field count is {count}, expected {expected}"))
                );
            }
            self.scanned = 2;
            self.fields.clear();
        }
        while self.fields.len() < rows.columns.len() {
            let Some(length) = input[self.scanned..].first_chunk::<4>() else {
                return Ok(None);
            };
            let value = self.scanned + 4;
            match i32::from_be_bytes(*length) {
                -1 => {
                    self.fields.push(None);
                    self.scanned = value;
                }
                length => {
                    let Ok(length) = usize::try_from(length) else {
                        rows.line += 1;
                        let fault = rows.format_fault("invalid field size");
                        return Err(rows.at_column(self.fields.len(), fault));
                    };
                    if input.len() - value < length {
                        return Ok(None);
                    }
                    self.fields.push(Some((value, value + length)));
                    self.scanned = value + length;
                }
            }
        }
        rows.line += 1;
        for (at, field) in self.fields.iter().enumerate() {
            let column = &mut rows.columns[at];
            match field {
                None => column.builder.append_null(),
                Some((from, to)) => {
                    let appended = column.builder.append_binary(&input[*from..*to]);
                    appended.map_err(|fault| rows.at_column(at, fault))?;
                }
            }
        }
        rows.end_row();
        Ok(Some(std::mem::take(&mut self.scanned)))
    }
}

/// Checks the header and tells its length; None if it is not all there.
fn header(input: &[u8], last: bool) -> Result<Option<usize>, &'static str> {
    let known = input.len().min(SIGNATURE.len());
    if input[..known] != SIGNATURE[..known] || (last && known < SIGNATURE.len()) {
        return Err("COPY file signature not recognized");
    }
    let word = |at: usize| {
        let bytes = input.get(at..at + 4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let Some(flags) = word(SIGNATURE.len()) else {
        return if last {
            Err("invalid COPY file header (missing flags)")
        } else {
            Ok(None)
        };
    };
    if flags & 1 << 16 != 0 {
        return Err("invalid COPY file header (WITH OIDS)");
    }
    if flags >> 16 != 0 {
        return Err("unrecognized critical flags in COPY file header");
    }
    let Some(extension) = word(SIGNATURE.len() + 4) else {
        return if last {
            Err("invalid COPY file header (missing length)")
        } else {
            Ok(None)
        };
    };
    let extension = extension as usize;
    if extension > EXTENSION_BYTES_MAX {
        return Err("invalid COPY file header (wrong length)");
    }
    match input.len() >= HEADER_BYTES + extension {
        true => Ok(Some(HEADER_BYTES + extension)),
        false if last => Err("invalid COPY file header (wrong length)"),
        false => Ok(None),
    }
}
