//! Integers of which many follow each other equal (codec `runs`) or are all one value with few
//! exceptions (codec `sparse`).
//!
//! ```text
//! runs    | runs u32 | len of ends u32 | ends: packed | values: packed |
//!         run r holds values[r] in the rows ends[r-1] .. ends[r]; the last end is the row count
//! sparse  | common i64 | exceptions u32 | len of rows u32 | rows: packed, ascending | values: packed |
//!         every row holds `common`, but rows[e] holds values[e]
//! ```

use std::ops::Range;

use super::cursor::{Cursor, Damage};
use super::packed::{self, CHUNK, Packed};

/// Appends `values` as runs.
pub(super) fn encode_runs(values: &[i64], out: &mut Vec<u8>) {
    let mut ends = Vec::new();
    let mut heads = Vec::new();
    for (row, pair) in values.windows(2).enumerate() {
        if pair[0] != pair[1] {
            ends.push(row as i64 + 1);
            heads.push(pair[0]);
        }
    }
    if let Some(last) = values.last() {
        ends.push(values.len() as i64);
        heads.push(*last);
    }
    encode_pairs(&ends, &heads, out);
}

/// Appends `values` as `common` and its exceptions.
pub(super) fn encode_sparse(values: &[i64], common: i64, out: &mut Vec<u8>) {
    let mut rows = Vec::new();
    let mut exceptions = Vec::new();
    for (row, value) in values.iter().enumerate() {
        if *value != common {
            rows.push(row as i64);
            exceptions.push(*value);
        }
    }
    out.extend_from_slice(&common.to_le_bytes());
    encode_pairs(&rows, &exceptions, out);
}

fn encode_pairs(rows: &[i64], values: &[i64], out: &mut Vec<u8>) {
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    let len_at = out.len();
    out.extend_from_slice(&[0; 4]);
    packed::encode_values(rows, out);
    let len = (out.len() - len_at - 4) as u32;
    out[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
    packed::encode_values(values, out);
}

/// Row numbers and a value for each.
#[derive(Debug, Clone, Copy)]
struct Pairs<'a> {
    rows: Packed<'a>,
    values: Packed<'a>,
    offset: usize,
}

impl<'a> Pairs<'a> {
    fn parse(mut cursor: Cursor<'a>, rows_max: usize) -> Result<Self, Damage> {
        let offset = cursor.offset();
        let count = cursor.u32()? as usize;
        if count > rows_max {
            return Err(Damage::new(
                offset,
                format!("{count} entries for {rows_max} rows"),
            ));
        }
        let rows_len = cursor.u32()? as usize;
        let rows = Packed::parse(cursor.section(rows_len)?, count)?;
        Ok(Pairs {
            rows,
            values: Packed::parse(cursor, count)?,
            offset,
        })
    }

    /// The first pair whose row number is at least `row`.
    fn position(&self, row: usize) -> Result<usize, Damage> {
        partition_point(0..self.rows.rows(), |pair| {
            Ok(self.rows.get(pair)? < row as i64)
        })
    }

    /// Calls `visit` with row number and value of the pairs `from ..` until it answers false.
    fn visit(
        &self,
        from: usize,
        visit: &mut impl FnMut(i64, i64) -> Result<bool, Damage>,
    ) -> Result<(), Damage> {
        // Short ranges are common: few pairs at first, more at a time later.
        let mut step = 64;
        let mut pair = from;
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        while pair < self.rows.rows() {
            let until = (pair + step).min(self.rows.rows());
            rows.clear();
            values.clear();
            self.rows
                .decode(pair..until, &mut |chunk| rows.extend_from_slice(chunk))?;
            self.values
                .decode(pair..until, &mut |chunk| values.extend_from_slice(chunk))?;
            for (row, value) in rows.iter().zip(&values) {
                if !visit(*row, *value)? {
                    return Ok(());
                }
            }
            pair = until;
            step = 1024;
        }
        Ok(())
    }

    fn disorder(&self) -> Damage {
        Damage::new(self.offset, "row numbers do not ascend")
    }
}

/// Runs of equal integers to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runs<'a> {
    pairs: Pairs<'a>,
}

impl<'a> Runs<'a> {
    pub(super) fn parse(cursor: Cursor<'a>, rows: usize) -> Result<Self, Damage> {
        Ok(Runs {
            pairs: Pairs::parse(cursor, rows)?,
        })
    }

    /// Calls `sink` with the values of `rows`, in order, some at a time.
    pub(super) fn decode(
        &self,
        rows: Range<usize>,
        sink: &mut impl FnMut(&[i64]),
    ) -> Result<(), Damage> {
        let mut row = rows.start;
        let mut buffer = Buffer::default();
        self.pairs
            .visit(self.pairs.position(rows.start + 1)?, &mut |end, value| {
                if end <= row as i64 {
                    return Err(self.pairs.disorder());
                }
                let until = rows.end.min(end as usize);
                buffer.fill(value, until - row, sink);
                row = until;
                Ok(row < rows.end)
            })?;
        buffer.flush(sink);
        if row < rows.end {
            Err(self.pairs.disorder())
        } else {
            Ok(())
        }
    }

    /// The first row in `within` whose value is not `before`.
    pub(super) fn partition_point(
        &self,
        within: Range<usize>,
        before: impl Fn(i64) -> bool,
    ) -> Result<usize, Damage> {
        let runs = self.pairs.position(within.start + 1)?..self.pairs.position(within.end)? + 1;
        let first = runs.start;
        let run = partition_point(runs, |run| Ok(before(self.pairs.values.get(run)?)))?;
        if run == first {
            return Ok(within.start);
        }
        let start = self.pairs.rows.get(run - 1)?;
        Ok((start.max(0) as usize).clamp(within.start, within.end))
    }
}

/// One common integer and its exceptions to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sparse<'a> {
    common: i64,
    pairs: Pairs<'a>,
}

impl<'a> Sparse<'a> {
    pub(super) fn parse(mut cursor: Cursor<'a>, rows: usize) -> Result<Self, Damage> {
        Ok(Sparse {
            common: cursor.i64()?,
            pairs: Pairs::parse(cursor, rows)?,
        })
    }

    /// Calls `sink` with the values of `rows`, in order, some at a time.
    pub(super) fn decode(
        &self,
        rows: Range<usize>,
        sink: &mut impl FnMut(&[i64]),
    ) -> Result<(), Damage> {
        let mut row = rows.start;
        let mut buffer = Buffer::default();
        self.pairs
            .visit(self.pairs.position(rows.start)?, &mut |exception, value| {
                if exception < row as i64 {
                    return Err(self.pairs.disorder());
                }
                if exception >= rows.end as i64 {
                    return Ok(false);
                }
                buffer.fill(self.common, exception as usize - row, sink);
                buffer.fill(value, 1, sink);
                row = exception as usize + 1;
                Ok(true)
            })?;
        buffer.fill(self.common, rows.end - row, sink);
        buffer.flush(sink);
        Ok(())
    }

    pub(super) fn get(&self, row: usize) -> Result<i64, Damage> {
        let pair = self.pairs.position(row)?;
        if pair < self.pairs.rows.rows() && self.pairs.rows.get(pair)? == row as i64 {
            self.pairs.values.get(pair)
        } else {
            Ok(self.common)
        }
    }
}

/// Values on their way to a sink, so that it is called seldom.
struct Buffer {
    values: [i64; CHUNK],
    len: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer {
            values: [0; CHUNK],
            len: 0,
        }
    }
}

impl Buffer {
    fn fill(&mut self, value: i64, mut count: usize, sink: &mut impl FnMut(&[i64])) {
        while count > 0 {
            if self.len == CHUNK {
                self.flush(sink);
            }
            let step = count.min(CHUNK - self.len);
            self.values[self.len..self.len + step].fill(value);
            self.len += step;
            count -= step;
        }
    }

    fn flush(&mut self, sink: &mut impl FnMut(&[i64])) {
        sink(&self.values[..self.len]);
        self.len = 0;
    }
}

/// The first of `range` that is not `before`, of which all such stand at the front.
pub(super) fn partition_point(
    range: Range<usize>,
    before: impl Fn(usize) -> Result<bool, Damage>,
) -> Result<usize, Damage> {
    let Range { mut start, mut end } = range;
    while start < end {
        let middle = start + (end - start) / 2;
        if before(middle)? {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    Ok(start)
}
