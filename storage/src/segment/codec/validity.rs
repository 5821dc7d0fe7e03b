//! Which rows are null.
//!
//! ```text
//! no nulls, nothing but nulls, in the body: no bytes
//! bitmap | bit r of the bytes, byte 0 bit 0 first: row r holds a value | zero bits up to a byte |
//! flips  | count u32 | count × row u32, ascending: the rows from which on the contrary holds |
//!          rows before the first flip hold values
//! ```

use std::ops::Range;

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

use super::cursor::{Cursor, Damage, u32_at};

/// How the nulls of a column value are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ValidityKind {
    /// Every row holds a value.
    All = 0,
    /// No row holds a value.
    None = 1,
    /// A bit a row.
    Bitmap = 2,
    /// The rows where it changes.
    Flips = 3,
    /// The codec stores the nulls itself.
    Body = 4,
}

impl ValidityKind {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<ValidityKind, Damage> {
        let at = *cursor;
        Ok(match cursor.u8()? {
            0 => ValidityKind::All,
            1 => ValidityKind::None,
            2 => ValidityKind::Bitmap,
            3 => ValidityKind::Flips,
            4 => ValidityKind::Body,
            other => return Err(at.damage(format!("unknown validity {other}"))),
        })
    }
}

/// Appends the validity of `rows` rows.
pub(super) fn encode(nulls: Option<&NullBuffer>, rows: usize, out: &mut Vec<u8>) -> ValidityKind {
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
        return ValidityKind::All;
    };
    assert_eq!(nulls.len(), rows);
    if nulls.null_count() == rows {
        return ValidityKind::None;
    }
    let flips_max = (rows.div_ceil(8) - 1) / 4;
    if let Some(flips) = flips(nulls, flips_max) {
        out.extend_from_slice(&(flips.len() as u32).to_le_bytes());
        out.extend(flips.iter().flat_map(|row| row.to_le_bytes()));
        return ValidityKind::Flips;
    }
    append_bits(nulls.inner(), out);
    ValidityKind::Bitmap
}

/// Appends the bits of a buffer, those after the last zero.
pub(super) fn append_bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    let bytes = bits.sliced();
    let len = bits.len().div_ceil(8);
    out.extend_from_slice(&bytes[..len]);
    if let (Some(last), used @ 1..) = (out.last_mut(), bits.len() % 8) {
        *last &= (1 << used) - 1;
    }
}

/// The bits of `ranges`, one after the other, read from whole bytes.
pub(super) fn decode_bits(bytes: &[u8], ranges: &[Range<usize>]) -> BooleanBuffer {
    if let [range] = ranges {
        let bytes = Buffer::from(&bytes[range.start / 8..range.end.div_ceil(8)]);
        let bits = BooleanBuffer::new(bytes, range.start % 8, range.len());
        // Arrow's validation wants values and nulls of one offset: none.
        return BooleanBuffer::new(bits.sliced(), 0, range.len());
    }
    let mut bits = BooleanBufferBuilder::new(super::count(ranges));
    for range in ranges {
        bits.append_packed_range(range.clone(), bytes);
    }
    bits.finish()
}

/// The rows at which values turn to nulls or back, if there are fewer than `max`.
fn flips(nulls: &NullBuffer, max: usize) -> Option<Vec<u32>> {
    let mut flips = Vec::new();
    if nulls.is_null(0) {
        flips.push(0);
    }
    for (start, end) in nulls.valid_slices() {
        if start > 0 {
            flips.push(start as u32);
        }
        if end < nulls.len() {
            flips.push(end as u32);
        }
        if flips.len() >= max {
            return None;
        }
    }
    (flips.len() < max).then_some(flips)
}

/// Stored validity to be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Validity<'a> {
    All,
    None,
    Bitmap(&'a [u8]),
    Flips(&'a [u8]),
}

impl<'a> Validity<'a> {
    /// Reads the validity at the front of `cursor` and leaves the body.
    pub(super) fn parse(
        kind: ValidityKind,
        cursor: &mut Cursor<'a>,
        rows: usize,
    ) -> Result<Validity<'a>, Damage> {
        Ok(match kind {
            ValidityKind::All | ValidityKind::Body => Validity::All,
            ValidityKind::None => Validity::None,
            ValidityKind::Bitmap => Validity::Bitmap(cursor.take(rows.div_ceil(8))?),
            ValidityKind::Flips => {
                let count = cursor.u32()? as usize;
                Validity::Flips(cursor.take(count.saturating_mul(4))?)
            }
        })
    }

    /// Fails unless it is well formed and tells of `null_count` nulls.
    pub(super) fn check(&self, rows: usize, null_count: usize) -> Result<(), &'static str> {
        let found = match self {
            Validity::All => 0,
            Validity::None => rows,
            Validity::Bitmap(bytes) => {
                let spare = bytes.len() * 8 - rows;
                if spare > 0 && bytes[bytes.len() - 1] >> (8 - spare) != 0 {
                    return Err("bits after the last row");
                }
                rows - bytes
                    .iter()
                    .map(|byte| byte.count_ones() as usize)
                    .sum::<usize>()
            }
            Validity::Flips(bytes) => {
                let (mut nulls, mut from, mut valid) = (0, 0, true);
                for (index, chunk) in bytes.as_chunks::<4>().0.iter().enumerate() {
                    let row = u32::from_le_bytes(*chunk) as usize;
                    if row >= rows || (index > 0 && row <= from) {
                        return Err("flips do not ascend");
                    }
                    nulls += if valid { 0 } else { row - from };
                    (from, valid) = (row, !valid);
                }
                nulls + if valid { 0 } else { rows - from }
            }
        };
        if found == null_count {
            Ok(())
        } else {
            Err("null count does not match")
        }
    }

    /// The nulls of `ranges`, one after the other; None if there are none.
    pub(super) fn decode(&self, ranges: &[Range<usize>]) -> Option<NullBuffer> {
        let nulls = match self {
            Validity::All => return None,
            Validity::None => NullBuffer::new_null(super::count(ranges)),
            Validity::Bitmap(bytes) => NullBuffer::new(decode_bits(bytes, ranges)),
            Validity::Flips(bytes) => {
                let mut bits = BooleanBufferBuilder::new(super::count(ranges));
                for range in ranges {
                    append_flips(bytes, range.clone(), &mut bits);
                }
                NullBuffer::new(bits.finish())
            }
        };
        (nulls.null_count() > 0).then_some(nulls)
    }
}

fn append_flips(bytes: &[u8], range: Range<usize>, bits: &mut BooleanBufferBuilder) {
    let flips = bytes.as_chunks::<4>().0;
    let start = range.start as u32;
    // Flips at or before the first row have happened.
    let mut flip = flips.partition_point(|row| u32::from_le_bytes(*row) <= start);
    let mut row = range.start;
    while row < range.end {
        let next = u32_at(bytes, flip).map_or(range.end, |next| range.end.min(next as usize));
        bits.append_n(next - row, flip % 2 == 0);
        row = next;
        flip += 1;
    }
}
