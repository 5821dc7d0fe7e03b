//! A unit of work: what it adds and removes is private until it commits, then everybody sees all
//! of it, or nothing when it does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, filter_record_batch};
use bytes::Bytes;
use roaring::RoaringBitmap;

use crate::change::{Change, Fit, PRIVATE, RecordChange, RowChange};
use crate::deletes::Deletes;
use crate::derived::{self, Partials, Ranges};
use crate::engine::Shared;
use crate::memtable::{BlockRef, MemChunk, MemRun};
use crate::state::{State, TableState};
use crate::table::TableDef;
use crate::{Engine, Error, Result, SegmentId, Sequence, TableId, sort, unique};

mod marks;
mod touched;

/// Rows of a block in the log, at most.
const BLOCK_ROWS_MAX: usize = 64 * 1024;
/// Small blocks are joined up to this size: a frame holds 1 GiB at most.
const BLOCK_BYTES_MAX: usize = 64 << 20;
/// All transactions together keep at most so many times what one may keep before they write
/// segments early.
const TRANSACTIONS_FACTOR: usize = 4;

/// A unit of work under way. Dropped without [`Transaction::commit`], it leaves nothing.
pub struct Transaction {
    shared: Arc<Shared>,
    change: Change,
    next_ordinal: u32,
    /// Blocks that a statement under way has addresses of; they must not move.
    pinned_below: u32,
    memory: Reservation,
}

/// A point within a transaction to which it can go back.
#[derive(Clone)]
pub struct Savepoint(Change);

/// A state that a statement reads: the newest commits, and the transaction's own changes on top.
#[derive(Clone)]
pub struct View {
    /// What is seen.
    pub state: Arc<State>,
}

/// Number of a row within a [`View`], for [`Transaction::delete`]: the run in the upper half (from
/// 2³¹ on a segment), the row in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowId(pub u64);

const SEGMENT_RUNS: u32 = 1 << 31;

impl RowId {
    /// A row of a run in memory.
    pub fn in_memory(run: usize, row: u32) -> Self {
        RowId((run as u64) << 32 | u64::from(row))
    }

    /// A row of a segment.
    pub fn in_segment(run: usize, row: u32) -> Self {
        RowId(u64::from(SEGMENT_RUNS | run as u32) << 32 | u64::from(row))
    }
}

/// A number that more is added to and that is taken off again when it goes.
struct Reservation {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.release_private(self.bytes);
    }
}

impl Engine {
    /// Begins a transaction. Deletes follow their rows wherever background work moves them, from
    /// now on: the states that the transaction's views are based on have to be taken later.
    pub fn begin(&self) -> Transaction {
        Transaction {
            shared: self.shared.clone(),
            change: Change {
                hold: Some(self.shared.moves.hold()),
                ..Change::default()
            },
            next_ordinal: 0,
            pinned_below: 0,
            memory: Reservation {
                shared: self.shared.clone(),
                bytes: 0,
            },
        }
    }
}

impl Transaction {
    /// Whether it has changed nothing.
    pub fn is_empty(&self) -> bool {
        self.change.is_empty()
    }

    /// What a statement sees that begins now, or at `base`: its commits and the transaction's own
    /// changes.
    ///
    /// # Errors
    /// [`Error::Conflict`] when rows that the transaction deleted were changed by others.
    pub fn view(&mut self, base: Option<&Arc<State>>) -> Result<View> {
        let base = base.cloned().unwrap_or_else(|| self.shared.state());
        self.pinned_below = self.next_ordinal;
        if self.change.is_empty() {
            return Ok(View { state: base });
        }
        self.change.follow(&self.shared.moves, base.generation)?;
        Ok(View {
            state: Arc::new(self.change.apply(&base, PRIVATE, Fit::Strict)?),
        })
    }

    /// Adds rows. The batch must have the table's columns; it need not be sorted.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when a primary key stands twice; [`Error::Invalid`] when the batch does
    /// not fit the table. The transaction then holds part of the rows and must not commit.
    pub fn append(&mut self, table: TableId, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.shared.pressure.slow_down();
        let state = self.shared.state();
        let def = self.def(&state, table)?;
        def.accept(&batch)?;
        if !def.primary_key().is_empty() {
            self.check_unique(&state, table, &def, &batch)?;
        }
        let mut first = 0;
        while first < batch.num_rows() {
            let rows = BLOCK_ROWS_MAX.min(batch.num_rows() - first);
            let part = batch.slice(first, rows);
            // A slice would keep its whole batch in memory; sorted rows are a copy.
            let part = match sort::permutation(&def, &part)? {
                Some(order) => sort::reorder(&part, &order)?,
                None if rows == batch.num_rows() => part,
                None => sort::reorder(&part, &(0..rows as u32).collect::<Vec<_>>())?,
            };
            self.reserve(part.get_array_memory_size());
            let row_change = self.change.rows.entry(table).or_default();
            row_change.blocks.insert(self.next_ordinal, part);
            self.next_ordinal += 1;
            first += rows;
        }
        if self.memory.bytes >= self.memory_limit() {
            self.spill().inspect_err(|e| self.shared.check_store(e))?;
        }
        Ok(())
    }

    /// Removes rows that a scan of `view` returned.
    ///
    /// # Errors
    /// [`Error::Conflict`] when rows that the transaction deleted were changed by others;
    /// [`Error::Expired`] when something is derived from them and others of their age are gone.
    pub fn delete(&mut self, view: &View, table: TableId, rows: &[RowId]) -> Result<()> {
        self.mark_around(view, table, rows)?;
        self.remove(view, table, rows)
    }

    fn remove(&mut self, view: &View, table: TableId, rows: &[RowId]) -> Result<()> {
        let seen = view.state.table(table).ok_or_else(no_table)?;
        let mut deletes = Deletes::default();
        for row in rows {
            let (run, row) = ((row.0 >> 32) as u32, row.0 as u32);
            if run < SEGMENT_RUNS {
                let (block, row) = seen.memory[run as usize].chunk.address(row);
                deletes.blocks.entry(block).or_default().insert(row);
            } else {
                let segment = seen.segments[(run - SEGMENT_RUNS) as usize].segment.meta.id;
                deletes.rows.entry(segment).or_default().insert(row);
            }
        }
        self.add_deletes(view, table, deletes)
    }

    /// Removes all rows of a table that `view` shows.
    ///
    /// # Errors
    /// [`Error::Conflict`] when rows that the transaction deleted were changed by others.
    pub fn clear(&mut self, view: &View, table: TableId) -> Result<()> {
        // Nothing is gone any more: all of what is derived is stale, and a seal under way may still
        // bring partials of what is deleted here. Other marks may stay, and others may delete them.
        for stale in view.state.stale_of(table) {
            let gone = derived::marks(&view.state, stale.def.id, true)?.into_iter();
            let gone: Vec<RowId> = gone.map(|(_, row)| row).collect();
            self.remove(view, stale.def.id, &gone)?;
        }
        self.mark(&view.state, table, &Ranges::of_all(i64::MIN, i64::MAX))?;
        let seen = view.state.table(table).ok_or_else(no_table)?.clone();
        let change = self.change.rows.entry(table).or_default();
        change.blocks.clear();
        let own: Vec<SegmentId> = change.segments.drain(..).map(|s| s.meta.id).collect();
        let earlier = &mut change.deletes;
        earlier.blocks.retain(|at, _| at.sequence != PRIVATE);
        earlier.rows.retain(|id, _| !own.contains(id));
        let mut deletes = Deletes::default();
        let committed = seen.memory.iter();
        for run in committed.filter(|run| run.chunk.sequence_max != PRIVATE) {
            for (block, rows) in run.chunk.all_addresses(run.deleted.as_deref()) {
                deletes.blocks.entry(block).or_default().extend(rows);
            }
        }
        let seen_ids = seen.segments.iter().map(|run| run.segment.meta.id);
        deletes.segments = seen_ids.filter(|id| !own.contains(id)).collect();
        self.add_deletes(view, table, deletes)
    }

    /// Adds deletes whose addresses are of the view's generation.
    fn add_deletes(&mut self, view: &View, table: TableId, mut deletes: Deletes) -> Result<()> {
        let (moves, generation) = (&self.shared.moves, view.state.generation);
        if !self.change.has_deletes() {
            self.change.generation = generation;
        }
        self.change.follow(moves, generation)?;
        moves.follow(table, &mut deletes, generation, self.change.generation)?;
        let all = &mut self.change.rows.entry(table).or_default().deletes;
        all.extend(deletes);
        // Rows of a segment deleted earlier go with their segment.
        let Deletes { rows, segments, .. } = all;
        rows.retain(|id, _| !segments.contains(id));
        Ok(())
    }

    /// Creates a table or changes its definition.
    pub fn put_table(&mut self, def: TableDef) {
        self.change.tables.insert(def.id, Some(Arc::new(def)));
    }

    /// Drops a table with its rows.
    pub fn drop_table(&mut self, table: TableId) {
        self.change.rows.remove(&table);
        self.change.tables.insert(table, None);
    }

    /// From here on a change of the table's rows by others is a conflict.
    pub fn require_unchanged(&mut self, view: &View, table: TableId) {
        self.change.unchanged.insert(table, view.state.sequence);
    }

    /// Puts or removes a catalog record that `view` shows; a change of it by others is a conflict.
    pub fn put_record(&mut self, view: &View, name: &str, value: Option<Bytes>) {
        let seen = match self.change.records.get(name) {
            Some(earlier) => earlier.seen.clone(),
            None => view.state.records.get(name).cloned(),
        };
        self.change
            .records
            .insert(name.to_owned(), RecordChange { seen, value });
    }

    /// A point to go back to.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint(self.change.clone())
    }

    /// Undoes everything since the savepoint, which may be one of a transaction that is gone.
    pub fn rollback_to(&mut self, savepoint: &Savepoint) {
        self.change = savepoint.0.clone();
        // The savepoint may be another transaction's: its blocks keep their numbers.
        let blocks = self.change.rows.values();
        let used = blocks.filter_map(|r| Some(r.blocks.last_key_value()?.0 + 1));
        self.next_ordinal = used.max().unwrap_or(0).max(self.next_ordinal);
        let rows = self.change.rows.values();
        let bytes: usize = rows
            .flat_map(|r| r.blocks.values())
            .map(RecordBatch::get_array_memory_size)
            .sum();
        self.shared.release_private(self.memory.bytes);
        self.memory.bytes = 0;
        self.reserve(bytes);
    }

    /// Makes the changes durable and visible, then calls `done`, from another thread, with the
    /// commit's sequence. Waits while unsealed rows fill the memory that they may take.
    pub fn commit(mut self, done: Box<dyn FnOnce(Result<Sequence>) + Send>) {
        if self.change.is_empty() {
            done(Ok(self.shared.state().sequence));
            return;
        }
        let prepared = self.prepare();
        match prepared {
            Ok(()) => {
                let change = std::mem::take(&mut self.change);
                self.shared.commit(change, done);
            }
            Err(e) => done(Err(e)),
        }
    }

    /// [`Transaction::commit`], waiting for the result.
    pub fn commit_wait(self) -> Result<Sequence> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.commit(Box::new(move |result| {
            // The receiver waits below; it cannot have gone.
            let _ = sender.send(result);
        }));
        receiver
            .recv()
            .unwrap_or_else(|_| Err(Error::Closed("the engine is shut down".into())))
    }

    /// Cleans added rows of those deleted again, and joins small blocks.
    fn prepare(&mut self) -> Result<()> {
        let state = self.shared.state();
        // As far as possible here, and not on the one thread that commits.
        self.change.follow(&self.shared.moves, state.generation)?;
        for (&id, rows) in &mut self.change.rows {
            let created = self.change.tables.get(&id).cloned().flatten();
            let def = created
                .or_else(|| state.table(id).map(|t| t.def.clone()))
                .ok_or_else(no_table)?;
            rows.prepare(&def)?;
        }
        Ok(())
    }

    fn def(&self, state: &State, table: TableId) -> Result<Arc<TableDef>> {
        match self.change.tables.get(&table) {
            Some(def) => def.clone().ok_or_else(no_table),
            None => state
                .table(table)
                .map(|t| t.def.clone())
                .ok_or_else(no_table),
        }
    }

    fn check_unique(
        &mut self,
        state: &Arc<State>,
        table: TableId,
        def: &Arc<TableDef>,
        batch: &RecordBatch,
    ) -> Result<()> {
        let seen = if self.change.is_empty() {
            state.table(table).cloned()
        } else {
            // Views may still be of an older generation, so that the change itself stays there.
            let mut change = self.change.clone();
            change.follow(&self.shared.moves, state.generation)?;
            change
                .apply(state, PRIVATE, Fit::Strict)?
                .table(table)
                .cloned()
        };
        let seen = seen.unwrap_or_else(|| Arc::new(TableState::new(def.clone(), PRIVATE)));
        unique::check_within(&seen, batch)?;
        unique::check_against(&seen, batch)?;
        let change = self.change.rows.entry(table).or_default();
        let earlier = change.unique_as_of.unwrap_or(state.sequence);
        change.unique_as_of = Some(earlier.min(state.sequence));
        Ok(())
    }

    fn reserve(&mut self, bytes: usize) {
        self.memory.bytes += bytes;
        self.shared.reserve_private(bytes);
    }

    /// How much this transaction keeps in memory: less when all of them together keep much, or when
    /// memory runs out.
    fn memory_limit(&self) -> usize {
        let limit = self.shared.options.transaction_memory_bytes;
        if self.shared.pressure.is_high()
            || self.shared.private_bytes() > limit * TRANSACTIONS_FACTOR
        {
            limit / 8
        } else {
            limit
        }
    }

    /// Writes the rows held in memory to segments that only this transaction knows.
    fn spill(&mut self) -> Result<()> {
        let state = self.shared.state();
        let pinned_below = self.pinned_below;
        let mut derived = Vec::new();
        for (&id, rows) in &mut self.change.rows {
            let created = self.change.tables.get(&id).cloned().flatten();
            let def = created
                .or_else(|| state.table(id).map(|t| t.def.clone()))
                .ok_or_else(no_table)?;
            let runs: Vec<MemRun> = rows
                .blocks
                .range(pinned_below..)
                .map(|(&ordinal, block)| rows.private_run(&def, ordinal, block))
                .collect();
            let builder = self.shared.builder();
            let mut partials = Partials::begin(&*self.shared.derive, &state, id);
            let built = builder.build(&def, &runs, &mut |rows| partials.push(rows))?;
            let known = || state.partials_of(id).iter().map(|t| t.def.id).collect();
            self.change.partials.entry(id).or_insert_with(known);
            derived.extend(partials.finish(&builder, &state, &runs)?);
            let spilled = rows.blocks.split_off(&pinned_below);
            for &ordinal in spilled.keys() {
                rows.deletes.blocks.remove(&BlockRef {
                    sequence: PRIVATE,
                    ordinal,
                });
            }
            rows.segments.extend(built.into_iter().map(|b| b.segment));
        }
        for (table, segments) in derived {
            let rows = self.change.rows.entry(table).or_default();
            rows.segments.extend(segments);
        }
        let kept: usize = self
            .change
            .rows
            .values()
            .flat_map(|rows| rows.blocks.values())
            .map(RecordBatch::get_array_memory_size)
            .sum();
        self.shared
            .release_private(self.memory.bytes.saturating_sub(kept));
        self.memory.bytes = kept;
        Ok(())
    }
}

impl RowChange {
    fn private_run(&self, def: &TableDef, ordinal: u32, block: &RecordBatch) -> MemRun {
        let at = BlockRef {
            sequence: PRIVATE,
            ordinal,
        };
        let deleted = self.deletes.blocks.get(&at).cloned().map(Arc::new);
        MemRun {
            chunk: Arc::new(MemChunk::new(def, block.clone(), at)),
            deleted,
        }
    }

    fn prepare(&mut self, def: &TableDef) -> Result<()> {
        let cannot_join = |e: arrow::error::ArrowError| Error::Invalid(e.to_string());
        let mut live: Vec<RecordBatch> = Vec::with_capacity(self.blocks.len());
        for (ordinal, block) in std::mem::take(&mut self.blocks) {
            let at = BlockRef {
                sequence: PRIVATE,
                ordinal,
            };
            match self.deletes.blocks.remove(&at) {
                Some(dead) => {
                    let alive = (0..block.num_rows() as u32)
                        .map(|row| Some(!dead.contains(row)))
                        .collect();
                    live.push(filter_record_batch(&block, &alive).map_err(cannot_join)?);
                }
                None => live.push(block),
            }
        }
        live.retain(|block| block.num_rows() > 0);
        let mut joined: BTreeMap<u32, RecordBatch> = BTreeMap::new();
        let mut rest = live.as_slice();
        while !rest.is_empty() {
            let (mut rows, mut bytes) = (0, 0);
            let fitting = rest.iter().take_while(|block| {
                rows += block.num_rows();
                bytes += block.get_array_memory_size();
                rows <= BLOCK_ROWS_MAX && bytes <= BLOCK_BYTES_MAX
            });
            let (now, later) = rest.split_at(fitting.count().max(1));
            let block = match now {
                [one] => one.clone(),
                many => {
                    let all = concat_batches(&def.schema, many).map_err(cannot_join)?;
                    match sort::permutation(def, &all)? {
                        Some(order) => sort::reorder(&all, &order)?,
                        None => all,
                    }
                }
            };
            joined.insert(joined.len() as u32, block);
            rest = later;
        }
        self.blocks = joined;
        Ok(())
    }
}

impl MemChunk {
    /// The addresses of all rows but the deleted ones.
    fn all_addresses(&self, deleted: Option<&RoaringBitmap>) -> BTreeMap<BlockRef, RoaringBitmap> {
        let mut addresses: BTreeMap<BlockRef, RoaringBitmap> = BTreeMap::new();
        let alive = |row: &u32| deleted.is_none_or(|d| !d.contains(*row));
        for row in (0..self.batch.num_rows() as u32).filter(alive) {
            let (block, row) = self.address(row);
            addresses.entry(block).or_default().insert(row);
        }
        addresses
    }
}

fn no_table() -> Error {
    Error::Conflict("the table was dropped meanwhile".into())
}
