//! Texts and binaries with few different values: each of them once, and a code for each row.
//!
//! ```text
//! | entries u32, at most 4,096 | len of the entries u32 | codec of the codes u8
//! | entries: strings (see `strings`), in the order of their first rows
//! | codes: integers (see `ints`), a null row repeats the code before |
//! ```

use super::bitpack;
use super::cursor::{Cursor, Damage};
use super::header::Codec;
use super::ints::{self, Ints};
use super::strings::{self, Strings};
use super::words::Word;

/// Entries of a dictionary at most.
const ENTRIES_MAX: usize = 4096;

/// After so many rows it shows whether nearly every row brings a new value.
const TRIAL_ROWS: usize = 1024;

/// The different values of a column and a code for each row.
pub(super) struct Dictionary<'a> {
    entries: Vec<Word<'a>>,
    codes: Vec<i64>,
}

impl<'a> Dictionary<'a> {
    /// None as soon as there are too many different values for a dictionary to be worth while.
    pub(super) fn of(values: impl ExactSizeIterator<Item = Option<Word<'a>>>) -> Option<Self> {
        let mut codes = Vec::with_capacity(values.len());
        let mut finder = Finder::new(values.len());
        let mut code = 0;
        for (row, value) in values.enumerate() {
            if row == TRIAL_ROWS && finder.entries.len() > TRIAL_ROWS / 16 * 15 {
                return None;
            }
            if let Some(value) = value {
                code = i64::from(finder.code(value)?);
            }
            codes.push(code);
        }
        Some(Dictionary {
            entries: finder.entries,
            codes,
        })
    }

    /// Bytes that [`encode`](Self::encode) will append, about.
    pub(super) fn encoded_len(&self) -> usize {
        let entries: usize = self
            .entries
            .iter()
            .map(|entry| entry.bytes().len() + 1)
            .sum();
        let width = bitpack::width_of(self.entries.len() as u64 - 1);
        entries + bitpack::packed_len(self.codes.len(), width) + 32
    }

    /// Appends the dictionary.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Codec {
        let head = out.len();
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 5]);
        let lengths: Vec<i64> = self
            .entries
            .iter()
            .map(|e| e.bytes().len() as i64)
            .collect();
        strings::encode(&lengths, self.entries.iter().map(Word::bytes), out);
        let len = (out.len() - head - 9) as u32;
        out[head + 4..head + 8].copy_from_slice(&len.to_le_bytes());
        out[head + 8] = ints::encode(&self.codes, out) as u8;
        Codec::Dictionary
    }
}

/// A hash table from value to code: open addressing, at most half full.
struct Finder<'a> {
    slots: Vec<u16>,
    shift: u32,
    entries: Vec<Word<'a>>,
    probes_left: usize,
}

const EMPTY: u16 = u16::MAX;

impl<'a> Finder<'a> {
    fn new(rows: usize) -> Self {
        let slots = (rows.min(ENTRIES_MAX) * 2).next_power_of_two().max(2);
        Finder {
            slots: vec![EMPTY; slots],
            shift: u64::BITS - slots.trailing_zeros(),
            entries: Vec::new(),
            // Values chosen to collide cost no more than this.
            probes_left: rows * 16 + 64,
        }
    }

    fn code(&mut self, value: Word<'a>) -> Option<u16> {
        let mask = self.slots.len() - 1;
        let mut slot = (value.hash() >> self.shift) as usize;
        loop {
            let code = self.slots[slot];
            if code == EMPTY {
                if self.entries.len() == ENTRIES_MAX {
                    return None;
                }
                let code = self.entries.len() as u16;
                self.slots[slot] = code;
                self.entries.push(value);
                return Some(code);
            }
            if self.entries[usize::from(code)] == value {
                return Some(code);
            }
            slot = (slot + 1) & mask;
            self.probes_left = self.probes_left.checked_sub(1)?;
        }
    }
}

/// An encoded dictionary to be read.
pub(super) struct Entries<'a> {
    /// The different values.
    pub(super) values: Vec<&'a [u8]>,
    /// Which of them each row holds, if the value is not damaged.
    pub(super) codes: Ints<'a>,
}

impl<'a> Entries<'a> {
    /// The dictionary of `rows` rows that fills `cursor`.
    pub(super) fn parse(mut cursor: Cursor<'a>, rows: usize) -> Result<Self, Damage> {
        let at = cursor;
        let count = cursor.u32()? as usize;
        if count == 0 || count > ENTRIES_MAX {
            return Err(at.damage(format!("a dictionary of {count} entries")));
        }
        let len = cursor.u32()? as usize;
        let codec = Codec::parse(&mut cursor)?;
        let strings = Strings::parse(cursor.section(len)?, count)?;
        let codes = Ints::parse(codec, cursor, rows)?;
        let mut lengths = Vec::with_capacity(count);
        let mut bytes = strings.decode(0..count, &mut lengths)?;
        let mut values = Vec::with_capacity(count);
        for length in lengths {
            // `decode` has summed the lengths.
            let (value, rest) = bytes.split_at(length as usize);
            values.push(value);
            bytes = rest;
        }
        Ok(Entries { values, codes })
    }
}
