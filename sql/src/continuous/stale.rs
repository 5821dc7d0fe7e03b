//! Which partials are stale at a state: those of a key or of all keys, from one slot to another.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use slicedb_storage::{RowId, Scan, ScanRequest, State, TableId};

use super::Definition;

/// A range of slots, both ends included.
type SlotRange = (i64, i64);

/// What is stale.
#[derive(Debug, Default)]
pub(super) struct Stale {
    all: Vec<SlotRange>,
    keyed: Option<Keyed>,
    /// First and last time of all ranges, in microseconds.
    pub(super) times: Option<(i64, i64)>,
}

#[derive(Debug)]
struct Keyed {
    converter: RowConverter,
    ranges: HashMap<OwnedRow, Vec<SlotRange>>,
}

/// A row of a stale table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) row: RowId,
    /// In microseconds, both ends included.
    pub(super) times: (i64, i64),
    pub(super) gone: bool,
    /// The batch and the row within that hold its key.
    key: Option<(usize, usize)>,
}

/// All rows of a stale table.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) entries: Vec<Entry>,
    keys: Vec<ArrayRef>,
}

impl Entries {
    /// Reads them.
    ///
    /// # Errors
    /// When a value is damaged.
    pub(super) fn read(state: &State, stale: TableId) -> Result<Self> {
        let mut found = Entries::default();
        let Some(table) = state.table(stale).filter(|table| table.rows() > 0) else {
            return Ok(found);
        };
        let columns = table.def.schema.fields().len();
        let request = ScanRequest {
            columns: (0..columns).collect(),
            row_ids: true,
            ..ScanRequest::default()
        };
        let scan = Scan::new(state, stale, request).map_err(external)?;
        for unit in scan.units() {
            let Some(rows) = scan.read(unit).map_err(external)? else {
                continue;
            };
            let time = |column: usize| {
                rows.column(column)
                    .as_primitive::<TimestampMicrosecondType>()
            };
            let ids = rows
                .column(columns)
                .as_primitive::<arrow::datatypes::UInt64Type>();
            let keys = (columns == 4).then(|| rows.column(0));
            for row in 0..rows.num_rows() {
                let has_key = keys.is_some_and(|keys| keys.is_valid(row));
                found.entries.push(Entry {
                    row: RowId(ids.value(row)),
                    times: (time(columns - 3).value(row), time(columns - 2).value(row)),
                    gone: rows.column(columns - 1).as_boolean().value(row),
                    key: has_key.then_some((found.keys.len(), row)),
                });
            }
            found.keys.extend(keys.cloned());
        }
        Ok(found)
    }

    /// The key of an entry, as an array of one; `None` for everybody's.
    pub(super) fn key(&self, entry: &Entry) -> Option<ArrayRef> {
        let (batch, row) = entry.key?;
        Some(self.keys[batch].slice(row, 1))
    }
}

impl Stale {
    /// What is stale at a state.
    ///
    /// # Errors
    /// When a value is damaged.
    pub(super) fn read(
        state: &State,
        stale: TableId,
        definition: &Definition,
    ) -> Result<Arc<Self>> {
        let Some(table) = state.table(stale) else {
            return Ok(Arc::default());
        };
        let mut known = definition.stale.lock();
        if let Some((of, stale)) = known.as_ref()
            && Arc::ptr_eq(of, table)
        {
            return Ok(stale.clone());
        }
        let all = Entries::read(state, stale)?;
        let entries = all.entries.iter().filter(|entry| !entry.gone);
        let read = Arc::new(Stale::of(&all, entries, definition)?);
        *known = Some((table.clone(), read.clone()));
        Ok(read)
    }

    /// What these entries say.
    ///
    /// # Errors
    /// When the slot of a time cannot be computed.
    pub(super) fn of<'a>(
        from: &Entries,
        entries: impl Iterator<Item = &'a Entry>,
        definition: &Definition,
    ) -> Result<Self> {
        let mut stale = Stale::default();
        let entries: Vec<&Entry> = entries.collect();
        let times: Vec<(i64, i64)> = entries.iter().map(|entry| entry.times).collect();
        let slots = definition.slots.of_ranges(&times)?;
        for (entry, range) in entries.into_iter().zip(slots) {
            let (from_time, to_time) = entry.times;
            stale.times = Some(match stale.times {
                Some((first, last)) => (first.min(from_time), last.max(to_time)),
                None => entry.times,
            });
            // Partials that are not kept by key are all stale.
            match from.key(entry).filter(|_| definition.key.is_some()) {
                None => stale.all.push(range),
                Some(key) => stale.keyed(&key)?.push(range),
            }
        }
        Ok(stale)
    }

    fn keyed(&mut self, key: &ArrayRef) -> Result<&mut Vec<SlotRange>> {
        let keyed = match self.keyed.take() {
            Some(keyed) => keyed,
            None => Keyed {
                converter: RowConverter::new(vec![SortField::new(key.data_type().clone())])?,
                ranges: HashMap::new(),
            },
        };
        let keyed = self.keyed.insert(keyed);
        let row = keyed.converter.convert_columns(std::slice::from_ref(key))?;
        Ok(keyed.ranges.entry(row.row(0).owned()).or_default())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.times.is_none()
    }

    /// Whether all of it belongs to single keys.
    pub(super) fn is_keyed(&self) -> bool {
        self.all.is_empty()
    }

    /// How many keys have stale partials of their own.
    pub(super) fn keys(&self) -> usize {
        self.keyed.as_ref().map_or(0, |keyed| keyed.ranges.len())
    }

    /// Which rows are stale, given their keys and slots.
    pub(super) fn has(&self, keys: Option<&ArrayRef>, slots: &ArrayRef) -> Result<BooleanArray> {
        let slots = slots.as_primitive::<TimestampMicrosecondType>().values();
        let in_any = |ranges: &[SlotRange], slot: i64| {
            ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&slot))
        };
        let rows = match (&self.keyed, keys) {
            (Some(keyed), Some(keys)) => Some((
                keyed,
                keyed
                    .converter
                    .convert_columns(std::slice::from_ref(keys))?,
            )),
            _ => None,
        };
        let has = |(at, &slot): (usize, &i64)| {
            in_any(&self.all, slot)
                || rows.as_ref().is_some_and(|(keyed, rows)| {
                    let ranges = keyed.ranges.get(&rows.row(at).owned());
                    ranges.is_some_and(|ranges| in_any(ranges, slot))
                })
        };
        Ok(slots.iter().enumerate().map(|row| Some(has(row))).collect())
    }
}

pub(super) fn external(error: slicedb_storage::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
