//! Tables that follow another: what is computed from its rows when they are sealed.
//!
//! A *derived table* holds partial aggregates of the sealed rows of its source. A seal writes them
//! in the same switch as the rows' segments, so that both are there or neither; rows in memory are
//! left to whoever reads. Merges make one row of the partials of one group.
//!
//! What was sealed and then changed makes partials *stale*. Where, is told by a second table beside
//! the partials, whose rows are ordinary rows: a transaction that deletes rows of the source adds
//! them, and whoever computes the partials anew deletes them, each in its one commit. A stale range
//! is one key's, or with a null key everybody's; it also tells where rows of the source are *gone*
//! by retention, so that nobody takes what is left for all there was.
//!
//! ```text
//! stale table: | key, if the source has one | from | to, included | gone |
//! ```
//!
//! Storage does not know what an aggregate is: the crate above computes ([`Derive`]).

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array,
    new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{
    DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use arrow::row::{RowConverter, SortField};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::build::Builder;
use crate::memtable::{BlockRef, MemChunk, MemRun};
use crate::segment::Segment;
use crate::state::{State, TableState};
use crate::table::{DAY_US, HOUR_US, Layout, TableDef, chunk_start};
use crate::{Error, Result, RowId, Scan, ScanRequest, Sequence, TableId};

/// The zone of the times of stale tables.
const UTC: &str = "UTC";
/// Deleted rows of one key within so much time make one stale range.
const SLOT_US: i64 = HOUR_US / 4;
/// Beyond so many ranges of single keys a statement marks ranges of all keys.
const RANGES_MAX: usize = 64 * 1024;

/// How a table follows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derived {
    /// The table that it follows.
    pub source: TableId,
    /// What it holds.
    pub part: Part,
}

/// What a derived table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Partial aggregates of the source's sealed rows.
    Partials,
    /// Where the partials of a table are stale.
    Stale {
        /// The partials.
        partials: TableId,
    },
}

/// Computes derived tables. The crate above does.
pub trait Derive: Send + Sync {
    /// Begins the computation of rows of a derived table.
    ///
    /// # Errors
    /// Whatever keeps it from it. A seal then marks the partials of its rows as stale.
    fn begin(&self, state: &State, partials: TableId) -> Result<Box<dyn Deriving>>;

    /// A range of times in microseconds, both ends included, as far as partials that have rows of it
    /// reach: whole buckets.
    ///
    /// # Errors
    /// Whatever keeps it from knowing them.
    fn reach(&self, state: &State, partials: TableId, times: (i64, i64)) -> Result<(i64, i64)>;

    /// Makes one row of those of each group. The rows are whole groups, in the table's order, and
    /// so is the answer.
    fn combine(&self, state: &State, partials: TableId, rows: RecordBatch) -> Result<RecordBatch>;
}

/// A computation of rows of a derived table.
pub trait Deriving {
    /// Takes rows of the source, with all its columns. They mostly come in its order.
    fn push(&mut self, rows: &RecordBatch) -> Result<()>;

    /// The rows of the derived table, in no order.
    fn finish(self: Box<Self>) -> Result<Vec<RecordBatch>>;
}

/// For an engine whose tables have nothing derived.
pub(crate) struct NoDerive;

impl Derive for NoDerive {
    fn begin(&self, _: &State, partials: TableId) -> Result<Box<dyn Deriving>> {
        Err(unknown(partials))
    }

    fn reach(&self, _: &State, partials: TableId, _: (i64, i64)) -> Result<(i64, i64)> {
        Err(unknown(partials))
    }

    fn combine(&self, _: &State, partials: TableId, _: RecordBatch) -> Result<RecordBatch> {
        Err(unknown(partials))
    }
}

fn unknown(partials: TableId) -> Error {
    Error::Invalid(format!("nobody computes table {partials}"))
}

impl State {
    /// The tables with partial aggregates of a table's rows, by their numbers.
    pub fn partials_of(&self, source: TableId) -> Vec<&Arc<TableState>> {
        let follows = |table: &&Arc<TableState>| {
            let derived = table.def.derived;
            derived.is_some_and(|d| d.source == source && d.part == Part::Partials)
        };
        let mut found: Vec<_> = self.tables.values().filter(follows).collect();
        found.sort_by_key(|table| table.def.id);
        found
    }

    /// The tables that tell where partial aggregates of a table's rows are stale.
    pub fn stale_of(&self, source: TableId) -> Vec<&Arc<TableState>> {
        let follows = |table: &&Arc<TableState>| {
            let derived = table.def.derived;
            derived.is_some_and(|d| d.source == source && d.part != Part::Partials)
        };
        let mut found: Vec<_> = self.tables.values().filter(follows).collect();
        found.sort_by_key(|table| table.def.id);
        found
    }
}

/// The definition of the table that tells where `partials` are stale, for a source.
///
/// # Errors
/// [`Error::Invalid`] when the source is no time-series table.
pub fn stale_def(id: TableId, partials: TableId, source: &TableDef) -> Result<TableDef> {
    let key = source.key_column().map(|key| source.schema.field(key));
    let time = |name| {
        Field::new(
            name,
            DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            false,
        )
    };
    let mut fields: Vec<Field> = key
        .map(|key| Field::new("key", key.data_type().clone(), true))
        .into_iter()
        .collect();
    fields.extend([
        time("from"),
        time("to"),
        Field::new("gone", DataType::Boolean, false),
    ]);
    let layout = Layout::TimeSeries {
        time: fields.len() - 3,
        key: key.map(|_| 0),
        chunk_us: 365 * DAY_US,
        retention_us: None,
    };
    let mut def = TableDef::new(id, Arc::new(Schema::new(fields)), layout)?;
    def.derived = Some(Derived {
        source: source.id,
        part: Part::Stale { partials },
    });
    Ok(def)
}

/// Ranges of time in which partials are stale or the source's rows are gone.
pub struct Ranges {
    /// Whose, one of each range or one of all; `None` for everybody's.
    keys: Option<ArrayRef>,
    /// In microseconds, both ends included.
    times: Vec<(i64, i64)>,
    gone: bool,
}

impl Ranges {
    /// Everybody's partials of a range of time.
    pub fn of_all(from: i64, to: i64) -> Self {
        Ranges {
            keys: None,
            times: vec![(from, to)],
            gone: false,
        }
    }

    /// Ranges of times of one key, or of everybody. The key is an array of one.
    pub fn of(key: Option<ArrayRef>, times: Vec<(i64, i64)>) -> Self {
        Ranges {
            keys: key,
            times,
            gone: false,
        }
    }

    /// The ranges around rows, given by their keys, if the source has any, and their times.
    pub fn around(keys: Option<&ArrayRef>, times: &[i64]) -> Result<Self> {
        let slots: Vec<i64> = times.iter().map(|&time| slot(time, SLOT_US)).collect();
        let by_slot = |slots: &mut dyn Iterator<Item = i64>, width: i64| {
            let distinct: HashSet<i64> = slots.collect();
            let mut distinct: Vec<i64> = distinct.into_iter().collect();
            distinct.sort_unstable();
            let times = distinct.into_iter().map(|from| (from, end(from, width)));
            times.collect::<Vec<_>>()
        };
        if let Some(keys) = keys {
            let firsts = distinct_rows(keys, &slots)?;
            if firsts.len() <= RANGES_MAX {
                let of_row = |&row: &u32| slots[row as usize];
                let times = firsts
                    .iter()
                    .map(of_row)
                    .map(|from| (from, end(from, SLOT_US)));
                let times = times.collect();
                let keys = take(keys, &UInt32Array::from(firsts), None).map_err(cannot_mark)?;
                return Ok(Ranges {
                    keys: Some(keys),
                    times,
                    gone: false,
                });
            }
        }
        let mut times = by_slot(&mut slots.iter().copied(), SLOT_US);
        if times.len() > RANGES_MAX {
            let days = slots.iter().map(|&time| slot(time, DAY_US));
            times = by_slot(&mut days.into_iter(), DAY_US);
        }
        if times.len() > RANGES_MAX {
            times = vec![(times[0].0, times[times.len() - 1].1)];
        }
        Ok(Ranges {
            keys: None,
            times,
            gone: false,
        })
    }

    /// As rows of a stale table.
    pub fn rows(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        let rows = self.times.len();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(4);
        if schema.fields().len() == 4 {
            let key_type = schema.field(0).data_type();
            columns.push(match &self.keys {
                Some(keys) if keys.len() == rows => keys.clone(),
                Some(key) => {
                    take(key, &UInt32Array::from(vec![0; rows]), None).map_err(cannot_mark)?
                }
                None => new_null_array(key_type, rows),
            });
        }
        let (from, to): (Vec<i64>, Vec<i64>) = self.times.iter().copied().unzip();
        for times in [from, to] {
            let times = TimestampMicrosecondArray::from(times).with_timezone(UTC);
            columns.push(Arc::new(times));
        }
        columns.push(Arc::new(BooleanArray::from(vec![self.gone; rows])));
        RecordBatch::try_new(schema.clone(), columns).map_err(cannot_mark)
    }
}

/// The times of the ranges in a stale table that are stale, or of those that are gone, in
/// microseconds, both ends included.
///
/// # Errors
/// [`Error::Corrupt`] when a value is damaged.
pub fn times(state: &State, stale: TableId, gone: bool) -> Result<Vec<(i64, i64)>> {
    let marks = marks(state, stale, gone)?.into_iter();
    Ok(marks.map(|(times, _)| times).collect())
}

/// The same with the numbers of their rows.
pub(crate) fn marks(state: &State, stale: TableId, gone: bool) -> Result<Vec<((i64, i64), RowId)>> {
    let table = state.table(stale);
    let columns = table.map_or(0, |t| t.def.schema.fields().len());
    let request = ScanRequest {
        columns: (columns.saturating_sub(3)..columns).collect(),
        row_ids: true,
        ..ScanRequest::default()
    };
    let scan = Scan::new(state, stale, request)?;
    let mut marks = Vec::new();
    for unit in scan.units() {
        let Some(rows) = scan.read(unit)? else {
            continue;
        };
        let time = |column| {
            rows.column(column)
                .as_primitive::<TimestampMicrosecondType>()
        };
        let (from, to, is_gone) = (time(0), time(1), rows.column(2).as_boolean());
        let ids = rows.column(3).as_primitive::<UInt64Type>();
        let wanted = (0..rows.num_rows()).filter(|&row| is_gone.value(row) == gone);
        marks.extend(wanted.map(|row| {
            let times = (from.value(row), to.value(row));
            (times, RowId(ids.value(row)))
        }));
    }
    Ok(marks)
}

/// The rows that tell what is derived from a table that rows of these times are gone, by the number
/// of the stale table.
///
/// # Errors
/// Those of [`Derive::reach`].
pub(crate) fn gone(
    state: &State,
    derive: &dyn Derive,
    source: TableId,
    times: &[(i64, i64)],
) -> Result<Vec<(TableId, RecordBatch)>> {
    let mut rows = Vec::new();
    for stale in state.stale_of(source) {
        let Some(Part::Stale { partials }) = stale.def.derived.map(|d| d.part) else {
            continue;
        };
        let reached = times
            .iter()
            .map(|&times| derive.reach(state, partials, times));
        let ranges = Ranges {
            keys: None,
            times: reached.collect::<Result<_>>()?,
            gone: true,
        };
        rows.push((stale.def.id, ranges.rows(&stale.def.schema)?));
    }
    Ok(rows)
}

/// The rows of derived tables that a seal computes while it writes those of their source.
pub(crate) struct Partials(Vec<(TableId, Result<Box<dyn Deriving>>)>);

impl Partials {
    /// Begins for all tables with partials of a source.
    pub(crate) fn begin(derive: &dyn Derive, state: &State, source: TableId) -> Self {
        let tables = state.partials_of(source).into_iter();
        Partials(
            tables
                .map(|table| (table.def.id, guarded(|| derive.begin(state, table.def.id))))
                .collect(),
        )
    }

    /// Takes rows that are sealed.
    pub(crate) fn push(&mut self, rows: &RecordBatch) {
        for (_, deriving) in &mut self.0 {
            if let Ok(computed) = deriving
                && let Err(e) = guarded(|| computed.push(rows))
            {
                *deriving = Err(e);
            }
        }
    }

    /// The segments of all of them. Where a computation failed, as an aggregate of one row in
    /// millions may, its partials of these times are stale.
    pub(crate) fn finish(
        self,
        builder: &Builder<'_>,
        state: &State,
        sealed: &[MemRun],
    ) -> Result<Vec<(TableId, Vec<Arc<Segment>>)>> {
        let times = sealed.iter().filter_map(|run| run.chunk.time);
        let times = times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let mut segments = Vec::with_capacity(self.0.len());
        for (partials, deriving) in self.0 {
            let (table, rows) = match deriving.and_then(|d| guarded(|| d.finish())) {
                Ok(rows) => (partials, rows),
                Err(e) => {
                    warn!(table = %partials, error = %e, "partial aggregates could not be computed: these rows are aggregated by queries");
                    stale_after(state, partials, times)?
                }
            };
            let Some(target) = state.table(table) else {
                continue;
            };
            let built = builder.build(&target.def, &runs(&target.def, rows)?, &mut |_| {})?;
            segments.push((table, built.into_iter().map(|b| b.segment).collect()));
        }
        Ok(segments)
    }
}

/// The rows of the stale table of some partials that tell that they are stale at these times.
fn stale_after(
    state: &State,
    partials: TableId,
    times: Option<(i64, i64)>,
) -> Result<(TableId, Vec<RecordBatch>)> {
    let of_partials = |table: &&Arc<TableState>| {
        let derived = table.def.derived;
        derived.is_some_and(|d| d.part == Part::Stale { partials })
    };
    let stale = state.tables.values().find(of_partials);
    let stale = stale.ok_or_else(|| unknown(partials))?;
    let Some((from, to)) = times else {
        return Ok((stale.def.id, Vec::new()));
    };
    let rows = Ranges::of_all(from, to).rows(&stale.def.schema)?;
    Ok((stale.def.id, vec![rows]))
}

/// Batches of a derived table, as a builder takes them.
///
/// # Errors
/// [`Error::Invalid`] when one does not fit the table.
pub(crate) fn runs(def: &TableDef, batches: Vec<RecordBatch>) -> Result<Vec<MemRun>> {
    let run = |(ordinal, batch): (u32, RecordBatch)| {
        def.accept(&batch)?;
        let at = BlockRef {
            sequence: Sequence::default(),
            ordinal,
        };
        Ok(MemRun {
            chunk: Arc::new(MemChunk::new(def, batch, at)),
            deleted: None,
        })
    };
    (0..).zip(batches).map(run).collect()
}

/// The first row of each distinct pair of key and slot.
fn distinct_rows(keys: &ArrayRef, slots: &[i64]) -> Result<Vec<u32>> {
    let converter = RowConverter::new(vec![
        SortField::new(keys.data_type().clone()),
        SortField::new(DataType::Int64),
    ])
    .map_err(cannot_mark)?;
    let slots: ArrayRef = Arc::new(arrow::array::Int64Array::from(slots.to_vec()));
    let rows = converter
        .convert_columns(&[keys.clone(), slots])
        .map_err(cannot_mark)?;
    let mut seen = HashSet::with_capacity(rows.num_rows());
    let numbered = (0u32..).zip(rows.iter());
    Ok(numbered
        .filter(|(_, row)| seen.insert(*row))
        .map(|(at, _)| at)
        .collect())
}

/// The last microsecond of a slot.
fn end(from: i64, width: i64) -> i64 {
    match from {
        i64::MIN | i64::MAX => from,
        from => from.saturating_add(width - 1),
    }
}

/// The slot of a time. Before and after all times each is one of its own.
fn slot(time: i64, width: i64) -> i64 {
    match time {
        i64::MIN | i64::MAX => time,
        time => chunk_start(time, width),
    }
}

/// What a computation answers; a panic of it ends it and not the thread that seals.
pub(crate) fn guarded<T>(compute: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(compute))
        .unwrap_or_else(|_| Err(Error::Invalid("an aggregate's computation panicked".into())))
}

fn cannot_mark(error: arrow::error::ArrowError) -> Error {
    Error::Invalid(format!("stale partials cannot be marked: {error}"))
}
