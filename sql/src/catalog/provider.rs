//! The catalog as DataFusion asks for it: schemas that answer with tables.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result;
use slicedb_storage::{State, TableId};

use super::{Catalog, PUBLIC, system};
use crate::plan::SliceTable;

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
    /// Who asks, for the system catalogs.
    pub(crate) session: Arc<system::SessionInfo>,
}

/// A catalog named `database` over what a statement sees.
pub(crate) fn schemas(
    database: &str,
    view: CatalogView,
) -> Result<Vec<(String, Arc<dyn CatalogProvider>)>> {
    let provider = MemoryCatalogProvider::new();
    for name in [
        PUBLIC,
        "pg_catalog",
        "information_schema",
        "timescaledb_information",
    ] {
        let schema = Schema {
            name: name.to_owned(),
            view: view.clone(),
        };
        provider.register_schema(name, Arc::new(schema))?;
    }
    Ok(vec![(database.to_owned(), Arc::new(provider))])
}

#[derive(Debug)]
struct Schema {
    name: String,
    view: CatalogView,
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        let tables = self.view.catalog.tables().filter(|t| t.schema == self.name);
        tables.map(|t| t.name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let extra = self.view.extra.iter().find(|(extra, _)| extra == name);
        if let (Some((_, table)), PUBLIC) = (extra, self.name.as_str()) {
            return Ok(Some(table.clone()));
        }
        if let Some(entry) = self.view.catalog.get(&self.name, name) {
            return Ok(Some(Arc::new(SliceTable::new(entry.clone(), &self.view))));
        }
        // A name without a schema is looked for in pg_catalog too, as if it stood first in the
        // search path; it does in PostgreSQL.
        let schema = if self.name == PUBLIC {
            "pg_catalog"
        } else {
            &self.name
        };
        system::table(
            schema,
            name,
            &self.view.catalog,
            &self.view.state,
            &self.view.session,
        )
    }

    fn table_exist(&self, name: &str) -> bool {
        self.view.catalog.get(&self.name, name).is_some()
    }
}
