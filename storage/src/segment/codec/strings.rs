//! Byte strings one after the other: the codec `strings` of texts and binaries, and the entries of
//! a dictionary.
//!
//! ```text
//! | codec of the lengths u8 | len u32 | lengths: integers (see `ints`), 0 for a null row
//! | start u32 for each mini-block of 1,024 strings: where its bytes begin
//! | the bytes of all strings |
//! ```

use std::ops::Range;

use super::cursor::{Cursor, Damage, u32_at};
use super::header::Codec;
use super::ints::{self, Ints};
use super::packed::MINI_BLOCK;

/// Appends strings, at least one, of these lengths; `pieces` are their bytes, cut anywhere.
pub(super) fn encode<'a>(
    lengths: &[i64],
    pieces: impl Iterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
) {
    let head = out.len();
    out.extend_from_slice(&[0; 5]);
    let codec = ints::encode(lengths, out);
    let len = (out.len() - head - 5) as u32;
    out[head] = codec as u8;
    out[head + 1..head + 5].copy_from_slice(&len.to_le_bytes());
    let mut start = 0;
    for chunk in lengths.chunks(MINI_BLOCK) {
        out.extend_from_slice(&(start as u32).to_le_bytes());
        start += chunk.iter().sum::<i64>();
    }
    let bytes_at = out.len();
    pieces.for_each(|piece| out.extend_from_slice(piece));
    assert_eq!(out.len() - bytes_at, start as usize);
}

/// Encoded strings to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strings<'a> {
    lengths: Ints<'a>,
    starts: &'a [u8],
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Strings<'a> {
    /// `count` strings, which fill `cursor`.
    pub(super) fn parse(mut cursor: Cursor<'a>, count: usize) -> Result<Self, Damage> {
        let offset = cursor.offset();
        let codec = Codec::parse(&mut cursor)?;
        let lengths_len = cursor.u32()? as usize;
        let lengths = Ints::parse(codec, cursor.section(lengths_len)?, count)?;
        let starts = cursor.take(count.div_ceil(MINI_BLOCK) * 4)?;
        Ok(Strings {
            lengths,
            starts,
            bytes: cursor.rest(),
            offset,
        })
    }

    /// Appends the lengths of the strings `rows`, at least one, to `lengths`, and answers their
    /// bytes.
    pub(super) fn decode(
        &self,
        rows: Range<usize>,
        lengths: &mut Vec<i64>,
    ) -> Result<&'a [u8], Damage> {
        let block = rows.start / MINI_BLOCK;
        let mut sums = Sums::default();
        self.lengths
            .decode(block * MINI_BLOCK..rows.start, &mut |chunk| sums.add(chunk))?;
        let before = sums.sum;
        self.lengths.decode(rows, &mut |chunk| {
            sums.add(chunk);
            lengths.extend_from_slice(chunk);
        })?;
        let start = u32_at(self.starts, block).map_or(u64::MAX, u64::from);
        let range = start.saturating_add(before)..start.saturating_add(sums.sum);
        let range = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok());
        range
            .filter(|_| sums.sane)
            .and_then(|(start, end)| self.bytes.get(start..end))
            .ok_or_else(|| Damage::new(self.offset, "strings reach beyond the column value"))
    }
}

/// The sum of lengths, which a damaged value may make negative or huge.
struct Sums {
    sum: u64,
    sane: bool,
}

impl Default for Sums {
    fn default() -> Self {
        Sums { sum: 0, sane: true }
    }
}

impl Sums {
    fn add(&mut self, lengths: &[i64]) {
        for length in lengths {
            self.sane &= (0..=i64::from(i32::MAX)).contains(length);
            self.sum = self.sum.wrapping_add(*length as u64);
        }
    }
}
