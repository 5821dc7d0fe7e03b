//! Views that put several catalogs together for people: `pg_tables`, `pg_indexes`, `pg_views`,
//! `pg_matviews`, `pg_stat_user_tables`.

use super::Context;
use super::definition;
use super::relation::{
    OWNER_NAME, Relation, index_oid, primary_key_columns, primary_key_name, quote,
};
use super::rows::{Cell, Rows};
use crate::catalog::{AggregateEntry, RelationKind, TableEntry};

/// Tables, those of the system too.
pub(super) fn pg_tables(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "schemaname",
        "tablename",
        "tableowner",
        "hasindexes",
        "hasrules",
        "hastriggers",
        "rowsecurity",
    ]);
    let system = definition::all()
        .iter()
        .filter(|d| d.kind == "r")
        .map(|d| (d.schema_name, d.name, false));
    let tables = context.catalog.tables();
    let own = tables.filter(|table| table.kind == RelationKind::Table);
    let own = own.map(|table| {
        (
            table.schema.as_str(),
            table.name.as_str(),
            !table.def.primary_key().is_empty(),
        )
    });
    for (schema, name, indexed) in own.chain(system) {
        rows.push([
            schema.into(),
            name.into(),
            OWNER_NAME.into(),
            indexed.into(),
            false.into(),
            false.into(),
            false.into(),
        ]);
    }
}

/// The views of the system, and continuous aggregates.
pub(super) fn pg_views(rows: &mut Rows, context: &Context) {
    rows.columns(&["schemaname", "viewname", "viewowner", "definition"]);
    for aggregate in context.catalog.aggregates() {
        rows.push([
            aggregate.table.schema.as_str().into(),
            aggregate.table.name.as_str().into(),
            OWNER_NAME.into(),
            definition_of(aggregate).into(),
        ]);
    }
    for view in definition::all().iter().filter(|d| d.kind == "v") {
        rows.push([
            view.schema_name.into(),
            view.name.into(),
            OWNER_NAME.into(),
            Cell::from(None::<String>),
        ]);
    }
}

/// The materialized views.
pub(super) fn pg_matviews(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "schemaname",
        "matviewname",
        "matviewowner",
        "hasindexes",
        "ispopulated",
        "definition",
    ]);
    for (table, view) in context.catalog.views() {
        rows.push([
            table.schema.as_str().into(),
            table.name.as_str().into(),
            OWNER_NAME.into(),
            false.into(),
            view.is_populated.into(),
            format!("{};", view.text).into(),
        ]);
    }
}

/// The query of a continuous aggregate, as `pg_get_viewdef` tells it.
pub(super) fn definition_of(aggregate: &AggregateEntry) -> String {
    format!("{};", aggregate.query)
}

/// The indexes of primary keys.
pub(super) fn pg_indexes(rows: &mut Rows, context: &Context) {
    rows.columns(&["schemaname", "tablename", "indexname", "indexdef"]);
    for table in context.keyed_tables() {
        rows.push([
            table.schema.as_str().into(),
            table.name.as_str().into(),
            primary_key_name(table).into(),
            index_definition(table, false).into(),
        ]);
    }
}

/// The statement that would make the index of a primary key; `pretty` leaves out the schema where it
/// is not needed.
pub(super) fn index_definition(table: &TableEntry, pretty: bool) -> String {
    let name = if pretty {
        Relation::Table(table).display()
    } else {
        format!("{}.{}", quote(&table.schema), quote(&table.name))
    };
    let index = quote(&primary_key_name(table));
    format!(
        "CREATE UNIQUE INDEX {index} ON {name} USING btree ({})",
        primary_key_columns(table)
    )
}

/// The indexes of primary keys. Their use is not counted.
pub(super) fn pg_stat_indexes(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "relid",
        "indexrelid",
        "schemaname",
        "relname",
        "indexrelname",
    ]);
    for table in context.keyed_tables() {
        rows.push([
            table.oid.into(),
            index_oid(table).into(),
            table.schema.as_str().into(),
            table.name.as_str().into(),
            primary_key_name(table).into(),
        ]);
    }
}

/// How many rows there are. Scans and changes are not counted, and zero would be a lie.
pub(super) fn pg_stat_tables(rows: &mut Rows, context: &Context) {
    rows.columns(&["relid", "schemaname", "relname", "n_live_tup", "n_dead_tup"]);
    for table in context.catalog.tables() {
        let (count, _) = context.size(table);
        rows.push([
            table.oid.into(),
            table.schema.as_str().into(),
            table.name.as_str().into(),
            count.into(),
            0.into(),
        ]);
    }
}
