//! [`Watch`]: what is seen of tables and continuous aggregates while the server runs: when rows came
//! last, whether they lag behind what was promised, how fast aggregates are computed anew.
//!
//! Breaches and when rows came are kept in a file over a restart ([`memo`]); what can be told from the
//! state itself is not: the newest event, the target, what is stale.

mod memo;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use slicedb_storage::vfs::Vfs;
use slicedb_storage::{Engine, TableId};
use tracing::warn;

use crate::catalog::{Catalog, CatalogCache, Progress};
use crate::error::Result;
use memo::Memo;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often at most it writes down when rows came.
const MEMO_INTERVAL_US: i64 = 60_000_000;
/// Breaches of a relation that are remembered.
const BREACHES_MAX: usize = 100;
/// How much the newest rate counts against those before.
const NEWEST: f64 = 0.3;

/// What is seen. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    since_us: i64,
    /// When a commit last added rows to a table.
    added_us: HashMap<TableId, i64>,
    /// By the table of the relation, or of an aggregate's partials.
    lags: HashMap<TableId, Lag>,
    /// By the table of an aggregate's partials.
    rates: HashMap<TableId, Rate>,
    /// Whether a breach has begun or ended since that was written down, and whether rows have come.
    has_breached: bool,
    has_added: bool,
    written_us: i64,
}

/// How a relation has kept its target.
#[derive(Debug, Clone, Default)]
pub struct Lag {
    /// How often it was missed.
    pub breaches: u64,
    /// The newest of these, oldest first. The last one may go on.
    pub history: VecDeque<Breach>,
}

/// A time in which a target was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// Since when, in microseconds since 1970 UTC, to about a second.
    pub began_us: i64,
    /// Until when; `None` while it goes on.
    pub ended_us: Option<i64>,
    /// The target that was missed, in microseconds.
    pub target_us: i64,
    /// The greatest lag that was seen, in microseconds.
    pub worst_us: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    rows_left: u64,
    at_us: i64,
    per_second: Option<f64>,
}

impl Watch {
    /// Since when it looks, in microseconds since 1970 UTC.
    pub fn since_us(&self) -> i64 {
        self.0.lock().since_us
    }

    /// When a commit last added rows to a table, in microseconds since 1970 UTC.
    pub fn added_us(&self, table: TableId) -> Option<i64> {
        self.0.lock().added_us.get(&table).copied()
    }

    /// How a relation has kept its target.
    pub fn lag(&self, table: TableId) -> Lag {
        self.0.lock().lags.get(&table).cloned().unwrap_or_default()
    }

    /// Rows a second of which an aggregate was computed anew lately.
    pub fn rate(&self, partials: TableId) -> Option<f64> {
        self.0.lock().rates.get(&partials)?.per_second
    }

    /// A commit has added rows to tables.
    pub(super) fn note_added(&self, tables: &[TableId], now_us: i64) {
        let mut seen = self.0.lock();
        for table in tables {
            seen.added_us.insert(*table, now_us);
        }
        seen.has_added |= !tables.is_empty();
    }

    /// Looks at a relation that has no target, or no rows: it misses none any more.
    fn note_none(&self, table: TableId, now_us: i64) {
        let mut seen = self.0.lock();
        let last = seen
            .lags
            .get_mut(&table)
            .and_then(|lag| lag.history.back_mut());
        if let Some(open) = last.filter(|breach| breach.ended_us.is_none()) {
            open.ended_us = Some(now_us);
            seen.has_breached = true;
        }
    }

    /// Looks at a relation that has a target and rows.
    fn note_lag(&self, table: TableId, lag_us: i64, target_us: i64, now_us: i64) {
        let mut seen = self.0.lock();
        let seen = &mut *seen;
        let lag = seen.lags.entry(table).or_default();
        let open = lag.history.back_mut().filter(|b| b.ended_us.is_none());
        seen.has_breached |= open.is_some() != (lag_us > target_us);
        match (open, lag_us > target_us) {
            (Some(open), true) => open.worst_us = open.worst_us.max(lag_us),
            (Some(open), false) => open.ended_us = Some(now_us),
            (None, true) => {
                lag.breaches += 1;
                if lag.history.len() == BREACHES_MAX {
                    lag.history.pop_front();
                }
                lag.history.push_back(Breach {
                    began_us: now_us,
                    ended_us: None,
                    target_us,
                    worst_us: lag_us,
                });
            }
            (None, false) => {}
        }
    }

    /// Looks at how many rows an aggregate has yet to be computed from.
    fn note_left(&self, partials: TableId, rows_left: u64, now_us: i64) {
        let mut seen = self.0.lock();
        let Some(before) = seen.rates.get(&partials).copied() else {
            let rate = Rate {
                rows_left,
                at_us: now_us,
                per_second: None,
            };
            seen.rates.insert(partials, rate);
            return;
        };
        let seconds = (now_us - before.at_us) as f64 / 1e6;
        let per_second = match before.rows_left.checked_sub(rows_left) {
            Some(done) if done > 0 && seconds > 0.0 => {
                let newest = done as f64 / seconds;
                let mixed = |rate: f64| rate + NEWEST * (newest - rate);
                Some(before.per_second.map_or(newest, mixed))
            }
            // Nothing done lately: the rate that was seen still says most.
            _ => before.per_second,
        };
        let rate = Rate {
            rows_left,
            at_us: now_us,
            per_second,
        };
        seen.rates.insert(partials, rate);
    }

    /// Writes down what is worth it now; at the end, all that is new.
    fn write(&self, memo: &Memo, now_us: i64, is_end: bool) -> Result<()> {
        let mut seen = self.0.lock();
        let is_due = is_end || now_us - seen.written_us >= MEMO_INTERVAL_US;
        if !(seen.has_breached || (seen.has_added && is_due)) {
            return Ok(());
        }
        // Rows come while the disk is waited for.
        let copy = Seen {
            lags: seen.lags.clone(),
            added_us: seen.added_us.clone(),
            ..Seen::default()
        };
        seen.has_breached = false;
        seen.has_added = false;
        seen.written_us = now_us;
        drop(seen);
        memo.write(&copy).inspect_err(|_| {
            self.0.lock().has_breached = true;
        })?;
        Ok(())
    }

    /// Forgets relations that are no more.
    fn keep(&self, is_there: impl Fn(&TableId) -> bool) {
        let mut seen = self.0.lock();
        seen.added_us.retain(|table, _| is_there(table));
        seen.lags.retain(|table, _| is_there(table));
        seen.rates.retain(|table, _| is_there(table));
    }
}

/// The thread that looks. It ends when this is dropped.
pub(crate) struct Watcher {
    stopping: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread to spare.
    pub(crate) fn start(
        watch: Watch,
        engine: Engine,
        catalogs: Arc<CatalogCache>,
        vfs: Arc<dyn Vfs>,
        data_dir: &Path,
    ) -> std::io::Result<Self> {
        let memo = Memo::of(vfs, data_dir);
        {
            let mut seen = watch.0.lock();
            seen.since_us = engine.now();
            memo.read(&mut seen);
        }
        let stopping = Arc::new((Mutex::new(false), Condvar::new()));
        let shared = stopping.clone();
        let run = move || {
            let (stopping, told) = &*shared;
            let mut has_failed = false;
            loop {
                let mut stops = stopping.lock();
                if !*stops {
                    told.wait_for(&mut stops, INTERVAL);
                }
                let is_end = *stops;
                drop(stops);
                let looked = match is_end {
                    true => Ok(()),
                    false => look(&watch, &engine, &catalogs),
                };
                match looked.and_then(|()| watch.write(&memo, engine.now(), is_end)) {
                    Err(e) if !has_failed => {
                        warn!(error = %e, "freshness could not be watched, and will be tried again");
                        has_failed = true;
                    }
                    done => has_failed &= done.is_err(),
                }
                if is_end {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("slicedb-watch".into())
            .spawn(run)?;
        Ok(Watcher {
            stopping,
            thread: Some(thread),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        *self.stopping.0.lock() = true;
        self.stopping.1.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that watches freshness had stopped after an internal error");
        }
    }
}

fn look(watch: &Watch, engine: &Engine, catalogs: &CatalogCache) -> Result<()> {
    let state = engine.state();
    let catalog: Arc<Catalog> = catalogs.of(&state)?;
    let now_us = engine.now();
    let tables = catalog.tables().map(|table| (table, table.def.id));
    let aggregates = catalog.aggregates().map(|a| (&a.table, a.source));
    for (relation, source) in tables.chain(aggregates) {
        let target_us = relation.properties.target_lag_us;
        let newest = target_us.and_then(|_| state.table(source)?.newest_time());
        match (target_us, newest) {
            (Some(target_us), Some(newest)) => {
                let lag_us = now_us.saturating_sub(newest);
                watch.note_lag(relation.def.id, lag_us, target_us, now_us);
            }
            _ => watch.note_none(relation.def.id, now_us),
        }
    }
    for aggregate in catalog.aggregates() {
        let progress = Progress::of(&state, aggregate)?;
        watch.note_left(aggregate.partials, progress.rows_left, now_us);
    }
    watch.keep(|table| state.table(*table).is_some());
    Ok(())
}

#[cfg(test)]
mod tests {
    use slicedb_storage::vfs::FaultVfs;

    use super::*;

    const TABLE: TableId = TableId(7);

    #[test]
    fn a_breach_begins_and_ends_once() {
        let watch = Watch::default();
        for (now_us, lag_us) in [(0, 5), (1, 11), (2, 30), (3, 20), (4, 10), (5, 9), (6, 12)] {
            watch.note_lag(TABLE, lag_us, 10, now_us);
        }
        let lag = watch.lag(TABLE);
        assert_eq!(lag.breaches, 2);
        watch.note_none(TABLE, 9);
        watch.note_none(TABLE, 10);
        assert_eq!(watch.lag(TABLE).history[1].ended_us, Some(9));
        let first = Breach {
            began_us: 1,
            ended_us: Some(4),
            target_us: 10,
            worst_us: 30,
        };
        assert_eq!(lag.history[0], first);
        assert_eq!(
            (lag.history[1].began_us, lag.history[1].ended_us),
            (6, None)
        );
    }

    #[test]
    fn what_is_seen_is_read_again() {
        let vfs = Arc::new(FaultVfs::new(1));
        let dir = Path::new("/data");
        vfs.create_dir(dir).unwrap();
        let memo = Memo::of(vfs.clone(), dir);
        let (watch, again) = (Watch::default(), Watch::default());
        memo.read(&mut again.0.lock());
        assert_eq!(again.lag(TABLE).breaches, 0);

        watch.write(&memo, 0, true).unwrap();
        assert_eq!(vfs.list(dir).unwrap().len(), 0, "nothing to say");
        watch.note_lag(TABLE, 12, 10, 1);
        watch.note_added(&[TABLE], 2);
        watch.write(&memo, 3, false).unwrap();
        memo.read(&mut again.0.lock());
        assert_eq!(again.lag(TABLE).history, watch.lag(TABLE).history);
        assert_eq!(again.added_us(TABLE), Some(2));

        // When rows came is written now and then, and at the end.
        watch.note_added(&[TABLE], 4);
        watch.write(&memo, 5, false).unwrap();
        memo.read(&mut again.0.lock());
        assert_eq!(again.added_us(TABLE), Some(2));
        watch.write(&memo, 6, true).unwrap();
        memo.read(&mut again.0.lock());
        assert_eq!(again.added_us(TABLE), Some(4));
        // A power cut leaves one of the two.
        let after = Memo::of(Arc::new(vfs.crash()), dir);
        let third = Watch::default();
        after.read(&mut third.0.lock());
        assert_eq!(third.added_us(TABLE), Some(4));

        let file = vfs.open(&dir.join("freshness.json")).unwrap();
        file.set_len(file.len().unwrap() / 2).unwrap();
        let damaged = Watch::default();
        memo.read(&mut damaged.0.lock());
        assert_eq!(damaged.lag(TABLE).breaches, 0);
        watch.note_none(TABLE, 9);
        watch.write(&memo, 9, false).unwrap();
        memo.read(&mut damaged.0.lock());
        assert_eq!(damaged.lag(TABLE).breaches, 1);
    }

    #[test]
    fn breaches_are_counted_beyond_those_that_are_remembered() {
        let watch = Watch::default();
        for now_us in 0..250 {
            watch.note_lag(TABLE, now_us % 2, 0, now_us);
        }
        let lag = watch.lag(TABLE);
        assert_eq!((lag.breaches, lag.history.len()), (125, BREACHES_MAX));
    }

    #[test]
    fn the_rate_is_that_of_rows_done() {
        let watch = Watch::default();
        watch.note_left(TABLE, 1000, 0);
        assert_eq!(watch.rate(TABLE), None);
        watch.note_left(TABLE, 800, 1_000_000);
        assert_eq!(watch.rate(TABLE), Some(200.0));
        // More became stale, or nothing was done.
        watch.note_left(TABLE, 900, 2_000_000);
        assert_eq!(watch.rate(TABLE), Some(200.0));
        watch.note_left(TABLE, 800, 3_000_000);
        assert_eq!(watch.rate(TABLE), Some(170.0));
    }
}
