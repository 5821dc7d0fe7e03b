//! What the database is at one sequence: tables with their rows, and catalog records.
//!
//! A state never changes. The committer makes the next one, sharing what did not change; a reader
//! keeps the one it took for as long as it likes, and with it the segments that it names.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use roaring::RoaringBitmap;

use crate::memtable::MemRun;
use crate::segment::Segment;
use crate::table::TableDef;
use crate::{Sequence, TableId};

/// The database at one sequence.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The newest commit that is in it.
    pub sequence: Sequence,
    /// Grows whenever background work moves rows: addresses of rows hold within one generation.
    pub generation: u64,
    /// The tables.
    pub tables: Arc<HashMap<TableId, Arc<TableState>>>,
    /// The catalog's records, by name. Storage does not look into them.
    pub records: Arc<BTreeMap<String, Bytes>>,
}

/// One table at one sequence.
#[derive(Debug, Clone)]
pub struct TableState {
    /// Its definition.
    pub def: Arc<TableDef>,
    /// Rows in memory, oldest commits first.
    pub memory: Vec<MemRun>,
    /// Rows in segments.
    pub segments: Vec<SegmentRun>,
    /// The newest commit that changed its rows.
    pub changed: Sequence,
}

/// A segment and which of its rows are deleted.
#[derive(Debug, Clone)]
pub struct SegmentRun {
    /// The rows.
    pub segment: Arc<Segment>,
    /// Numbers of the rows that are no more.
    pub deleted: Option<Arc<RoaringBitmap>>,
    /// The newest commit whose rows may be in it.
    pub added: Sequence,
}

impl SegmentRun {
    /// Rows that are alive.
    pub fn rows(&self) -> u64 {
        let deleted = self.deleted.as_ref().map_or(0, |d| d.len());
        u64::from(self.segment.meta.rows()) - deleted
    }
}

impl State {
    /// A table, if it exists at this sequence.
    pub fn table(&self, id: TableId) -> Option<&Arc<TableState>> {
        self.tables.get(&id)
    }

    /// The same without rows in memory, which would stay there as long as this state.
    pub(crate) fn without_memory(&self) -> State {
        let bare = |table: &Arc<TableState>| {
            if table.memory.is_empty() {
                return table.clone();
            }
            Arc::new(TableState {
                memory: Vec::new(),
                ..(**table).clone()
            })
        };
        let tables = self.tables.iter().map(|(&id, table)| (id, bare(table)));
        State {
            tables: Arc::new(tables.collect()),
            ..self.clone()
        }
    }

    /// Memory held by rows that are not in segments, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.tables.values().map(|t| t.memory_bytes()).sum()
    }
}

impl TableState {
    /// A table without rows.
    pub fn new(def: Arc<TableDef>, at: Sequence) -> Self {
        TableState {
            def,
            memory: Vec::new(),
            segments: Vec::new(),
            changed: at,
        }
    }

    /// Rows that are alive.
    pub fn rows(&self) -> u64 {
        self.memory.iter().map(|r| r.rows() as u64).sum::<u64>()
            + self.segments.iter().map(SegmentRun::rows).sum::<u64>()
    }

    /// Memory held by rows that are not in segments, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.memory.iter().map(|run| run.chunk.bytes).sum()
    }

    /// Bytes on disk of its segments.
    pub fn segment_bytes(&self) -> u64 {
        self.segments.iter().map(|run| run.segment.meta.bytes).sum()
    }

    /// The oldest time in microseconds of any row in a segment or in memory, or an older one.
    pub fn oldest_time(&self) -> Option<i64> {
        let time = self.def.time_column()?;
        let memory = self.memory.iter().filter_map(|run| Some(run.chunk.time?.0));
        let segments = self.segments.iter().filter_map(|run| {
            let meta = &run.segment.meta;
            let index = meta.column_index(self.def.column_ids[time])?;
            let times = meta.packs.iter().filter_map(|p| p.zones[index].min_int());
            times.min()
        });
        memory.chain(segments).min()
    }

    /// The newest time in microseconds of any row in a segment or in memory, or a newer one.
    pub fn newest_time(&self) -> Option<i64> {
        let time = self.def.time_column()?;
        let memory = self.memory.iter().filter_map(|run| Some(run.chunk.time?.1));
        let mut newest = memory.max();
        for run in self.segments.iter().rev() {
            let meta = &run.segment.meta;
            // Most segments are of older chunks.
            if newest.is_some_and(|newest| meta.chunk.1 <= newest) {
                continue;
            }
            let Some(index) = meta.column_index(self.def.column_ids[time]) else {
                continue;
            };
            let times = meta.packs.iter().filter_map(|p| p.zones[index].max_int());
            newest = newest.max(times.max());
        }
        newest
    }
}
