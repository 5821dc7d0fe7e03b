//! All partials of an aggregate at one state, as a table to DataFusion: those that are kept, and
//! those of rows in memory and of what is stale, which are computed.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use slicedb_storage::scan::Place;
use slicedb_storage::{Scan, ScanRequest, State};

use super::Definition;
use super::scan::PartialsScan;
use super::stale::{Stale, external};
use crate::catalog::AggregateEntry;
use crate::plan::pushdown::{self, Support};

/// The partials of an aggregate at a state.
#[derive(Debug)]
pub(crate) struct Partials {
    entry: Arc<AggregateEntry>,
    definition: Arc<Definition>,
    state: Arc<State>,
    schema: SchemaRef,
}

/// What one query reads.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) definition: Arc<Definition>,
    /// The kept partials, with the columns of the answer, then key and slot where something is
    /// stale.
    pub(super) kept: Scan,
    /// Rows in memory that are not stale.
    pub(super) memory: Scan,
    /// All rows of what is stale.
    pub(super) stale_rows: Option<Scan>,
    pub(super) stale: Arc<Stale>,
}

impl Partials {
    pub(crate) fn new(
        entry: Arc<AggregateEntry>,
        definition: Arc<Definition>,
        state: Arc<State>,
    ) -> Self {
        Partials {
            schema: definition.schema(),
            entry,
            definition,
            state,
        }
    }

    fn parts(&self, projection: &[usize], filters: &[Expr]) -> Result<Parts> {
        let definition = &self.definition;
        let stale = Stale::read(&self.state, self.entry.stale, definition)?;
        let kept_def = match self.state.table(self.entry.partials) {
            Some(table) => &table.def,
            None => return datafusion::common::internal_err!("the partials are gone"),
        };
        let mut kept = ScanRequest {
            columns: projection.to_vec(),
            ..ScanRequest::default()
        };
        pushdown::apply(kept_def, filters.iter(), &mut kept);
        // Rows of the wanted slots: those columns are computed, but a slot tells its times.
        let times = kept
            .time
            .map(|times| definition.slots.reach(times))
            .transpose()?;
        let request = ScanRequest {
            columns: definition.reads.clone(),
            keys: definition.key.and_then(|_| kept.keys.clone()),
            time: times,
            ..ScanRequest::default()
        };
        let source = definition.source.def.id;
        let memory = ScanRequest {
            place: Place::Memory,
            ..request.clone()
        };
        let memory = Scan::new(&self.state, source, memory).map_err(external)?;
        let mut stale_rows = None;
        if let Some(stale_times) = stale.times {
            kept.columns.extend(definition.key);
            kept.columns.push(definition.slot);
            let (first, last) = definition.slots.reach(stale_times)?;
            let (from, to) = request.time.unwrap_or((i64::MIN, i64::MAX));
            let request = ScanRequest {
                time: Some((first.max(from), last.min(to))),
                ..request
            };
            stale_rows = Some(Scan::new(&self.state, source, request).map_err(external)?);
        }
        let kept = Scan::new(&self.state, self.entry.partials, kept).map_err(external)?;
        Ok(Parts {
            definition: definition.clone(),
            kept,
            memory,
            stale_rows,
            stale,
        })
    }

    /// Rows and partials that a scan probably reads.
    pub(crate) fn rows(&self, filters: &[Expr]) -> Result<u64> {
        let parts = self.parts(&[], filters)?;
        let stale = parts.stale_rows.as_ref().map_or(0, Scan::likely_rows);
        Ok(parts.kept.likely_rows() + parts.memory.likely_rows() + stale)
    }
}

#[async_trait]
impl TableProvider for Partials {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let Some(table) = self.state.table(self.entry.partials) else {
            return Ok(vec![
                TableProviderFilterPushDown::Unsupported;
                filters.len()
            ]);
        };
        // What is computed is of whole slots.
        let support = |filter: &&Expr| match pushdown::support(&table.def, filter) {
            Support::None => TableProviderFilterPushDown::Unsupported,
            _ => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.schema.fields().len()).collect();
        let projection: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let schema = Arc::new(self.schema.project(&projection)?);
        let parts = self.parts(&projection, filters)?;
        let partitions = state.config().target_partitions();
        let name = self.entry.table.name.clone();
        let scan = PartialsScan::new(name, parts, projection, schema, partitions);
        Ok(Arc::new(scan))
    }
}
