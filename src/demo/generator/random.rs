//! Randomness that can be entered anywhere.
//!
//! Invariant: the numbers of a row depend on (seed, minute, row) alone, so any row can be made
//! again without those before it. SplitMix64 (Steele, Lea, Flood 2014) is enough: its output is
//! a hash of its state, hence a new state is as good as a long walk.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes 64 bits: each input bit changes about half of the output.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Maps 32 random bits evenly onto `0..bound`.
pub(crate) fn scale(bits: u32, bound: u32) -> u32 {
    ((u64::from(bits) * u64::from(bound)) >> 32) as u32
}

/// A stream of random numbers.
pub(crate) struct Random(u64);

impl Random {
    /// The stream number `index` of `seed`.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        Self(mix(seed ^ index.wrapping_mul(GOLDEN)))
    }

    /// The next 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        scale((self.bits() >> 32) as u32, bound)
    }
}
