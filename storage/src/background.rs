//! Background work: sealing, merging, retention, removing files. The only scheduler.
//!
//! One thread seals, so that writers find room; another merges, expires and reaps. What to do is
//! chosen by pure functions elsewhere; here it is done, one piece at a time, each bounded by the
//! sizes in [`crate::Options`].

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use parking_lot::{Condvar, Mutex};
use tracing::{debug, error, info, warn};

use crate::build::{Builder, Built};
use crate::change::Change;
use crate::committer::{Compact, Seal, Work};
use crate::compaction::{self, Choice, Combine};
use crate::derived::{Part, Partials, guarded};
use crate::engine::{Reaped, Shared, spawn};
use crate::moves::Sealed;
use crate::retention;
use crate::state::{SegmentRun, State, TableState};
use crate::table::TableDef;
use crate::{Engine, Error, Result, SegmentId, TableId};

/// After a failure background work rests for so many intervals.
const REST_AFTER_FAILURE: u32 = 10;

/// Where memory runs out, unsealed rows are sealed when they take this part of what they take else.
const SHORT_FRACTION: usize = 8;

/// The threads.
pub(crate) struct Background {
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(shared: &Arc<Shared>, reaped: Reaped) -> Result<Self> {
        let mut threads = Vec::new();
        if shared.options.background {
            let sealing = shared.clone();
            threads.push(spawn("slicedb-seal", move || {
                repeat(&sealing, &sealing.sealing_bell, || sealing.seal_if_due())
            })?);
        }
        let merging = shared.clone();
        let reap = move || -> Result<()> {
            for key in reaped.try_iter() {
                merging.home.store.drop_segment(key).inspect_err(|_| {
                    // For the next round. This thread holds the other end.
                    let _ = merging.home.reaper.send(key);
                })?;
            }
            if merging.options.background {
                expire(&merging)?;
                while !merging.gauges().stopping && merging.compact_once()? {}
            }
            Ok(())
        };
        let shared = shared.clone();
        threads.push(spawn("slicedb-compact", move || {
            repeat(&shared, &shared.merging_bell, reap)
        })?);
        Ok(Background { threads })
    }

    pub(crate) fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                warn!("a background thread had stopped after an internal error");
            }
        }
    }
}

fn repeat(shared: &Shared, bell: &Bell, work: impl Fn() -> Result<()>) {
    let interval = Duration::from_millis(shared.options.maintenance_interval_ms);
    while !shared.gauges().stopping {
        bell.wait(interval);
        let gauges = shared.gauges();
        if gauges.stopping {
            return;
        }
        // What is left to do is left to the next start.
        if gauges.closed.is_some() {
            continue;
        }
        if let Err(e) = work() {
            if shared.gauges().stopping {
                return;
            }
            warn!(error = %e, "background work failed and will be tried again");
            shared.check_store(&e);
            let until = Instant::now() + interval * REST_AFTER_FAILURE;
            // Whoever waits for it rings again and again, and the stop rings too.
            while Instant::now() < until && !shared.gauges().stopping {
                bell.wait(until.saturating_duration_since(Instant::now()));
            }
        }
    }
}

/// Calls a thread to work. A call while it works is not lost: it looks for work once more.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.heard.notify_all();
    }

    /// Waits for a call, at most so long.
    fn wait(&self, longest: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.heard.wait_for(&mut rung, longest);
        }
        *rung = false;
    }
}

impl Engine {
    /// Seals everything in memory now.
    pub fn seal(&self) -> Result<()> {
        self.shared.seal()
    }

    /// Merges until nothing is left to merge.
    pub fn compact(&self) -> Result<()> {
        while self.shared.compact_once()? {}
        Ok(())
    }

    /// Drops what is older than the tables' retention windows.
    pub fn expire(&self) -> Result<()> {
        expire(&self.shared)
    }
}

fn expire(shared: &Arc<Shared>) -> Result<()> {
    let hold = shared.moves.hold();
    let state = shared.state();
    let now = shared.clock.read(shared.vfs.now(), shared.vfs.uptime());
    for table in state.tables.values() {
        let dropped = retention::choose(&state, table, now);
        if dropped.is_empty() {
            continue;
        }
        let change = Change {
            generation: state.generation,
            hold: Some(hold.clone()),
            ..retention::change(&state, &*shared.derive, table, &dropped)?
        };
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        shared.commit(
            change,
            Box::new(move |result| {
                // The receiver waits below; it cannot have gone.
                let _ = sender.send(result);
            }),
        );
        match receiver.recv() {
            Ok(Ok(_)) => {
                info!(table = %table.def.id, segments = dropped.len(), "dropped expired segments")
            }
            // Others changed them: the next round sees how.
            Ok(Err(Error::Conflict(_))) | Err(_) => {}
            Ok(Err(e)) => return Err(e),
        }
    }
    Ok(())
}

impl Shared {
    fn seal_if_due(&self) -> Result<()> {
        let gauges = self.gauges();
        let options = &self.options;
        let age_us = gauges
            .unsealed_since
            .map_or(0, |since| self.vfs.now() - since);
        let is_short = self.pressure.is_high();
        if is_short {
            self.home.cache.clear();
        }
        let is_due = gauges.memory_bytes >= options.memtable_seal_bytes
            || is_short && gauges.memory_bytes >= options.memtable_seal_bytes / SHORT_FRACTION
            || gauges.wal_bytes >= options.wal_max_bytes
            || age_us >= options.memtable_seal_age_ms.saturating_mul(1000) as i64;
        if is_due { self.seal() } else { Ok(()) }
    }

    pub(crate) fn seal(&self) -> Result<()> {
        let mut sealed = self.seal_all();
        // Somebody created an aggregate meanwhile, which nobody does all the time.
        while let Err(Error::Conflict(_)) = sealed {
            sealed = self.seal_all();
        }
        self.set_seal_error(sealed.as_ref().err().cloned());
        sealed
    }

    /// After work failed: nobody shall wait for a seal if RocksDB writes no more.
    pub(crate) fn check_store(&self, failure: &Error) {
        if !matches!(failure, Error::Io { .. }) || failure.is_disk_full() {
            return;
        }
        match self.home.store.check_writable() {
            Err(e) if !e.is_disk_full() => {
                error!(error = %e, "RocksDB writes no more: no commit is accepted before a restart");
                self.close(
                    "the server accepts no writes since segments could not be stored; restart it",
                );
            }
            _ => {}
        }
    }

    fn seal_all(&self) -> Result<()> {
        let _one_at_a_time = self.sealing.lock();
        let started = Instant::now();
        let frozen: Arc<State> = self.ask(Work::Freeze)?;
        fail::fail_point!("seal.after_freeze");
        let builder = self.builder();
        let mut built = HashMap::new();
        let mut derived = Vec::new();
        let mut rows = 0;
        for (&id, table) in frozen.tables.iter().filter(|(_, t)| !t.memory.is_empty()) {
            let mut partials = Partials::begin(&*self.derive, &frozen, id);
            let mut each = |rows: &RecordBatch| partials.push(rows);
            let segments = builder.build(&table.def, &table.memory, &mut each)?;
            rows += segments.iter().map(|b| b.sources.len()).sum::<usize>();
            built.insert(id, segments);
            derived.extend(partials.finish(&builder, &frozen, &table.memory)?);
        }
        fail::fail_point!("seal.after_ingest");
        let segments: usize = built.values().map(Vec::len).sum();
        let way = |(&id, built): (&TableId, &Vec<Built>)| {
            let table = frozen.table(id)?;
            Some((id, Sealed::way(&table.memory, built)))
        };
        let seal = Seal {
            moves: built.iter().filter_map(way).collect(),
            built,
            derived,
            frozen,
        };
        self.ask(|reply| Work::Seal(seal, reply))??;
        // A merge may have become due.
        self.merging_bell.ring();
        info!(
            rows,
            segments,
            ms = started.elapsed().as_millis() as u64,
            "sealed"
        );
        Ok(())
    }

    /// Does the most pressing merge. `false` when there is none.
    pub(crate) fn compact_once(&self) -> Result<bool> {
        let _one_at_a_time = self.compacting.lock();
        let state = self.state();
        for (&id, table) in state.tables.iter() {
            let Some(choice) = self.choose(table) else {
                continue;
            };
            let inputs: Vec<SegmentId> = choice
                .inputs
                .iter()
                .map(|run| run.segment.meta.id)
                .collect();
            let merged = self.merge(&state, id, &table.def, choice);
            if let Err(Error::Corrupt { .. }) = &merged {
                // It is told once; the other segments are merged all the same.
                self.unmergeable.lock().extend(inputs);
            }
            return merged;
        }
        Ok(false)
    }

    /// The next merge of a table, without segments that were found damaged.
    fn choose(&self, table: &TableState) -> Option<Choice> {
        let unmergeable = self.unmergeable.lock();
        let is_sound = |run: &SegmentRun| !unmergeable.contains(&run.segment.meta.id);
        if table.segments.iter().all(is_sound) {
            return compaction::choose(table, &self.options);
        }
        let mut sound = table.clone();
        sound.segments.retain(is_sound);
        compaction::choose(&sound, &self.options)
    }

    fn merge(
        &self,
        state: &State,
        table: TableId,
        def: &Arc<TableDef>,
        choice: Choice,
    ) -> Result<bool> {
        let started = Instant::now();
        let is_stopping = || self.gauges.lock().stopping;
        let combine = |rows: RecordBatch| {
            // The state that the choice is of knows the table, which may be dropped by now.
            let combined = guarded(|| self.derive.combine(state, table, rows.clone()));
            // Several partials of a group say the same as one.
            combined.or_else(|e| {
                warn!(%table, error = %e, "partial aggregates could not be combined");
                Ok(rows)
            })
        };
        let is_combined = def.derived.is_some_and(|d| d.part == Part::Partials);
        let combine: Option<&Combine<'_>> = if is_combined { Some(&combine) } else { None };
        let merged = compaction::merge(def, &choice, &self.builder(), combine, &is_stopping)?;
        let (outputs, moved) = merged;
        fail::fail_point!("compact.after_ingest");
        let rows: u64 = choice.inputs.iter().map(|run| run.rows()).sum();
        let (inputs, merged) = (choice.inputs.len(), outputs.len());
        let compact = Compact {
            table,
            inputs: choice.inputs,
            outputs,
            moved,
        };
        let installed = self.ask(|reply| Work::Compact(compact, reply))??;
        if installed {
            let ms = started.elapsed().as_millis() as u64;
            info!(%table, inputs, outputs = merged, rows, ms, "merged segments");
        } else {
            debug!(%table, inputs, "gave up a merge whose rows changed meanwhile");
        }
        // After a merge that was given up the next choice may be the same: wait for the next round.
        Ok(installed)
    }

    pub(crate) fn builder(&self) -> Builder<'_> {
        Builder {
            home: &self.home,
            options: &self.options,
            next_id: &self.next_segment,
        }
    }
}
