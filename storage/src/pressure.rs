//! Whether the process holds more memory than it may. Somebody who can ask the allocator sets it;
//! writers slow down by it, seals come earlier, and the crate above refuses queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// How long an append waits for memory, at most: writers become slow and do not stop.
const WAIT: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(10);
/// Memory that runs out is [`Level::Critical`] at the limit and a quarter of it.
const CRITICAL_FRACTION: u64 = 4;
/// It is eased again when a sixteenth of the limit is free.
const EASED_FRACTION: u64 = 16;

/// How much memory the process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Less than it may.
    Eased,
    /// More than it may: what is new has to wait or is refused.
    High,
    /// Far more than it may: what runs has to end.
    Critical,
}

impl Level {
    /// The level that follows this one when the process holds `bytes` and may hold `bytes_max`.
    pub fn next(self, bytes: u64, bytes_max: u64) -> Level {
        let eased_at = bytes_max - bytes_max / EASED_FRACTION;
        if bytes > bytes_max.saturating_add(bytes_max / CRITICAL_FRACTION) {
            Level::Critical
        } else if bytes > bytes_max || self > Level::Eased && bytes > eased_at {
            Level::High
        } else {
            Level::Eased
        }
    }
}

/// The level, for everybody to read. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pressure(Arc<AtomicU8>);

impl Pressure {
    /// Sets the level.
    pub fn set(&self, level: Level) {
        self.0.store(level as u8, Ordering::Relaxed);
    }

    /// The level now.
    pub fn level(&self) -> Level {
        match self.0.load(Ordering::Relaxed) {
            0 => Level::Eased,
            1 => Level::High,
            _ => Level::Critical,
        }
    }

    /// Whether the process holds more than it may.
    pub fn is_high(&self) -> bool {
        self.level() > Level::Eased
    }

    /// Waits for memory, not for long.
    pub(crate) fn slow_down(&self) {
        if self.is_high() {
            let started = Instant::now();
            while self.is_high() && started.elapsed() < WAIT {
                std::thread::sleep(POLL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_left_later_than_it_is_entered() {
        use Level::{Critical, Eased, High};
        for (before, bytes, after) in [
            (Eased, 1600, Eased),
            (Eased, 1601, High),
            (High, 1501, High),
            (High, 1500, Eased),
            (Eased, 1501, Eased),
            (High, 2000, High),
            (High, 2001, Critical),
            (Critical, 1999, High),
            (Critical, 0, Eased),
        ] {
            assert_eq!(before.next(bytes, 1600), after, "{before:?} at {bytes}");
        }
        let pressure = Pressure::default();
        assert_eq!(pressure.level(), Eased);
        for level in [High, Critical, Eased] {
            pressure.clone().set(level);
            assert_eq!(pressure.level(), level);
        }
    }
}
