//! The catalog: which tables there are, by name.
//!
//! A table is one record `table/SCHEMA/NAME` of the engine, JSON, beside its definition in storage,
//! both changed by the same commit. A statement sees the catalog of the state that it reads.

mod aggregate;
mod job;
mod progress;
mod properties;
mod provider;
pub mod system;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use slicedb_storage::{Layout, State, TableDef, TableId};

use crate::dialect::TableName;
use crate::error::{Result, SqlError, SqlState};
use crate::types::PgType;

pub use aggregate::{AggregateEntry, AggregateQuery};
pub use job::interval_text;
pub use progress::Progress;
pub use properties::{Properties, StoredQuery};
pub(crate) use provider::CatalogView;

/// The schema of tables whose name has none.
pub const PUBLIC: &str = "public";
/// The schema of the system catalogs.
pub(crate) const PG_CATALOG: &str = "pg_catalog";
/// Oids below are PostgreSQL's own.
const FIRST_OID: u32 = 16_384;

/// The tables of one state.
#[derive(Debug, Default)]
pub struct Catalog {
    tables: BTreeMap<(String, String), Arc<TableEntry>>,
    aggregates: BTreeMap<(String, String), Arc<AggregateEntry>>,
}

/// What has columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// A table.
    Table,
    /// A continuous aggregate, which is a view to clients.
    View,
    /// A materialized view: a table that a query fills.
    MaterializedView,
}

/// A table, or what looks like one.
#[derive(Debug, Clone)]
pub struct TableEntry {
    /// What it is.
    pub kind: RelationKind,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its number in `pg_class`, which it keeps.
    pub oid: u32,
    /// Its definition in storage.
    pub def: Arc<TableDef>,
    /// Its columns, in order.
    pub columns: Vec<ColumnEntry>,
    /// What else there is to it.
    pub properties: Properties,
}

/// A column.
#[derive(Debug, Clone)]
pub struct ColumnEntry {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: PgType,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The expression for rows that do not give a value, as SQL.
    pub default: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    table: TableId,
    oid: u32,
    /// By column name.
    defaults: BTreeMap<String, String>,
    #[serde(flatten)]
    properties: Properties,
}

impl Catalog {
    /// The catalog that `state` holds.
    ///
    /// # Errors
    /// XX001 when a record is damaged.
    pub fn read(state: &State) -> Result<Catalog> {
        let mut tables = BTreeMap::new();
        let mut aggregates = BTreeMap::new();
        for (name, value) in state.records.iter() {
            let damaged = |reason: String| {
                let message = format!("catalog record {name} is damaged: {reason}");
                SqlError::new(SqlState::DATA_CORRUPTED, message)
            };
            if let Some(key) = name
                .strip_prefix("aggregate/")
                .and_then(|n| n.split_once('/'))
            {
                let entry = AggregateEntry::decode(key.0, key.1, value, state);
                let key = (key.0.to_owned(), key.1.to_owned());
                aggregates.insert(key, Arc::new(entry.map_err(damaged)?));
                continue;
            }
            let Some((schema, table)) = name.strip_prefix("table/").and_then(|n| n.split_once('/'))
            else {
                return Err(damaged("its name is unknown".into()));
            };
            let record: Record =
                serde_json::from_slice(value).map_err(|e| damaged(e.to_string()))?;
            let def = &state
                .table(record.table)
                .ok_or_else(|| damaged("its table is missing".into()))?
                .def;
            let entry = TableEntry::new(schema, table, def.clone(), record);
            tables.insert((schema.to_owned(), table.to_owned()), Arc::new(entry));
        }
        Ok(Catalog { tables, aggregates })
    }

    /// A table by its names.
    pub fn get(&self, schema: &str, name: &str) -> Option<&Arc<TableEntry>> {
        self.tables.get(&(schema.to_owned(), name.to_owned()))
    }

    /// A table as a statement names it that changes it.
    ///
    /// # Errors
    /// 42P01 when there is none, with the position of the name; 42809 for a view.
    pub fn find(&self, name: &TableName) -> Result<&Arc<TableEntry>> {
        let schema = name.schema.as_deref().unwrap_or(PUBLIC);
        if let Some(entry) = self.aggregate(schema, &name.name) {
            let message = format!("\"{}\" is a materialized view", entry.table.name);
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        let entry = self.get(schema, &name.name);
        let entry = entry.ok_or_else(|| undefined(name))?;
        if entry.kind == RelationKind::MaterializedView {
            let message = format!("cannot change materialized view \"{}\"", entry.name);
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        Ok(entry)
    }

    /// Whatever has columns, by its names.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Arc<TableEntry>> {
        let aggregate = || self.aggregate(schema, name).map(|a| &a.table);
        self.get(schema, name).or_else(aggregate)
    }

    /// A continuous aggregate by its names.
    pub fn aggregate(&self, schema: &str, name: &str) -> Option<&Arc<AggregateEntry>> {
        self.aggregates.get(&(schema.to_owned(), name.to_owned()))
    }

    /// All continuous aggregates, by schema and name.
    pub fn aggregates(&self) -> impl Iterator<Item = &Arc<AggregateEntry>> {
        self.aggregates.values()
    }

    /// Whatever has columns: tables and materialized views, then the continuous aggregates.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<TableEntry>> {
        self.tables().chain(self.aggregates().map(|a| &a.table))
    }

    /// All materialized views, by schema and name.
    pub fn views(&self) -> impl Iterator<Item = (&Arc<TableEntry>, &StoredQuery)> {
        let views = self.tables.values();
        views.filter_map(|entry| Some((entry, entry.properties.view.as_ref()?)))
    }

    /// All tables and materialized views, by schema and name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableEntry>> {
        self.tables.values()
    }
}

impl TableEntry {
    fn new(schema: &str, name: &str, def: Arc<TableDef>, mut record: Record) -> Self {
        let columns = def.schema.fields().iter().map(|field| ColumnEntry {
            name: field.name().clone(),
            ty: PgType::of_field(field),
            not_null: !field.is_nullable(),
            default: record.defaults.remove(field.name()),
        });
        TableEntry {
            kind: match record.properties.view {
                Some(_) => RelationKind::MaterializedView,
                None => RelationKind::Table,
            },
            schema: schema.to_owned(),
            name: name.to_owned(),
            oid: record.oid,
            columns: columns.collect(),
            def,
            properties: record.properties,
        }
    }

    /// Position of a column by its name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Position of a column by its name.
    ///
    /// # Errors
    /// 42703 when there is none.
    pub fn require_column(&self, name: &str) -> Result<usize> {
        self.column(name).ok_or_else(|| {
            let message = format!(
                "column \"{name}\" of relation \"{}\" does not exist",
                self.name
            );
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })
    }

    /// Whether it is a time-series table.
    pub fn is_time_series(&self) -> bool {
        matches!(self.def.layout, Layout::TimeSeries { .. })
    }

    /// Name of its catalog record.
    pub fn record_name(&self) -> String {
        record_name(&self.schema, &self.name)
    }

    /// Its catalog record.
    pub fn record(&self) -> Bytes {
        let defaults = self
            .columns
            .iter()
            .filter_map(|c| Some((c.name.clone(), c.default.clone()?)));
        let record = Record {
            table: self.def.id,
            oid: self.oid,
            defaults: defaults.collect(),
            properties: self.properties.clone(),
        };
        // Plain maps of text cannot fail to serialise.
        serde_json::to_vec(&record).unwrap_or_default().into()
    }
}

/// Name of the catalog record of a table.
pub fn record_name(schema: &str, name: &str) -> String {
    format!("table/{schema}/{name}")
}

/// The oid of a new table. The row type takes the number after.
pub fn table_oid(id: TableId) -> u32 {
    FIRST_OID + 2 * id.0
}

/// 42P01.
pub fn undefined(name: &TableName) -> SqlError {
    let error = SqlError::new(
        SqlState::UNDEFINED_TABLE,
        format!("relation \"{name}\" does not exist"),
    );
    if name.position > 0 {
        error.at(name.position)
    } else {
        error
    }
}

type Records = Arc<BTreeMap<String, Bytes>>;

/// Catalogs are read once per change, not once per statement.
#[derive(Default)]
pub(crate) struct CatalogCache {
    last: Mutex<Option<(Records, Arc<Catalog>)>>,
}

impl CatalogCache {
    pub(crate) fn of(&self, state: &State) -> Result<Arc<Catalog>> {
        if let Some((records, catalog)) = &*self.last.lock()
            && Arc::ptr_eq(records, &state.records)
        {
            return Ok(catalog.clone());
        }
        let catalog = Arc::new(Catalog::read(state)?);
        *self.last.lock() = Some((state.records.clone(), catalog.clone()));
        Ok(catalog)
    }
}
