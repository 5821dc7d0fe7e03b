//! The catalog as a statement sees it: names that stand for tables and functions.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use slicedb_storage::{State, TableId};

use super::{Catalog, PG_CATALOG, PUBLIC, system};
use crate::error::{SqlError, SqlState};
use crate::plan::SliceTable;
use crate::plan::generic::Parameters;

/// What one statement sees.
#[derive(Debug, Clone)]
pub(crate) struct CatalogView {
    pub(crate) state: Arc<State>,
    pub(crate) catalog: Arc<Catalog>,
    /// Name of the session's time zone: columns of type timestamptz carry it, so that functions
    /// that divide days divide those of the session.
    pub(crate) time_zone: Arc<str>,
    /// The table that shows its row numbers, for UPDATE and DELETE.
    pub(crate) row_ids_of: Option<TableId>,
    /// Tables of the statement's own, by name: the rows that it returns or wants to add.
    pub(crate) extra: Vec<(String, Arc<dyn TableProvider>)>,
    /// Parameters of the plan, when it is a generic one.
    pub(crate) parameters: Option<Arc<Parameters>>,
    /// Who asks, for the system catalogs.
    pub(crate) session: Arc<system::SessionInfo>,
}

impl CatalogView {
    /// A table by its name, `None` when there is none.
    ///
    /// # Errors
    /// 55000 for a materialized view that has not been populated, and those of a bug in the rows of a
    /// system table.
    pub(crate) fn table(&self, schema: &str, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let extra = self.extra.iter().find(|(extra, _)| extra == name);
        if let (Some((_, table)), PUBLIC) = (extra, schema) {
            return Ok(Some(table.clone()));
        }
        if let Some(entry) = self.catalog.get(schema, name) {
            let view = entry.properties.view.as_ref();
            if view.is_some_and(|view| !view.is_populated) {
                let message = format!("materialized view \"{name}\" has not been populated");
                let error = SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                    .with_hint("Use the REFRESH MATERIALIZED VIEW command.");
                return Err(DataFusionError::External(Box::new(error)));
            }
            return Ok(Some(Arc::new(SliceTable::new(entry.clone(), self))));
        }
        // A name without a schema is looked for in pg_catalog too.
        let schema = match schema {
            PUBLIC => PG_CATALOG,
            other => other,
        };
        system::table(schema, name, &self.catalog, &self.state, &self.session)
    }

    /// The functions that need the catalog or the session.
    pub(crate) fn functions(&self) -> Vec<Arc<ScalarUDF>> {
        system::functions(&self.catalog, &self.state, &self.session)
    }
}
