//! Partials in a generic plan: what each run makes their scan of.

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

use super::relation::Origin;
use super::scan::PartialsScan;
use crate::plan::pushdown::Support;

/// What a plan asks of an aggregate's partials.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) origin: Arc<Origin>,
    /// The columns that are wanted.
    pub(super) projection: Vec<usize>,
    /// Which partials are wanted, and whether the plan relies on no others coming.
    pub(super) filters: Vec<(Expr, bool)>,
    /// The wanted columns.
    pub(super) schema: SchemaRef,
}

/// The place of partials in a plan that waits for its next run.
#[derive(Debug)]
pub(crate) struct PartialsTemplate {
    pub(super) asked: Arc<Asked>,
    pub(super) properties: Arc<PlanProperties>,
}

impl PartialsTemplate {
    /// The scan of this state, for the values that the parameters have now. `None` when it cannot do
    /// for them what the plan relies on.
    ///
    /// # Errors
    /// Those of a scan that cannot be made.
    pub(crate) fn scan(&self, state: &State) -> Result<Option<PartialsScan>> {
        let asked = &self.asked;
        if !asked.origin.answers(state)? {
            return Ok(None);
        }
        let mut filters = Vec::with_capacity(asked.filters.len());
        for (filter, is_exact) in &asked.filters {
            let filter = asked.origin.bound(filter)?;
            if *is_exact && asked.origin.support(state, &filter) != Support::Exact {
                return Ok(None);
            }
            filters.push(filter);
        }
        let parts = asked.origin.parts(state, &asked.projection, &filters)?;
        Ok(Some(PartialsScan::of_template(self, parts)))
    }

    /// The expressions of its aggregate over rows.
    pub(crate) fn exprs(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.asked.origin.definition.exprs()
    }
}

impl DisplayAs for PartialsTemplate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.asked.origin.entry.table.name;
        write!(f, "PartialsTemplate: {name}")
    }
}

impl ExecutionPlan for PartialsTemplate {
    fn name(&self) -> &str {
        "PartialsTemplate"
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
        let name = &self.asked.origin.entry.table.name;
        internal_err!("the partials of {name} have not been read for a run")
    }
}
