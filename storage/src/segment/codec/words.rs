//! Byte strings told apart by their first eight bytes: most comparisons end there, without a call
//! and without a branch that the CPU guesses wrong.

use std::cmp::Ordering;

/// A slice of a buffer and its first eight bytes.
#[derive(Debug, Clone, Copy)]
pub(in crate::segment) struct Word<'a> {
    /// Big-endian, followed by zeros if there are fewer than eight.
    head: u64,
    bytes: &'a [u8],
}

impl<'a> Word<'a> {
    /// The bytes `start..end` of `buffer`.
    pub(in crate::segment) fn of(buffer: &'a [u8], start: usize, end: usize) -> Word<'a> {
        let bytes = &buffer[start..end];
        let head = match buffer[start..].first_chunk::<8>() {
            // Whatever follows the bytes in the buffer is masked out.
            Some(eight) => u64::from_be_bytes(*eight) & head_mask(bytes.len()),
            None => {
                let mut eight = [0; 8];
                let len = bytes.len().min(8);
                eight[..len].copy_from_slice(&bytes[..len]);
                u64::from_be_bytes(eight)
            }
        };
        Word { head, bytes }
    }

    pub(in crate::segment) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A hash whose high bits are the good ones.
    pub(super) fn hash(&self) -> u64 {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = (self.head ^ self.bytes.len() as u64).wrapping_mul(FACTOR);
        if self.bytes.len() > 8 {
            let (words, _) = self.bytes[8..].as_chunks::<8>();
            for word in words.iter().chain(self.bytes.last_chunk::<8>()) {
                hash = (hash.rotate_left(23) ^ u64::from_be_bytes(*word)).wrapping_mul(FACTOR);
            }
        }
        hash
    }
}

/// Ones over the bytes of a head that belong to a word of `len` bytes.
fn head_mask(len: usize) -> u64 {
    match len {
        0..8 => !(u64::MAX >> (8 * len)),
        _ => u64::MAX,
    }
}

impl PartialEq for Word<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head
            && self.bytes.len() == other.bytes.len()
            && (self.bytes.len() <= 8 || self.bytes == other.bytes)
    }
}

impl Eq for Word<'_> {}

/// The order of the bytes.
impl Ord for Word<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.head.cmp(&other.head).then_with(|| {
            if self.bytes.len() <= 8 || other.bytes.len() <= 8 {
                // Equal heads: the shorter is a prefix of the longer, or they are equal.
                self.bytes.len().cmp(&other.bytes.len())
            } else {
                self.bytes.cmp(other.bytes)
            }
        })
    }
}

impl PartialOrd for Word<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
