//! The keys and times of rows that a statement is about to delete.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::TimestampMicrosecondType;

use super::{RowId, SEGMENT_RUNS};
use crate::state::{SegmentRun, TableState};
use crate::{Error, Result};

/// The keys of the rows, where the table has a key, and their times in microseconds.
///
/// # Errors
/// [`Error::Invalid`] when the table has no time, [`Error::Corrupt`] when a value is damaged.
pub(super) fn keys_and_times(
    seen: &TableState,
    rows: &[RowId],
) -> Result<(Option<ArrayRef>, Vec<i64>)> {
    let time = seen.def.time_column();
    let time = time.ok_or_else(|| Error::Invalid("the table has no time".into()))?;
    let wanted: Vec<usize> = seen.def.key_column().into_iter().chain([time]).collect();
    let mut found: Vec<Vec<ArrayRef>> = vec![Vec::new(); wanted.len()];
    let mut by_run: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for row in rows {
        by_run
            .entry((row.0 >> 32) as u32)
            .or_default()
            .push(row.0 as u32);
    }
    for (run, mut rows) in by_run {
        if run < SEGMENT_RUNS {
            let batch = &seen.memory[run as usize].chunk.batch;
            let rows = UInt32Array::from(rows);
            for (found, &column) in found.iter_mut().zip(&wanted) {
                found.push(take(batch.column(column), &rows, None).map_err(internal)?);
            }
            continue;
        }
        rows.sort_unstable();
        let run = &seen.segments[(run - SEGMENT_RUNS) as usize];
        let mut rest = rows.as_slice();
        for (pack, described) in (0u32..).zip(&run.segment.meta.packs) {
            let end = described.first_row + described.rows;
            let (within, later) = rest.split_at(rest.partition_point(|&row| row < end));
            rest = later;
            if within.is_empty() {
                continue;
            }
            let rows: UInt32Array = within
                .iter()
                .map(|row| Some(row - described.first_row))
                .collect();
            for (found, &column) in found.iter_mut().zip(&wanted) {
                let values = values(seen, run, pack, column)?;
                found.push(take(&values, &rows, None).map_err(internal)?);
            }
        }
    }
    let mut columns = Vec::with_capacity(found.len());
    for parts in &found {
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
        columns.push(concat(&parts).map_err(internal)?);
    }
    let times = columns.pop();
    let times = times.ok_or_else(|| Error::Invalid("no rows are deleted".into()))?;
    let times = times
        .as_primitive::<TimestampMicrosecondType>()
        .values()
        .to_vec();
    Ok((columns.pop(), times))
}

fn values(seen: &TableState, run: &SegmentRun, pack: u32, column: usize) -> Result<ArrayRef> {
    let (id, meta) = (seen.def.column_ids[column], &run.segment.meta);
    let data_type = seen.def.schema.field(column).data_type();
    let Some((found, _)) = run.segment.column(pack, id, data_type)? else {
        let rows = meta.packs[pack as usize].rows as usize;
        return Ok(arrow::array::new_null_array(data_type, rows));
    };
    let damaged = |d: crate::segment::codec::Damage| {
        Error::corrupt(meta.key().path(id, pack), d.offset, d.reason)
    };
    found.decode(0..found.rows()).map_err(damaged)
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::Invalid(format!("rows cannot be read: {error}"))
}
