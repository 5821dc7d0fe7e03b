//! A table of ours as DataFusion asks for it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use slicedb_storage::scan::ROW_ID;
use slicedb_storage::{Scan, ScanRequest, State};

use super::pushdown::{self, Support};
use super::scan::SliceScan;
use crate::catalog::{CatalogView, TableEntry};

/// A table at the state that a statement reads.
#[derive(Debug)]
pub struct SliceTable {
    entry: Arc<TableEntry>,
    state: Arc<State>,
    /// The columns as the session sees them: timestamptz in its zone.
    schema: SchemaRef,
    row_ids: bool,
}

impl SliceTable {
    pub(crate) fn new(entry: Arc<TableEntry>, view: &CatalogView) -> Self {
        let row_ids = view.row_ids_of == Some(entry.def.id);
        let mut fields: Vec<Arc<Field>> = entry
            .def
            .schema
            .fields()
            .iter()
            .map(|field| in_zone(field, &view.time_zone))
            .collect();
        if row_ids {
            fields.push(Arc::new(Field::new(ROW_ID, DataType::UInt64, false)));
        }
        SliceTable {
            entry,
            state: view.state.clone(),
            schema: Arc::new(Schema::new(fields)),
            row_ids,
        }
    }

    /// Its entry in the catalog.
    pub fn entry(&self) -> &Arc<TableEntry> {
        &self.entry
    }
}

fn in_zone(field: &Arc<Field>, zone: &Arc<str>) -> Arc<Field> {
    match field.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let data_type = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone()));
            Arc::new(field.as_ref().clone().with_data_type(data_type))
        }
        _ => field.clone(),
    }
}

#[async_trait]
impl TableProvider for SliceTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match pushdown::support(&self.entry.def, filter) {
            Support::Exact => TableProviderFilterPushDown::Exact,
            Support::Inexact => TableProviderFilterPushDown::Inexact,
            Support::None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = projection
            .cloned()
            .unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&projection)?);
        let columns = self.entry.columns.len();
        // The row number, where it is asked for, is the last of all columns; storage puts it last too.
        let row_ids = self.row_ids && projection.contains(&columns);
        let mut request = ScanRequest {
            columns: projection
                .iter()
                .copied()
                .filter(|&c| c < columns)
                .collect(),
            row_ids,
            ..ScanRequest::default()
        };
        pushdown::apply(&self.entry.def, filters, &mut request);
        let scan = Scan::new(&self.state, self.entry.def.id, request)
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        let partitions = state.config().target_partitions();
        let order = projection
            .iter()
            .position(|&c| Some(c) == self.entry.def.time_column());
        Ok(Arc::new(SliceScan::new(
            self.entry.name.clone(),
            scan,
            schema,
            order,
            limit,
            partitions,
        )))
    }
}
