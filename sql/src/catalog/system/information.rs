//! `information_schema`: the tables again, in the words of the SQL standard.

use std::sync::Arc;

use super::Context;
use super::definition;
use super::relation::{NAMESPACES, OWNER_NAME, namespace_oid, primary_key, primary_key_name};
use super::rows::{Cell, Rows, type_row};
use crate::catalog::{RelationKind, TableEntry};
use crate::types::PgType;

/// The database.
pub(super) fn catalog_name(rows: &mut Rows, context: &Context) {
    rows.columns(&["catalog_name"]);
    rows.push([context.database()]);
}

/// The one character set.
pub(super) fn character_sets(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "character_set_name",
        "character_repertoire",
        "form_of_use",
        "default_collate_catalog",
        "default_collate_schema",
        "default_collate_name",
    ]);
    rows.push([
        "UTF8".into(),
        "UCS".into(),
        "UTF8".into(),
        context.database(),
        "pg_catalog".into(),
        "ucs_basic".into(),
    ]);
}

/// The roles that the session has.
pub(super) fn enabled_roles(rows: &mut Rows, context: &Context) {
    rows.columns(&["role_name"]);
    for (_, name) in context.roles() {
        rows.push([name.into()]);
    }
}

/// The schemas.
pub(super) fn schemata(rows: &mut Rows, context: &Context) {
    rows.columns(&["catalog_name", "schema_name", "schema_owner"]);
    for (_, name) in NAMESPACES {
        rows.push([context.database(), name.into(), OWNER_NAME.into()]);
    }
}

/// The tables, those of the system too.
pub(super) fn tables(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "table_type",
        "is_insertable_into",
        "is_typed",
    ]);
    let own = context.catalog.relations().filter_map(|t| {
        let (kind, insertable) = match t.kind {
            RelationKind::Table => ("BASE TABLE", "YES"),
            RelationKind::View => ("VIEW", "NO"),
            // The standard knows none, and PostgreSQL does not list them.
            RelationKind::MaterializedView => return None,
        };
        Some((t.schema.as_str(), t.name.as_str(), kind, insertable))
    });
    let system = definition::all().iter().map(|d| {
        let kind = if d.kind == "v" { "VIEW" } else { "BASE TABLE" };
        (d.schema_name, d.name, kind, "NO")
    });
    for (schema, name, kind, insertable) in own.chain(system) {
        rows.push([
            context.database(),
            schema.into(),
            name.into(),
            kind.into(),
            insertable.into(),
            "NO".into(),
        ]);
    }
}

const COLUMN: [&str; 26] = [
    "table_catalog",
    "table_schema",
    "table_name",
    "column_name",
    "ordinal_position",
    "column_default",
    "is_nullable",
    "data_type",
    "character_maximum_length",
    "character_octet_length",
    "numeric_precision",
    "numeric_precision_radix",
    "numeric_scale",
    "datetime_precision",
    "collation_catalog",
    "collation_schema",
    "collation_name",
    "udt_catalog",
    "udt_schema",
    "udt_name",
    "dtd_identifier",
    "is_self_referencing",
    "is_identity",
    "identity_cycle",
    "is_generated",
    "is_updatable",
];

/// The columns of the tables, those of the system too.
pub(super) fn columns(rows: &mut Rows, context: &Context) {
    rows.columns(&COLUMN);
    for table in context.catalog.relations() {
        let updatable = match table.kind {
            RelationKind::Table => "YES",
            RelationKind::View => "NO",
            RelationKind::MaterializedView => continue,
        };
        let of = (table.schema.as_str(), table.name.as_str(), updatable);
        for (number, c) in (1..).zip(&table.columns) {
            let default = c.default.as_deref();
            rows.push(column(
                context,
                of,
                number,
                &c.name,
                &c.ty,
                c.ty.oid(),
                c.not_null,
                default,
            ));
        }
    }
    for system in definition::all() {
        let of = (system.schema_name, system.name, "NO");
        for (number, c) in (1..).zip(&system.columns) {
            rows.push(column(
                context, of, number, c.name, &c.ty, c.type_oid, c.not_null, None,
            ));
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a column of a table and one of a system table have no type in common"
)]
fn column(
    context: &Context,
    (schema, table, updatable): (&str, &str, &str),
    number: usize,
    name: &str,
    ty: &PgType,
    type_oid: u32,
    not_null: bool,
    default: Option<&str>,
) -> [Cell; COLUMN.len()] {
    let (precision, radix, scale) = numeric(ty);
    let (characters, octets) = characters(ty, type_oid);
    // That of the database is not told. Names are compared by their bytes.
    let collation = |text: &str| Cell((type_oid == PgType::Name.oid()).then(|| text.to_owned()));
    [
        context.database(),
        schema.into(),
        table.into(),
        name.into(),
        number.into(),
        default.into(),
        if not_null { "NO" } else { "YES" }.into(),
        data_type(ty, type_oid).into(),
        characters.into(),
        octets.into(),
        precision.into(),
        radix.into(),
        scale.into(),
        datetime_precision(ty).into(),
        collation(&context.session.database),
        collation("pg_catalog"),
        collation("C"),
        context.database(),
        "pg_catalog".into(),
        type_row(type_oid).name.into(),
        number.into(),
        "NO".into(),
        "NO".into(),
        "NO".into(),
        "NEVER".into(),
        updatable.into(),
    ]
}

/// The name of a type without its modifier.
fn data_type(ty: &PgType, type_oid: u32) -> &'static str {
    match (ty, type_oid) {
        (PgType::Array(_), _) => "ARRAY",
        // Types that only the catalogs have are kept as another.
        _ if ty.oid() != type_oid => match type_row(type_oid).name {
            "char" => "\"char\"",
            name => name,
        },
        _ => ty.base_name(),
    }
}

/// Precision, its radix and the scale of a number.
fn numeric(ty: &PgType) -> (Option<i32>, Option<i32>, Option<i32>) {
    match ty {
        PgType::Int2 => (Some(16), Some(2), Some(0)),
        PgType::Int4 => (Some(32), Some(2), Some(0)),
        PgType::Int8 => (Some(64), Some(2), Some(0)),
        PgType::Float4 => (Some(24), Some(2), None),
        PgType::Float8 => (Some(53), Some(2), None),
        PgType::Numeric { precision: 0, .. } => (None, Some(10), None),
        PgType::Numeric { precision, scale } => (
            Some(i32::from(*precision)),
            Some(10),
            Some(i32::from(*scale)),
        ),
        _ => (None, None, None),
    }
}

/// The length of a text in characters, and in bytes at most.
fn characters(ty: &PgType, type_oid: u32) -> (Option<u32>, Option<u32>) {
    match ty {
        PgType::Varchar(Some(n)) => (Some(*n), Some(n.saturating_mul(4))),
        PgType::Char(n) if *n > 0 => (Some(*n), Some(n.saturating_mul(4))),
        PgType::Text | PgType::Varchar(None) if ty.oid() == type_oid => (None, Some(1 << 30)),
        _ => (None, None),
    }
}

/// Digits after the second.
fn datetime_precision(ty: &PgType) -> Option<i32> {
    match ty {
        PgType::Date => Some(0),
        PgType::Time | PgType::Timestamp | PgType::Timestamptz | PgType::Interval => Some(6),
        _ => None,
    }
}

/// The primary keys, and as checks the columns that cannot be null.
pub(super) fn table_constraints(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "constraint_type",
        "is_deferrable",
        "initially_deferred",
        "enforced",
    ]);
    for table in context.keyed_tables() {
        let [constraint_catalog, constraint_schema, constraint_name] = constraint(context, table);
        rows.push([
            constraint_catalog,
            constraint_schema,
            constraint_name,
            context.database(),
            table.schema.as_str().into(),
            table.name.as_str().into(),
            "PRIMARY KEY".into(),
            "NO".into(),
            "NO".into(),
            "YES".into(),
        ]);
    }
    for (table, name, _) in context.not_null_columns() {
        rows.push([
            context.database(),
            table.schema.as_str().into(),
            name.into(),
            context.database(),
            table.schema.as_str().into(),
            table.name.as_str().into(),
            "CHECK".into(),
            "NO".into(),
            "NO".into(),
            "YES".into(),
        ]);
    }
}

/// The columns that cannot be null.
pub(super) fn check_constraints(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "check_clause",
    ]);
    for (table, name, column) in context.not_null_columns() {
        rows.push([
            context.database(),
            table.schema.as_str().into(),
            name.into(),
            format!("{column} IS NOT NULL").into(),
        ]);
    }
}

/// What the owner may do with its tables.
pub(super) fn table_privileges(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "grantor",
        "grantee",
        "table_catalog",
        "table_schema",
        "table_name",
        "privilege_type",
        "is_grantable",
        "with_hierarchy",
    ]);
    let is_listed = |table: &&Arc<TableEntry>| table.kind != RelationKind::MaterializedView;
    for table in context.catalog.relations().filter(is_listed) {
        for privilege in ["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE"] {
            rows.push([
                OWNER_NAME.into(),
                OWNER_NAME.into(),
                context.database(),
                table.schema.as_str().into(),
                table.name.as_str().into(),
                privilege.into(),
                "YES".into(),
                if privilege == "SELECT" { "YES" } else { "NO" }.into(),
            ]);
        }
    }
}

/// The columns of the primary keys, in order.
pub(super) fn key_column_usage(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "ordinal_position",
    ]);
    for table in context.keyed_tables() {
        for (number, column) in (1..).zip(primary_key(table)) {
            let [constraint_catalog, constraint_schema, constraint_name] =
                constraint(context, table);
            rows.push([
                constraint_catalog,
                constraint_schema,
                constraint_name,
                context.database(),
                table.schema.as_str().into(),
                table.name.as_str().into(),
                table.columns[column - 1].name.as_str().into(),
                Cell::from(number),
            ]);
        }
    }
}

/// The columns of the primary keys.
pub(super) fn constraint_column_usage(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
    ]);
    for table in context.keyed_tables() {
        for column in primary_key(table) {
            let [constraint_catalog, constraint_schema, constraint_name] =
                constraint(context, table);
            rows.push([
                context.database(),
                table.schema.as_str().into(),
                table.name.as_str().into(),
                table.columns[column - 1].name.as_str().into(),
                constraint_catalog,
                constraint_schema,
                constraint_name,
            ]);
        }
    }
}

/// Catalog, schema and name of a table's primary key.
fn constraint(context: &Context, table: &TableEntry) -> [Cell; 3] {
    [
        context.database(),
        table.schema.as_str().into(),
        primary_key_name(table).into(),
    ]
}

impl Context {
    /// Columns that cannot be null, with the name that PostgreSQL gives that as a constraint.
    fn not_null_columns(&self) -> impl Iterator<Item = (&TableEntry, String, &str)> {
        self.catalog.tables().flat_map(|table| {
            let columns = (1..).zip(&table.columns);
            columns.filter(|(_, c)| c.not_null).map(|(number, c)| {
                let schema = namespace_oid(&table.schema);
                let name = format!("{schema}_{}_{number}_not_null", table.oid);
                (table.as_ref(), name, c.name.as_str())
            })
        })
    }

    fn database(&self) -> Cell {
        self.session.database.as_str().into()
    }
}
