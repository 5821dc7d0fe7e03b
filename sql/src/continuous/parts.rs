//! A definition's plan taken apart: its grouping, the conditions below it and the table; and what of
//! a query cannot be kept, each with its reason.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Volatility};

use super::definition::plain;
use crate::catalog::TableEntry;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::SliceTable;

/// The parts of a definition's plan.
pub(super) struct Parts<'a> {
    pub(super) grouping: &'a Aggregate,
    /// The conditions between grouping and table.
    pub(super) filters: Vec<&'a Expr>,
    pub(super) source: Arc<TableEntry>,
}

/// Takes a plan apart.
pub(super) fn parts(plan: &LogicalPlan) -> Result<Parts<'_>> {
    let mut above = plan;
    let grouping = loop {
        match above {
            LogicalPlan::Aggregate(grouping) => break grouping,
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
                check_subqueries(above)?;
                above.expressions().iter().try_for_each(check_volatility)?;
                above = above.inputs()[0];
            }
            other => return Err(refused(other)),
        }
    };
    if grouping
        .group_expr
        .iter()
        .any(|e| matches!(e, Expr::GroupingSet(_)))
    {
        return Err(SqlError::unsupported(
            "GROUPING SETS in a continuous aggregate",
        ));
    }
    if grouping.schema.fields().len() != grouping.group_expr.len() + grouping.aggr_expr.len() {
        return Err(refuse(
            "grouping by the same expression twice is not supported in a continuous aggregate",
        ));
    }
    let mut filters = Vec::new();
    let mut below = grouping.input.as_ref();
    let source = loop {
        check_subqueries(below)?;
        match below {
            LogicalPlan::Filter(filter) => {
                filters.push(&filter.predicate);
                below = filter.input.as_ref();
            }
            LogicalPlan::SubqueryAlias(alias) => below = alias.input.as_ref(),
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source).map_err(plain)?;
                match provider.downcast_ref::<SliceTable>() {
                    Some(table) if table.entry().is_time_series() => break table.entry().clone(),
                    _ => return Err(not_a_hypertable()),
                }
            }
            other => return Err(refused(other)),
        }
    };
    check_subqueries(&LogicalPlan::Aggregate(grouping.clone()))?;
    Ok(Parts {
        grouping,
        filters,
        source,
    })
}

fn not_a_hypertable() -> SqlError {
    let message = "invalid continuous aggregate view";
    refuse(message).with_detail("Its FROM clause must name one time-series table.")
}

fn refused(plan: &LogicalPlan) -> SqlError {
    let what = match plan {
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Distinct(_) => "DISTINCT",
        LogicalPlan::Window(_) => "a window function",
        LogicalPlan::Union(_) => "UNION",
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => "a subquery in FROM",
        LogicalPlan::TableScan(_) => {
            return refuse("invalid continuous aggregate view")
                .with_detail("It needs GROUP BY with a time bucket.");
        }
        _ => "a query of this form",
    };
    SqlError::unsupported(format!("{what} in a continuous aggregate"))
}

fn check_subqueries(plan: &LogicalPlan) -> Result<()> {
    let mut found = false;
    let _ = plan.apply_subqueries(|_| {
        found = true;
        Ok(TreeNodeRecursion::Stop)
    });
    match found {
        true => Err(SqlError::unsupported(
            "a subquery in a continuous aggregate",
        )),
        false => Ok(()),
    }
}

/// What differs from one moment to the next cannot be kept.
pub(super) fn check_volatility(expr: &Expr) -> Result<()> {
    let varies = |expr: &Expr| {
        Ok(match expr {
            Expr::ScalarFunction(function) => {
                function.func.signature().volatility != Volatility::Immutable
            }
            _ => false,
        })
    };
    match expr.exists(varies).map_err(plain)? {
        false => Ok(()),
        true => Err(
            refuse("only immutable functions supported in continuous aggregate view")
                .with_hint("Leave out now(), random() and the like: their answers do not stay."),
        ),
    }
}

/// Whether an expression divides the source's time into buckets, and if so whether in the local
/// time of a zone.
pub(super) fn divides_time(expr: &Expr, schema: &DFSchema, time: usize) -> Option<bool> {
    let Expr::ScalarFunction(call) = expr.clone().unalias() else {
        return None;
    };
    let is_time = |arg: &Expr| match arg {
        Expr::Column(column) => schema.maybe_index_of_column(column) == Some(time),
        _ => false,
    };
    let others_constant = || {
        call.args
            .iter()
            .all(|arg| is_time(arg) || arg.column_refs().is_empty())
    };
    if call.name() != "time_bucket" || !call.args.get(1).is_some_and(is_time) || !others_constant()
    {
        return None;
    }
    let has_zone = call.args.get(2).is_some_and(|arg| match arg {
        Expr::Literal(value, _) => matches!(
            value.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ),
        _ => true,
    });
    Some(has_zone)
}

pub(super) fn find_grouping(plan: &LogicalPlan) -> Option<&Aggregate> {
    match plan {
        LogicalPlan::Aggregate(grouping) => Some(grouping),
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
            find_grouping(plan.inputs()[0])
        }
        _ => None,
    }
}

/// 0A000 in TimescaleDB's words.
pub(super) fn refuse(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}
