//! The rows of a unit: the ranges of the key are found, then cut out of every column.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array,
    new_null_array,
};
use arrow::compute::{concat, filter_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use roaring::RoaringBitmap;

use super::{KeyRange, Scan, Source, Unit};
use crate::memtable::MemRun;
use crate::search::{lower_bound, upper_bound};
use crate::segment::codec::Column;
use crate::segment::stats::Value;
use crate::state::SegmentRun;
use crate::transaction::RowId;
use crate::{Error, Result};

impl Scan {
    /// The wanted rows of a unit, in the table's order. `None` when there are none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a value is damaged.
    pub fn read(&self, unit: &Unit) -> Result<Option<RecordBatch>> {
        self.stats
            .rows_considered
            .fetch_add(u64::from(unit.rows), Ordering::Relaxed);
        let rows = match unit.source {
            Source::Memory(number) => self.read_memory(number)?,
            Source::Pack(number, pack) => {
                self.stats.packs_read.fetch_add(1, Ordering::Relaxed);
                self.read_pack(number, pack)?
            }
        };
        let rows = rows.filter(|rows| rows.num_rows() > 0);
        let count = rows.as_ref().map_or(0, RecordBatch::num_rows);
        self.stats
            .rows_returned
            .fetch_add(count as u64, Ordering::Relaxed);
        Ok(rows)
    }

    fn read_memory(&self, number: usize) -> Result<Option<RecordBatch>> {
        let MemRun { chunk, deleted } = &self.table.memory[number];
        let batch = &chunk.batch;
        let mut ranges = match (&self.request.keys, self.table.def.key_column()) {
            (Some(keys), Some(key)) => key_ranges(batch.column(key), keys),
            _ => std::iter::once(0..batch.num_rows()).collect(),
        };
        let column = |c: usize| -> Result<ArrayRef> { Ok(batch.column(c).clone()) };
        let time = self.time_filter(chunk.time);
        if let (Some(bounds), true) = (time, self.is_narrow())
            && let Some(at) = self.table.def.time_column()
        {
            ranges = narrow_by_time(batch.column(at), ranges, bounds);
        }
        let row_id = |row: u32| RowId::in_memory(number, row).0;
        self.assemble(
            &ranges,
            &column,
            time,
            deleted.as_deref(),
            0,
            &row_id,
            slices,
        )
    }

    fn read_pack(&self, number: usize, pack: u32) -> Result<Option<RecordBatch>> {
        let run = &self.table.segments[number];
        let described = &run.segment.meta.packs[pack as usize];
        let rows = described.rows as usize;
        let def = &self.table.def;
        let mut ranges: Vec<Range<usize>> = std::iter::once(0..rows).collect();
        if let (Some(keys), Some(key)) = (&self.request.keys, def.key_column()) {
            match self.column(run, pack, key)? {
                Some(column) => ranges = self.key_ranges_of(run, pack, key, &column, keys)?,
                // A column that did not exist yet is null, and a range never holds null.
                None => return Ok(None),
            }
        }
        let unit_time = def.time_column().and_then(|t| {
            let zone = &described.zones[run.segment.meta.column_index(def.column_ids[t])?];
            Some((zone.min_int()?, zone.max_int()?))
        });
        let time = self.time_filter(unit_time);
        if let (Some((from, to)), true) = (time, self.is_narrow())
            && let Some(at) = def.time_column()
            && let Some(column) = self.column(run, pack, at)?
        {
            for range in &mut ranges {
                let start = column
                    .lower_bound(from, range.clone())
                    .unwrap_or(range.start);
                let end = column
                    .upper_bound(to, start..range.end)
                    .unwrap_or(range.end);
                *range = start..end;
            }
        }
        ranges.retain(|range| !range.is_empty());
        if ranges.is_empty() {
            return Ok(None);
        }
        let column = |c: usize| -> Result<ArrayRef> {
            let data_type = def.schema.field(c).data_type();
            match self.column(run, pack, c)? {
                Some(column) => column.decode_ranges(&ranges).map_err(|damage| {
                    let path = run.segment.meta.key().path(def.column_ids[c], pack);
                    Error::corrupt(path, damage.offset, damage.reason)
                }),
                None => Ok(new_null_array(
                    data_type,
                    ranges.iter().map(Range::len).sum(),
                )),
            }
        };
        let row_id = |row: u32| RowId::in_segment(number, row).0;
        let deleted = run.deleted.as_deref();
        self.assemble(
            &ranges,
            &column,
            time,
            deleted,
            described.first_row,
            &row_id,
            |array, _| Ok(array),
        )
    }

    /// Cuts the ranges out of the columns and applies what is not exact yet: time, where the rows
    /// are of many keys, and deleted rows.
    #[expect(
        clippy::too_many_arguments,
        reason = "the two callers differ in exactly these"
    )]
    fn assemble(
        &self,
        ranges: &[Range<usize>],
        column: &dyn Fn(usize) -> Result<ArrayRef>,
        time: Option<(i64, i64)>,
        deleted: Option<&RoaringBitmap>,
        first_row: u32,
        row_id: &dyn Fn(u32) -> u64,
        cut: impl Fn(ArrayRef, &[Range<usize>]) -> Result<ArrayRef>,
    ) -> Result<Option<RecordBatch>> {
        let count: usize = ranges.iter().map(Range::len).sum();
        if count == 0 {
            return Ok(None);
        }
        let mut keep: Option<Vec<bool>> = None;
        let mut drop_where = |dead: &mut dyn Iterator<Item = bool>| {
            let keep = keep.get_or_insert_with(|| vec![true; count]);
            keep.iter_mut()
                .zip(dead)
                .for_each(|(keep, dead)| *keep &= !dead);
        };
        if let (Some((from, to)), Some(at)) = (time, self.table.def.time_column())
            && !self.is_narrow()
        {
            let times = cut(column(at)?, ranges)?;
            let times = times.as_primitive::<TimestampMicrosecondType>().values();
            drop_where(&mut times.iter().map(|t| !(from..=to).contains(t)));
        }
        let numbers = || {
            ranges
                .iter()
                .flat_map(|r| r.start as u32 + first_row..r.end as u32 + first_row)
        };
        if let Some(deleted) = deleted {
            let touched = |r: &Range<usize>| {
                deleted.range_cardinality(r.start as u32 + first_row..r.end as u32 + first_row) > 0
            };
            if ranges.iter().any(touched) {
                drop_where(&mut numbers().map(|row| deleted.contains(row)));
            }
        }
        if keep.as_ref().is_some_and(|keep| !keep.contains(&true)) {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for &c in &self.request.columns {
            columns.push(cut(column(c)?, ranges)?);
        }
        if self.request.row_ids {
            columns.push(Arc::new(numbers().map(row_id).collect::<UInt64Array>()) as ArrayRef);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(internal)?;
        match keep {
            Some(keep) => filter_record_batch(&rows, &BooleanArray::from(keep))
                .map(Some)
                .map_err(internal),
            None => Ok(Some(rows)),
        }
    }

    fn column(&self, run: &SegmentRun, pack: u32, column: usize) -> Result<Option<Column>> {
        let def = &self.table.def;
        let data_type = def.schema.field(column).data_type();
        let Some((found, cached)) = run
            .segment
            .column(pack, def.column_ids[column], data_type)?
        else {
            return Ok(None);
        };
        let counter = if cached {
            &self.stats.bytes_cached
        } else {
            &self.stats.bytes_read
        };
        counter.fetch_add(found.byte_len() as u64, Ordering::Relaxed);
        Ok(Some(found))
    }

    fn key_ranges_of(
        &self,
        run: &SegmentRun,
        pack: u32,
        key: usize,
        column: &Column,
        wanted: &[KeyRange],
    ) -> Result<Vec<Range<usize>>> {
        // Nulls sort last, so that the rest of the column ascends.
        let within = 0..column.rows() - column.null_count();
        let int = |bound: &Option<Value>| match bound {
            Some(Value::Int(value)) => i64::try_from(*value).ok().map(Some),
            Some(_) => None,
            None => Some(None),
        };
        let mut ranges = Vec::with_capacity(wanted.len());
        for range in wanted {
            let (Some(min), Some(max)) = (int(&range.min), int(&range.max)) else {
                break;
            };
            let start = min.map_or(Some(within.start), |min| {
                column.lower_bound(min, within.clone())
            });
            let Some(start) = start else { break };
            let end = max.map_or(Some(within.end), |max| {
                column.upper_bound(max, start..within.end)
            });
            let Some(end) = end else { break };
            ranges.push(start..end.max(start));
        }
        if ranges.len() < wanted.len() {
            let damaged = |d: crate::segment::codec::Damage| {
                let path = run
                    .segment
                    .meta
                    .key()
                    .path(self.table.def.column_ids[key], pack);
                Error::corrupt(path, d.offset, d.reason)
            };
            let values = column.decode(0..column.rows()).map_err(damaged)?;
            ranges = key_ranges(&values, wanted);
        }
        ranges.retain(|range| !range.is_empty());
        Ok(ranges)
    }

    /// The bounds of time that a unit does not satisfy as a whole.
    fn time_filter(&self, unit: Option<(i64, i64)>) -> Option<(i64, i64)> {
        let (from, to) = self.request.time?;
        match unit {
            Some((min, max)) if min >= from && max <= to => None,
            _ => Some((from, to)),
        }
    }

    /// Whether every range of keys is one key, whose rows are sorted by time.
    fn is_narrow(&self) -> bool {
        let one_key = |range: &KeyRange| range.min.is_some() && range.min == range.max;
        let sorted_by_time =
            self.table.def.sort_columns().len() == 2 && self.table.def.time_column().is_some();
        sorted_by_time
            && self
                .request
                .keys
                .as_ref()
                .is_some_and(|keys| keys.iter().all(one_key))
    }
}

/// The rows within ranges of keys, which ascend.
pub(super) fn key_ranges(keys: &ArrayRef, wanted: &[KeyRange]) -> Vec<Range<usize>> {
    let within = 0..keys.len() - keys.null_count();
    let mut ranges = Vec::with_capacity(wanted.len());
    for range in wanted {
        let start = range
            .min
            .as_ref()
            .map_or(within.start, |min| lower_bound(keys, within.clone(), min));
        let end = range
            .max
            .as_ref()
            .map_or(within.end, |max| upper_bound(keys, start..within.end, max));
        if start < end {
            ranges.push(start..end);
        }
    }
    ranges
}

fn narrow_by_time(
    times: &ArrayRef,
    ranges: Vec<Range<usize>>,
    (from, to): (i64, i64),
) -> Vec<Range<usize>> {
    let times = times.as_primitive::<TimestampMicrosecondType>().values();
    let narrowed = ranges.into_iter().map(|range| {
        let within = &times[range.clone()];
        let start = range.start + within.partition_point(|&t| t < from);
        let end = range.start + within.partition_point(|&t| t <= to);
        start..end
    });
    narrowed.filter(|range| !range.is_empty()).collect()
}

fn slices(array: ArrayRef, ranges: &[Range<usize>]) -> Result<ArrayRef> {
    match ranges {
        [one] => Ok(array.slice(one.start, one.len())),
        many => {
            let parts: Vec<ArrayRef> = many.iter().map(|r| array.slice(r.start, r.len())).collect();
            let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
            concat(&parts).map_err(internal)
        }
    }
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::Invalid(format!("rows cannot be read: {error}"))
}
