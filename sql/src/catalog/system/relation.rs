//! [`Relation`]: what has an oid in `pg_class`, by oid and by name.
//!
//! What belongs to a table has an oid above the table's, so that it keeps it as long as the table:
//! the row type the next number, the primary key's index and constraint [`BELONGINGS`] further. All
//! fit a signed integer, which some drivers keep oids in.

use super::Context;
use super::definition::{self, Definition};
use crate::catalog::{PUBLIC, TableEntry};
use crate::dialect::is_quoted;

/// The role that owns everything: `slicedb`.
pub(super) const OWNER: u32 = 10;
/// Its name.
pub(super) const OWNER_NAME: &str = "slicedb";
/// A role of another name that logged in.
pub(super) const OTHER_ROLE: u32 = 16_382;
/// The database.
pub(super) const DATABASE: u32 = 16_383;
/// Schemas with their oids.
pub(super) const NAMESPACES: [(u32, &str); 5] = [
    (11, "pg_catalog"),
    (2200, PUBLIC),
    (13_000, "information_schema"),
    (13_100, "timescaledb_information"),
    (13_200, "slicedb"),
];
/// The access method `heap`.
pub(super) const HEAP: u32 = 2;
/// The access method `btree`.
pub(super) const BTREE: u32 = 403;
/// Between the oid of a table and that of its primary key's index.
const BELONGINGS: u32 = 1_000_000_000;
/// From here on the oids of defaults, which only have to differ among themselves.
const DEFAULTS: u32 = 1_500_000_000;

/// What has an oid in `pg_class`.
#[derive(Clone, Copy)]
pub(super) enum Relation<'a> {
    /// A table.
    Table(&'a TableEntry),
    /// The index of a table's primary key.
    Index(&'a TableEntry),
    /// A table of a system schema.
    System(&'static Definition),
}

/// The oid of a schema.
pub(super) fn namespace_oid(name: &str) -> u32 {
    NAMESPACES
        .iter()
        .find(|(_, n)| *n == name)
        .map_or(0, |(oid, _)| *oid)
}

/// The oid of the index of a table's primary key.
pub(super) fn index_oid(table: &TableEntry) -> u32 {
    table.oid + BELONGINGS
}

/// The oid of a table's primary key among the constraints.
pub(super) fn constraint_oid(table: &TableEntry) -> u32 {
    table.oid + BELONGINGS + 1
}

/// The oid of the default of a column, counted from 1. 1,600 is the most columns of PostgreSQL.
pub(super) fn default_oid(table: &TableEntry, column: usize) -> u32 {
    let tables = (table.oid - 16_384) / 2 % 300_000;
    DEFAULTS + tables * 1_600 + column as u32 % 1_600
}

/// The name of a table's primary key and of its index, as PostgreSQL makes it up.
pub(super) fn primary_key_name(table: &TableEntry) -> String {
    let room = 63 - "_pkey".len();
    let end = (0..=room.min(table.name.len()))
        .rev()
        .find(|&end| table.name.is_char_boundary(end));
    format!("{}_pkey", &table.name[..end.unwrap_or(0)])
}

/// The columns of a table's primary key, counted from 1; empty without one.
pub(super) fn primary_key(table: &TableEntry) -> Vec<usize> {
    table
        .def
        .primary_key()
        .iter()
        .map(|position| position + 1)
        .collect()
}

/// Names of the columns of a table's primary key, quoted where SQL needs it.
pub(super) fn primary_key_columns(table: &TableEntry) -> String {
    let names = table
        .def
        .primary_key()
        .iter()
        .filter_map(|&p| table.columns.get(p));
    names
        .map(|column| quote(&column.name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// An identifier as SQL needs it.
pub(super) fn quote(name: &str) -> String {
    if is_quoted(name) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

impl Context {
    /// Tables that have a primary key.
    pub(super) fn keyed_tables(&self) -> impl Iterator<Item = &TableEntry> {
        self.catalog
            .tables()
            .map(AsRef::as_ref)
            .filter(|table| !table.def.primary_key().is_empty())
    }

    /// A relation by its oid.
    pub(super) fn relation(&self, oid: u32) -> Option<Relation<'_>> {
        if let Some(system) = definition::all().iter().find(|d| d.oid == oid) {
            return Some(Relation::System(system));
        }
        if let Some(table) = self.catalog.relations().find(|table| table.oid == oid) {
            return Some(Relation::Table(table));
        }
        self.keyed_tables()
            .find(|table| index_oid(table) == oid)
            .map(Relation::Index)
    }

    /// A relation by its name as SQL writes it. Without a schema `pg_catalog` comes first.
    pub(super) fn relation_named(&self, name: &str) -> Option<Relation<'_>> {
        let parts = split_name(name)?;
        let (schema, name) = match &parts[..] {
            [name] => (None, name),
            [schema, name] => (Some(schema.as_str()), name),
            [_, schema, name] => (Some(schema.as_str()), name),
            _ => return None,
        };
        if let Some(system) = definition::find(schema.unwrap_or("pg_catalog"), name) {
            return Some(Relation::System(system));
        }
        let schema = schema.unwrap_or(PUBLIC);
        if let Some(table) = self.catalog.get(schema, name) {
            return Some(Relation::Table(table));
        }
        if let Some(aggregate) = self.catalog.aggregate(schema, name) {
            return Some(Relation::Table(&aggregate.table));
        }
        let mut indexes = self.keyed_tables().filter(|table| table.schema == schema);
        indexes
            .find(|table| primary_key_name(table) == *name)
            .map(Relation::Index)
    }

    /// The name of a role; PostgreSQL's words for one that is not there.
    pub(super) fn role_name(&self, oid: u32) -> String {
        match oid {
            OWNER => OWNER_NAME.to_owned(),
            OTHER_ROLE if self.session.user != OWNER_NAME => self.session.user.clone(),
            oid => format!("unknown (OID={oid})"),
        }
    }

    /// The roles: the owner and who asks.
    pub(super) fn roles(&self) -> Vec<(u32, &str)> {
        let mut roles = vec![(OWNER, OWNER_NAME)];
        if self.session.user != OWNER_NAME && !self.session.user.is_empty() {
            roles.push((OTHER_ROLE, &self.session.user));
        }
        roles
    }

    /// Rows of a table, and the bytes that they take: on disk, and in memory before they are sealed.
    pub(super) fn size(&self, table: &TableEntry) -> (u64, u64) {
        self.state.table(table.def.id).map_or((0, 0), |state| {
            let memory = state.memory_bytes() as u64;
            (state.rows(), state.segment_bytes() + memory)
        })
    }
}

impl Relation<'_> {
    pub(super) fn oid(&self) -> u32 {
        match self {
            Relation::Table(table) => table.oid,
            Relation::Index(table) => index_oid(table),
            Relation::System(definition) => definition.oid,
        }
    }

    /// The name as `regclass` prints it: with the schema where the search path does not lead.
    pub(super) fn display(&self) -> String {
        let (schema, name) = match self {
            Relation::Table(table) => (table.schema.as_str(), table.name.clone()),
            Relation::Index(table) => (table.schema.as_str(), primary_key_name(table)),
            Relation::System(definition) => (definition.schema_name, definition.name.to_owned()),
        };
        if is_visible(schema) {
            quote(&name)
        } else {
            format!("{}.{}", quote(schema), quote(&name))
        }
    }

    /// Whether its name alone finds it.
    pub(super) fn is_visible(&self) -> bool {
        match self {
            Relation::Table(table) | Relation::Index(table) => {
                is_visible(&table.schema) && definition::find("pg_catalog", &table.name).is_none()
            }
            Relation::System(definition) => is_visible(definition.schema_name),
        }
    }
}

fn is_visible(schema: &str) -> bool {
    schema == "pg_catalog" || schema == PUBLIC
}

/// A name as SQL writes it, to its parts: folded to lower case where it is not quoted. `None` when
/// it is no name.
pub(super) fn split_name(name: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = name.trim();
    loop {
        let part = if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                match chars.next()? {
                    (_, '"') if chars.next_if(|(_, c)| *c == '"').is_some() => part.push('"'),
                    (at, '"') => break at + 1,
                    (_, c) => part.push(c),
                }
            };
            rest = &quoted[end..];
            part
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            rest = after;
            part.trim().to_lowercase()
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => return Some(parts),
            None => return None,
        }
    }
}
