//! Rows that are durable in the log but not yet in a segment: a list of immutable sorted chunks.
//!
//! Small chunks are merged as they grow many, so that a lookup touches few. A row keeps the
//! address it has in the log (commit, block, row), however often its chunk is merged; deletes are
//! logged by that address.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use roaring::RoaringBitmap;

use crate::sort;
use crate::table::TableDef;
use crate::{Error, Result, Sequence};

/// Chunks of a size class are merged when there are this many of them.
const MERGE_FAN_IN: usize = 16;
/// A chunk of this many rows is merged no more.
const CHUNK_ROWS_MAX: usize = 64 * 1024;

/// Nor is a chunk of this many bytes: texts of one array take 2 GiB at most.
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// A block of rows as it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The commit.
    pub sequence: Sequence,
    /// Which of the commit's blocks.
    pub ordinal: u32,
}

/// A block within a chunk: its rows are numbered from `first` to `first + rows`, the deleted ones
/// too, so that numbers never shift.
#[derive(Debug, Clone, Copy)]
struct Block {
    at: BlockRef,
    first: u32,
    rows: u32,
}

/// Rows sorted in the table's order.
#[derive(Debug)]
pub struct MemChunk {
    /// The rows. [rows × columns of the table]
    pub batch: RecordBatch,
    /// Least and greatest time in microseconds; `None` for reference tables.
    pub time: Option<(i64, i64)>,
    /// Memory held, in bytes.
    pub bytes: usize,
    /// The newest commit whose rows are in here.
    pub sequence_max: Sequence,
    /// The blocks it came from.
    blocks: Vec<Block>,
    /// For each row its number within all blocks; `None` when they are the same.
    origin: Option<Vec<u32>>,
}

/// A chunk and which of its rows are deleted.
#[derive(Debug, Clone)]
pub struct MemRun {
    /// The rows.
    pub chunk: Arc<MemChunk>,
    /// Numbers of the rows that are no more.
    pub deleted: Option<Arc<RoaringBitmap>>,
}

impl MemRun {
    /// Rows that are alive.
    pub fn rows(&self) -> usize {
        let deleted = self.deleted.as_ref().map_or(0, |d| d.len() as usize);
        self.chunk.batch.num_rows() - deleted
    }
}

impl MemChunk {
    /// The chunk of one block, whose rows are sorted already.
    pub fn new(def: &TableDef, sorted: RecordBatch, block: BlockRef) -> Self {
        let bytes = sorted.get_array_memory_size();
        MemChunk {
            time: time_range(def, &sorted),
            blocks: vec![Block {
                at: block,
                first: 0,
                rows: sorted.num_rows() as u32,
            }],
            batch: sorted,
            bytes,
            sequence_max: block.sequence,
            origin: None,
        }
    }

    /// The address of a row in the log.
    pub fn address(&self, row: u32) -> (BlockRef, u32) {
        let number = self.number(row);
        let at = self.blocks.partition_point(|block| block.first <= number) - 1;
        let block = self.blocks[at];
        (block.at, number - block.first)
    }

    /// The blocks of the log that it came from, each with the number of its first row.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (BlockRef, u32)> {
        self.blocks.iter().map(|block| (block.at, block.first))
    }

    /// How many rows its blocks have, deleted ones included.
    pub(crate) fn numbers(&self) -> u32 {
        self.blocks.last().map_or(0, |b| b.first + b.rows)
    }

    /// The number of a row within all its blocks.
    pub(crate) fn number(&self, row: u32) -> u32 {
        self.origin
            .as_ref()
            .map_or(row, |origin| origin[row as usize])
    }

    /// The rows of this chunk that stand at the given addresses. Rows that were deleted before a
    /// merge are not among them.
    pub fn rows_at(&self, addresses: &BTreeMap<BlockRef, RoaringBitmap>) -> RoaringBitmap {
        let mut numbers = RoaringBitmap::new();
        for block in &self.blocks {
            if let Some(rows) = addresses.get(&block.at) {
                let within = rows.iter().filter(|&row| row < block.rows);
                numbers.extend(within.map(|row| block.first + row));
            }
        }
        match (&self.origin, numbers.len()) {
            (None, _) | (_, 0) => numbers,
            (Some(origin), 1) => {
                let row = origin.iter().position(|&number| numbers.contains(number));
                row.map(|row| row as u32).into_iter().collect()
            }
            (Some(origin), _) => {
                let rows = origin.iter().zip(0u32..);
                rows.filter(|&(&number, _)| numbers.contains(number))
                    .map(|(_, row)| row)
                    .collect()
            }
        }
    }
}

/// Merges runs into one, leaving deleted rows behind. `None` when no row is left.
pub fn merge(def: &TableDef, runs: &[MemRun]) -> Result<Option<MemChunk>> {
    let mut blocks = Vec::new();
    let mut batches = Vec::with_capacity(runs.len());
    let mut numbers: Vec<u32> = Vec::new();
    let mut next = 0u32;
    for run in runs {
        let chunk = &run.chunk;
        let blocks_before = next;
        blocks.extend(chunk.blocks.iter().map(|b| Block {
            first: blocks_before + b.first,
            ..*b
        }));
        for row in 0..chunk.batch.num_rows() as u32 {
            numbers.push(blocks_before + chunk.origin.as_ref().map_or(row, |o| o[row as usize]));
        }
        next = blocks.last().map_or(0, |b| b.first + b.rows);
        batches.push(&chunk.batch);
    }
    let all = concat_batches(&def.schema, batches).map_err(|e| Error::Invalid(e.to_string()))?;
    let mut order = match sort::permutation(def, &all)? {
        Some(order) => order,
        None => (0..all.num_rows() as u32).collect(),
    };
    if runs.iter().any(|run| run.deleted.is_some()) {
        let mut dead = RoaringBitmap::new();
        let mut first = 0;
        for run in runs {
            if let Some(deleted) = &run.deleted {
                dead.extend(deleted.iter().map(|row| first + row));
            }
            first += run.chunk.batch.num_rows() as u32;
        }
        order.retain(|&row| !dead.contains(row));
    }
    if order.is_empty() {
        return Ok(None);
    }
    let batch = sort::reorder(&all, &order)?;
    let bytes = batch.get_array_memory_size() + order.len() * size_of::<u32>();
    Ok(Some(MemChunk {
        time: time_range(def, &batch),
        batch,
        bytes,
        sequence_max: runs
            .iter()
            .map(|r| r.chunk.sequence_max)
            .max()
            .unwrap_or_default(),
        blocks,
        origin: Some(order.into_iter().map(|row| numbers[row as usize]).collect()),
    }))
}

impl MemRun {
    /// How many rows it counts for when runs are chosen to be merged.
    pub(crate) fn weight(&self) -> usize {
        if self.chunk.bytes >= CHUNK_BYTES_MAX {
            CHUNK_ROWS_MAX
        } else {
            self.chunk.batch.num_rows()
        }
    }
}

/// Which neighbouring runs to merge next: the longest stretch at the end whose members are all of
/// one size class or smaller, once it is 16 long. Each row is merged about
/// log16(64 K) = 4 times.
pub fn choose_merge(rows: &[usize]) -> Option<std::ops::Range<usize>> {
    let class = |rows: usize| rows.max(1).ilog(MERGE_FAN_IN);
    let mut largest = CHUNK_ROWS_MAX.ilog(MERGE_FAN_IN);
    let last_class = class(*rows.last()?);
    while largest > last_class {
        largest -= 1;
    }
    let start = rows
        .iter()
        .rposition(|&r| r >= CHUNK_ROWS_MAX || class(r) > largest)
        .map_or(0, |i| i + 1);
    let stretch = start..rows.len();
    (stretch.len() >= MERGE_FAN_IN).then_some(stretch)
}

fn time_range(def: &TableDef, batch: &RecordBatch) -> Option<(i64, i64)> {
    let times = batch
        .column(def.time_column()?)
        .as_primitive::<TimestampMicrosecondType>()
        .values();
    Some((times.iter().copied().min()?, times.iter().copied().max()?))
}
