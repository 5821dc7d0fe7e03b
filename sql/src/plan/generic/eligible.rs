//! Which plans may be kept.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;

use super::template::ScanTemplate;
use crate::plan::table::SliceTable;

/// Times that texts name relative to now.
const RELATIVE: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// Whether a plan means the same whenever it is run: it reads tables of users, and none of its
/// expressions depends on the moment.
///
/// # Errors
/// None but those of a bug in a plan.
pub(crate) fn is_repeatable(plan: &LogicalPlan) -> Result<bool> {
    let mut is_repeatable = true;
    plan.apply_with_subqueries(|plan| {
        is_repeatable &= match plan {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source)?;
                provider.downcast_ref::<SliceTable>().is_some()
            }
            LogicalPlan::Extension(_) | LogicalPlan::RecursiveQuery(_) => false,
            _ => true,
        };
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                is_repeatable &= is_timeless(expr);
                Ok(go_on_if(is_repeatable))
            })
        })?;
        Ok(go_on_if(is_repeatable))
    })?;
    Ok(is_repeatable)
}

fn is_timeless(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(function) => {
            function.func.signature().volatility == Volatility::Immutable
        }
        // It may be read as a time while the plan is made.
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
            let text = text.to_ascii_lowercase();
            !RELATIVE.iter().any(|word| text.contains(word))
        }
        _ => true,
    }
}

fn go_on_if(condition: bool) -> TreeNodeRecursion {
    match condition {
        true => TreeNodeRecursion::Continue,
        false => TreeNodeRecursion::Stop,
    }
}

/// Whether a physical plan may be run again: of nodes that are known to begin afresh, and none of
/// them better done with what is known of this run only.
pub(crate) fn is_rerunnable(plan: &Arc<dyn ExecutionPlan>, is_small: bool) -> bool {
    let node = plan.as_ref();
    let is_known = if node.is::<HashJoinExec>() {
        // Which side is the larger matters when there are many rows.
        is_small
    } else if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        // How many rows a whole table has is known without reading it.
        !(aggregate.group_expr().is_empty() && reads_all(plan))
            && node.dynamic_expressions_produced().is_empty()
    } else {
        node.is::<ScanTemplate>()
            || node.is::<FilterExec>()
            || node.is::<ProjectionExec>()
            || node.is::<SortExec>()
            || node.is::<SortPreservingMergeExec>()
            || node.is::<CoalescePartitionsExec>()
            || node.is::<RepartitionExec>()
            || node.is::<CooperativeExec>()
            || node.is::<GlobalLimitExec>()
            || node.is::<LocalLimitExec>()
            || node.is::<UnionExec>()
    };
    is_known
        && plan
            .children()
            .into_iter()
            .all(|child| is_rerunnable(child, is_small))
}

fn reads_all(plan: &Arc<dyn ExecutionPlan>) -> bool {
    match plan.downcast_ref::<ScanTemplate>() {
        Some(template) => template.is_unfiltered(),
        None => plan.children().into_iter().all(reads_all),
    }
}
