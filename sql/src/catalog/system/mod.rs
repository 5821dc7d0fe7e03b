//! The system catalogs that clients ask: `pg_catalog`, `information_schema`,
//! `timescaledb_information`, and `slicedb`.
//!
//! | file | answers |
//! |---|---|
//! | `definition`, `tables.txt` | which system tables there are, and their columns (PostgreSQL 15's) |
//! | `rows`, `rows.txt` | rows in PostgreSQL's text form → a batch; the rows that never change |
//! | `relation` | what has an oid in `pg_class`: tables, their indexes, the system tables |
//! | `relations`, `cluster`, `overviews`, `information` | the rows of each table |
//! | `server` | settings, sessions, what is prepared, time zones |
//! | `hypertables` | `timescaledb_information`: tables of time series |
//! | `freshness` | `slicedb`: how fresh relations are, and how far aggregates are built |
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
mod freshness;
mod function;
mod hypertables;
mod information;
mod overviews;
mod relation;
mod relations;
mod rows;
mod server;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use parking_lot::Mutex;
use slicedb_storage::State;

use super::Catalog;
use crate::session::{Activities, Prepared, Settings, Watch};
use definition::Definition;
use rows::Rows;

pub use client::rewrite_system_query;

/// Who asks.
#[derive(Debug, Clone, Default)]
pub struct SessionInfo {
    /// The role that logged in.
    pub user: String,
    /// The database it is connected to.
    pub database: String,
    /// Its process number, as `pg_backend_pid()` tells.
    pub pid: i32,
    /// Where the client is.
    pub client: Option<SocketAddr>,
    /// When the statement began, in microseconds since 1970 UTC.
    pub now_us: i64,
    /// Its settings as they are now.
    pub settings: Settings,
    /// Its settings as it began.
    pub initial: Settings,
    /// What it prepared, by name.
    pub prepared: Arc<HashMap<String, Arc<Prepared>>>,
    /// What all sessions are doing.
    pub activities: Activities,
    /// How fresh relations have been seen.
    pub watch: Watch,
    /// What `set_config` set, for the session to take over when the statement is done.
    pub changes: Arc<Mutex<Vec<Change>>>,
}

/// A setting that `set_config` has set.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether it ends with the transaction.
    pub local: bool,
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

/// The names of those functions.
#[cfg(test)]
pub(crate) fn function_names() -> Vec<&'static str> {
    function::names().collect()
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
            "pg_shadow" => cluster::pg_shadow,
            "pg_indexes" => overviews::pg_indexes,
            "pg_prepared_statements" => server::pg_prepared_statements,
            "pg_settings" => server::pg_settings,
            "pg_stat_activity" => server::pg_stat_activity,
            "pg_stat_database" => server::pg_stat_database,
            "pg_timezone_names" => server::pg_timezone_names,
            "pg_stat_all_indexes" | "pg_stat_user_indexes" => overviews::pg_stat_indexes,
            "pg_stat_all_tables" | "pg_stat_user_tables" => overviews::pg_stat_tables,
            "pg_matviews" => overviews::pg_matviews,
            "pg_tables" => overviews::pg_tables,
            "pg_views" => overviews::pg_views,
            _ => return None,
        },
        ("slicedb", name) => match name {
            "aggregates" => freshness::aggregates,
            "freshness" => freshness::freshness,
            "freshness_breaches" => freshness::breaches,
            _ => return None,
        },
        ("timescaledb_information", name) => match name {
            "chunks" => hypertables::chunks,
            "compression_settings" => hypertables::compression_settings,
            "continuous_aggregates" => hypertables::continuous_aggregates,
            "dimensions" => hypertables::dimensions,
            "hypertables" => hypertables::hypertables,
            "job_stats" => hypertables::job_stats,
            "jobs" => hypertables::jobs,
            _ => return None,
        },
        (_, name) => match name {
            "character_sets" => information::character_sets,
            "check_constraints" => information::check_constraints,
            "columns" => information::columns,
            "constraint_column_usage" => information::constraint_column_usage,
            "enabled_roles" => information::enabled_roles,
            "information_schema_catalog_name" => information::catalog_name,
            "key_column_usage" => information::key_column_usage,
            "role_table_grants" | "table_privileges" => information::table_privileges,
            "schemata" => information::schemata,
            "table_constraints" => information::table_constraints,
            "tables" => information::tables,
            _ => return None,
        },
    })
}
