//! Queries over a table that one of its aggregates can answer.
//!
//! A grouping over a time-series table is turned into one over partials where everything it asks can
//! be told from their keys and states:
//!
//! - it groups by keys, or by what is computed from keys; also by wider buckets of the same time
//! - it chooses rows by keys, and by any range of time: rows in the buckets at the ends of the range
//!   are read themselves
//! - the definition chooses no rows that the query does not choose
//! - its aggregates are kept, if need be for rows that are chosen by keys
//!
//! The answer is the same, at the same state. Sums of floats may differ in their last digits, as they
//! do from one run to the next.

use std::sync::Arc;

use arrow::datatypes::TimeUnit;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    AggregateUDF, Between, BinaryExpr, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder,
    Operator, Volatility,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use slicedb_storage::table::{DAY_US, HOUR_US};
use slicedb_storage::{State, TableId, derived};

use super::Definition;
use super::below::unqualified;
use super::hierarchy;
use super::keys::key_column;
use super::merge::Merge;
use super::relation::Partials;
use super::stale::external;
use crate::catalog::AggregateEntry;
use crate::functions::Width;
use crate::plan::SliceTable;

/// What a definition is made of, as queries over its source say it. Columns are named by themselves.
#[derive(Debug)]
pub(super) struct Shape {
    /// What partials are called in plans.
    pub(super) table: String,
    pub(super) keys: Vec<Expr>,
    pub(super) filters: Vec<Expr>,
    pub(super) aggregates: Vec<Expr>,
}

/// An aggregate that may answer.
pub(crate) struct Candidate {
    pub(crate) entry: Arc<AggregateEntry>,
    pub(crate) definition: Arc<Definition>,
}

/// The grouping of a query over one time-series table.
struct Asked<'a> {
    source: TableId,
    filters: Vec<Expr>,
    grouping: &'a Aggregate,
}

/// A plan whose groupings read from aggregates where they can.
///
/// # Errors
/// Those of `candidates`, and when what is stale cannot be read.
pub(crate) fn answered(
    plan: LogicalPlan,
    config: &ConfigOptions,
    state: &Arc<State>,
    candidates: &dyn Fn(TableId) -> Result<Vec<Candidate>>,
) -> Result<LogicalPlan> {
    let answered = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Aggregate(grouping) = &node else {
            return Ok(Transformed::no(node));
        };
        let Some(asked) = asked(grouping)? else {
            return Ok(Transformed::no(node));
        };
        let mut candidates = candidates(asked.source)?;
        candidates.sort_by_key(|candidate| {
            let partials = state.table(candidate.entry.partials);
            partials.map_or(u64::MAX, |table| table.rows())
        });
        for candidate in candidates {
            if let Some(answer) = answer(&asked, &candidate, config, state)? {
                return Ok(Transformed::yes(answer));
            }
        }
        Ok(Transformed::no(node))
    });
    answered.data()
}

fn asked(grouping: &Aggregate) -> Result<Option<Asked<'_>>> {
    let mut filters = Vec::new();
    let mut below = grouping.input.as_ref();
    loop {
        below = match below {
            LogicalPlan::Filter(filter) => {
                for part in split_conjunction(&filter.predicate) {
                    filters.push(unqualified(part)?);
                }
                &filter.input
            }
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source)?;
                let table = provider.downcast_ref::<SliceTable>();
                let source = table.filter(|table| table.entry().is_time_series());
                return Ok(source.map(|table| Asked {
                    source: table.entry().def.id,
                    filters,
                    grouping,
                }));
            }
            _ => return Ok(None),
        };
    }
}

impl Asked<'_> {
    /// Whether it asks for what the descriptions of segments tell of all rows.
    fn is_told_by_segments(&self) -> bool {
        let is_told = |expr: &Expr| match expr.clone().unalias() {
            Expr::AggregateFunction(call) => {
                let params = &call.params;
                matches!(call.func.name(), "count" | "min" | "max")
                    && params.filter.is_none()
                    && !params.distinct
            }
            _ => false,
        };
        self.filters.is_empty()
            && self.grouping.group_expr.is_empty()
            && self.grouping.aggr_expr.iter().all(is_told)
    }
}

/// Whether there are far fewer partials than rows.
fn is_smaller(candidate: &Candidate, state: &State) -> bool {
    let rows = |table| state.table(table).map_or(0, |table| table.rows());
    rows(candidate.entry.partials) * 2 <= rows(candidate.entry.source)
}

/// The query over the partials of an aggregate, if that can answer it.
fn answer(
    asked: &Asked<'_>,
    candidate: &Candidate,
    config: &ConfigOptions,
    state: &Arc<State>,
) -> Result<Option<LogicalPlan>> {
    let definition = &candidate.definition;
    let shape = &definition.shape;
    if asked.is_told_by_segments() || !is_smaller(candidate, state) {
        return Ok(None);
    }
    let mut filters = asked.filters.clone();
    for own in &shape.filters {
        let Some(at) = filters.iter().position(|filter| filter == own) else {
            return Ok(None);
        };
        filters.swap_remove(at);
    }
    let onto = Onto {
        definition,
        config,
        is_utc: candidate.entry.time_zone == "UTC",
    };
    let mut within = (i64::MIN, i64::MAX);
    let mut chosen = Vec::new();
    for filter in &filters {
        if let Some((from, to)) = onto.times(filter)? {
            within = (within.0.max(from), within.1.min(to));
        } else if let Some(filter) = onto.keys(filter)? {
            chosen.push(filter);
        } else {
            return Ok(None);
        }
    }
    let Some(groups) = all(asked
        .grouping
        .group_expr
        .iter()
        .map(|expr| onto.keys(&unqualified(expr)?)))?
    else {
        return Ok(None);
    };
    let Some(calls) = all(asked
        .grouping
        .aggr_expr
        .iter()
        .enumerate()
        .map(|(n, expr)| onto.call(n, expr)))?
    else {
        return Ok(None);
    };
    // Ranges are of rows; where a zone has an hour twice its buckets are not.
    let is_all = within == (i64::MIN, i64::MAX);
    if (definition.slots.has_zone && !is_all) || !is_worth(candidate, state, within)? {
        return Ok(None);
    }

    let (entry, definition) = (candidate.entry.clone(), definition.clone());
    let partials = Partials::within(entry, definition, state.clone(), within);
    let source = provider_as_source(Arc::new(partials));
    let mut plan = LogicalPlanBuilder::scan(shape.table.as_str(), source, None)?;
    if let Some(chosen) = conjunction(chosen) {
        plan = plan.filter(chosen)?;
    }
    let grouped = plan.aggregate(groups, calls)?.build()?;
    let outputs = grouped.schema().iter().zip(asked.grouping.schema.iter());
    let outputs = outputs.map(|(own, (qualifier, field))| {
        Expr::Column(Column::from(own)).alias_qualified(qualifier.cloned(), field.name())
    });
    let outputs: Vec<Expr> = outputs.collect();
    LogicalPlanBuilder::from(grouped)
        .project(outputs)?
        .build()
        .map(Some)
}

/// All of them, if there is none that is missing.
fn all(found: impl Iterator<Item = Result<Option<Expr>>>) -> Result<Option<Vec<Expr>>> {
    let mut exprs = Vec::new();
    for expr in found {
        let Some(expr) = expr? else {
            return Ok(None);
        };
        exprs.push(expr);
    }
    Ok(Some(exprs))
}

/// Whether partials have all the rows of the table and save work: none of them is kept after its
/// rows were dropped, and not all of them are still to be built.
fn is_worth(candidate: &Candidate, state: &State, within: (i64, i64)) -> Result<bool> {
    let stale = candidate.entry.stale;
    let is_met = |times: &(i64, i64)| times.0 <= within.1 && times.1 >= within.0;
    if state.table(stale).is_none_or(|table| table.rows() == 0) {
        return Ok(true);
    }
    let gone = derived::times(state, stale, true).map_err(external)?;
    if gone.iter().any(is_met) {
        return Ok(false);
    }
    let stale = super::stale::Stale::read(state, stale, &candidate.definition)?;
    Ok(stale.is_keyed())
}

/// Says expressions over the source over partials.
struct Onto<'a> {
    definition: &'a Definition,
    config: &'a ConfigOptions,
    /// Whether the days of the session are those of UTC.
    is_utc: bool,
}

impl Onto<'_> {
    /// An expression over keys alone, if it is one.
    fn keys(&self, expr: &Expr) -> Result<Option<Expr>> {
        let shape = &self.definition.shape;
        let mut is_told = true;
        let said = expr.clone().unalias().transform_down(|expr| {
            let key = shape.keys.iter().position(|key| *key == expr);
            if let Some(key) = key {
                let column = key_column(&shape.table, key);
                return Ok(Transformed::new(column, true, TreeNodeRecursion::Jump));
            }
            if let Some(wider) = self.wider(&expr) {
                return Ok(Transformed::new(wider, true, TreeNodeRecursion::Jump));
            }
            let is_column = matches!(expr, Expr::Column(_) | Expr::OuterReferenceColumn(..));
            is_told &= !is_column && !has_subquery(&expr) && !varies(&expr);
            Ok(Transformed::no(expr))
        });
        Ok(is_told.then_some(said.data()?))
    }

    /// A wider division of the time that is the slot, over slots.
    fn wider(&self, expr: &Expr) -> Option<Expr> {
        let Expr::ScalarFunction(outer) = expr else {
            return None;
        };
        let slot = self.definition.slot;
        let Expr::ScalarFunction(inner) = &self.definition.shape.keys[slot] else {
            return None;
        };
        let (time, at) = (inner.args.get(1)?, outer.args.get(1)?);
        let is_fit = match outer.name() {
            "time_bucket" => hierarchy::divides(inner, outer),
            "date_trunc" => {
                self.is_utc && outer.args.len() == 2 && truncates(inner, &outer.args[0])
            }
            _ => false,
        };
        if at != time || inner.name() != "time_bucket" || !is_fit {
            return None;
        }
        let mut args = outer.args.clone();
        args[1] = key_column(&self.definition.shape.table, slot);
        let func = outer.func.clone();
        Some(Expr::ScalarFunction(ScalarFunction { func, args }))
    }

    /// The times that a condition on the time alone leaves, both ends included.
    fn times(&self, filter: &Expr) -> Result<Option<(i64, i64)>> {
        let whole = (i64::MIN, i64::MAX);
        Ok(match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (op, bound) = if self.is_time(left) {
                    (Some(*op), self.instant(right)?)
                } else if self.is_time(right) {
                    (op.swap(), self.instant(left)?)
                } else {
                    return Ok(None);
                };
                bound.and_then(|at| match op? {
                    Operator::GtEq => Some((at, whole.1)),
                    Operator::Gt => Some((at.checked_add(1)?, whole.1)),
                    Operator::LtEq => Some((whole.0, at)),
                    Operator::Lt => Some((whole.0, at.checked_sub(1)?)),
                    Operator::Eq => Some((at, at)),
                    _ => None,
                })
            }
            Expr::Between(Between {
                expr,
                negated: false,
                low,
                high,
            }) if self.is_time(expr) => self.instant(low)?.zip(self.instant(high)?),
            _ => None,
        })
    }

    fn is_time(&self, expr: &Expr) -> bool {
        let slot = &self.definition.shape.keys[self.definition.slot];
        match slot {
            Expr::ScalarFunction(call) => call.args.get(1) == Some(expr),
            _ => false,
        }
    }

    /// The instant that an expression is, if it is a constant.
    fn instant(&self, expr: &Expr) -> Result<Option<i64>> {
        if !expr.column_refs().is_empty() || has_subquery(expr) {
            return Ok(None);
        }
        let context = SimplifyContext::builder().with_config_options(Arc::new(self.config.clone()));
        let simple = ExprSimplifier::new(context.build()).simplify(expr.clone())?;
        Ok(match simple {
            Expr::Literal(ScalarValue::TimestampMicrosecond(at, _), _) => at,
            Expr::Literal(value, _) => {
                let ty = arrow::datatypes::DataType::Timestamp(TimeUnit::Microsecond, None);
                match value.data_type() {
                    arrow::datatypes::DataType::Timestamp(_, None) => match value.cast_to(&ty)? {
                        ScalarValue::TimestampMicrosecond(at, _) => at,
                        _ => None,
                    },
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// An aggregate as the merged states of one that is kept.
    fn call(&self, n: usize, expr: &Expr) -> Result<Option<Expr>> {
        let shape = &self.definition.shape;
        let asked = unqualified(&expr.clone().unalias())?;
        let position = |asked: &Expr| shape.aggregates.iter().position(|kept| kept == asked);
        let (kept, filter) = match position(&asked) {
            Some(kept) => (kept, None),
            None => {
                let Expr::AggregateFunction(mut call) = asked else {
                    return Ok(None);
                };
                let Some(filter) = call.params.filter.take() else {
                    return Ok(None);
                };
                let filter = self.keys(&filter)?;
                let kept = position(&Expr::AggregateFunction(call));
                match kept.zip(filter) {
                    Some((kept, filter)) => (kept, Some(filter)),
                    None => return Ok(None),
                }
            }
        };
        let function = &self.definition.aggregates[kept];
        let name = format!("merge {}.{kept}", shape.table);
        let merge = Merge::new(name, function.function.clone(), filter.is_some());
        let states = function.states.iter();
        let states =
            states.map(|field| Expr::Column(Column::new(Some(&*shape.table), field.name())));
        let call = AggregateUDF::from(merge).call(states.collect());
        let call = match filter {
            Some(filter) => call.filter(filter).build()?,
            None => call,
        };
        Ok(Some(call.alias(format!("answer{n}"))))
    }
}

/// Whether an expression is another one for each row.
pub(super) fn varies(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Volatile,
        Expr::GroupingSet(_) => true,
        _ => false,
    }
}

/// Whether an expression asks a query of its own.
pub(super) fn has_subquery(expr: &Expr) -> bool {
    let is_one = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    };
    expr.exists(is_one).unwrap_or(true)
}

/// Whether what `date_trunc` cuts to is whole buckets of UTC.
fn truncates(bucket: &ScalarFunction, unit: &Expr) -> bool {
    let [
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(width)), _),
        _,
    ] = &bucket.args[..]
    else {
        return false;
    };
    let Ok(Width::Fixed(width)) = Width::of(*width) else {
        return false;
    };
    let unit = unit
        .as_literal()
        .and_then(|unit| unit.try_as_str())
        .flatten();
    match unit.map(str::to_ascii_lowercase).as_deref() {
        Some("hour") => HOUR_US % width == 0,
        Some("day" | "week" | "month" | "quarter" | "year") => DAY_US % width == 0,
        _ => false,
    }
}
