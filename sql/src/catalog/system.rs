//! The system catalogs that clients ask: `pg_catalog` and `information_schema`.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use slicedb_storage::State;

use super::Catalog;

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

/// A table of a system schema; `None` when there is none of that name.
pub fn table(
    _schema: &str,
    _name: &str,
    _catalog: &Arc<Catalog>,
    _state: &Arc<State>,
    _session: &Arc<SessionInfo>,
) -> Result<Option<Arc<dyn TableProvider>>> {
    Ok(None)
}

/// The functions that need the catalog or the session: `pg_table_is_visible`, `current_user`, …
pub fn functions(
    _catalog: &Arc<Catalog>,
    _state: &Arc<State>,
    _session: &Arc<SessionInfo>,
) -> Vec<Arc<ScalarUDF>> {
    Vec::new()
}
