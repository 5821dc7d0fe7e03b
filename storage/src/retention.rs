//! Which segments are older than their table's retention window.
//!
//! A segment goes when its whole chunk has left the window, never earlier; later rows of the same
//! age go when they are sealed and this is asked again.
//!
//! A clock that leaps ahead would make everything old at once. Retention follows such a leap only
//! when the clock has stood by it for a day (`Clock`).

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tracing::warn;

use crate::change::{Change, RowChange};
use crate::derived::{self, Derive};
use crate::state::{State, TableState};
use crate::table::Layout;
use crate::{Result, SegmentId};

/// The segments to drop at `now`, in microseconds since 1970 UTC. What is derived from them stays:
/// rows that are needed to compute it anew wait until that is done.
pub fn choose(state: &State, table: &TableState, now: i64) -> Vec<SegmentId> {
    let Layout::TimeSeries {
        retention_us: Some(window),
        ..
    } = table.def.layout
    else {
        return Vec::new();
    };
    let oldest_kept = now.saturating_sub(window);
    let metas = table.segments.iter().map(|run| &run.segment.meta);
    let mut expired: Vec<_> = metas.filter(|meta| meta.chunk.1 <= oldest_kept).collect();
    for stale in state.stale_of(table.def.id) {
        if expired.is_empty() {
            break;
        }
        match derived::times(state, stale.def.id, false) {
            Ok(times) => expired.retain(|meta| {
                let (start, end) = meta.chunk;
                !times.iter().any(|&(from, to)| from < end && to >= start)
            }),
            // What cannot be read is told by the scan that needs it; until then nothing goes.
            Err(_) => expired.clear(),
        }
    }
    expired.into_iter().map(|meta| meta.id).collect()
}

/// How far the clock may go ahead of the time that passes, and how long a leap waits.
const DAY_US: i64 = 86_400_000_000;

/// The time that retention goes by.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<Option<Reading>>);

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The clock, in microseconds since 1970 UTC, when it was last believed.
    now: i64,
    /// The time that had passed then.
    uptime: i64,
    /// The time that had passed when the clock was first seen far ahead.
    leapt: Option<i64>,
}

impl Clock {
    /// The clock's time, or the time that it should show when it has leapt ahead by more than a day
    /// against the time that has passed.
    pub(crate) fn read(&self, now: i64, uptime: i64) -> i64 {
        let mut last = self.0.lock();
        let believed = Reading {
            now,
            uptime,
            leapt: None,
        };
        let Some(reading) = last.as_mut() else {
            *last = Some(believed);
            return now;
        };
        let due = reading.now.saturating_add(uptime - reading.uptime);
        if now.saturating_sub(due) <= DAY_US {
            *reading = believed;
            return now;
        }
        let since = *reading.leapt.get_or_insert_with(|| {
            warn!(
                ahead_hours = now.saturating_sub(due) / 3_600_000_000,
                "the clock has leapt ahead: retention waits for a day; set the clock right, \
                 or restart the server if it is right"
            );
            uptime
        });
        if uptime - since < DAY_US {
            return due;
        }
        *reading = believed;
        now
    }
}

/// The change that drops them, and tells what is derived from them that they are gone.
///
/// # Errors
/// Those of [`Derive::reach`].
pub fn change(
    state: &State,
    derive: &dyn Derive,
    table: &TableState,
    segments: &[SegmentId],
) -> Result<Change> {
    let mut rows = RowChange::default();
    rows.deletes.segments.extend(segments);
    let mut change = Change {
        rows: [(table.def.id, rows)].into(),
        ..Change::default()
    };
    let metas = table.segments.iter().map(|run| &run.segment.meta);
    let dropped = metas.filter(|meta| segments.contains(&meta.id));
    let chunks: BTreeSet<(i64, i64)> = dropped.map(|meta| meta.chunk).collect();
    let gone = chunks
        .into_iter()
        .map(|(start, end)| (start, end.saturating_sub(1)));
    for (stale, rows) in derived::gone(state, derive, table.def.id, &gone.collect::<Vec<_>>())? {
        let rows_of = change.rows.entry(stale).or_default();
        rows_of.blocks.insert(0, rows);
    }
    // Nor may anybody mark them as stale meanwhile.
    let stale = state.stale_of(table.def.id).into_iter();
    change.unchanged = stale.map(|table| (table.def.id, state.sequence)).collect();
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = DAY_US / 24;
    const YEAR_US: i64 = 365 * DAY_US;
    const START: i64 = 1_704_067_200_000_000;

    #[test]
    fn a_clock_that_keeps_time_is_believed() {
        let clock = Clock::default();
        for hour in 0..10_000 {
            // It gains a minute an hour, and is put back now and then.
            let drift = hour % 100 * 60_000_000;
            let now = START + hour * HOUR_US + drift;
            assert_eq!(clock.read(now, hour * HOUR_US), now);
        }
    }

    #[test]
    fn a_leap_waits_for_a_day() {
        let clock = Clock::default();
        assert_eq!(clock.read(START, 0), START);
        for hour in 1..25 {
            let passed = hour * HOUR_US;
            assert_eq!(
                clock.read(START + 10 * YEAR_US + passed, passed),
                START + passed
            );
        }
        let passed = 25 * HOUR_US;
        let now = START + 10 * YEAR_US + passed;
        assert_eq!(clock.read(now, passed), now);
    }

    #[test]
    fn a_leap_that_is_taken_back_has_not_been() {
        let clock = Clock::default();
        clock.read(START, 0);
        assert_eq!(clock.read(START + YEAR_US, HOUR_US), START + HOUR_US);
        let now = START + 2 * HOUR_US;
        assert_eq!(clock.read(now, 2 * HOUR_US), now);
        // The next leap waits anew.
        let passed = 30 * HOUR_US;
        clock.read(START + 29 * HOUR_US, 29 * HOUR_US);
        assert_eq!(clock.read(START + YEAR_US, passed), START + passed);
    }

    #[test]
    fn a_clock_that_is_put_back_keeps_more() {
        let clock = Clock::default();
        clock.read(START, 0);
        let now = START - 10 * YEAR_US;
        assert_eq!(clock.read(now, HOUR_US), now);
        // And back to the right time is a leap, which may wait.
        assert_eq!(clock.read(START, 2 * HOUR_US), now + HOUR_US);
    }
}
