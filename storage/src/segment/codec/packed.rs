//! Integers as offsets from the least of each 1,024 (frame of reference), bit-packed. This is the
//! codec `packed`, and the building block of the others.
//!
//! ```text
//! | directory: 13 bytes for each mini-block of 1,024 values (the last may hold fewer)
//! |   base i64: the least value | offset u32: of its bits, from the start of the data | width u8 |
//! | data: the packed bits of each mini-block (see `bitpack`) |
//! ```
//!
//! The directory makes any row reachable by two reads.

use std::ops::Range;

use super::bitpack;
use super::cursor::{Cursor, Damage};

/// Values of a mini-block.
pub(super) const MINI_BLOCK: usize = 1024;

/// Values that a reader has in hand at a time. More would be slower for the few rows of one
/// merchant, because the buffer is zeroed, and no faster for many.
pub(super) const CHUNK: usize = 256;

const ENTRY_LEN: usize = 13;

/// The least and greatest value of a mini-block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) min: i64,
    pub(super) max: i64,
}

impl Bounds {
    /// Of values, of which there is at least one.
    pub(super) fn of(values: &[i64]) -> Bounds {
        let mut bounds = Bounds {
            min: values[0],
            max: values[0],
        };
        for value in values {
            bounds.min = bounds.min.min(*value);
            bounds.max = bounds.max.max(*value);
        }
        bounds
    }

    /// Bits of an offset from `min`.
    pub(super) fn width(self) -> u8 {
        bitpack::width_of(self.max.wrapping_sub(self.min) as u64)
    }
}

/// Bytes that [`encode`] will append for mini-blocks of these bounds.
pub(super) fn encoded_len(rows: usize, blocks: &[Bounds]) -> usize {
    let mut len = 0;
    for (block, bounds) in blocks.iter().enumerate() {
        let count = MINI_BLOCK.min(rows - block * MINI_BLOCK);
        len += ENTRY_LEN + bitpack::packed_len(count, bounds.width());
    }
    len
}

/// Appends `values`; `blocks` are the bounds of their mini-blocks.
pub(super) fn encode(values: &[i64], blocks: &[Bounds], out: &mut Vec<u8>) {
    assert_eq!(blocks.len(), values.len().div_ceil(MINI_BLOCK));
    out.reserve(encoded_len(values.len(), blocks));
    let mut offset = 0;
    for (bounds, chunk) in blocks.iter().zip(values.chunks(MINI_BLOCK)) {
        let width = bounds.width();
        out.extend_from_slice(&bounds.min.to_le_bytes());
        out.extend_from_slice(&(offset as u32).to_le_bytes());
        out.push(width);
        offset += bitpack::packed_len(chunk.len(), width);
    }
    for (bounds, chunk) in blocks.iter().zip(values.chunks(MINI_BLOCK)) {
        bitpack::pack(chunk, bounds.min, bounds.width(), out);
    }
}

/// Appends `values` after finding their bounds.
pub(super) fn encode_values(values: &[i64], out: &mut Vec<u8>) {
    let blocks: Vec<Bounds> = values.chunks(MINI_BLOCK).map(Bounds::of).collect();
    encode(values, &blocks, out);
}

/// Packed integers to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    rows: usize,
    directory: &'a [[u8; ENTRY_LEN]],
    data: &'a [u8],
    /// Where the directory begins in the column value.
    offset: usize,
}

impl<'a> Packed<'a> {
    /// `rows` packed values, which fill `cursor`.
    pub(super) fn parse(mut cursor: Cursor<'a>, rows: usize) -> Result<Packed<'a>, Damage> {
        let offset = cursor.offset();
        let directory = cursor.take(rows.div_ceil(MINI_BLOCK) * ENTRY_LEN)?;
        let (directory, _) = directory.as_chunks::<ENTRY_LEN>();
        Ok(Packed {
            rows,
            directory,
            data: cursor.rest(),
            offset,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Calls `sink` with the values of `rows`, in order, some at a time.
    pub(super) fn decode(
        &self,
        rows: Range<usize>,
        sink: &mut impl FnMut(&[i64]),
    ) -> Result<(), Damage> {
        let mut buffer = [0; CHUNK];
        let mut row = rows.start;
        while row < rows.end {
            let (block, first) = (row / MINI_BLOCK, row % MINI_BLOCK);
            let count = (CHUNK - first % CHUNK).min(rows.end - row);
            let values = &mut buffer[..count];
            self.block(block)
                .and_then(|(base, width, bits)| bitpack::unpack(bits, base, width, first, values))
                .ok_or_else(|| self.damage(block))?;
            sink(values);
            row += count;
        }
        Ok(())
    }

    /// The value of one row.
    pub(super) fn get(&self, row: usize) -> Result<i64, Damage> {
        let block = row / MINI_BLOCK;
        self.block(block)
            .and_then(|(base, width, bits)| bitpack::value_at(bits, base, width, row % MINI_BLOCK))
            .ok_or_else(|| self.damage(block))
    }

    /// Base, width and bits (with all that follows them) of a mini-block.
    fn block(&self, block: usize) -> Option<(i64, u8, &'a [u8])> {
        let entry = self.directory.get(block)?;
        let mut cursor = Cursor::new(entry, 0);
        let base = cursor.i64().ok()?;
        let offset = cursor.u32().ok()?;
        let width = cursor.u8().ok()?;
        Some((base, width, self.data.get(offset as usize..)?))
    }

    fn damage(&self, block: usize) -> Damage {
        let offset = self.offset + block * ENTRY_LEN;
        Damage::new(
            offset,
            format!("mini-block {block} reaches beyond the column value"),
        )
    }
}
