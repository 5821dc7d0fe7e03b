//! Which segments to merge, and merging them.
//!
//! The choice is a pure function of a table's segments:
//!
//! 1. Runs of the same chunk, once there are `compaction_runs` of them, smallest first, so that
//!    each row is rewritten about log(rows) times.
//! 2. Chunks of a day that is over, into one run of the whole day: a lookup over weeks then opens
//!    one pack a day. A late run is merged into its day when late runs hold 5 % of its rows. Chunks
//!    of days or weeks alike, each by itself.
//! 3. A segment of which a fifth is deleted, alone.
//!
//! The merge streams: each input holds one decoded pack, and a round emits what sorts before the
//! end of the pack that ends first.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, filter_record_batch, interleave_record_batch};
use arrow::row::Rows;

use crate::build::Builder;
use crate::moves::{Merged, Move, Turns};
use crate::rocks::SegmentFile;
use crate::segment::Segment;
use crate::segment::meta::SegmentMeta;
use crate::segment::writer::{SegmentIdentity, SegmentWriter};
use crate::sort::RowOrder;
use crate::state::{SegmentRun, TableState};
use crate::table::{DAY_US, TableDef, chunk_start};
use crate::{Error, Options, Result};

/// Late rows are merged into their day when they are one in so many.
const LATE_FRACTION: u64 = 20;
/// A segment is rewritten when one row in so many is deleted.
const DELETED_FRACTION: u64 = 5;
/// Runs of a chunk are merged together while the next is at most this many times the ones before.
const TIER_FACTOR: u64 = 2;
/// A segment ends when its encoded values take this much: they are in memory until it is written.
const SEGMENT_BYTES_MAX: usize = 128 << 20;
/// Runs that are merged at once, at most: each row's run is remembered in a byte.
const RUNS_MAX: usize = 256;
/// A day is over when a row this much newer than its end has come.
const DAY_OVER_AFTER_US: i64 = 3_600_000_000;

mod groups;

pub(crate) use groups::Combine;
use groups::Groups;

/// A merge to do.
#[derive(Debug)]
pub struct Choice {
    /// What is merged.
    pub inputs: Vec<SegmentRun>,
    /// The chunk of time of the result.
    pub chunk: (i64, i64),
}

/// Segments that one merge wrote, or one segment.
struct Run {
    segments: Vec<SegmentRun>,
    chunk: (i64, i64),
    rows: u64,
}

/// The most useful merge of a table's segments, if any is worth its cost.
pub fn choose(table: &TableState, options: &Options) -> Option<Choice> {
    let mut by_chunk: BTreeMap<(i64, i64), Vec<Run>> = BTreeMap::new();
    for run in runs(table) {
        by_chunk.entry(run.chunk).or_default().push(run);
    }
    for (&chunk, runs) in &mut by_chunk {
        runs.sort_by_key(|run| run.rows);
        if let Some(few) = tier(runs, options) {
            return Some(Choice {
                inputs: segments(&runs[..few]),
                chunk,
            });
        }
    }
    if let Some(width) = table.def.chunk_us()
        && let Some(choice) =
            choose_whole(by_chunk, width.max(DAY_US), table.newest_time()?, options)
    {
        return Some(choice);
    }
    let rewritten = table.segments.iter().find(|run| {
        let all = u64::from(run.segment.meta.rows());
        (all - run.rows()) * DELETED_FRACTION >= all
    })?;
    Some(Choice {
        inputs: vec![rewritten.clone()],
        chunk: rewritten.segment.meta.chunk,
    })
}

fn runs(table: &TableState) -> Vec<Run> {
    let mut runs: BTreeMap<u64, Run> = BTreeMap::new();
    for segment in &table.segments {
        let meta = &segment.segment.meta;
        let run = runs.entry(meta.run).or_insert(Run {
            segments: Vec::new(),
            chunk: meta.chunk,
            rows: 0,
        });
        run.rows += segment.rows();
        run.segments.push(segment.clone());
    }
    runs.into_values().collect()
}

fn segments(runs: &[Run]) -> Vec<SegmentRun> {
    runs.iter()
        .flat_map(|run| run.segments.iter().cloned())
        .collect()
}

/// How many of the runs, sorted by size, to merge.
fn tier(runs: &[Run], options: &Options) -> Option<usize> {
    if runs.len() < options.compaction_runs {
        return None;
    }
    let mut few = 1;
    let mut rows = runs[0].rows;
    let inputs_max = options.compaction_inputs_max.min(RUNS_MAX);
    while few < runs.len().min(inputs_max) && runs[few].rows <= (rows * TIER_FACTOR).max(1024) {
        rows += runs[few].rows;
        few += 1;
    }
    // Many runs of ever larger sizes: the smallest ones still have to become fewer.
    let crowded = runs.len() >= options.compaction_runs * 4;
    if few >= options.compaction_runs {
        Some(few)
    } else if crowded {
        Some(options.compaction_runs.min(RUNS_MAX))
    } else {
        None
    }
}

/// Runs of a chunk that is over, or of a day of smaller chunks, into one.
fn choose_whole(
    by_chunk: BTreeMap<(i64, i64), Vec<Run>>,
    width_us: i64,
    newest: i64,
    options: &Options,
) -> Option<Choice> {
    let mut days: BTreeMap<i64, Vec<Run>> = BTreeMap::new();
    for ((start, _), runs) in by_chunk {
        days.entry(chunk_start(start, width_us))
            .or_default()
            .extend(runs);
    }
    for (day, mut runs) in days {
        let chunk = (day, day.saturating_add(width_us));
        if newest < chunk.1.saturating_add(DAY_OVER_AFTER_US) {
            continue;
        }
        let whole: u64 = runs
            .iter()
            .filter(|run| run.chunk == chunk)
            .map(|run| run.rows)
            .max()
            .unwrap_or(0);
        let all: u64 = runs.iter().map(|run| run.rows).sum();
        let is_worth_it = match runs.len() {
            0 => false,
            1 => runs[0].chunk != chunk,
            _ => (all - whole) * LATE_FRACTION >= all,
        };
        if is_worth_it {
            runs.sort_by_key(|run| run.rows);
            runs.truncate(options.compaction_inputs_max.min(RUNS_MAX));
            return Some(Choice {
                inputs: segments(&runs),
                chunk,
            });
        }
    }
    None
}

/// Merges the inputs into new segments of one run and ingests them, named by no manifest; answers
/// them and where each row went. Gives up when `is_stopping`: it may take minutes.
pub(crate) fn merge(
    def: &TableDef,
    choice: &Choice,
    builder: &Builder<'_>,
    combine: Option<&Combine<'_>>,
    is_stopping: &dyn Fn() -> bool,
) -> Result<(Vec<Arc<Segment>>, Move)> {
    let inputs = by_run(&choice.inputs);
    let mut merger = Merger::new(def, &inputs)?;
    let mut groups = combine
        .map(|combine| Groups::new(def, combine))
        .transpose()?;
    let mut finished: Vec<(SegmentMeta, SegmentFile)> = Vec::new();
    let run = builder.new_id();
    let mut writer = SegmentWriter::new(def, builder.options.pack_rows);
    let mut finish = |writer: SegmentWriter<'_>| -> Result<()> {
        if writer.rows() > 0 {
            let id = if finished.is_empty() {
                run
            } else {
                builder.new_id()
            };
            let identity = SegmentIdentity {
                id,
                chunk: choice.chunk,
                run: run.0,
            };
            finished.push(writer.finish(&builder.home.store, identity)?);
        }
        Ok(())
    };
    loop {
        let rows = match (merger.next()?, &mut groups) {
            (Some(rows), Some(groups)) => groups.next(rows)?,
            (Some(rows), None) => rows,
            (None, Some(groups)) => match groups.rest()? {
                Some(rows) => rows,
                None => break,
            },
            (None, None) => break,
        };
        if rows.num_rows() > 0 {
            writer.push(rows)?;
        }
        if is_stopping() {
            return Err(Error::Closed("the engine is shut down".into()));
        }
        if writer.rows() >= builder.options.segment_rows_max || writer.bytes() >= SEGMENT_BYTES_MAX
        {
            finish(std::mem::replace(
                &mut writer,
                SegmentWriter::new(def, builder.options.pack_rows),
            ))?;
        }
    }
    finish(writer)?;
    let turns = merger.turns;
    let is_combined = groups.is_some();
    let (segments, files): (Vec<_>, Vec<_>) = finished
        .into_iter()
        .map(|(meta, file)| (Arc::new(Segment::new(meta, builder.home.clone())), file))
        .unzip();
    builder.home.store.ingest(&files)?;
    let outputs = segments.iter().map(|s| (s.meta.id, s.meta.rows()));
    let moved = if is_combined {
        let inputs = choice.inputs.iter();
        Move::Combined(inputs.map(|run| run.segment.meta.id).collect())
    } else {
        Merged::way(&inputs, turns, outputs.collect())
    };
    Ok((segments, moved))
}

/// The segments of each run in the order of their rows, which is that of their numbers.
fn by_run(segments: &[SegmentRun]) -> Vec<Vec<&SegmentRun>> {
    let mut runs: BTreeMap<u64, Vec<&SegmentRun>> = BTreeMap::new();
    for segment in segments {
        runs.entry(segment.segment.meta.run)
            .or_default()
            .push(segment);
    }
    let mut runs: Vec<Vec<&SegmentRun>> = runs.into_values().collect();
    for run in &mut runs {
        run.sort_by_key(|segment| segment.segment.meta.id);
    }
    runs
}

/// Sorted rows out of sorted inputs.
struct Merger<'a> {
    def: &'a TableDef,
    /// `None` when the table has no order: inputs then follow each other.
    order: Option<RowOrder>,
    inputs: Vec<Cursor<'a>>,
    /// Which input each row came from.
    turns: Turns,
}

/// The packs of a run, one after the other.
struct Cursor<'a> {
    number: u8,
    packs: Box<dyn Iterator<Item = (&'a SegmentRun, u32)> + 'a>,
    current: Option<(RecordBatch, Option<Rows>, usize)>,
}

impl<'a> Merger<'a> {
    fn new(def: &'a TableDef, runs: &[Vec<&'a SegmentRun>]) -> Result<Self> {
        let columns = def.sort_columns();
        let order = if columns.is_empty() {
            None
        } else {
            Some(RowOrder::new(def, columns)?)
        };
        assert!(runs.len() <= RUNS_MAX, "the choice is limited");
        let cursor = |(number, segments): (usize, &Vec<&'a SegmentRun>)| {
            let packs = segments.clone().into_iter().flat_map(|run| {
                let packs = 0..run.segment.meta.packs.len() as u32;
                packs.map(move |pack| (run, pack))
            });
            Cursor {
                number: number as u8,
                packs: Box::new(packs),
                current: None,
            }
        };
        Ok(Merger {
            def,
            order,
            inputs: runs.iter().enumerate().map(cursor).collect(),
            turns: Turns::default(),
        })
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        for input in &mut self.inputs {
            input.fill(self.def, self.order.as_ref())?;
        }
        self.inputs.retain(|input| input.current.is_some());
        if self.inputs.len() == 1 || self.order.is_none() {
            let Some(input) = self.inputs.first_mut() else {
                return Ok(None);
            };
            let Some((rows, _, at)) = input.current.take() else {
                return Ok(None);
            };
            let rows = rows.slice(at, rows.num_rows() - at);
            self.turns.push_many(input.number, rows.num_rows() as u32);
            return Ok(Some(rows));
        }
        // Rows up to the least of the packs' last keys: no pack read later holds a smaller one.
        let last_keys = self.inputs.iter().filter_map(|input| {
            let (rows, keys, _) = input.current.as_ref()?;
            Some(keys.as_ref()?.row(rows.num_rows() - 1).owned())
        });
        let Some(bound) = last_keys.min() else {
            return Ok(None);
        };
        let mut batches = Vec::new();
        let mut rows: Vec<(usize, usize)> = Vec::new();
        for input in &mut self.inputs {
            let Some((batch, Some(keys), at)) = &mut input.current else {
                continue;
            };
            let mut end = *at;
            while end < batch.num_rows() && keys.row(end) <= bound.row() {
                end += 1;
            }
            let number = batches.len();
            rows.extend((*at..end).map(|row| (number, row)));
            batches.push(batch.clone());
            *at = end;
        }
        let keys: Vec<&Rows> = self
            .inputs
            .iter()
            .filter_map(|i| i.current.as_ref().and_then(|(_, keys, _)| keys.as_ref()))
            .collect();
        rows.sort_by(|a, b| keys[a.0].row(a.1).cmp(&keys[b.0].row(b.1)));
        for (input, _) in &rows {
            self.turns.push(self.inputs[*input].number);
        }
        let references: Vec<&RecordBatch> = batches.iter().collect();
        let merged = interleave_record_batch(&references, &rows).map_err(cannot_merge)?;
        for input in &mut self.inputs {
            if input
                .current
                .as_ref()
                .is_some_and(|(rows, _, at)| *at == rows.num_rows())
            {
                input.current = None;
            }
        }
        Ok(Some(merged))
    }
}

impl Cursor<'_> {
    fn fill(&mut self, def: &TableDef, order: Option<&RowOrder>) -> Result<()> {
        while self.current.is_none() {
            let Some((run, pack)) = self.packs.next() else {
                return Ok(());
            };
            let rows = read_pack(def, run, pack)?;
            if rows.num_rows() > 0 {
                let keys = order.map(|order| order.keys(&rows)).transpose()?;
                self.current = Some((rows, keys, 0));
            }
        }
        Ok(())
    }
}

/// The live rows of a pack, all columns, read beside the cache.
pub fn read_pack(def: &TableDef, run: &SegmentRun, pack: u32) -> Result<RecordBatch> {
    let meta = &run.segment.meta;
    let described = &meta.packs[pack as usize];
    let mut columns = Vec::with_capacity(def.column_ids.len());
    for (&id, field) in def.column_ids.iter().zip(def.schema.fields()) {
        if meta.column_index(id).is_none() {
            columns.push(arrow::array::new_null_array(
                field.data_type(),
                described.rows as usize,
            ));
            continue;
        }
        let column = run.segment.read(pack, id, field.data_type())?;
        let values = column
            .decode(0..column.rows())
            .map_err(|d| Error::corrupt(meta.key().path(id, pack), d.offset, d.reason))?;
        columns.push(values);
    }
    let rows = RecordBatch::try_new(def.schema.clone(), columns)
        .map_err(|e| Error::corrupt(meta.key().path(0, pack), 0, e.to_string()))?;
    let Some(deleted) = &run.deleted else {
        return Ok(rows);
    };
    let numbers = described.first_row..described.first_row + described.rows;
    if deleted.range_cardinality(numbers.clone()) == 0 {
        return Ok(rows);
    }
    let alive = numbers.map(|row| Some(!deleted.contains(row))).collect();
    filter_record_batch(&rows, &alive).map_err(cannot_merge)
}

/// All live rows of a run as one batch, for tests and tools on small tables.
pub fn read_run(def: &TableDef, run: &SegmentRun) -> Result<RecordBatch> {
    let packs = 0..run.segment.meta.packs.len() as u32;
    let batches = packs
        .map(|pack| read_pack(def, run, pack))
        .collect::<Result<Vec<_>>>()?;
    concat_batches(&def.schema, &batches).map_err(cannot_merge)
}

fn cannot_merge(error: arrow::error::ArrowError) -> Error {
    Error::Invalid(format!("rows cannot be merged: {error}"))
}
