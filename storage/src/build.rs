//! Sorted runs of rows → segments. Seal, compaction and large transactions all end here.
//!
//! Rows of a time-series table are divided by chunk. Where a chunk would hold less than a pack, the
//! whole day becomes one segment at once: files smaller than a pack cost more than they divide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

use crate::memtable::MemRun;
use crate::rocks::SegmentFile;
use crate::segment::writer::{SegmentIdentity, SegmentWriter};
use crate::segment::{Segment, SegmentHome};
use crate::sort::RowOrder;
use crate::table::{DAY_US, TableDef, chunk_start};
use crate::{Error, Options, Result, SegmentId};

/// Rows gathered at once while a segment is written, and their memory, about.
const GATHER_ROWS: usize = 64 * 1024;
const GATHER_BYTES: usize = 64 << 20;

/// Makes segments out of rows.
pub(crate) struct Builder<'a> {
    /// Where they go.
    pub(crate) home: &'a Arc<SegmentHome>,
    /// Sizes.
    pub(crate) options: &'a Options,
    /// The next free segment number.
    pub(crate) next_id: &'a AtomicU64,
}

/// A segment made of memory runs, with the way back: row `i` was row `sources[i].1` of run
/// `sources[i].0`.
pub(crate) struct Built {
    /// The segment, ingested but not named by any manifest.
    pub(crate) segment: Arc<Segment>,
    /// See above. [rows]
    pub(crate) sources: Vec<(u32, u32)>,
}

impl Builder<'_> {
    /// Writes the live rows of the runs to segments and ingests them. `each` sees all the rows, in
    /// the order of each segment.
    pub(crate) fn build(
        &self,
        def: &TableDef,
        runs: &[MemRun],
        each: &mut dyn FnMut(&RecordBatch),
    ) -> Result<Vec<Built>> {
        let mut finished = Vec::new();
        let bytes: usize = runs.iter().map(|run| run.chunk.bytes).sum();
        let rows: usize = runs.iter().map(|run| run.chunk.batch.num_rows()).sum();
        let row_bytes = bytes / rows.max(1);
        let gather_rows = (GATHER_BYTES / row_bytes.max(1)).clamp(1, GATHER_ROWS);
        for (chunk, mut rows) in divide(def, runs, self.options.pack_rows) {
            sort_rows(def, runs, &mut rows)?;
            let run = self.new_id();
            for (nth, rows) in rows.chunks(self.options.segment_rows_max).enumerate() {
                let id = if nth == 0 { run } else { self.new_id() };
                let mut writer = SegmentWriter::new(def, self.options.pack_rows);
                let batches: Vec<&RecordBatch> = runs.iter().map(|run| &run.chunk.batch).collect();
                for part in rows.chunks(gather_rows) {
                    let indices: Vec<(usize, usize)> = part
                        .iter()
                        .map(|&(run, row)| (run as usize, row as usize))
                        .collect();
                    let gathered = interleave_record_batch(&batches, &indices)
                        .map_err(|e| Error::Invalid(format!("rows cannot be gathered: {e}")))?;
                    each(&gathered);
                    writer.push(gathered)?;
                }
                let identity = SegmentIdentity {
                    id,
                    chunk,
                    run: run.0,
                };
                let (meta, file) = writer.finish(&self.home.store, identity)?;
                finished.push((meta, file, rows.to_vec()));
            }
        }
        let (built, files): (Vec<Built>, Vec<SegmentFile>) = finished
            .into_iter()
            .map(|(meta, file, sources)| {
                let segment = Arc::new(Segment::new(meta, self.home.clone()));
                (Built { segment, sources }, file)
            })
            .unzip();
        self.home.store.ingest(&files)?;
        Ok(built)
    }

    /// A number that no segment has.
    pub(crate) fn new_id(&self) -> SegmentId {
        SegmentId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }
}

type Rows = Vec<(u32, u32)>;

/// The live rows, each as (run, row), by the chunk of time that their segment covers.
fn divide(def: &TableDef, runs: &[MemRun], pack_rows: usize) -> Vec<((i64, i64), Rows)> {
    let (Some(time), Some(width)) = (def.time_column(), def.chunk_us()) else {
        let rows: Rows = live_rows(runs).collect();
        return if rows.is_empty() {
            Vec::new()
        } else {
            vec![((0, 0), rows)]
        };
    };
    let mut by_chunk: BTreeMap<i64, Rows> = BTreeMap::new();
    for (number, run) in (0u32..).zip(runs) {
        let times = run
            .chunk
            .batch
            .column(time)
            .as_primitive::<TimestampMicrosecondType>()
            .values();
        for (row, &at) in (0u32..).zip(times.iter()) {
            if run.deleted.as_ref().is_none_or(|d| !d.contains(row)) {
                by_chunk
                    .entry(chunk_start(at, width))
                    .or_default()
                    .push((number, row));
            }
        }
    }
    let counts: BTreeMap<i64, usize> = by_chunk
        .iter()
        .map(|(&chunk, rows)| (chunk, rows.len()))
        .collect();
    let mut divided: BTreeMap<(i64, i64), Rows> = BTreeMap::new();
    for (chunk, rows) in by_chunk {
        divided
            .entry(segment_chunk(&counts, chunk, width, pack_rows))
            .or_default()
            .extend(rows);
    }
    divided.into_iter().collect()
}

/// The chunk of time of the segment that rows of the chunk starting at `chunk` go to: the chunk,
/// or its day where chunks hold less than a pack each.
fn segment_chunk(
    counts: &BTreeMap<i64, usize>,
    chunk: i64,
    width_us: i64,
    pack_rows: usize,
) -> (i64, i64) {
    if width_us < DAY_US {
        let day = chunk_start(chunk, DAY_US);
        let of_day = || {
            counts
                .range(day..day.saturating_add(DAY_US))
                .map(|(_, &rows)| rows)
        };
        if of_day().sum::<usize>() < pack_rows * of_day().count() {
            return (day, day.saturating_add(DAY_US));
        }
    }
    (chunk, chunk.saturating_add(width_us))
}

fn live_rows(runs: &[MemRun]) -> impl Iterator<Item = (u32, u32)> {
    (0u32..).zip(runs).flat_map(|(number, run)| {
        let rows = 0..run.chunk.batch.num_rows() as u32;
        rows.filter(|&row| run.deleted.as_ref().is_none_or(|d| !d.contains(row)))
            .map(move |row| (number, row))
    })
}

fn sort_rows(def: &TableDef, runs: &[MemRun], rows: &mut [(u32, u32)]) -> Result<()> {
    let columns = def.sort_columns();
    if columns.is_empty() {
        return Ok(());
    }
    if let [key, time] = columns[..]
        && *def.schema.field(key).data_type() == DataType::Int64
        && matches!(def.schema.field(time).data_type(), DataType::Timestamp(..))
        && runs
            .iter()
            .all(|run| run.chunk.batch.column(key).null_count() == 0)
    {
        let values: Vec<(&[i64], &[i64])> = runs
            .iter()
            .map(|run| {
                let keys = run
                    .chunk
                    .batch
                    .column(key)
                    .as_primitive::<Int64Type>()
                    .values();
                let times = run
                    .chunk
                    .batch
                    .column(time)
                    .as_primitive::<TimestampMicrosecondType>()
                    .values();
                (keys.as_ref(), times.as_ref())
            })
            .collect();
        // Sorting copies of the keys is faster than looking each one up at every comparison.
        let mut keyed: Vec<(i64, i64, u32, u32)> = rows
            .iter()
            .map(|&(run, row)| {
                let (keys, times) = values[run as usize];
                (keys[row as usize], times[row as usize], run, row)
            })
            .collect();
        keyed.sort_unstable();
        for (slot, (_, _, run, row)) in rows.iter_mut().zip(keyed) {
            *slot = (run, row);
        }
        return Ok(());
    }
    let order = RowOrder::new(def, columns)?;
    let keys = runs
        .iter()
        .map(|run| order.keys(&run.chunk.batch))
        .collect::<Result<Vec<_>>>()?;
    rows.sort_by(|a, b| {
        keys[a.0 as usize]
            .row(a.1 as usize)
            .cmp(&keys[b.0 as usize].row(b.1 as usize))
    });
    Ok(())
}
