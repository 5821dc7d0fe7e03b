//! The database, its schemas and its roles.

use super::Context;
use super::relation::{DATABASE, NAMESPACES, OWNER, OWNER_NAME};
use super::rows::Rows;

/// The tablespace `pg_default`.
const TABLESPACE: u32 = 1663;
/// UTF8 in PostgreSQL's list of encodings.
pub(super) const UTF8: i32 = 6;

/// The database. Text is ordered by its bytes.
pub(super) fn pg_database(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "oid",
        "datname",
        "datdba",
        "encoding",
        "datlocprovider",
        "datallowconn",
        "datconnlimit",
        "dattablespace",
        "datcollate",
        "datctype",
    ]);
    rows.push([
        DATABASE.into(),
        context.session.database.as_str().into(),
        OWNER.into(),
        UTF8.into(),
        "c".into(),
        true.into(),
        (-1).into(),
        TABLESPACE.into(),
        "C".into(),
        "C.UTF-8".into(),
    ]);
}

/// The schemas.
pub(super) fn pg_namespace(rows: &mut Rows, _: &Context) {
    rows.columns(&["oid", "nspname", "nspowner"]);
    for (oid, name) in NAMESPACES {
        rows.push([oid.into(), name.into(), OWNER.into()]);
    }
}

/// The roles.
pub(super) fn pg_roles(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "rolname",
        "rolsuper",
        "rolinherit",
        "rolcreaterole",
        "rolcreatedb",
        "rolcanlogin",
        "rolreplication",
        "rolconnlimit",
        "rolpassword",
        "rolbypassrls",
        "oid",
    ]);
    for (oid, name) in context.roles() {
        let owner = name == OWNER_NAME;
        rows.push([
            name.into(),
            owner.into(),
            true.into(),
            owner.into(),
            owner.into(),
            true.into(),
            false.into(),
            (-1).into(),
            "********".into(),
            owner.into(),
            oid.into(),
        ]);
    }
}

/// The roles, as they were called before there were groups among them.
pub(super) fn pg_user(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "usename",
        "usesysid",
        "usecreatedb",
        "usesuper",
        "userepl",
        "usebypassrls",
        "passwd",
    ]);
    for (oid, name) in context.roles() {
        let owner = name == OWNER_NAME;
        rows.push([
            name.into(),
            oid.into(),
            owner.into(),
            owner.into(),
            false.into(),
            owner.into(),
            "********".into(),
        ]);
    }
}

/// The roles with their passwords, which they do not have.
pub(super) fn pg_shadow(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "usename",
        "usesysid",
        "usecreatedb",
        "usesuper",
        "userepl",
        "usebypassrls",
    ]);
    for (oid, name) in context.roles() {
        let owner = name == OWNER_NAME;
        rows.push([
            name.into(),
            oid.into(),
            owner.into(),
            owner.into(),
            false.into(),
            owner.into(),
        ]);
    }
}
