//! Groupings over the groups of an aggregate: partials are merged once, into the wider groups.
//!
//! `SELECT sum(n) FROM v` means: merge the partials of each group, then add up the groups. Where the
//! outer aggregate is one that merging does as well (sums of sums and counts, the least of the
//! least), the groups between are left out.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::answering::{has_subquery, varies};
use super::flat::{flattened, has_grouping};
use super::merge::Merge;

/// The rule.
#[derive(Debug)]
pub(crate) struct MergedOnce;

impl AnalyzerRule for MergedOnce {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let merged = plan.transform_up_with_subqueries(|node| {
            let LogicalPlan::Aggregate(outer) = &node else {
                return Ok(Transformed::no(node));
            };
            if !is_over_groups(outer) {
                return Ok(Transformed::no(node));
            }
            // What cannot be said so, the groups answer.
            let flat = flattened(outer).and_then(|flat| flat.under_names_of(outer));
            Ok(match flat {
                Ok(plan) => Transformed::yes(plan),
                Err(_) => Transformed::no(node),
            })
        });
        merged.data()
    }

    fn name(&self) -> &str {
        "merged_once"
    }
}

/// Whether a grouping is over the groups of one aggregate, each of them once or more often.
fn is_over_groups(outer: &Aggregate) -> bool {
    let exprs = outer.group_expr.iter().chain(&outer.aggr_expr);
    is_plain(exprs) && gives_groups(&outer.input)
}

fn gives_groups(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(inner) => {
            let mut calls = inner.aggr_expr.iter();
            !has_grouping(&inner.input) && calls.all(is_merge)
        }
        LogicalPlan::Projection(projection) => {
            is_plain(projection.expr.iter()) && gives_groups(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => gives_groups(&alias.input),
        LogicalPlan::Filter(filter) => {
            is_plain(std::iter::once(&filter.predicate)) && gives_groups(&filter.input)
        }
        LogicalPlan::Join(join) => {
            let (inner, other) = match (has_grouping(&join.left), join.join_type) {
                (true, JoinType::Inner | JoinType::Left) => (&join.left, &join.right),
                (false, JoinType::Inner | JoinType::Right) => (&join.right, &join.left),
                _ => return false,
            };
            let on = join.on.iter().flat_map(|(left, right)| [left, right]);
            is_plain(on.chain(&join.filter)) && gives_groups(inner) && !has_grouping(other)
        }
        _ => false,
    }
}

fn is_merge(expr: &Expr) -> bool {
    match expr.clone().unalias() {
        Expr::AggregateFunction(call) => call.func.inner().downcast_ref::<Merge>().is_some(),
        _ => false,
    }
}

/// Whether expressions are the same for each partial of a group.
fn is_plain<'a>(mut exprs: impl Iterator<Item = &'a Expr>) -> bool {
    exprs.all(|expr| {
        let is_other = expr.exists(|expr| Ok(varies(expr))).unwrap_or(true);
        !is_other && !has_subquery(expr)
    })
}
