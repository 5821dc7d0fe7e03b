//! Continuous aggregates in the catalog: one record `aggregate/SCHEMA/NAME` each, JSON.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use slicedb_storage::{Layout, State, TableDef, TableId};

use super::{ColumnEntry, Properties, RelationKind, TableEntry};
use crate::types::PgType;

/// A continuous aggregate.
#[derive(Debug, Clone)]
pub struct AggregateEntry {
    /// Its names and columns, as those of a table that does not exist.
    pub table: Arc<TableEntry>,
    /// Its query, as it was written.
    pub query: String,
    /// The time zone in which its query is read.
    pub time_zone: String,
    /// The table whose rows it aggregates.
    pub source: TableId,
    /// Where its partials are kept.
    pub partials: TableId,
    /// Where it is told which of them are stale.
    pub stale: TableId,
    /// The relations that its query names, by their oids.
    pub reads: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    oid: u32,
    query: String,
    time_zone: String,
    source: TableId,
    partials: TableId,
    stale: TableId,
    #[serde(default)]
    reads: Vec<u32>,
    /// A table definition with its columns.
    columns: serde_json::Value,
    #[serde(flatten)]
    properties: Properties,
}

impl AggregateEntry {
    /// A new one.
    ///
    /// # Errors
    /// When storage could have no table of such columns.
    pub fn new(
        schema: &str,
        name: &str,
        columns: Vec<ColumnEntry>,
        query: AggregateQuery,
    ) -> slicedb_storage::Result<Self> {
        let fields: Vec<_> = columns.iter().map(|c| c.ty.field(&c.name, true)).collect();
        let fields = Arc::new(arrow::datatypes::Schema::new(fields));
        let layout = Layout::Reference {
            primary_key: Vec::new(),
        };
        let table = TableEntry {
            kind: RelationKind::View,
            schema: schema.to_owned(),
            name: name.to_owned(),
            oid: super::table_oid(query.partials),
            def: Arc::new(TableDef::new(query.partials, fields, layout)?),
            columns,
            properties: Properties::default(),
        };
        Ok(AggregateEntry {
            table: Arc::new(table),
            query: query.text,
            time_zone: query.time_zone,
            source: query.source,
            partials: query.partials,
            stale: query.stale,
            reads: query.reads,
        })
    }

    /// Whether its query names a relation.
    pub fn reads_from(&self, relation: &TableEntry) -> bool {
        self.source == relation.def.id || self.reads.contains(&relation.oid)
    }

    /// Reads a record.
    pub(super) fn decode(
        schema: &str,
        name: &str,
        value: &[u8],
        state: &State,
    ) -> Result<Self, String> {
        let record: Record = serde_json::from_slice(value).map_err(|e| e.to_string())?;
        for table in [record.source, record.partials, record.stale] {
            if state.table(table).is_none() {
                return Err(format!("table {table} is missing"));
            }
        }
        let def = TableDef::decode(record.columns.to_string().as_bytes())?;
        let columns = def.schema.fields().iter().map(|field| ColumnEntry {
            name: field.name().clone(),
            ty: PgType::of_field(field),
            not_null: false,
            default: None,
        });
        let table = TableEntry {
            kind: RelationKind::View,
            schema: schema.to_owned(),
            name: name.to_owned(),
            oid: record.oid,
            columns: columns.collect(),
            def: Arc::new(def),
            properties: record.properties,
        };
        Ok(AggregateEntry {
            table: Arc::new(table),
            query: record.query,
            time_zone: record.time_zone,
            source: record.source,
            partials: record.partials,
            stale: record.stale,
            reads: record.reads,
        })
    }

    /// Name of its catalog record.
    pub fn record_name(&self) -> String {
        format!("aggregate/{}/{}", self.table.schema, self.table.name)
    }

    /// Its catalog record.
    pub fn record(&self) -> Bytes {
        let record = Record {
            oid: self.table.oid,
            query: self.query.clone(),
            time_zone: self.time_zone.clone(),
            source: self.source,
            partials: self.partials,
            stale: self.stale,
            reads: self.reads.clone(),
            // A definition is JSON already.
            columns: serde_json::from_slice(&self.table.def.encode()).unwrap_or_default(),
            properties: self.table.properties.clone(),
        };
        // Plain maps of text cannot fail to serialise.
        serde_json::to_vec(&record).unwrap_or_default().into()
    }
}

/// What a new continuous aggregate computes, and the tables that keep it.
#[derive(Debug)]
pub struct AggregateQuery {
    /// The relations that it names, by their oids.
    pub reads: Vec<u32>,
    /// Its text.
    pub text: String,
    /// The time zone in which it is read.
    pub time_zone: String,
    /// The table whose rows it aggregates.
    pub source: TableId,
    /// Where its partials are kept.
    pub partials: TableId,
    /// Where it is told which of them are stale.
    pub stale: TableId,
}
