//! The system catalogs that clients ask: `pg_catalog` and `information_schema`.
//!
//! | file | answers |
//! |---|---|
//! | `definition`, `tables.txt` | which system tables there are, and their columns (PostgreSQL 15's) |
//! | `rows`, `rows.txt` | rows in PostgreSQL's text form → a batch; the rows that never change |
//! | `relation` | what has an oid in `pg_class`: tables, their indexes, the system tables |
//! | `relations`, `cluster`, `overviews`, `information` | the rows of each table |
//! | `function` | the functions that need the catalog or the session |
//! | `client` | what `psql` writes and DataFusion cannot plan |
//!
//! The batch of a table is built when a statement names it. Oids are PostgreSQL's own where it has
//! them; a table keeps the oid that it was made with, and what belongs to a table has an oid derived
//! from the table's. A system table that is not listed does not exist; one that is listed and has no
//! rows describes something that this server does not have.

mod client;
mod cluster;
mod definition;
mod function;
mod information;
mod overviews;
mod relation;
mod relations;
mod rows;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use slicedb_storage::State;

use super::Catalog;
use definition::Definition;
use rows::Rows;

pub use client::rewrite_system_query;

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionInfo {
    /// The role that logged in.
    pub user: String,
    /// The database it is connected to.
    pub database: String,
    /// Its process number, as `pg_backend_pid()` tells.
    pub pid: i32,
}

/// What the tables and functions look at.
#[derive(Debug)]
struct Context {
    catalog: Arc<Catalog>,
    state: Arc<State>,
    session: Arc<SessionInfo>,
}

/// A table of a system schema; `None` when there is none of that name.
///
/// # Errors
/// None but those of a bug in its rows.
pub fn table(
    schema: &str,
    name: &str,
    catalog: &Arc<Catalog>,
    state: &Arc<State>,
    session: &Arc<SessionInfo>,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let Some(definition) = definition::find(schema, name) else {
        return Ok(None);
    };
    let context = Context {
        catalog: catalog.clone(),
        state: state.clone(),
        session: session.clone(),
    };
    let external = |error| DataFusionError::External(Box::new(error));
    let mut batches = vec![rows::fixed(definition).map_err(external)?];
    if let Some(rows) = rows_of(definition, &context) {
        batches.push(rows.finish().map_err(external)?);
    }
    let table = MemTable::try_new(definition.schema.clone(), vec![batches])?;
    Ok(Some(Arc::new(table)))
}

/// The functions that need the catalog or the session: `pg_table_is_visible`, `current_user`, …
pub fn functions(
    catalog: &Arc<Catalog>,
    state: &Arc<State>,
    session: &Arc<SessionInfo>,
) -> Vec<Arc<ScalarUDF>> {
    let context = Arc::new(Context {
        catalog: catalog.clone(),
        state: state.clone(),
        session: session.clone(),
    });
    function::all(&context)
}

/// The rows that depend on the tables and the session; the others never change.
fn rows_of(definition: &'static Definition, context: &Context) -> Option<Rows> {
    let fill = filler(definition)?;
    let mut rows = Rows::new(definition);
    fill(&mut rows, context);
    Some(rows)
}

/// What makes the rows of a table.
fn filler(definition: &Definition) -> Option<fn(&mut Rows, &Context)> {
    Some(match (definition.schema_name, definition.name) {
        ("pg_catalog", name) => match name {
            "pg_attrdef" => relations::pg_attrdef,
            "pg_attribute" => relations::pg_attribute,
            "pg_class" => relations::pg_class,
            "pg_constraint" => relations::pg_constraint,
            "pg_index" => relations::pg_index,
            "pg_type" => relations::pg_type,
            "pg_database" => cluster::pg_database,
            "pg_namespace" => cluster::pg_namespace,
            "pg_roles" => cluster::pg_roles,
            "pg_user" => cluster::pg_user,
            "pg_indexes" => overviews::pg_indexes,
            "pg_stat_all_tables" | "pg_stat_user_tables" => overviews::pg_stat_tables,
            "pg_tables" => overviews::pg_tables,
            "pg_views" => overviews::pg_views,
            _ => return None,
        },
        (_, name) => match name {
            "character_sets" => information::character_sets,
            "columns" => information::columns,
            "constraint_column_usage" => information::constraint_column_usage,
            "enabled_roles" => information::enabled_roles,
            "information_schema_catalog_name" => information::catalog_name,
            "key_column_usage" => information::key_column_usage,
            "schemata" => information::schemata,
            "table_constraints" => information::table_constraints,
            "tables" => information::tables,
            _ => return None,
        },
    })
}
