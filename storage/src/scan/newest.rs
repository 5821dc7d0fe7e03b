//! What a search for the newest row of each key asks of a scan: other columns of the same rows, and
//! which keys a unit may hold.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, Schema};

use super::{KeyRange, Scan, ScanStats, Source, Unit};
use crate::segment::stats::Value;
use crate::{Error, Result};

impl Scan {
    /// A scan of the same rows that returns other columns. Units of either are units of both, and
    /// give the same rows in the same order.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a column does not exist.
    pub fn with_columns(&self, columns: Vec<usize>) -> Result<Scan> {
        let fields = self.table.def.schema.fields();
        if let Some(column) = columns.iter().find(|&&c| c >= fields.len()) {
            return Err(Error::Invalid(format!("column {column} does not exist")));
        }
        let returned: Vec<_> = columns.iter().map(|&c| fields[c].clone()).collect();
        let mut request = self.request.clone();
        request.columns = columns;
        request.row_ids = false;
        Ok(Scan {
            table: self.table.clone(),
            request,
            schema: Arc::new(Schema::new(returned)),
            units: self.units.clone(),
            stats: ScanStats::default(),
        })
    }

    /// A time that no wanted row of a unit is after, in microseconds since 1970. `None` where that is
    /// not known.
    pub fn latest_of(&self, unit: &Unit) -> Option<i64> {
        let (_, latest) = unit.time?;
        let wanted = self.request.time.map_or(i64::MAX, |(_, to)| to);
        Some(latest.min(wanted))
    }

    /// Ranges of integers that hold every wanted key of a unit, both ends included. `None` where
    /// that is not known: keys that are no integers, or NULL.
    pub fn keys_of(&self, unit: &Unit) -> Option<Vec<(i64, i64)>> {
        let key = self.table.def.key_column()?;
        let (min, max) = match unit.source {
            Source::Memory(number) => {
                // Rows are sorted by it.
                let keys = self.table.memory[number].chunk.batch.column(key);
                let last = keys.len().checked_sub(1)?;
                (int(keys, 0)?, int(keys, last)?)
            }
            Source::Pack(number, pack) => {
                let meta = &self.table.segments[number].segment.meta;
                let column = meta.column_index(self.table.def.column_ids[key])?;
                let zone = &meta.packs[pack as usize].zones[column];
                match zone.nulls {
                    0 => (zone.min_int()?, zone.max_int()?),
                    _ => return None,
                }
            }
        };
        let Some(wanted) = &self.request.keys else {
            return Some(vec![(min, max)]);
        };
        let bound = |value: &Option<Value>, open: i64| match value {
            None => Some(open),
            Some(Value::Int(value)) => {
                let within = (*value).clamp(i64::MIN.into(), i64::MAX.into());
                i64::try_from(within).ok()
            }
            Some(_) => None,
        };
        let ranges = wanted.iter().map(|range: &KeyRange| {
            Some((
                bound(&range.min, min)?.max(min),
                bound(&range.max, max)?.min(max),
            ))
        });
        let ranges = ranges.collect::<Option<Vec<_>>>()?;
        Some(ranges.into_iter().filter(|(min, max)| min <= max).collect())
    }
}

fn int(keys: &ArrayRef, row: usize) -> Option<i64> {
    if keys.is_null(row) {
        return None;
    }
    match keys.data_type() {
        DataType::Int16 => Some(keys.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Some(keys.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Some(keys.as_primitive::<Int64Type>().value(row)),
        _ => None,
    }
}
