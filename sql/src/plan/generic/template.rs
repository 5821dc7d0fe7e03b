//! Scans of a generic plan: what each run makes them of.
//!
//! A plan that waits for its next run may hold no scan: a scan keeps the state that it reads.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use slicedb_storage::State;

use super::Parameters;
use crate::catalog::TableEntry;
use crate::plan::pushdown::{self, Support};
use crate::plan::scan::SliceScan;
use crate::plan::table::new_scan;

/// What was asked of a table.
#[derive(Debug)]
pub(crate) struct ScanOrigin {
    pub(crate) entry: Arc<TableEntry>,
    /// The table's columns as the session sees them.
    pub(crate) schema: SchemaRef,
    pub(crate) projection: Vec<usize>,
    /// The filters, and whether the plan relies on storage to apply them.
    pub(crate) filters: Vec<(Expr, bool)>,
    pub(crate) parameters: Arc<Parameters>,
}

/// The place of a scan in a plan that waits for its next run.
#[derive(Debug)]
pub(crate) struct ScanTemplate {
    pub(crate) table: String,
    pub(crate) origin: Arc<ScanOrigin>,
    pub(crate) schema: SchemaRef,
    pub(crate) partitions: usize,
    /// Position of the time column among the returned ones.
    pub(crate) time: Option<usize>,
    /// Whether units come in the order of their times, and whether the latest comes first.
    pub(crate) latest_first: Option<bool>,
    pub(crate) limit: Option<usize>,
    pub(crate) properties: Arc<PlanProperties>,
}

impl ScanTemplate {
    /// The scan of this state, for the values that the parameters have now. `None` when storage
    /// cannot do for them what the plan relies on.
    ///
    /// # Errors
    /// Those of a scan that cannot be made.
    pub(super) fn scan(&self, state: &Arc<State>) -> Result<Option<SliceScan>> {
        let origin = &self.origin;
        let mut filters = Vec::with_capacity(origin.filters.len());
        for (filter, is_exact) in &origin.filters {
            let filter = origin.parameters.bind(filter, &origin.schema)?;
            if *is_exact && pushdown::support(&origin.entry.def, &filter) != Support::Exact {
                return Ok(None);
            }
            filters.push(Cow::Owned(filter));
        }
        let scan = new_scan(&origin.entry, state, &origin.projection, &filters, false)?;
        Ok(Some(SliceScan::of_template(self, scan)))
    }

    /// Whether it returns all rows of its table, whatever the parameters are.
    pub(super) fn is_unfiltered(&self) -> bool {
        self.origin.filters.is_empty()
    }
}

impl DisplayAs for ScanTemplate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScanTemplate: {}", self.table)
    }
}

impl ExecutionPlan for ScanTemplate {
    fn name(&self) -> &str {
        "ScanTemplate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("the scan of {} has not been made for a run", self.table)
    }
}
