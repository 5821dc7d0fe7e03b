//! Physical plans of the nodes that are ours.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::asof::{self, AsOfJoin};
use super::gapfill::{self, GapFill};
use super::newest::{self, Newest};

/// DataFusion's planner, with our nodes.
#[derive(Debug)]
pub(crate) struct Extensions;

#[async_trait]
impl QueryPlanner for Extensions {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Extensions)]);
        planner.create_physical_plan(plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for Extensions {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(node) = node.as_any().downcast_ref::<GapFill>() {
            return gapfill::planned(node, inputs.to_vec()).map(Some);
        }
        if let (Some(node), [left, right]) = (node.as_any().downcast_ref::<AsOfJoin>(), inputs) {
            let physical = |expr: &Expr, schema: &DFSchema| {
                planner.create_physical_expr(expr, schema, session, context)
            };
            return asof::planned(node, left.clone(), right.clone(), physical).map(Some);
        }
        if let (Some(node), [input]) = (node.as_any().downcast_ref::<Newest>(), inputs) {
            return newest::planned(node, input.clone()).map(Some);
        }
        Ok(None)
    }
}
