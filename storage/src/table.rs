//! What storage knows of a table: its columns, and how its rows are laid out.
//!
//! Names, defaults, comments and rights belong to the catalog above; storage sees positions.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use arrow::ipc::convert::try_schema_from_flatbuffer_bytes;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use serde::{Deserialize, Serialize};

use crate::derived::Derived;
use crate::{Error, Result, TableId};

/// One hour in microseconds, the chunk of a time-series table unless it says otherwise.
pub const HOUR_US: i64 = 3_600_000_000;
/// One day in microseconds, the chunk that compaction makes of hours.
pub const DAY_US: i64 = 24 * HOUR_US;

/// The definition of a table. Immutable; a change makes a new definition under the same id.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDef {
    /// Which table.
    pub id: TableId,
    /// Grows with every change of the columns; frames carry it.
    pub version: u32,
    /// The columns in order.
    pub schema: SchemaRef,
    /// A number for each column that is never used again within the table, so that values on
    /// disk keep their meaning when columns come and go.
    pub column_ids: Vec<u16>,
    /// How rows are ordered and divided.
    pub layout: Layout,
    /// Which table it follows, if it is derived.
    pub derived: Option<Derived>,
}

/// How the rows of a table are ordered and divided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// Rows sorted by (key, time) and divided by time.
    TimeSeries {
        /// Position of the time column: `timestamp` or `timestamptz`, never null.
        time: usize,
        /// Position of the key column (the merchant), if there is one.
        key: Option<usize>,
        /// Width of a chunk in microseconds. It divides a day, or is a multiple of one.
        chunk_us: i64,
        /// Rows whose whole chunk is older than this many microseconds may go.
        retention_us: Option<i64>,
    },
    /// Rows sorted by the primary key, or in order of arrival without one.
    Reference {
        /// Positions of the key's columns; empty without a key.
        primary_key: Vec<usize>,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredDef {
    id: TableId,
    version: u32,
    column_ids: Vec<u16>,
    layout: Layout,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    derived: Option<Derived>,
    schema: Vec<u8>,
}

impl TableDef {
    /// A definition with columns numbered from zero.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a position or a type does not fit the layout.
    pub fn new(id: TableId, schema: SchemaRef, layout: Layout) -> Result<Self> {
        let columns = u16::try_from(schema.fields().len())
            .map_err(|_| Error::Invalid("a table can have at most 65535 columns".into()))?;
        let def = TableDef {
            id,
            version: 0,
            schema,
            column_ids: (0..columns).collect(),
            layout,
            derived: None,
        };
        def.validate()?;
        Ok(def)
    }

    fn validate(&self) -> Result<()> {
        let columns = self.schema.fields().len();
        let in_range = |position: usize| {
            if position < columns {
                Ok(())
            } else {
                Err(Error::Invalid(format!("column {position} does not exist")))
            }
        };
        match &self.layout {
            Layout::TimeSeries {
                time,
                key,
                chunk_us,
                retention_us,
            } => {
                in_range(*time)?;
                key.map_or(Ok(()), in_range)?;
                let time_type = self.schema.field(*time).data_type();
                if !matches!(time_type, DataType::Timestamp(TimeUnit::Microsecond, _)) {
                    return Err(Error::Invalid(format!(
                        "the time column cannot be of type {time_type}"
                    )));
                }
                if *chunk_us <= 0 || (DAY_US % chunk_us != 0 && chunk_us % DAY_US != 0) {
                    return Err(Error::Invalid(
                        "the chunk interval must divide a day or be a whole number of days".into(),
                    ));
                }
                if retention_us.is_some_and(|window| window <= 0) {
                    return Err(Error::Invalid(
                        "the retention window must be positive".into(),
                    ));
                }
            }
            Layout::Reference { primary_key } => {
                primary_key.iter().try_for_each(|&p| in_range(p))?
            }
        }
        Ok(())
    }

    /// Positions of the columns by which rows are sorted, most significant first.
    pub fn sort_columns(&self) -> Vec<usize> {
        match &self.layout {
            Layout::TimeSeries { time, key, .. } => key.iter().copied().chain([*time]).collect(),
            Layout::Reference { primary_key } => primary_key.clone(),
        }
    }

    /// Position of the time column of a time-series table.
    pub fn time_column(&self) -> Option<usize> {
        match self.layout {
            Layout::TimeSeries { time, .. } => Some(time),
            Layout::Reference { .. } => None,
        }
    }

    /// Position of the first sort column, by which packs are divided and lookups are found.
    pub fn key_column(&self) -> Option<usize> {
        match &self.layout {
            Layout::TimeSeries { key, .. } => *key,
            Layout::Reference { primary_key } => primary_key.first().copied(),
        }
    }

    /// Positions of the primary key's columns; empty without one.
    pub fn primary_key(&self) -> &[usize] {
        match &self.layout {
            Layout::TimeSeries { .. } => &[],
            Layout::Reference { primary_key } => primary_key,
        }
    }

    /// Width of a chunk in microseconds; `None` for reference tables.
    pub fn chunk_us(&self) -> Option<i64> {
        match self.layout {
            Layout::TimeSeries { chunk_us, .. } => Some(chunk_us),
            Layout::Reference { .. } => None,
        }
    }

    /// Asserts that a batch has this table's columns.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a type differs or a column that cannot be null holds one.
    pub fn accept(&self, batch: &RecordBatch) -> Result<()> {
        if batch.num_columns() != self.schema.fields().len() {
            return Err(Error::Invalid(format!(
                "the table has {} columns but {} were given",
                self.schema.fields().len(),
                batch.num_columns()
            )));
        }
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            if field.data_type() != column.data_type() {
                return Err(Error::Invalid(format!(
                    "column \"{}\" is of type {} but {} was given",
                    field.name(),
                    field.data_type(),
                    column.data_type()
                )));
            }
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(Error::Invalid(format!(
                    "column \"{}\" cannot be null",
                    field.name()
                )));
            }
        }
        Ok(())
    }

    /// The definition as bytes: JSON, with the Arrow schema as an IPC flatbuffer inside.
    pub fn encode(&self) -> Vec<u8> {
        let mut dictionaries = DictionaryTracker::new(false);
        let schema = IpcDataGenerator::default()
            .schema_to_bytes_with_dictionary_tracker(
                &self.schema,
                &mut dictionaries,
                &IpcWriteOptions::default(),
            )
            .ipc_message;
        let stored = StoredDef {
            id: self.id,
            version: self.version,
            column_ids: self.column_ids.clone(),
            layout: self.layout.clone(),
            derived: self.derived,
            schema,
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads what [`TableDef::encode`] wrote. The error says what does not hold.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        let stored: StoredDef =
            serde_json::from_slice(bytes).map_err(|e| format!("table definition: {e}"))?;
        let schema: Schema = try_schema_from_flatbuffer_bytes(&stored.schema)
            .map_err(|e| format!("table schema: {e}"))?;
        if stored.column_ids.len() != schema.fields().len() {
            return Err("table definition: columns and their numbers differ in count".into());
        }
        let def = TableDef {
            id: stored.id,
            version: stored.version,
            schema: Arc::new(schema),
            column_ids: stored.column_ids,
            layout: stored.layout,
            derived: stored.derived,
        };
        def.validate().map_err(|e| e.to_string())?;
        Ok(def)
    }
}

/// The start of the chunk of width `width_us` that holds `time_us`; floors, also before 1970.
pub fn chunk_start(time_us: i64, width_us: i64) -> i64 {
    time_us.div_euclid(width_us).saturating_mul(width_us)
}
