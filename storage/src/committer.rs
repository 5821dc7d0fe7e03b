//! The one thread that changes the state.
//!
//! Commits come through a bounded queue. Those that wait together form a group: each is checked
//! against the state that the ones before it leave, all are written to the log, one sync makes them
//! durable, and then they become visible at once. Seals and merges are installed between groups, so
//! that a checkpoint never runs ahead of the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use roaring::RoaringBitmap;
use tracing::{error, warn};

use crate::build::Built;
use crate::change::{Change, Fit};
use crate::deletes::Deletes;
use crate::engine::Shared;
use crate::manifest::{self, Checkpoint};
use crate::moves::Move;
use crate::rocks::MetaBatch;
use crate::rocks::keys::MetaKey;
use crate::segment::Segment;
use crate::state::{SegmentRun, State};
use crate::wal::{Frame, Wal};
use crate::{Error, Result, Sequence, TableId};

/// A group takes no more commits once it holds so many bytes.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Why commits are refused after the log failed for good.
const LOG_FAILED: &str =
    "the server accepts no writes since the log could not be synced; restart it";

/// Told, once, how a commit ended.
pub(crate) type Done = Box<dyn FnOnce(Result<Sequence>) + Send>;

/// What the committer is asked.
pub(crate) enum Work {
    /// Log and apply a change.
    Commit {
        change: Change,
        frames: Vec<Frame>,
        done: Done,
    },
    /// From now on leave the present chunks in memory alone, and tell the state.
    Freeze(SyncSender<Arc<State>>),
    /// Put segments in the place of the frozen chunks.
    Seal(Seal, SyncSender<Result<()>>),
    /// Put merged segments in the place of their inputs. `false`: the inputs have changed.
    Compact(Compact, SyncSender<Result<bool>>),
    /// Finish.
    Stop,
}

/// A seal that is ready to be installed.
pub(crate) struct Seal {
    pub(crate) frozen: Arc<State>,
    pub(crate) built: HashMap<TableId, Vec<Built>>,
    /// Rows of derived tables, computed from the rows that are sealed.
    pub(crate) derived: Vec<(TableId, Vec<Arc<Segment>>)>,
    /// Where the rows of each table go.
    pub(crate) moves: Vec<(TableId, Option<Move>)>,
}

impl Seal {
    /// Partials that were created meanwhile know nothing of the rows that are sealed here.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there are any: the seal has to be done again.
    fn check_partials(&self, now: &State) -> Result<()> {
        let is_known = |source: &TableId| {
            let of_now = now.partials_of(*source);
            of_now
                .iter()
                .all(|table| self.frozen.table(table.def.id).is_some())
        };
        if self.built.keys().all(is_known) {
            return Ok(());
        }
        Err(Error::Conflict("an aggregate was created meanwhile".into()))
    }
}

/// A merge that is ready to be installed.
pub(crate) struct Compact {
    pub(crate) table: TableId,
    pub(crate) inputs: Vec<SegmentRun>,
    pub(crate) outputs: Vec<Arc<Segment>>,
    /// Where the rows go.
    pub(crate) moved: Move,
}

pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) wal: Wal,
    /// The newest state, whose commits may not be synced yet.
    pub(crate) staged: Arc<State>,
    /// What the manifest holds; without rows in memory.
    pub(crate) persisted: Arc<State>,
    pub(crate) sealed: Sequence,
    pub(crate) frozen: Option<Sequence>,
    /// Segments that came with commits since the manifest was written.
    pub(crate) attached: Vec<Arc<Segment>>,
    /// What the manifest may hold instead: writing it failed.
    pub(crate) doubt: Option<State>,
}

impl Committer {
    /// Works until told to stop.
    pub(crate) fn run(mut self, queue: Receiver<Work>) {
        let mut next = self.idle(&queue);
        while let Some(work) = next.take() {
            match work {
                Work::Commit {
                    change,
                    frames,
                    done,
                } => {
                    next = self.commit_group((change, frames, done), &queue);
                    if next.is_some() {
                        continue;
                    }
                }
                Work::Freeze(reply) => {
                    self.frozen = Some(self.staged.sequence);
                    // Whoever asked may have given up; then the next seal asks again.
                    let _ = reply.send(self.staged.clone());
                }
                Work::Seal(seal, reply) => {
                    let _ = reply.send(self.install_seal(seal));
                }
                Work::Compact(compact, reply) => {
                    let _ = reply.send(self.install_compaction(compact));
                }
                Work::Stop => return,
            }
            next = self.idle(&queue);
        }
    }

    /// Waits for work, and makes a spare log file meanwhile.
    fn idle(&mut self, queue: &Receiver<Work>) -> Option<Work> {
        loop {
            match queue.try_recv() {
                Ok(work) => return Some(work),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            match self.wal.prepare() {
                Ok(true) => {}
                // What a spare file cannot be made for now, the next group reports.
                Ok(false) | Err(_) => {
                    self.close_with_log();
                    return queue.recv().ok();
                }
            }
        }
    }

    /// Commits the first and whatever waits behind it. Returns the work that ended the group.
    fn commit_group(
        &mut self,
        first: (Change, Vec<Frame>, Done),
        queue: &Receiver<Work>,
    ) -> Option<Work> {
        let before = self.staged.clone();
        let mut waiting = Vec::new();
        let mut bytes = 0;
        let mut ended_by = None;
        let mut next = Some(first);
        while let Some((mut change, mut frames, done)) = next.take() {
            bytes += frames.iter().map(|f| f.payload.len() + 64).sum::<usize>();
            match self.stage(&mut change, &mut frames) {
                Ok(sequence) => waiting.push((sequence, change, done)),
                Err(e) => done(Err(e)),
            }
            if bytes < GROUP_BYTES_MAX {
                match queue.try_recv() {
                    Ok(Work::Commit {
                        change,
                        frames,
                        done,
                    }) => next = Some((change, frames, done)),
                    Ok(other) => ended_by = Some(other),
                    Err(_) => {}
                }
            }
        }
        if waiting.is_empty() {
            return ended_by;
        }
        fail::fail_point!("commit.before_sync");
        match self.wal.sync() {
            Ok(()) => {
                fail::fail_point!("commit.after_sync");
                for (_, change, _) in &waiting {
                    self.attached
                        .extend(change.rows.values().flat_map(|rows| rows.segments.clone()));
                }
                self.attached.iter().for_each(|segment| segment.keep());
                self.publish();
                for (sequence, _, done) in waiting {
                    done(Ok(sequence));
                }
            }
            Err(e) => {
                self.staged = before;
                let e = if self.wal.is_usable() {
                    warn!(error = %e, "the disk is full: commits are refused until there is room");
                    e
                } else {
                    // The log may hold these commits all the same: a restart decides.
                    let segments = waiting
                        .iter()
                        .flat_map(|(_, change, _)| change.rows.values());
                    segments
                        .flat_map(|rows| &rows.segments)
                        .for_each(|segment| segment.keep());
                    error!(error = %e, "the log could not be synced: no commit is accepted before a restart");
                    self.shared.close(LOG_FAILED);
                    Error::Undecided(Box::new(e))
                };
                for (_, _, done) in waiting {
                    done(Err(e.clone()));
                }
            }
        }
        ended_by
    }

    fn stage(&mut self, change: &mut Change, frames: &mut [Frame]) -> Result<Sequence> {
        let sequence = self.staged.sequence.next();
        if change.follow(&self.shared.moves, self.staged.generation)? {
            change.renew_deletes(frames);
        }
        let mut next = change.apply(&self.staged, sequence, Fit::Strict)?;
        for id in change.rows.keys() {
            if let Some(table) = Arc::make_mut(&mut next.tables).get_mut(id) {
                Arc::make_mut(table).merge_chunks(self.frozen)?;
            }
        }
        self.wal.append(sequence, frames)?;
        self.staged = Arc::new(next);
        Ok(sequence)
    }

    /// A log that failed for good while no commit was under way.
    fn close_with_log(&self) {
        if !self.wal.is_usable() {
            self.shared.close(LOG_FAILED);
        }
    }

    fn publish(&self) {
        self.shared.publish(self.staged.clone(), self.wal.bytes());
    }

    fn install_seal(&mut self, seal: Seal) -> Result<()> {
        self.frozen = None;
        let mut next = (*self.staged).clone();
        seal.check_partials(&next)?;
        let tables = Arc::make_mut(&mut next.tables);
        for (id, frozen) in seal.frozen.tables.iter() {
            // A table dropped meanwhile takes its segments with it.
            let Some(table) = tables.get_mut(id) else {
                continue;
            };
            if frozen.memory.is_empty() {
                continue;
            }
            let table = Arc::make_mut(table);
            let mut dead: HashMap<u32, RoaringBitmap> = HashMap::new();
            for (number, run) in (0u32..).zip(&frozen.memory) {
                let now = table
                    .memory
                    .iter()
                    .find(|r| Arc::ptr_eq(&r.chunk, &run.chunk));
                let deleted_now = match now {
                    Some(now) => now.deleted.as_deref().cloned().unwrap_or_default(),
                    None => (0..run.chunk.batch.num_rows() as u32).collect(),
                };
                let newly = deleted_now - run.deleted.as_deref().unwrap_or(&RoaringBitmap::new());
                if !newly.is_empty() {
                    dead.insert(number, newly);
                }
            }
            table.memory.retain(|r| {
                !frozen
                    .memory
                    .iter()
                    .any(|f| Arc::ptr_eq(&f.chunk, &r.chunk))
            });
            for built in seal.built.get(id).map_or(&[][..], |b| b) {
                let rows = (0u32..).zip(&built.sources);
                let deleted: RoaringBitmap = rows
                    .filter(|(_, (run, row))| dead.get(run).is_some_and(|d| d.contains(*row)))
                    .map(|(row, _)| row)
                    .collect();
                let deleted = (!deleted.is_empty()).then(|| Arc::new(deleted));
                let run = SegmentRun {
                    segment: built.segment.clone(),
                    deleted,
                    added: next.sequence,
                };
                if run.rows() > 0 {
                    table.segments.push(run);
                }
            }
        }
        for (id, segments) in seal.derived {
            // A table dropped meanwhile takes its segments with it.
            let Some(table) = tables.get_mut(&id) else {
                continue;
            };
            let runs = segments.into_iter().map(|segment| SegmentRun {
                segment,
                deleted: None,
                added: next.sequence,
            });
            Arc::make_mut(table).segments.extend(runs);
        }
        self.persist(next, seal.frozen.sequence, seal.moves)?;
        fail::fail_point!("seal.before_release");
        let released = self.wal.release(self.sealed);
        self.close_with_log();
        self.shared.begin_age();
        self.publish();
        released
    }

    fn install_compaction(&mut self, compact: Compact) -> Result<bool> {
        let mut next = (*self.staged).clone();
        let Some(table) = Arc::make_mut(&mut next.tables).get_mut(&compact.table) else {
            return Ok(false);
        };
        let table = Arc::make_mut(table);
        // Rows of the inputs that were deleted during the merge are deleted rows of the outputs.
        let mut newly = Deletes::default();
        for input in &compact.inputs {
            let now = table
                .segments
                .iter()
                .position(|now| Arc::ptr_eq(&now.segment, &input.segment));
            let Some(now) = now else {
                // It went when its last row did.
                newly.segments.insert(input.segment.meta.id);
                continue;
            };
            let now = table.segments.swap_remove(now);
            if let Some(dead) = now.deleted {
                let before = input.deleted.as_deref().cloned().unwrap_or_default();
                newly.add_rows(input.segment.meta.id, dead.as_ref() - &before);
            }
        }
        if newly.segments.len() == compact.inputs.len() || compact.moved.follow(&mut newly).is_err()
        {
            return Ok(false);
        }
        let added = compact.inputs.iter().map(|run| run.added).max();
        for segment in compact.outputs {
            let run = SegmentRun {
                deleted: newly.rows.remove(&segment.meta.id).map(Arc::new),
                segment,
                added: added.unwrap_or_default(),
            };
            if run.rows() > 0 {
                table.segments.push(run);
            }
        }
        self.persist(
            next,
            self.sealed,
            vec![(compact.table, Some(compact.moved))],
        )?;
        self.publish();
        Ok(true)
    }

    /// Makes `next` the state, in the manifest first. All its commits are synced.
    fn persist(
        &mut self,
        mut next: State,
        sealed: Sequence,
        moves: Vec<(TableId, Option<Move>)>,
    ) -> Result<()> {
        self.settle_doubt()?;
        next.generation += 1;
        let mut batch = manifest::difference(&self.persisted, &next);
        batch.put(MetaKey::Checkpoint, self.checkpoint(sealed, &next).encode());
        fail::fail_point!("manifest.before_commit");
        let written = self.write_manifest(batch);
        // Also after a failure: nobody knows whether the manifest names them now. If it does not,
        // the next start removes them.
        for run in next.tables.values().flat_map(|t| &t.segments) {
            run.segment.keep();
        }
        if let Err(e) = written {
            self.doubt = Some(next.without_memory());
            return Err(e);
        }
        fail::fail_point!("manifest.after_commit");
        manifest::gone(&self.persisted, &next).for_each(|segment| segment.forget());
        let still = |segment: &Arc<Segment>| {
            let table = next.tables.get(&segment.meta.table);
            table.is_some_and(|t| {
                t.segments
                    .iter()
                    .any(|run| Arc::ptr_eq(&run.segment, segment))
            })
        };
        self.attached
            .drain(..)
            .filter(|segment| !still(segment))
            .for_each(|segment| segment.forget());
        self.shared.moves.push(next.generation, moves);
        self.persisted = Arc::new(next.without_memory());
        self.staged = Arc::new(next);
        self.sealed = sealed;
        Ok(())
    }

    /// After a manifest that could not be written for want of space, and may be there all the same:
    /// writes the one before it again, and lets go of the segments that only the other names.
    fn settle_doubt(&mut self) -> Result<()> {
        let Some(doubt) = &self.doubt else {
            return Ok(());
        };
        let mut batch = manifest::difference(doubt, &self.persisted);
        let checkpoint = self.checkpoint(self.sealed, &self.persisted);
        batch.put(MetaKey::Checkpoint, checkpoint.encode());
        self.write_manifest(batch)?;
        let is_named = |state: &State, segment: &Segment| {
            let table = state.tables.get(&segment.meta.table);
            table.is_some_and(|t| {
                let mut runs = t.segments.iter();
                runs.any(|run| run.segment.meta.id == segment.meta.id)
            })
        };
        manifest::gone(doubt, &self.staged)
            .filter(|segment| !is_named(&self.persisted, segment))
            .for_each(|segment| segment.forget());
        self.doubt = None;
        Ok(())
    }

    fn checkpoint(&self, sealed: Sequence, state: &State) -> Checkpoint {
        Checkpoint {
            sealed,
            applied: state.sequence,
            ..self.shared.used_numbers()
        }
    }

    fn write_manifest(&self, batch: MetaBatch) -> Result<()> {
        self.shared.home.store.commit_meta(batch).inspect_err(|e| {
            if !e.is_disk_full() {
                error!(error = %e, "the manifest could not be written: no commit is accepted before a restart");
                self.shared.close("the server accepts no writes since the manifest could not be written; restart it");
            }
        })
    }
}

/// What everybody hears who asks after the committer has gone.
pub(crate) fn stopped<T>(_: T) -> Error {
    Error::Closed("the engine is shut down".into())
}
