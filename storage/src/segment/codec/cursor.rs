//! Reading bytes that may be damaged: every step is checked against the end, and what does not
//! hold becomes a [`Damage`] that knows its place.
//!
//! All numbers of a column value are little-endian.

use std::fmt;

/// What does not hold in a column value. The reader of the file adds which file it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where, in bytes from the start of the column value (or of the batch).
    pub offset: u64,
    /// What does not hold.
    pub reason: String,
}

impl Damage {
    pub(super) fn new(offset: usize, reason: impl Into<String>) -> Self {
        Damage {
            offset: offset as u64,
            reason: reason.into(),
        }
    }

    /// The same damage seen from a buffer in which the column value begins at `base`.
    pub(super) fn within(self, base: usize) -> Self {
        Damage {
            offset: self.offset + base as u64,
            ..self
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl std::error::Error for Damage {}

/// The unread rest of a column value and where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor on `bytes`, which begin at `offset` of the column value.
    pub(super) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Cursor { bytes, offset }
    }

    /// Where the unread rest begins.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn damage(&self, reason: impl Into<String>) -> Damage {
        Damage::new(self.offset, reason)
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let Some((taken, rest)) = self.bytes.split_at_checked(len) else {
            let have = self.bytes.len();
            return Err(self.damage(format!("{len} bytes expected, {have} left")));
        };
        self.bytes = rest;
        self.offset += len;
        Ok(taken)
    }

    /// A cursor on the next `len` bytes alone.
    pub(super) fn section(&mut self, len: usize) -> Result<Cursor<'a>, Damage> {
        let offset = self.offset;
        Ok(Cursor {
            bytes: self.take(len)?,
            offset,
        })
    }

    /// Everything that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    /// Fails unless everything has been read.
    pub(super) fn end(&self) -> Result<(), Damage> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(self.damage(format!("{left} bytes too many"))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Damage> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Damage> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Damage> {
        self.array().map(i64::from_le_bytes)
    }
}

/// Element `index` of packed little-endian u32, or None beyond the end.
pub(super) fn u32_at(bytes: &[u8], index: usize) -> Option<u32> {
    bytes
        .as_chunks::<4>()
        .0
        .get(index)
        .map(|chunk| u32::from_le_bytes(*chunk))
}
