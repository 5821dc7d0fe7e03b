//! Random numbers that a seed repeats (SplitMix64).

/// A source of random numbers.
pub(crate) struct Chance(u64);

impl Chance {
    /// Seeded by the environment variable, or by the clock; the seed is printed, since the test may
    /// fail.
    pub(crate) fn from_environment(test: &str) -> Chance {
        Chance::seeded(seed(test))
    }

    /// The same numbers for the same seed.
    pub(crate) fn seeded(seed: u64) -> Chance {
        Chance(mix(seed))
    }

    /// A source of its own, for a task of its own.
    pub(crate) fn fork(&mut self) -> Chance {
        Chance(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// The seed of a test: the environment's, or one of the clock's; it is printed.
pub(crate) fn seed(test: &str) -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let by_clock = now.expect("a clock after 1970").as_nanos() as u64 % 1_000_000_000;
    let seed = number("SLICEDB_CRASH_SEED", by_clock);
    println!("{test}: repeat with SLICEDB_CRASH_SEED={seed}");
    seed
}

/// A number that looks random and belongs to `value`.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number from the environment.
pub(crate) fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is {text} and not a number")),
        Err(_) => otherwise,
    }
}
