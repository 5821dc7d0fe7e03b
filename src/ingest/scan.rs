//! [`Scan`]: where in up to 64 bytes the bytes are that mean something to a format.
//!
//! One bit a byte, found 16 bytes at a time where the processor can. This, and not a search for
//! one delimiter after the other, is why short fields cost little: a search starts anew at each.

/// Bytes that one mask covers.
pub(super) const BLOCK_BYTES: usize = 64;

/// The bytes of a format: its delimiter, both line ends, and two of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    wanted: [u8; 5],
}

impl Scan {
    /// `special` are quote and escape, or twice the backslash.
    pub(super) fn new(delimiter: u8, special: [u8; 2]) -> Scan {
        Scan {
            wanted: [delimiter, b'\n', b'\r', special[0], special[1]],
        }
    }

    /// A mask of the first 64 bytes of a text, or of all if there are fewer; lowest bit first.
    #[inline]
    pub(super) fn mask(&self, text: &[u8]) -> u64 {
        match text.first_chunk::<BLOCK_BYTES>() {
            Some(block) => self.block(block),
            None => {
                let mut block = [0; BLOCK_BYTES];
                block[..text.len()].copy_from_slice(text);
                // A format may use the zero byte that fills the block.
                self.block(&block) & ((1 << text.len()) - 1)
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn block(&self, block: &[u8; BLOCK_BYTES]) -> u64 {
        // SAFETY: every x86_64 processor has SSE2.
        unsafe { self.block_sse2(block) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "sse2")]
    fn block_sse2(&self, block: &[u8; BLOCK_BYTES]) -> u64 {
        use std::arch::x86_64::{
            __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
            _mm_set1_epi8,
        };
        let [a, b, c, d, e] = self.wanted.map(|byte| _mm_set1_epi8(byte as i8));
        let mut mask = 0;
        for lane in 0..BLOCK_BYTES / 16 {
            // SAFETY: lane * 16 + 16 is at most the block's length; the load needs no alignment.
            let bytes = unsafe { _mm_loadu_si128(block.as_ptr().add(lane * 16).cast::<__m128i>()) };
            let ab = _mm_or_si128(_mm_cmpeq_epi8(bytes, a), _mm_cmpeq_epi8(bytes, b));
            let cd = _mm_or_si128(_mm_cmpeq_epi8(bytes, c), _mm_cmpeq_epi8(bytes, d));
            let any = _mm_or_si128(_mm_or_si128(ab, cd), _mm_cmpeq_epi8(bytes, e));
            mask |= u64::from(_mm_movemask_epi8(any) as u16) << (lane * 16);
        }
        mask
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    fn block(&self, block: &[u8; BLOCK_BYTES]) -> u64 {
        self.block_portable(block)
    }

    /// The same one byte at a time, which compilers turn into whatever the processor has.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn block_portable(&self, block: &[u8; BLOCK_BYTES]) -> u64 {
        block.iter().enumerate().fold(0, |mask, (at, byte)| {
            mask | u64::from(self.wanted.contains(byte)) << at
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_the_same_however_they_are_found() {
        let scan = Scan::new(b'\t', [b'\\', b'"']);
        let mut block = [b'x'; BLOCK_BYTES];
        for (at, byte) in [
            (0, b'\t'),
            (15, b'\n'),
            (16, b'\\'),
            (31, b'\r'),
            (63, b'"'),
        ] {
            block[at] = byte;
        }
        assert_eq!(scan.mask(&block), 1 | 1 << 15 | 1 << 16 | 1 << 31 | 1 << 63);
        assert_eq!(scan.mask(&block), scan.block_portable(&block));
    }

    #[test]
    fn a_short_text_has_no_bits_behind_it() {
        let scan = Scan::new(0, [0, 0]);
        assert_eq!(scan.mask(b"ab\n"), 4);
        assert_eq!(scan.mask(b""), 0);
    }
}
