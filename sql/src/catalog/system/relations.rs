//! What the tables are made of: `pg_class`, `pg_attribute`, `pg_attrdef`, `pg_index`,
//! `pg_constraint` and the row types in `pg_type`.

use super::Context;
use super::definition;
use super::relation::{
    BTREE, HEAP, OWNER, constraint_oid, default_oid, index_oid, namespace_oid, primary_key,
    primary_key_name,
};
use super::rows::{Cell, Rows, type_row};
use crate::catalog::{RelationKind, TableEntry};
use crate::types::PgType;

const CLASS: [&str; 15] = [
    "oid",
    "relname",
    "relnamespace",
    "reltype",
    "relowner",
    "relam",
    "relfilenode",
    "relpages",
    "reltuples",
    "relhasindex",
    "relkind",
    "relnatts",
    "relpersistence",
    "relispopulated",
    "relreplident",
];
const ATTRIBUTE: [&str; 17] = [
    "attrelid",
    "attname",
    "atttypid",
    "attstattarget",
    "attlen",
    "attnum",
    "attndims",
    "attcacheoff",
    "atttypmod",
    "attbyval",
    "attalign",
    "attstorage",
    "attnotnull",
    "atthasdef",
    "attislocal",
    "attcollation",
    "attinhcount",
];

/// The tables and the indexes of their primary keys.
pub(super) fn pg_class(rows: &mut Rows, context: &Context) {
    rows.columns(&CLASS);
    for table in context.catalog.relations() {
        let is_view = table.kind == RelationKind::View;
        let kind = match table.kind {
            RelationKind::Table => "r",
            RelationKind::View => "v",
            RelationKind::MaterializedView => "m",
        };
        let view = table.properties.view.as_ref();
        let (count, bytes) = context.size(table);
        let pages = i32::try_from(bytes.div_ceil(8192)).unwrap_or(i32::MAX);
        let keyed = !table.def.primary_key().is_empty();
        rows.push([
            table.oid.into(),
            table.name.as_str().into(),
            namespace_oid(&table.schema).into(),
            (table.oid + 1).into(),
            OWNER.into(),
            if is_view { 0 } else { HEAP }.into(),
            if is_view { 0 } else { table.oid }.into(),
            pages.into(),
            count.into(),
            keyed.into(),
            kind.into(),
            table.columns.len().into(),
            "p".into(),
            view.is_none_or(|view| view.is_populated).into(),
            if is_view { "n" } else { "d" }.into(),
        ]);
        if keyed {
            rows.push([
                index_oid(table).into(),
                primary_key_name(table).into(),
                namespace_oid(&table.schema).into(),
                0.into(),
                OWNER.into(),
                BTREE.into(),
                index_oid(table).into(),
                0.into(),
                count.into(),
                false.into(),
                "i".into(),
                table.def.primary_key().len().into(),
                "p".into(),
                true.into(),
                "n".into(),
            ]);
        }
    }
}

/// The system tables in `pg_class`.
pub(super) fn system_classes(rows: &mut Rows) {
    rows.columns(&CLASS);
    for system in definition::all() {
        let is_table = system.kind == "r";
        rows.push([
            system.oid.into(),
            system.name.into(),
            namespace_oid(system.schema_name).into(),
            0.into(),
            OWNER.into(),
            if is_table { HEAP } else { 0 }.into(),
            if is_table { system.oid } else { 0 }.into(),
            0.into(),
            "-1".into(),
            false.into(),
            system.kind.into(),
            system.columns.len().into(),
            "p".into(),
            true.into(),
            "n".into(),
        ]);
    }
}

/// The columns of the tables and of the indexes of their primary keys.
pub(super) fn pg_attribute(rows: &mut Rows, context: &Context) {
    rows.columns(&ATTRIBUTE);
    for table in context.catalog.relations() {
        for (number, column) in (1..).zip(&table.columns) {
            let has_default = column.default.is_some();
            rows.push(attribute(
                table.oid,
                number,
                &column.name,
                &column.ty,
                column.not_null,
                has_default,
            ));
        }
        for (number, position) in (1..).zip(primary_key(table)) {
            let column = &table.columns[position - 1];
            rows.push(attribute(
                index_oid(table),
                number,
                &column.name,
                &column.ty,
                false,
                false,
            ));
        }
    }
}

fn attribute(
    relation: u32,
    number: usize,
    name: &str,
    ty: &PgType,
    not_null: bool,
    has_default: bool,
) -> [Cell; ATTRIBUTE.len()] {
    system_attribute(
        relation,
        number,
        name,
        ty.oid(),
        ty.typmod(),
        not_null,
        has_default,
    )
}

fn system_attribute(
    relation: u32,
    number: usize,
    name: &str,
    type_oid: u32,
    typmod: i32,
    not_null: bool,
    has_default: bool,
) -> [Cell; ATTRIBUTE.len()] {
    let ty = type_row(type_oid);
    let dimensions = if ty.name.starts_with('_') { 1 } else { 0 };
    [
        relation.into(),
        name.into(),
        type_oid.into(),
        (-1).into(),
        ty.len.into(),
        number.into(),
        dimensions.into(),
        (-1).into(),
        typmod.into(),
        ty.by_value.into(),
        ty.align.into(),
        ty.storage.into(),
        not_null.into(),
        has_default.into(),
        true.into(),
        ty.collation.into(),
        0.into(),
    ]
}

/// The columns of the system tables.
pub(super) fn system_attributes(rows: &mut Rows) {
    rows.columns(&ATTRIBUTE);
    for system in definition::all() {
        for (number, column) in (1..).zip(&system.columns) {
            let (oid, ty) = (system.oid, column.type_oid);
            rows.push(system_attribute(
                oid,
                number,
                column.name,
                ty,
                -1,
                column.not_null,
                false,
            ));
        }
    }
}

/// The defaults of columns. The expression stands there as SQL.
pub(super) fn pg_attrdef(rows: &mut Rows, context: &Context) {
    rows.columns(&["oid", "adrelid", "adnum", "adbin"]);
    for table in context.catalog.tables() {
        for (number, column) in (1..).zip(&table.columns) {
            if let Some(default) = &column.default {
                let oid = default_oid(table, number);
                rows.push([
                    oid.into(),
                    table.oid.into(),
                    number.into(),
                    default.as_str().into(),
                ]);
            }
        }
    }
}

/// The indexes of primary keys.
pub(super) fn pg_index(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "indexrelid",
        "indrelid",
        "indnatts",
        "indnkeyatts",
        "indisunique",
        "indisprimary",
        "indimmediate",
        "indisvalid",
        "indisready",
        "indislive",
        "indkey",
        "indcollation",
        "indclass",
        "indoption",
    ]);
    for table in context.keyed_tables() {
        let columns = primary_key(table);
        let zeros = list(columns.iter().map(|_| 0));
        let collations = columns
            .iter()
            .map(|&c| type_row(table.columns[c - 1].ty.oid()).collation);
        rows.push([
            index_oid(table).into(),
            table.oid.into(),
            columns.len().into(),
            columns.len().into(),
            true.into(),
            true.into(),
            true.into(),
            true.into(),
            true.into(),
            true.into(),
            list(columns.iter()).into(),
            list(collations).into(),
            zeros.clone().into(),
            zeros.into(),
        ]);
    }
}

/// An array as text.
fn list<T: ToString>(items: impl Iterator<Item = T>) -> String {
    format!(
        "{{{}}}",
        items
            .map(|item| item.to_string())
            .collect::<Vec<_>>()
            .join(",")
    )
}

/// The primary keys.
pub(super) fn pg_constraint(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "oid",
        "conname",
        "connamespace",
        "contype",
        "convalidated",
        "conrelid",
        "conindid",
        "confupdtype",
        "confdeltype",
        "confmatchtype",
        "conislocal",
        "connoinherit",
        "conkey",
    ]);
    for table in context.keyed_tables() {
        rows.push([
            constraint_oid(table).into(),
            primary_key_name(table).into(),
            namespace_oid(&table.schema).into(),
            "p".into(),
            true.into(),
            table.oid.into(),
            index_oid(table).into(),
            " ".into(),
            " ".into(),
            " ".into(),
            true.into(),
            true.into(),
            list(primary_key(table).iter()).into(),
        ]);
    }
}

/// The row types of the tables.
pub(super) fn pg_type(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "oid",
        "typname",
        "typnamespace",
        "typowner",
        "typlen",
        "typtype",
        "typcategory",
        "typisdefined",
        "typdelim",
        "typrelid",
        "typinput",
        "typoutput",
        "typreceive",
        "typsend",
        "typalign",
        "typstorage",
        "typtypmod",
    ]);
    for table in context.catalog.relations() {
        let TableEntry {
            oid, name, schema, ..
        } = table.as_ref();
        rows.push([
            (oid + 1).into(),
            name.as_str().into(),
            namespace_oid(schema).into(),
            OWNER.into(),
            (-1).into(),
            "c".into(),
            "C".into(),
            true.into(),
            ",".into(),
            (*oid).into(),
            // record_in, record_out, record_recv, record_send
            2290.into(),
            2291.into(),
            2402.into(),
            2403.into(),
            "d".into(),
            "x".into(),
            (-1).into(),
        ]);
    }
}
