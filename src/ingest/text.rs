//! COPY's text format: one row a line, fields between delimiters, backslashes escape.
//!
//! `\N` (or another string) is NULL, `\t` and the like are control characters, `\101` and `\x41` any
//! byte, a backslash before anything else means just that, line ends included. `\.` ends the data.

use slicedb_sql::dialect::{CopyHeader, CopyOptions};
use slicedb_sql::error::{SqlError, SqlState};

use super::header;
use super::line_end::{Ended, LineEnds, Marker};
use super::rows::Rows;
use super::scan::{BLOCK_BYTES, Scan};

/// Reads lines of the text format.
pub(super) struct TextReader {
    scan: Scan,
    delimiter: u8,
    null: Vec<u8>,
    /// Whether NULL can stand in a field without a backslash.
    plain_null: bool,
    header: CopyHeader,
    lines: LineEnds,
    /// Ends of the fields of the line that is read, counted from its start and doubled; the lowest
    /// bit tells a backslash inside.
    ends: Vec<u32>,
    escaped: bool,
    /// Bytes of the line that were looked at.
    scanned: usize,
    unescaped: Vec<u8>,
}

/// How far a reader came.
pub(super) struct Progress {
    /// Bytes of whole lines; the rest has to come again with what follows.
    pub(super) consumed: usize,
    /// The data's own end was met.
    pub(super) ended: bool,
}

impl TextReader {
    pub(super) fn new(options: &CopyOptions) -> TextReader {
        TextReader {
            scan: Scan::new(options.delimiter, [b'\\', b'\\']),
            delimiter: options.delimiter,
            null: options.null.clone().into_bytes(),
            plain_null: !options.null.contains('\\'),
            header: options.header,
            lines: LineEnds::new(false),
            ends: Vec::new(),
            escaped: false,
            scanned: 0,
            unescaped: Vec::new(),
        }
    }

    /// Reads whole lines; with `last`, also one without an end.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        last: bool,
        rows: &mut Rows,
    ) -> Result<Progress, SqlError> {
        let mut start = 0;
        let mut at = self.scanned;
        let mut skip_to = 0; // past an escaped byte
        while at < input.len() {
            let mut bits = self.scan.mask(&input[at..]);
            while bits != 0 {
                let found = at + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if found < skip_to {
                    continue;
                }
                let byte = input[found];
                let ended = if byte == self.delimiter {
                    self.end_field(found - start);
                    continue;
                } else if byte == b'\n' {
                    self.lines.line_feed()
                } else if byte == b'\r' {
                    self.lines.carriage_return(&input[found + 1..], last)
                } else {
                    match input.get(found + 1) {
                        None if !last => Ok(Ended::Unclear),
                        Some(b'.') => match self.lines.marker(&input[found + 2..], last) {
                            Marker::Unclear => Ok(Ended::Unclear),
                            Marker::End => {
                                if found > start {
                                    self.end_line(&input[start..found], rows)?;
                                }
                                return Ok(Progress {
                                    consumed: input.len(),
                                    ended: true,
                                });
                            }
                            fault => Err(marker_fault(fault)),
                        },
                        _ => {
                            self.escaped = true;
                            skip_to = found + 2;
                            continue;
                        }
                    }
                };
                match ended.map_err(|fault| rows.at_next_line(fault))? {
                    Ended::Unclear => {
                        self.scanned = found - start;
                        return Ok(Progress {
                            consumed: start,
                            ended: false,
                        });
                    }
                    Ended::Line(end) => {
                        self.end_line(&input[start..found], rows)?;
                        start = found + end;
                        skip_to = start;
                    }
                }
            }
            at += BLOCK_BYTES;
        }
        // Names that must be there are missing where there is no line at all.
        let nameless = self.header == CopyHeader::Match;
        if last && (start < input.len() || nameless) {
            self.end_line(&input[start..], rows)?;
            start = input.len();
        }
        self.scanned = input.len() - start;
        Ok(Progress {
            consumed: start,
            ended: false,
        })
    }

    #[inline]
    fn end_field(&mut self, end: usize) {
        self.ends.push((end as u32) << 1 | u32::from(self.escaped));
        self.escaped = false;
    }

    #[inline]
    fn end_line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), SqlError> {
        self.end_field(line.len());
        self.scanned = 0;
        rows.line += 1;
        if self.header != CopyHeader::Absent {
            self.check_header(line, rows)?;
        } else if self.ends.len() != rows.columns.len() {
            self.odd_line(line, rows)?;
        } else {
            let mut start = 0;
            for column in 0..self.ends.len() {
                let (end, escaped) = (self.ends[column] as usize >> 1, self.ends[column] & 1 == 1);
                let field = &line[start..end];
                if escaped {
                    self.append_escaped(field, column, line, rows)?;
                } else if self.plain_null && field == self.null {
                    rows.columns[column].builder.append_null();
                } else {
                    rows.append(column, field, line)?;
                }
                start = end + 1;
            }
            rows.end_row();
        }
        self.ends.clear();
        Ok(())
    }

    /// A line with another number of fields than there are columns. The fields that are there are
    /// read first, because PostgreSQL tells their faults before that one is missing.
    #[cold]
    fn odd_line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), SqlError> {
        if rows.columns.is_empty() && line.is_empty() {
            rows.end_row();
            return Ok(());
        }
        let mut start = 0;
        if self.ends.len() < rows.columns.len() {
            for column in 0..self.ends.len() {
                let end = self.ends[column] as usize >> 1;
                self.append_escaped(&line[start..end], column, line, rows)?;
                start = end + 1;
            }
        }
        Err(rows.wrong_count(line, self.ends.len()))
    }

    /// A field with a backslash, which may be that of NULL.
    fn append_escaped(
        &mut self,
        field: &[u8],
        column: usize,
        line: &[u8],
        rows: &mut Rows,
    ) -> Result<(), SqlError> {
        if field == self.null {
            rows.columns[column].builder.append_null();
            return Ok(());
        }
        self.unescaped.clear();
        unescape(field, &mut self.unescaped);
        rows.append(column, &self.unescaped, line)
    }

    fn check_header(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), SqlError> {
        let mut names = Vec::new();
        let mut start = 0;
        for end in &self.ends {
            let end = *end as usize >> 1;
            let field = &line[start..end];
            let mut name = Vec::new();
            unescape(field, &mut name);
            names.push((field != self.null).then_some(name));
            start = end + 1;
        }
        header::check(self.header, &names, &self.null, line, rows)?;
        self.header = CopyHeader::Absent;
        Ok(())
    }
}

#[cold]
fn marker_fault(marker: Marker) -> SqlError {
    let message = match marker {
        Marker::OtherLineEnd => "end-of-copy marker does not match previous newline style",
        _ => "end-of-copy marker corrupt",
    };
    SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

/// Appends a field without its backslashes.
fn unescape(mut field: &[u8], out: &mut Vec<u8>) {
    loop {
        let plain = memchr::memchr(b'\\', field).unwrap_or(field.len());
        out.extend_from_slice(&field[..plain]);
        field = &field[plain..];
        let [b'\\', escaped, rest @ ..] = field else {
            return;
        };
        field = rest;
        out.push(match escaped {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'0'..=b'7' => {
                let mut value = escaped - b'0';
                for _ in 0..2 {
                    let [digit @ b'0'..=b'7', rest @ ..] = field else {
                        break;
                    };
                    value = value << 3 | (digit - b'0');
                    field = rest;
                }
                value
            }
            b'x' => match take_hex(&mut field) {
                None => b'x',
                Some(high) => match take_hex(&mut field) {
                    None => high,
                    Some(low) => high << 4 | low,
                },
            },
            other => *other,
        });
    }
}

fn take_hex(text: &mut &[u8]) -> Option<u8> {
    let (first, rest) = text.split_first()?;
    let digit = char::from(*first).to_digit(16)?;
    *text = rest;
    Some(digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_postgresqls() {
        for (field, wanted) in [
            (&b"plain"[..], &b"plain"[..]),
            (b"a\\tb\\\\c\\n\\r\\b\\f\\v", b"a\tb\\c\n\r\x08\x0c\x0b"),
            (b"\\101\\7\\778\\x41\\x4g\\xg\\q", b"A\x07\x3f8A\x04gxgq"),
            (b"end\\", b"end"),
        ] {
            let mut out = Vec::new();
            unescape(field, &mut out);
            assert_eq!(out, wanted, "{field:?}");
        }
    }
}
