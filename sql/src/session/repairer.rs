//! The thread that aggregates anew what is stale. It works in small transactions, so that clients
//! go on meanwhile, and looks for work every now and then.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use slicedb_storage::{Engine, TableId, derived};
use tracing::warn;

use super::Definitions;
use super::aggregate::no_view;
use crate::catalog::AggregateEntry;
use crate::continuous::repair::{self, Outcome};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;

/// How often somebody who waits for an aggregate looks for it.
const LOOK: Duration = Duration::from_millis(10);
/// After a failure an aggregate rests for so many rounds.
const REST_ROUNDS: u32 = 10;
/// Its queries have stacks of this size; so has what they evaluate here.
const STACK_BYTES: usize = 64 << 20;

/// The thread. It ends when this is dropped.
pub(crate) struct Repairer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    heard: Condvar,
}

#[derive(Default)]
struct State {
    is_rung: bool,
    is_stopping: bool,
    /// How many times work has failed.
    failures: u64,
    /// The last failure of each aggregate, and which it was.
    failed: HashMap<TableId, (u64, SqlError)>,
}

impl Repairer {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread to spare.
    pub(crate) fn start(
        engine: Engine,
        definitions: Definitions,
        interval: Duration,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let work = Work {
            engine,
            definitions,
            shared: shared.clone(),
            resting: HashMap::new(),
            told: HashMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("slicedb-aggregate".into())
            .stack_size(STACK_BYTES)
            .spawn(move || work.run(interval))?;
        Ok(Repairer {
            shared,
            thread: Some(thread),
        })
    }

    /// Calls it to work.
    pub(crate) fn ring(&self) {
        self.shared.state.lock().is_rung = true;
        self.shared.heard.notify_all();
    }

    /// Waits until nothing of what aggregates keep of a table is stale.
    ///
    /// # Errors
    /// Why an aggregate cannot be computed anew.
    pub(crate) async fn settle(&self, source: TableId, engine: &Engine) -> Result<()> {
        let failures = self.shared.state.lock().failures;
        loop {
            let state = engine.state();
            let mut is_clean = true;
            for stale in state.stale_of(source) {
                let gone = derived::times(&state, stale.def.id, true)?;
                // What cannot be computed any more is not waited for.
                let is_lost = |from, to| gone.iter().any(|g| from <= g.1 && to >= g.0);
                let marks = derived::times(&state, stale.def.id, false)?;
                is_clean &= marks.iter().all(|&(from, to)| is_lost(from, to));
            }
            if is_clean {
                return Ok(());
            }
            let partials = state.partials_of(source).into_iter();
            let mut failed = partials.map(|table| self.failed_since(table.def.id, failures));
            if let Some(e) = failed.find_map(|error| error) {
                return Err(e);
            }
            self.ring();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until nothing of what an aggregate keeps of these times is stale; both ends are included,
    /// in microseconds. Answers whether it had to wait.
    ///
    /// # Errors
    /// Why the aggregate cannot be computed anew.
    pub(crate) async fn settle_times(
        &self,
        entry: &AggregateEntry,
        times: (i64, i64),
        engine: &Engine,
    ) -> Result<bool> {
        let failures = self.shared.state.lock().failures;
        let mut has_waited = false;
        loop {
            let state = engine.state();
            if state.table(entry.stale).is_none() {
                return Err(no_view(&entry.table.name));
            }
            let gone = derived::times(&state, entry.stale, true)?;
            let meets = |range: &(i64, i64), of: (i64, i64)| range.0 <= of.1 && range.1 >= of.0;
            let mut marks = derived::times(&state, entry.stale, false)?;
            marks.retain(|mark| meets(mark, times) && !gone.iter().any(|g| meets(g, *mark)));
            if marks.is_empty() {
                return Ok(has_waited);
            }
            has_waited = true;
            if let Some(e) = self.failed_since(entry.partials, failures) {
                return Err(e);
            }
            self.ring();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The failure of an aggregate since so many failures.
    fn failed_since(&self, partials: TableId, failures: u64) -> Option<SqlError> {
        let state = self.shared.state.lock();
        let (which, error) = state.failed.get(&partials)?;
        (*which > failures).then(|| error.clone())
    }
}

impl Drop for Repairer {
    fn drop(&mut self) {
        self.shared.state.lock().is_stopping = true;
        self.shared.heard.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that aggregates had stopped after an internal error");
        }
    }
}

struct Work {
    engine: Engine,
    definitions: Definitions,
    shared: Arc<Shared>,
    /// Rounds for which aggregates rest.
    resting: HashMap<TableId, u32>,
    /// The failures that were logged last.
    told: HashMap<TableId, String>,
}

impl Work {
    fn run(mut self, interval: Duration) {
        loop {
            {
                let mut state = self.shared.state.lock();
                if !state.is_rung && !state.is_stopping {
                    self.shared.heard.wait_for(&mut state, interval);
                }
                if state.is_stopping {
                    return;
                }
                if std::mem::take(&mut state.is_rung) {
                    self.resting.clear();
                }
            }
            while !self.is_stopping() && self.round() {}
        }
    }

    fn is_stopping(&self) -> bool {
        self.shared.state.lock().is_stopping
    }

    /// A piece of each aggregate. Whether there may be more to do.
    fn round(&mut self) -> bool {
        let state = self.engine.state();
        let entries = match self.definitions.entries(&state) {
            Ok(entries) => entries,
            Err(e) => {
                warn!(error = %e, "the catalog could not be read: nothing is aggregated");
                return false;
            }
        };
        let mut has_more = false;
        for entry in entries {
            let is_clean = state
                .table(entry.stale)
                .is_none_or(|table| table.rows() == 0);
            if is_clean || self.is_stopping() {
                continue;
            }
            if let Some(rounds) = self.resting.get_mut(&entry.partials)
                && *rounds > 0
            {
                *rounds -= 1;
                continue;
            }
            let piece = || {
                let definition = self.definitions.of_state(&entry, &state)?;
                let is_stopping = || self.shared.state.lock().is_stopping;
                repair::piece(&self.engine, &entry, &definition, &is_stopping)
                    .map_err(|e| from_datafusion(e, ""))
            };
            // A panic ends the piece and not the thread.
            let done = catch_unwind(AssertUnwindSafe(piece))
                .unwrap_or_else(|_| Err(SqlError::internal("an aggregate's computation panicked")));
            // Somebody changed the same, which some writes tell before the commit does.
            let done = match done {
                Err(e) if e.state == SqlState::SERIALIZATION_FAILURE => Ok(Outcome::Again),
                done => done,
            };
            match self.note(entry.partials, done) {
                Ok(outcome) => {
                    has_more |= outcome != Outcome::Nothing;
                    self.told.remove(&entry.partials);
                }
                Err(e) => {
                    // It may go on failing until somebody mends the row.
                    let error = e.to_string();
                    if self.told.get(&entry.partials) != Some(&error) {
                        warn!(aggregate = %entry.table.name, error, "could not aggregate anew; queries read the rows themselves, and it will be tried again");
                        self.told.insert(entry.partials, error);
                    }
                    self.resting.insert(entry.partials, REST_ROUNDS);
                }
            }
        }
        has_more
    }

    fn note(&mut self, partials: TableId, done: Result<Outcome>) -> Result<Outcome> {
        let mut state = self.shared.state.lock();
        match &done {
            Ok(_) => {
                state.failed.remove(&partials);
            }
            Err(e) => {
                state.failures += 1;
                let which = state.failures;
                state.failed.insert(partials, (which, e.clone()));
            }
        }
        done
    }
}
