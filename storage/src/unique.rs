//! The primary key of reference tables: no two live rows with the same key.
//!
//! There is no separate index. Memory and packs are sorted by the key, so that zone maps leave few
//! packs to look into, and those are searched by their sorted key column.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use roaring::RoaringBitmap;

use crate::segment::stats::{Compare, Value, ZoneMap};
use crate::sort::RowOrder;
use crate::state::{SegmentRun, TableState};
use crate::{Error, Result};

/// Asserts that `rows` have keys that differ from each other.
pub(crate) fn check_within(table: &TableState, rows: &RecordBatch) -> Result<()> {
    let order = RowOrder::new(&table.def, table.def.primary_key().to_vec())?;
    let keys = order.keys(rows)?;
    let mut seen = HashSet::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        if !seen.insert(keys.row(row)) {
            return Err(duplicate(table, rows, row));
        }
    }
    Ok(())
}

/// Asserts that no live row of `table` has a key that stands in `rows`.
pub(crate) fn check_against(table: &TableState, rows: &RecordBatch) -> Result<()> {
    if rows.num_rows() == 0 {
        return Ok(());
    }
    let columns = table.def.primary_key();
    let first = rows.column(columns[0]).as_ref();
    let wanted = Wanted {
        table,
        rows,
        order: RowOrder::new(&table.def, columns.to_vec())?,
        zone: ZoneMap::of(first),
    };
    for run in &table.memory {
        let keys: Vec<ArrayRef> = columns
            .iter()
            .map(|&c| run.chunk.batch.column(c).clone())
            .collect();
        wanted.absent_from(&keys, 0, run.deleted.as_deref())?;
    }
    for run in &table.segments {
        wanted.absent_from_segment(run)?;
    }
    Ok(())
}

struct Wanted<'a> {
    table: &'a TableState,
    rows: &'a RecordBatch,
    order: RowOrder,
    /// Of the first key column of `rows`.
    zone: ZoneMap,
}

impl Wanted<'_> {
    fn absent_from_segment(&self, run: &SegmentRun) -> Result<()> {
        let def = &self.table.def;
        let meta = &run.segment.meta;
        let Some(first) = meta.column_index(def.column_ids[def.primary_key()[0]]) else {
            return Ok(());
        };
        for (number, pack) in (0u32..).zip(&meta.packs) {
            if !overlaps(&self.zone, &pack.zones[first], u64::from(pack.rows)) {
                continue;
            }
            let mut keys: Vec<ArrayRef> = Vec::new();
            let mut window = 0..pack.rows as usize;
            for (nth, &column) in def.primary_key().iter().enumerate() {
                let data_type = def.schema.field(column).data_type();
                let Some((values, _)) =
                    run.segment
                        .column(number, def.column_ids[column], data_type)?
                else {
                    return Ok(());
                };
                if nth == 0
                    && let (Some(min), Some(max)) = (self.zone.min_int(), self.zone.max_int())
                {
                    let from = values
                        .lower_bound(min, window.clone())
                        .unwrap_or(window.start);
                    let to = values
                        .upper_bound(max, from..window.end)
                        .unwrap_or(window.end);
                    window = from..to;
                }
                keys.push(values.decode(window.clone()).map_err(|damage| {
                    let path = meta.key().path(def.column_ids[column], number);
                    Error::corrupt(path, damage.offset, damage.reason)
                })?);
            }
            self.absent_from(
                &keys,
                pack.first_row + window.start as u32,
                run.deleted.as_deref(),
            )?;
        }
        Ok(())
    }

    /// Compares with sorted keys of a stretch of rows, the first of which has number `first_row`.
    fn absent_from(
        &self,
        keys: &[ArrayRef],
        first_row: u32,
        deleted: Option<&RoaringBitmap>,
    ) -> Result<()> {
        let alive = |row: usize| deleted.is_none_or(|d| !d.contains(first_row + row as u32));
        if let [keys] = keys
            && *keys.data_type() == DataType::Int64
        {
            let keys = keys.as_primitive::<Int64Type>().values();
            let wanted = self
                .rows
                .column(self.table.def.primary_key()[0])
                .as_primitive::<Int64Type>();
            for (row, key) in wanted.values().iter().enumerate() {
                if equal_range(keys, *key).any(alive) {
                    return Err(duplicate(self.table, self.rows, row));
                }
            }
            return Ok(());
        }
        let keys = self.order.key_rows(keys)?;
        let wanted = self.order.keys(self.rows)?;
        let present: HashSet<_> = (0..keys.num_rows())
            .filter(|&row| alive(row))
            .map(|r| keys.row(r))
            .collect();
        match (0..wanted.num_rows()).find(|&row| present.contains(&wanted.row(row))) {
            Some(row) => Err(duplicate(self.table, self.rows, row)),
            None => Ok(()),
        }
    }
}

fn equal_range(sorted: &[i64], key: i64) -> Range<usize> {
    let from = sorted.partition_point(|&k| k < key);
    from..from + sorted[from..].partition_point(|&k| k == key)
}

fn overlaps(wanted: &ZoneMap, pack: &ZoneMap, rows: u64) -> bool {
    let holds =
        |op, bound: &Option<Value>| bound.as_ref().is_none_or(|v| pack.may_contain(rows, op, v));
    holds(Compare::GtEq, &wanted.min) && holds(Compare::LtEq, &wanted.max)
}

fn duplicate(table: &TableState, rows: &RecordBatch, row: usize) -> Error {
    let text =
        |&column: &usize| array_value_to_string(rows.column(column), row).unwrap_or_default();
    Error::Duplicate {
        table: table.def.id,
        key: table.def.primary_key().iter().map(text).collect(),
    }
}
