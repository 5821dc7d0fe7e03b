//! A table of ours as DataFusion asks for it.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use slicedb_storage::scan::ROW_ID;
use slicedb_storage::{Scan, ScanRequest, State};

use super::generic::{Parameters, ScanOrigin, has_parameter};
use super::pushdown::{self, Support};
use super::scan::{ROWS_PER_PARTITION, SliceScan};
use crate::catalog::{CatalogView, TableEntry};
use crate::continuous::Partials;

/// A table at the state that a statement reads.
#[derive(Debug)]
pub struct SliceTable {
    entry: Arc<TableEntry>,
    state: Arc<State>,
    /// The columns as the session sees them: timestamptz in its zone.
    schema: SchemaRef,
    row_ids: bool,
    /// Those of the plan that reads it, when it is a generic one.
    parameters: Option<Arc<Parameters>>,
    /// Scans that have been asked for.
    scans: Mutex<Vec<Planned>>,
}

/// A scan, and what was asked for.
#[derive(Debug)]
struct Planned {
    projection: Vec<usize>,
    filters: Vec<Expr>,
    scan: Arc<Scan>,
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
            parameters: view.parameters.clone(),
            scans: Mutex::default(),
        }
    }

    /// Whether the plan that reads it is made for other parameters too.
    pub(super) fn is_generic(&self) -> bool {
        self.parameters.is_some()
    }

    /// Its entry in the catalog.
    pub fn entry(&self) -> &Arc<TableEntry> {
        &self.entry
    }
}

impl SliceTable {
    fn projection(&self, projection: Option<&Vec<usize>>) -> Vec<usize> {
        let all = || (0..self.schema.fields().len()).collect();
        projection.cloned().unwrap_or_else(all)
    }

    /// A filter as it is for the values that the plan is made for.
    fn bound<'a>(&self, filter: &'a Expr) -> Result<Cow<'a, Expr>> {
        Ok(match &self.parameters {
            Some(parameters) => Cow::Owned(parameters.bind(filter, &self.schema)?),
            None => Cow::Borrowed(filter),
        })
    }

    fn support(&self, filter: &Expr) -> Result<Support> {
        Ok(pushdown::support(
            &self.entry.def,
            self.bound(filter)?.as_ref(),
        ))
    }

    /// Rows that a scan probably returns.
    fn rows(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> Result<u64> {
        let scan = self.prepare(&self.projection(projection), filters)?;
        Ok(scan.likely_rows())
    }

    /// The scan, which is asked for twice: how large it is, and to run it.
    fn prepare(&self, projection: &[usize], filters: &[Expr]) -> Result<Arc<Scan>> {
        let mut scans = self.scans.lock();
        let is_same = |known: &&Planned| known.projection == projection && known.filters == filters;
        if let Some(known) = scans.iter().find(is_same) {
            return Ok(known.scan.clone());
        }
        let bound = filters.iter().map(|filter| self.bound(filter));
        let bound = bound.collect::<Result<Vec<_>>>()?;
        let scan = new_scan(&self.entry, &self.state, projection, &bound, self.row_ids)?;
        let scan = Arc::new(scan);
        scans.push(Planned {
            projection: projection.to_vec(),
            filters: filters.to_vec(),
            scan: scan.clone(),
        });
        Ok(scan)
    }
}

/// Whether a plan looks at so few rows that one thread answers it soonest.
///
/// # Errors
/// Those of a scan that cannot be made.
pub(crate) fn is_small(plan: &LogicalPlan) -> Result<bool> {
    Ok(work(plan)? < ROWS_PER_PARTITION)
}

/// Rows that a plan looks at, pairs of rows where it joins each with each.
fn work(plan: &LogicalPlan) -> Result<u64> {
    if let LogicalPlan::TableScan(scan) = plan {
        let provider = source_as_provider(&scan.source)?;
        if let Some(table) = provider.downcast_ref::<SliceTable>() {
            return table.rows(scan.projection.as_ref(), &scan.filters);
        }
        if let Some(partials) = provider.downcast_ref::<Partials>() {
            return partials.rows(&scan.filters);
        }
        // Those in memory are system tables.
        let is_small = provider.downcast_ref::<MemTable>().is_some();
        return Ok(if is_small { 0 } else { u64::MAX });
    }
    let inputs = plan.inputs().into_iter().map(work);
    let inputs = inputs.collect::<Result<Vec<u64>>>()?;
    let mut subqueries = 0_u64;
    plan.apply_subqueries(|subquery| {
        subqueries = subqueries.saturating_add(work(subquery)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    let rows = match plan {
        LogicalPlan::Join(join) if join.on.is_empty() => {
            inputs.into_iter().fold(1, u64::saturating_mul)
        }
        _ => inputs.into_iter().fold(0, u64::saturating_add),
    };
    Ok(rows.saturating_add(subqueries))
}

/// A field as a session in a time zone sees it.
pub(crate) fn in_zone(field: &Arc<Field>, zone: &Arc<str>) -> Arc<Field> {
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
        let support = |filter: &&Expr| {
            Ok(match self.support(filter)? {
                Support::Exact => TableProviderFilterPushDown::Exact,
                Support::Inexact => TableProviderFilterPushDown::Inexact,
                // Storage may know what to do with it when it has other values.
                Support::None if self.parameters.is_some() && has_parameter(filter)? => {
                    TableProviderFilterPushDown::Inexact
                }
                Support::None => TableProviderFilterPushDown::Unsupported,
            })
        };
        filters.iter().map(support).collect()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = self.projection(projection);
        let schema = Arc::new(self.schema.project(&projection)?);
        let scan = self.prepare(&projection, filters)?;
        // A second scan of the same has counters of its own.
        self.scans
            .lock()
            .retain(|known| !Arc::ptr_eq(&known.scan, &scan));
        let partitions = state.config().target_partitions();
        let order = projection
            .iter()
            .position(|&c| Some(c) == self.entry.def.time_column());
        let origin = match &self.parameters {
            Some(parameters) => {
                let filters = filters.iter().map(|filter| {
                    let is_exact = self.support(filter)? == Support::Exact;
                    Ok((filter.clone(), is_exact))
                });
                Some(Arc::new(ScanOrigin {
                    entry: self.entry.clone(),
                    schema: self.schema.clone(),
                    projection: projection.clone(),
                    filters: filters.collect::<Result<_>>()?,
                    parameters: parameters.clone(),
                }))
            }
            None => None,
        };
        Ok(Arc::new(SliceScan::new(
            self.entry.name.clone(),
            scan,
            schema,
            order,
            limit,
            partitions,
            origin,
        )))
    }
}

/// A scan of the rows that pass the filters, as far as storage understands them.
pub(super) fn new_scan(
    entry: &TableEntry,
    state: &Arc<State>,
    projection: &[usize],
    filters: &[Cow<'_, Expr>],
    row_ids: bool,
) -> Result<Scan> {
    let columns = entry.columns.len();
    let mut request = ScanRequest {
        columns: projection
            .iter()
            .copied()
            .filter(|&c| c < columns)
            .collect(),
        // The row number, where it is asked for, is the last of all columns; storage puts it last too.
        row_ids: row_ids && projection.contains(&columns),
        ..ScanRequest::default()
    };
    pushdown::apply(&entry.def, filters.iter().map(Cow::as_ref), &mut request);
    Scan::new(state, entry.def.id, request).map_err(|e| DataFusionError::External(Box::new(e)))
}
