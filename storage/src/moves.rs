//! Where rows went when background work moved them.
//!
//! A transaction names the rows that it deletes by where they stand: in a block of the log, or in a
//! segment. A seal moves rows out of blocks, a merge from segments to another. Each such step begins
//! a new *generation* of addresses, and is kept here while anybody counts on an older one, so that
//! deletes can follow their rows: nobody hears of a conflict because background work was busy.
//!
//! Who counts on a generation has a [`Hold`]. All steps together take [`BYTES_MAX`] at most: beyond
//! it the oldest ones of the table that takes most are let go, and a transaction that would need
//! them fails as if another had changed its rows.
//!
//! Rejected: keeping background work waiting for such transactions. Memory fills up meanwhile, and
//! one that waits for its client would hold up everybody.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::deletes::Deletes;
use crate::{Error, Result, TableId};

mod step;

pub(crate) use step::{Merged, Move, Sealed, Turns};

/// Memory of all steps together.
const BYTES_MAX: usize = 64 << 20;

/// The steps that somebody may still need.
pub(crate) struct Moves {
    log: Mutex<Log>,
    bytes_max: usize,
}

#[derive(Default)]
struct Log {
    /// The generation of the state that everybody sees, or an older one.
    published: u64,
    tables: HashMap<TableId, Trail>,
    /// How many count on each generation.
    holds: BTreeMap<u64, usize>,
    bytes: usize,
}

/// The steps of one table.
#[derive(Default)]
struct Trail {
    /// By the generations that they began.
    steps: VecDeque<(u64, Arc<Move>)>,
    bytes: usize,
    /// The newest step that was let go although somebody may need it.
    lost: u64,
}

/// Keeps the steps since a generation.
pub(crate) struct Hold {
    moves: Arc<Moves>,
    generation: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut log = self.moves.log.lock();
        if let Some(count) = log.holds.get_mut(&self.generation) {
            *count -= 1;
            if *count == 0 {
                log.holds.remove(&self.generation);
            }
        }
        log.trim();
    }
}

impl Moves {
    pub(crate) fn new() -> Self {
        Moves::with_limit(BYTES_MAX)
    }

    fn with_limit(bytes_max: usize) -> Self {
        Moves {
            log: Mutex::new(Log::default()),
            bytes_max,
        }
    }

    /// From now on keeps the steps after every state that is taken later.
    pub(crate) fn hold(self: &Arc<Self>) -> Arc<Hold> {
        let mut log = self.log.lock();
        let generation = log.published;
        self.held(&mut log, generation)
    }

    /// The same from a generation on that the caller holds already, or an older one.
    pub(crate) fn hold_at(self: &Arc<Self>, generation: u64) -> Arc<Hold> {
        self.held(&mut self.log.lock(), generation)
    }

    fn held(self: &Arc<Self>, log: &mut Log, generation: u64) -> Arc<Hold> {
        *log.holds.entry(generation).or_default() += 1;
        Arc::new(Hold {
            moves: self.clone(),
            generation,
        })
    }

    /// Notes the steps that begin a generation, before anybody sees a state of it.
    pub(crate) fn push(&self, generation: u64, steps: Vec<(TableId, Option<Move>)>) {
        let mut log = self.log.lock();
        for (table, step) in steps {
            let trail = log.tables.entry(table).or_default();
            match step {
                Some(step) => {
                    let bytes = step.bytes();
                    trail.bytes += bytes;
                    trail.steps.push_back((generation, Arc::new(step)));
                    log.bytes += bytes;
                }
                None => trail.lost = generation,
            }
        }
        while log.bytes > self.bytes_max
            && let Some(trail) = log.tables.values_mut().max_by_key(|trail| trail.bytes)
            && let Some(bytes) = trail.let_go()
        {
            log.bytes -= bytes;
        }
    }

    /// Everybody sees a state of this generation now.
    pub(crate) fn publish(&self, generation: u64) {
        let mut log = self.log.lock();
        log.published = generation;
        log.trim();
    }

    /// Takes deletes of a table from one generation to a later one.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a row was deleted by somebody else, or cannot be followed any more.
    pub(crate) fn follow(
        &self,
        table: TableId,
        deletes: &mut Deletes,
        from: u64,
        to: u64,
    ) -> Result<()> {
        if deletes.is_empty() {
            return Ok(());
        }
        let steps: Vec<Arc<Move>> = {
            let log = self.log.lock();
            let Some(trail) = log.tables.get(&table) else {
                return Ok(());
            };
            if trail.lost > from {
                return Err(lost());
            }
            let steps = trail.steps.iter();
            steps
                .filter(|(generation, _)| (from + 1..=to).contains(generation))
                .map(|(_, step)| step.clone())
                .collect()
        };
        steps.iter().try_for_each(|step| step.follow(deletes))
    }
}

impl Log {
    /// Lets go of what nobody can need.
    fn trim(&mut self) {
        let oldest = self.holds.keys().next().copied();
        let oldest = oldest.unwrap_or(self.published).min(self.published);
        for trail in self.tables.values_mut() {
            while trail.steps.front().is_some_and(|(g, _)| *g <= oldest)
                && let Some((_, step)) = trail.steps.pop_front()
            {
                let bytes = step.bytes();
                trail.bytes -= bytes;
                self.bytes -= bytes;
            }
        }
        self.tables
            .retain(|_, trail| !trail.steps.is_empty() || trail.lost > oldest);
    }
}

impl Trail {
    /// Lets go of the oldest step; answers its size.
    fn let_go(&mut self) -> Option<usize> {
        let (generation, step) = self.steps.pop_front()?;
        let bytes = step.bytes();
        self.bytes -= bytes;
        self.lost = generation;
        Some(bytes)
    }
}

fn lost() -> Error {
    Error::Conflict("rows were changed meanwhile".into())
}

#[cfg(test)]
mod tests;
