//! A definition's plan taken apart: its grouping, the source whose rows are aggregated, and the
//! reference tables that they are joined with; and what of a query cannot be kept, each with its
//! reason.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinType, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Volatility};
use slicedb_storage::table::DAY_US;

use super::answering::{has_subquery, varies};
use super::definition::plain;
use crate::catalog::TableEntry;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::SliceTable;

/// The parts of a definition's plan.
pub(super) struct Parts<'a> {
    pub(super) grouping: &'a Aggregate,
    pub(super) source: Source<'a>,
    /// The tables that its rows are joined with.
    pub(super) references: Vec<Arc<TableEntry>>,
}

/// The table whose rows are aggregated, as the expressions above it see it.
pub(super) struct Source<'a> {
    pub(super) entry: Arc<TableEntry>,
    pub(super) schema: &'a DFSchema,
    /// Conditions on its rows alone.
    pub(super) filters: Vec<&'a Expr>,
}

impl<'a> Source<'a> {
    /// Takes those parts of a condition that are about its rows alone.
    fn choose_by(&mut self, condition: &'a Expr) {
        let parts = split_conjunction(condition).into_iter();
        let own: Vec<&Expr> = parts.filter(|part| self.covers(part)).collect();
        self.filters.extend(own);
    }

    /// Whether an expression is about its rows alone.
    pub(super) fn covers(&self, expr: &Expr) -> bool {
        covers(self.schema, expr)
    }
}

/// Whether all columns of an expression are among these.
pub(super) fn covers(schema: &DFSchema, expr: &Expr) -> bool {
    expr.column_refs()
        .into_iter()
        .all(|column| schema.maybe_index_of_column(column).is_some())
}

/// What every node of a plan has to pass.
type Check = fn(&LogicalPlan) -> Result<()>;

/// Takes the plan of a definition apart.
///
/// # Errors
/// 0A000 with the reason when it cannot be kept.
pub(super) fn parts(plan: &LogicalPlan) -> Result<Parts<'_>> {
    taken_apart(plan, check)
}

/// Takes a grouping of a query apart, which may be another one at another time.
///
/// # Errors
/// 0A000 when no aggregate could answer it.
pub(super) fn parts_of_query(grouping: &LogicalPlan) -> Result<Parts<'_>> {
    taken_apart(grouping, check_query)
}

fn taken_apart(plan: &LogicalPlan, check: Check) -> Result<Parts<'_>> {
    let mut above = plan;
    let grouping = loop {
        match above {
            LogicalPlan::Aggregate(grouping) => break grouping,
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
                check(above)?;
                above = above.inputs()[0];
            }
            other => return Err(refused(other)),
        }
    };
    check(above)?;
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
    let mut references = Vec::new();
    let source = source(&grouping.input, &mut references, check)?.ok_or_else(not_a_hypertable)?;
    Ok(Parts {
        grouping,
        source,
        references,
    })
}

/// The source in a plan below a grouping, if it is there.
fn source<'a>(
    plan: &'a LogicalPlan,
    references: &mut Vec<Arc<TableEntry>>,
    check: Check,
) -> Result<Option<Source<'a>>> {
    check(plan)?;
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).map_err(plain)?;
            let Some(table) = provider.downcast_ref::<SliceTable>() else {
                return Err(not_a_hypertable());
            };
            let entry = table.entry().clone();
            if entry.is_time_series() {
                return Ok(Some(Source {
                    entry,
                    schema: plan.schema(),
                    filters: Vec::new(),
                }));
            }
            references.push(entry);
            Ok(None)
        }
        LogicalPlan::Filter(filter) => {
            let mut found = source(&filter.input, references, check)?;
            if let Some(found) = &mut found {
                found.choose_by(&filter.predicate);
            }
            Ok(found)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(found) = source(&alias.input, references, check)? else {
                return Ok(None);
            };
            if is_joined(&alias.input) {
                return Err(refused_subquery());
            }
            Ok(Some(Source {
                schema: plan.schema(),
                ..found
            }))
        }
        LogicalPlan::Projection(projection) => {
            match source(&projection.input, references, check)? {
                Some(_) => Err(refused_subquery()),
                None => Ok(None),
            }
        }
        LogicalPlan::Join(join) => {
            let left = source(&join.left, references, check)?;
            let right = source(&join.right, references, check)?;
            let (found, keeps_all) = match (left, right) {
                (Some(_), Some(_)) => {
                    return Err(refuse("invalid continuous aggregate view").with_detail(
                        "It can read one time-series table, and join reference tables with it.",
                    ));
                }
                (Some(left), None) => (left, JoinType::Left),
                (None, Some(right)) => (right, JoinType::Right),
                (None, None) => return Ok(None),
            };
            if join.join_type != JoinType::Inner && join.join_type != keeps_all {
                return Err(refuse(format!(
                    "{} JOIN is not supported in a continuous aggregate",
                    join.join_type.to_string().to_uppercase()
                ))
                .with_hint("Inner joins can be kept, and outer joins that keep all rows of the time-series table."));
            }
            let mut found = found;
            if let (JoinType::Inner, Some(condition)) = (join.join_type, &join.filter) {
                found.choose_by(condition);
            }
            Ok(Some(found))
        }
        other => Err(refused(other)),
    }
}

/// Whether there is a join in a plan.
pub(super) fn is_joined(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(_)) || plan.inputs().into_iter().any(is_joined)
}

fn not_a_hypertable() -> SqlError {
    let message = "invalid continuous aggregate view";
    refuse(message).with_detail("Its FROM clause must name one time-series table.")
}

fn refused_subquery() -> SqlError {
    SqlError::unsupported("a subquery in FROM in a continuous aggregate")
}

fn refused(plan: &LogicalPlan) -> SqlError {
    let what = match plan {
        LogicalPlan::Join(_) => "a join of aggregated rows",
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Distinct(_) => "DISTINCT",
        LogicalPlan::Window(_) => "a window function",
        LogicalPlan::Union(_) => "UNION",
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => return refused_subquery(),
        LogicalPlan::TableScan(_) => {
            return refuse("invalid continuous aggregate view")
                .with_detail("It needs GROUP BY with a time bucket.");
        }
        _ => "a query of this form",
    };
    SqlError::unsupported(format!("{what} in a continuous aggregate"))
}

/// Refuses what no node of a definition may have.
fn check(plan: &LogicalPlan) -> Result<()> {
    let mut has_subquery = false;
    let _ = plan.apply_subqueries(|_| {
        has_subquery = true;
        Ok(TreeNodeRecursion::Stop)
    });
    if has_subquery {
        return Err(SqlError::unsupported(
            "a subquery in a continuous aggregate",
        ));
    }
    plan.expressions().iter().try_for_each(check_volatility)
}

/// Refuses what would be another one for each partial, and what asks or is asked by another query.
fn check_query(plan: &LogicalPlan) -> Result<()> {
    let is_bad = |expr: &Expr| {
        let is_outer = matches!(expr, Expr::OuterReferenceColumn(..));
        Ok(is_outer || has_subquery(expr) || varies(expr))
    };
    for expr in plan.expressions() {
        if expr.exists(is_bad).map_err(plain)? {
            return Err(refuse("an aggregate does not answer it"));
        }
    }
    Ok(())
}

/// What differs from one moment to the next cannot be kept.
fn check_volatility(expr: &Expr) -> Result<()> {
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

/// Whether an expression divides the source's time into the same buckets for all rows, and if so
/// whether in the local time of a zone.
pub(super) fn divides_time(expr: &Expr, source: &DFSchema, time: usize) -> Option<bool> {
    let Expr::ScalarFunction(call) = expr.clone().unalias() else {
        return None;
    };
    let (at, others) = time_argument(&call.args)?;
    if call.name() != "time_bucket" || !others.iter().all(|arg| arg.column_refs().is_empty()) {
        return None;
    }
    let inner = match at {
        Expr::Column(column) if source.maybe_index_of_column(column) == Some(time) => false,
        inner => divides_time(inner, source, time)?,
    };
    let has_zone = call.args.get(2).is_some_and(|arg| match arg {
        Expr::Literal(value, _) => matches!(
            value.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ),
        _ => true,
    });
    Some(has_zone || inner)
}

/// How wide the buckets are, in microseconds, if all of them are alike: in no zone, not of months,
/// and of the time itself.
pub(super) fn width_us(expr: &Expr, source: &DFSchema, time: usize) -> Option<i64> {
    let Expr::ScalarFunction(call) = expr.clone().unalias() else {
        return None;
    };
    let (Some(false), [Expr::Literal(width, _), Expr::Column(of), others @ ..]) =
        (divides_time(expr, source, time), call.args.as_slice())
    else {
        return None;
    };
    // Moved by months they are no more alike.
    let is_fixed = |arg: &Expr| match arg {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(by)), _) => by.months == 0,
        Expr::Literal(..) => true,
        _ => false,
    };
    if !others.iter().all(is_fixed) {
        return None;
    }
    let ScalarValue::IntervalMonthDayNano(Some(width)) = width else {
        return None;
    };
    let us = i64::from(width.days) * DAY_US + width.nanoseconds / 1_000;
    let is_time = source.maybe_index_of_column(of) == Some(time);
    (width.months == 0 && us > 0 && is_time).then_some(us)
}

/// The time of a call of `time_bucket`, and its other arguments.
pub(super) fn time_argument(args: &[Expr]) -> Option<(&Expr, Vec<&Expr>)> {
    let others = args.iter().enumerate().filter(|(at, _)| *at != 1);
    Some((args.get(1)?, others.map(|(_, arg)| arg).collect()))
}

/// 0A000 in TimescaleDB's words.
pub(super) fn refuse(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}
