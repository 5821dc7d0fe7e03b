//! The rows of one table that a change adds and removes, as a step from one state to the next.

use std::sync::Arc;

use super::{Fit, PRIVATE, RowChange, changed_meanwhile};
use crate::compaction::read_pack;
use crate::memtable::{self, BlockRef, MemChunk, MemRun};
use crate::state::{SegmentRun, TableState};
use crate::{Error, Result, SegmentId, Sequence, unique};

impl RowChange {
    pub(super) fn apply(&self, table: &mut TableState, sequence: Sequence, fit: Fit) -> Result<()> {
        let (is_done, is_sealed) = match fit {
            Fit::Strict => (false, false),
            Fit::Replay { applied, sealed } => (sequence <= applied, sequence <= sealed),
        };
        table.changed = sequence;
        self.delete_from_memory(table, fit)?;
        if !is_done {
            for segment in &self.segments {
                table.segments.push(SegmentRun {
                    segment: segment.clone(),
                    deleted: None,
                    added: sequence,
                });
            }
            self.delete_from_segments(table)?;
            self.check_unique(table)?;
        }
        if !is_sealed {
            for (&ordinal, block) in &self.blocks {
                let at = BlockRef { sequence, ordinal };
                let chunk = Arc::new(MemChunk::new(&table.def, block.clone(), at));
                table.memory.push(MemRun {
                    chunk,
                    deleted: None,
                });
            }
        }
        // Own rows can be deleted only while the transaction is under way: what commits has been
        // cleaned of them.
        if sequence == PRIVATE {
            self.delete_private(table);
        }
        Ok(())
    }

    fn delete_from_memory(&self, table: &mut TableState, fit: Fit) -> Result<()> {
        let committed = self.deletes.blocks.range(
            ..BlockRef {
                sequence: PRIVATE,
                ordinal: 0,
            },
        );
        let asked: u64 = committed.map(|(_, rows)| rows.len()).sum();
        if asked == 0 {
            return Ok(());
        }
        let mut found = 0;
        for run in &mut table.memory {
            let rows = run.chunk.rows_at(&self.deletes.blocks);
            let before = run.deleted.as_ref().map_or(0, |d| d.len());
            if !rows.is_empty() {
                Arc::make_mut(run.deleted.get_or_insert_default()).extend(rows);
                found += run.deleted.as_ref().map_or(0, |d| d.len()) - before;
            }
        }
        if found != asked && fit == Fit::Strict {
            return Err(changed_meanwhile());
        }
        table.memory.retain(|run| run.rows() > 0);
        Ok(())
    }

    fn delete_private(&self, table: &mut TableState) {
        for run in table
            .memory
            .iter_mut()
            .filter(|run| run.chunk.sequence_max == PRIVATE)
        {
            let rows = run.chunk.rows_at(&self.deletes.blocks);
            if !rows.is_empty() {
                run.deleted = Some(Arc::new(rows));
            }
        }
        table.memory.retain(|run| run.rows() > 0);
    }

    fn delete_from_segments(&self, table: &mut TableState) -> Result<()> {
        let present = |table: &TableState, id: &SegmentId| {
            table
                .segments
                .iter()
                .position(|run| run.segment.meta.id == *id)
                .ok_or_else(changed_meanwhile)
        };
        for (id, rows) in &self.deletes.rows {
            let at = present(table, id)?;
            if rows.max() >= Some(table.segments[at].segment.meta.rows()) {
                return Err(Error::Invalid(format!("deleted rows beyond segment {id}")));
            }
            let deleted = Arc::make_mut(table.segments[at].deleted.get_or_insert_default());
            let before = deleted.len();
            *deleted |= rows;
            if deleted.len() - before != rows.len() {
                return Err(changed_meanwhile());
            }
        }
        for id in &self.deletes.segments {
            let at = present(table, id)?;
            table.segments.remove(at);
        }
        table.segments.retain(|run| run.rows() > 0);
        Ok(())
    }

    /// What others committed since the statement looked must not hold the added keys.
    fn check_unique(&self, table: &TableState) -> Result<()> {
        let Some(since) = self.unique_as_of else {
            return Ok(());
        };
        let is_own = |run: &SegmentRun| self.segments.iter().any(|s| Arc::ptr_eq(s, &run.segment));
        let mut others = table.clone();
        others.memory.retain(|run| run.chunk.sequence_max > since);
        others
            .segments
            .retain(|run| run.added > since && !is_own(run));
        if others.memory.is_empty() && others.segments.is_empty() {
            return Ok(());
        }
        for block in self.blocks.values() {
            unique::check_against(&others, block)?;
        }
        for run in table.segments.iter().filter(|run| is_own(run)) {
            for pack in 0..run.segment.meta.packs.len() as u32 {
                unique::check_against(&others, &read_pack(&table.def, run, pack)?)?;
            }
        }
        Ok(())
    }
}

impl TableState {
    /// Merges chunks that have grown many, among those after `frozen`.
    pub fn merge_chunks(&mut self, frozen: Option<Sequence>) -> Result<()> {
        loop {
            let start = frozen.map_or(0, |frozen| {
                self.memory
                    .iter()
                    .rposition(|r| r.chunk.sequence_max <= frozen)
                    .map_or(0, |i| i + 1)
            });
            let rows: Vec<usize> = self.memory[start..].iter().map(MemRun::weight).collect();
            let Some(stretch) = memtable::choose_merge(&rows) else {
                return Ok(());
            };
            let stretch = start + stretch.start..start + stretch.end;
            let merged = memtable::merge(&self.def, &self.memory[stretch.clone()])?;
            let merged = merged.map(|chunk| MemRun {
                chunk: Arc::new(chunk),
                deleted: None,
            });
            self.memory.splice(stretch, merged);
        }
    }
}
