//! [`Definition`]: a system table and its columns, as PostgreSQL 15 has them.
//!
//! `tables.txt` was written from a PostgreSQL 15: a line `schema.name oid relkind` for each table,
//! then its columns as `name:type`, indented, with `!` after those that are never null.

use std::sync::{Arc, LazyLock, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use crate::types::PgType;

/// A system table.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) schema_name: &'static str,
    pub(super) name: &'static str,
    pub(super) oid: u32,
    /// `r` for tables, `v` for views.
    pub(super) kind: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) schema: SchemaRef,
    /// The rows that never change, once somebody asked.
    pub(super) fixed: OnceLock<RecordBatch>,
}

/// A column of a system table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// How values are kept and sent.
    pub(super) ty: PgType,
    /// The oid of its type in PostgreSQL, which has more of them.
    pub(super) type_oid: u32,
    pub(super) not_null: bool,
}

/// By schema and name.
static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let mut found = Vec::new();
    let mut lines = include_str!("tables.txt").lines().peekable();
    while let Some(head) = lines.next() {
        let mut columns = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
            columns.extend(line.split_whitespace().filter_map(Column::read));
        }
        found.extend(Definition::read(head, columns));
    }
    found.sort_by_key(|definition| (definition.schema_name, definition.name));
    found
});

/// A system table by its names.
pub(super) fn find(schema: &str, name: &str) -> Option<&'static Definition> {
    let at = DEFINITIONS.binary_search_by(|d| (d.schema_name, d.name).cmp(&(schema, name)));
    at.ok().map(|at| &DEFINITIONS[at])
}

/// All system tables, by schema and name.
pub(super) fn all() -> &'static [Definition] {
    &DEFINITIONS
}

impl Definition {
    fn read(head: &'static str, columns: Vec<Column>) -> Option<Definition> {
        let mut words = head.split(' ');
        let (schema_name, name) = words.next()?.split_once('.')?;
        let oid = words.next()?.parse().ok()?;
        let kind = words.next()?;
        let fields: Vec<_> = columns
            .iter()
            .map(|c| c.ty.field(c.name, !c.not_null))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        Some(Definition {
            schema_name,
            name,
            oid,
            kind,
            columns,
            schema,
            fixed: OnceLock::new(),
        })
    }

    /// Position of a column.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

impl Column {
    fn read(word: &'static str) -> Option<Column> {
        let (name, ty) = word.split_once(':')?;
        let not_null = ty.ends_with('!');
        let (ty, type_oid) = type_of(ty.trim_end_matches('!'))?;
        Some(Column {
            name,
            ty,
            type_oid,
            not_null,
        })
    }
}

/// The type that keeps values of a type of the catalogs. Oids of any kind are plain oids, so that
/// they join; text of any kind is text.
fn type_of(name: &str) -> Option<(PgType, u32)> {
    let array = |element| PgType::Array(Box::new(element));
    Some(match name {
        "bool" => (PgType::Bool, 16),
        "bytea" => (PgType::Bytea, 17),
        "char" => (PgType::Text, 18),
        "name" => (PgType::Name, 19),
        "int8" => (PgType::Int8, 20),
        "int2" => (PgType::Int2, 21),
        "int2vector" => (array(PgType::Int2), 22),
        "int4" => (PgType::Int4, 23),
        "regproc" => (PgType::Oid, 24),
        "text" => (PgType::Text, 25),
        "oid" => (PgType::Oid, 26),
        "xid" => (PgType::Oid, 28),
        "oidvector" => (array(PgType::Oid), 30),
        "pg_node_tree" => (PgType::Text, 194),
        "float4" => (PgType::Float4, 700),
        "float8" => (PgType::Float8, 701),
        "_char" => (array(PgType::Text), 1002),
        "_name" => (array(PgType::Name), 1003),
        "_int2" => (array(PgType::Int2), 1005),
        "_text" => (array(PgType::Text), 1009),
        "_float4" => (array(PgType::Float4), 1021),
        "_oid" => (array(PgType::Oid), 1028),
        "_aclitem" => (array(PgType::Text), 1034),
        "varchar" => (PgType::Varchar(None), 1043),
        "timestamptz" => (PgType::Timestamptz, 1184),
        "inet" => (PgType::Text, 869),
        "interval" => (PgType::Interval, 1186),
        "jsonb" => (PgType::Jsonb, 3802),
        // Of views for people, so that they keep names.
        "regtype" => (PgType::Text, 2206),
        "_regtype" => (array(PgType::Text), 2211),
        "regrole" => (PgType::Name, 4096),
        "anyarray" => (PgType::Text, 2277),
        "pg_lsn" => (PgType::Text, 3220),
        // Statistics of PostgreSQL's planner, which are never there.
        "pg_ndistinct" | "pg_dependencies" | "pg_mcv_list" | "_pg_statistic" => (PgType::Text, 25),
        _ => return None,
    })
}
