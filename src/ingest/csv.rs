//! COPY's CSV format: fields between delimiters, in quotes if they hold delimiters or line ends.
//!
//! As PostgreSQL reads it: a quote may begin anywhere in a field and its text goes on after it, an
//! escape counts before a quote or an escape within quotes only, blanks count, NULL is the NULL
//! string without quotes, and `\.` alone on a line ends the data.

use slicedb_sql::dialect::{CopyHeader, CopyOptions};
use slicedb_sql::error::SqlError;

use super::header;
use super::line_end::{Ended, LineEnds};
use super::rows::Rows;
use super::scan::{BLOCK_BYTES, Scan};
use super::text::Progress;

/// Reads lines of the CSV format.
pub(super) struct CsvReader {
    scan: Scan,
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    header: CopyHeader,
    lines: LineEnds,
    /// Ends of the fields of the line that is read, counted from its start and doubled; the lowest
    /// bit tells a quote inside.
    ends: Vec<u32>,
    quoted: bool,
    in_quotes: bool,
    /// The byte of the line that an escape takes the meaning from.
    escaped_at: Option<usize>,
    /// Line ends within the quotes of this line.
    inner_lines: u64,
    /// Bytes of the line that were looked at.
    scanned: usize,
    unquoted: Vec<u8>,
}

impl CsvReader {
    pub(super) fn new(options: &CopyOptions) -> CsvReader {
        CsvReader {
            scan: Scan::new(options.delimiter, [options.quote, options.escape]),
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null: options.null.clone().into_bytes(),
            header: options.header,
            lines: LineEnds::new(true),
            ends: Vec::new(),
            quoted: false,
            in_quotes: false,
            escaped_at: None,
            inner_lines: 0,
            scanned: 0,
            unquoted: Vec::new(),
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
        let mut skip_to = 0; // past the line feed of a line end of two bytes
        while at < input.len() {
            let mut bits = self.scan.mask(&input[at..]);
            while bits != 0 {
                let found = at + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if found < skip_to {
                    continue;
                }
                let byte = input[found];
                if byte == self.quote || byte == self.escape {
                    self.quote_or_escape(byte, found - start);
                    continue;
                }
                if self.in_quotes {
                    self.inner_lines += u64::from(self.lines.counts(byte));
                    continue;
                }
                if byte == self.delimiter {
                    self.end_field(found - start);
                    continue;
                }
                let ended = if byte == b'\n' {
                    self.lines.line_feed()
                } else {
                    self.lines.carriage_return(&input[found + 1..], last)
                };
                match ended {
                    Err(fault) => {
                        rows.line += self.inner_lines;
                        return Err(rows.at_next_line(fault));
                    }
                    Ok(Ended::Unclear) => {
                        self.scanned = found - start;
                        return Ok(Progress {
                            consumed: start,
                            ended: false,
                        });
                    }
                    Ok(Ended::Line(end)) => {
                        let line = &input[start..found];
                        if line == b"\\." {
                            return Ok(Progress {
                                consumed: input.len(),
                                ended: true,
                            });
                        }
                        self.end_line(line, rows)?;
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
        self.scanned = input.len().saturating_sub(start);
        Ok(Progress {
            consumed: start,
            ended: false,
        })
    }

    #[inline]
    fn quote_or_escape(&mut self, byte: u8, at: usize) {
        let escaped = self.escaped_at == Some(at);
        if byte == self.escape && self.escape != self.quote {
            if self.in_quotes && !escaped {
                self.escaped_at = Some(at + 1);
            }
        } else if !escaped {
            self.in_quotes = !self.in_quotes;
            self.quoted = true;
        }
    }

    #[inline]
    fn end_field(&mut self, end: usize) {
        self.ends.push((end as u32) << 1 | u32::from(self.quoted));
        self.quoted = false;
    }

    #[inline]
    fn end_line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), SqlError> {
        self.end_field(line.len());
        rows.line += 1 + self.inner_lines;
        if self.header != CopyHeader::Absent {
            self.check_header(line, rows)?;
        } else if self.ends.len() != rows.columns.len() {
            self.odd_line(line, rows)?;
        } else {
            let mut start = 0;
            for column in 0..self.ends.len() {
                let (end, quoted) = (self.ends[column] as usize >> 1, self.ends[column] & 1 == 1);
                self.append(&line[start..end], quoted, column, line, rows)?;
                start = end + 1;
            }
            rows.end_row();
        }
        self.ends.clear();
        self.in_quotes = false;
        self.escaped_at = None;
        self.inner_lines = 0;
        Ok(())
    }

    #[inline]
    fn append(
        &mut self,
        field: &[u8],
        quoted: bool,
        column: usize,
        line: &[u8],
        rows: &mut Rows,
    ) -> Result<(), SqlError> {
        if quoted {
            return self.append_quoted(field, column, line, rows);
        }
        if field == self.null && !rows.columns[column].force_not_null {
            rows.columns[column].builder.append_null();
            return Ok(());
        }
        rows.append(column, field, line)
    }

    fn append_quoted(
        &mut self,
        field: &[u8],
        column: usize,
        line: &[u8],
        rows: &mut Rows,
    ) -> Result<(), SqlError> {
        self.unquoted.clear();
        if !unquote(field, self.quote, self.escape, &mut self.unquoted) {
            return Err(rows.in_line(line, "unterminated CSV quoted field"));
        }
        if rows.columns[column].force_null && self.unquoted == self.null {
            rows.columns[column].builder.append_null();
            return Ok(());
        }
        rows.append(column, &self.unquoted, line)
    }

    /// A line with another number of fields than there are columns. The fields that are there are
    /// read first, because PostgreSQL tells their faults before that one is missing.
    #[cold]
    fn odd_line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), SqlError> {
        if rows.columns.is_empty() && line.is_empty() {
            rows.end_row();
            return Ok(());
        }
        if self.in_quotes {
            return Err(rows.in_line(line, "unterminated CSV quoted field"));
        }
        let mut start = 0;
        if self.ends.len() < rows.columns.len() {
            for column in 0..self.ends.len() {
                let (end, quoted) = (self.ends[column] as usize >> 1, self.ends[column] & 1 == 1);
                self.append(&line[start..end], quoted, column, line, rows)?;
                start = end + 1;
            }
        }
        Err(rows.wrong_count(line, self.ends.len()))
    }

    fn check_header(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), SqlError> {
        let mut names = Vec::new();
        let mut start = 0;
        for end in &self.ends {
            let (end, quoted) = (*end as usize >> 1, end & 1 == 1);
            let field = &line[start..end];
            let mut name = Vec::new();
            let terminated = unquote(field, self.quote, self.escape, &mut name);
            if !terminated && self.header == CopyHeader::Match {
                return Err(rows.in_line(line, "unterminated CSV quoted field"));
            }
            names.push((quoted || field != self.null).then_some(name));
            start = end + 1;
        }
        header::check(self.header, &names, &self.null, line, rows)?;
        self.header = CopyHeader::Absent;
        Ok(())
    }
}

/// Appends a field without its quotes and escapes; false if the last quote is missing.
fn unquote(field: &[u8], quote: u8, escape: u8, out: &mut Vec<u8>) -> bool {
    let mut rest = field;
    loop {
        let Some(open) = memchr::memchr(quote, rest) else {
            out.extend_from_slice(rest);
            return true;
        };
        out.extend_from_slice(&rest[..open]);
        rest = &rest[open + 1..];
        loop {
            let Some(special) = memchr::memchr2(quote, escape, rest) else {
                out.extend_from_slice(rest);
                return false;
            };
            out.extend_from_slice(&rest[..special]);
            let (byte, next) = (rest[special], rest.get(special + 1).copied());
            match next {
                Some(next) if byte == escape && (next == quote || next == escape) => {
                    out.push(next);
                    rest = &rest[special + 2..];
                }
                _ if byte == quote => {
                    rest = &rest[special + 1..];
                    break;
                }
                _ => {
                    out.push(byte);
                    rest = &rest[special + 1..];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_postgresqls() {
        for (field, escape, wanted) in [
            (&b"plain"[..], b'"', Some(&b"plain"[..])),
            (b"\"a,b\"", b'"', Some(b"a,b")),
            (b"\"a\"\"b\"", b'"', Some(b"a\"b")),
            (b"\"\"", b'"', Some(b"")),
            (b"x\"a\"y\"b\"z", b'"', Some(b"xaybz")),
            (b"\"a", b'"', None),
            (b"\"a\\\"b\\\\c\\d\"", b'\\', Some(b"a\"b\\c\\d")),
            (b"\"a\\\"", b'\\', None),
        ] {
            let mut out = Vec::new();
            let terminated = unquote(field, b'"', escape, &mut out);
            assert_eq!(terminated.then_some(&out[..]), wanted, "{field:?}");
        }
    }
}
