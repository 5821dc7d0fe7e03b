//! Reading a table: which packs and chunks may hold wanted rows, and their rows.
//!
//! A scan is planned once against a state, then its units are read in any order, by any thread.
//! Ranges of the key and of time are applied exactly: a unit returns no row outside them. Other
//! conditions only leave out whole packs.

mod newest;
mod plan;
mod read;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::segment::stats::{Compare, Value};
use crate::state::{State, TableState};
use crate::{Error, Result, TableId};

/// Name of the column with row numbers, when a scan is asked for them.
pub const ROW_ID: &str = "__slicedb_row";

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct ScanRequest {
    /// Positions of the columns to return, in this order.
    pub columns: Vec<usize>,
    /// Ranges of the key column, ascending and disjoint; `None` for all keys.
    pub keys: Option<Vec<KeyRange>>,
    /// First and last time in microseconds.
    pub time: Option<(i64, i64)>,
    /// Conditions that the packs' statistics are asked for: column, comparison, value.
    pub zones: Vec<(usize, Compare, Value)>,
    /// Add a column [`ROW_ID`] for [`crate::Transaction::delete`].
    pub row_ids: bool,
    /// Which of the rows.
    pub place: Place,
}

/// Where rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// Wherever they are.
    #[default]
    Anywhere,
    /// In memory, not yet sealed.
    Memory,
    /// In segments.
    Segments,
}

/// A range of keys, both ends included; `None` is open. A range never holds null.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRange {
    /// The least key.
    pub min: Option<Value>,
    /// The greatest key.
    pub max: Option<Value>,
}

/// A piece of work of a scan: one pack, or one chunk in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    source: Source,
    /// Rows before any condition.
    pub rows: u32,
    /// Rows that probably meet the condition on the key.
    pub likely: u32,
    /// Least and greatest time in it, where the table has a time column.
    pub time: Option<(i64, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Memory(usize),
    Pack(usize, u32),
}

/// What a scan left out and what it read.
#[derive(Debug, Default)]
pub struct ScanStats {
    /// Segments of the table.
    pub segments: AtomicU64,
    /// Of them left out whole.
    pub segments_pruned: AtomicU64,
    /// Packs of the table.
    pub packs: AtomicU64,
    /// Of them left out.
    pub packs_pruned: AtomicU64,
    /// Chunks in memory that are read.
    pub memory_chunks: AtomicU64,
    /// Packs read.
    pub packs_read: AtomicU64,
    /// Rows of the packs and chunks read, before any condition.
    pub rows_considered: AtomicU64,
    /// Rows returned.
    pub rows_returned: AtomicU64,
    /// Bytes of column values read from disk.
    pub bytes_read: AtomicU64,
    /// Bytes of column values found in the cache.
    pub bytes_cached: AtomicU64,
}

/// A planned scan.
pub struct Scan {
    table: Arc<TableState>,
    request: ScanRequest,
    schema: SchemaRef,
    units: Vec<Unit>,
    /// Counters, filled while the units are read.
    pub stats: ScanStats,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a scan of {} units", self.units.len())
    }
}

impl Scan {
    /// Plans the scan of a table as `state` shows it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the table or a column does not exist.
    pub fn new(state: &State, table: TableId, request: ScanRequest) -> Result<Scan> {
        let table = state
            .table(table)
            .ok_or_else(|| Error::Invalid("the table does not exist".into()))?;
        let fields = table.def.schema.fields();
        if let Some(column) = request.columns.iter().find(|&&c| c >= fields.len()) {
            return Err(Error::Invalid(format!("column {column} does not exist")));
        }
        let mut returned: Vec<Arc<Field>> =
            request.columns.iter().map(|&c| fields[c].clone()).collect();
        if request.row_ids {
            returned.push(Arc::new(Field::new(ROW_ID, DataType::UInt64, false)));
        }
        let mut scan = Scan {
            table: table.clone(),
            request,
            schema: Arc::new(Schema::new(returned)),
            units: Vec::new(),
            stats: ScanStats::default(),
        };
        scan.units = scan.plan();
        Ok(scan)
    }

    /// The columns returned.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The pieces of work, segments by time, then memory.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Rows that are probably returned, before the conditions on time and other columns.
    pub fn likely_rows(&self) -> u64 {
        self.units.iter().map(|unit| u64::from(unit.likely)).sum()
    }

    /// Live rows of the table when nothing restricts the scan: then the number is exact.
    pub fn exact_rows(&self) -> Option<u64> {
        let unrestricted = self.request.place == Place::Anywhere
            && self.request.keys.is_none()
            && self.request.time.is_none()
            && self.request.zones.is_empty();
        unrestricted.then(|| self.table.rows())
    }
}
