//! Queries over a table that one of its aggregates can answer.
//!
//! A grouping over a time-series table is turned into one over partials where everything it asks can
//! be told from their keys and states:
//!
//! - it groups by keys, or by what is computed from keys; also by wider buckets of the same time
//! - it chooses rows by keys, and by any range of time: rows in the buckets at the ends of the range
//!   are read themselves
//! - the definition chooses no rows that the query does not choose
//! - its aggregates are kept, or told by the states of others that are; if need be for rows that
//!   are chosen by keys
//!
//! The answer is the same, at the same state. Sums of floats may differ in their last digits, as they
//! do from one run to the next.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, Volatility,
};
use slicedb_storage::table::{DAY_US, HOUR_US};
use slicedb_storage::{State, TableId};

use super::Definition;
use super::above::named;
use super::below::unqualified;
use super::hierarchy;
use super::keys::key_column;
use super::merge::Merge;
use super::relation::Partials;
use super::states::States;
use super::within::Within;
use crate::catalog::AggregateEntry;
use crate::functions::Width;
use crate::plan::SliceTable;
use crate::plan::generic::Parameters;

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
    /// Those of the plan, when it is a generic one.
    parameters: Option<&'a Arc<Parameters>>,
}

/// A plan whose groupings read from aggregates where they can. It has parameters if it is a generic
/// one.
///
/// # Errors
/// Those of `candidates`, and when what is stale cannot be read.
pub(crate) fn answered(
    plan: LogicalPlan,
    config: &ConfigOptions,
    state: &Arc<State>,
    parameters: Option<&Arc<Parameters>>,
    candidates: &dyn Fn(TableId) -> Result<Vec<Candidate>>,
) -> Result<LogicalPlan> {
    let answered = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Aggregate(grouping) = &node else {
            return Ok(Transformed::no(node));
        };
        let Some(asked) = asked(grouping, parameters)? else {
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

fn asked<'a>(
    grouping: &'a Aggregate,
    parameters: Option<&'a Arc<Parameters>>,
) -> Result<Option<Asked<'a>>> {
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
                    parameters,
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
        states: States::of(definition)?,
        is_utc: candidate.entry.time_zone == "UTC",
    };
    let mut within = Within::always(config, asked.parameters.cloned());
    let mut chosen = Vec::new();
    for filter in &filters {
        if within.take(filter, &|expr| onto.is_time(expr))? {
            continue;
        }
        let Some(filter) = onto.keys(filter)? else {
            return Ok(None);
        };
        chosen.push(filter);
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
    if definition.slots.has_zone && !within.is_always() {
        return Ok(None);
    }
    let (entry, definition) = (candidate.entry.clone(), definition.clone());
    let parameters = asked.parameters.cloned();
    let partials = Partials::within(entry, definition, state.clone(), parameters, within);
    if !partials.answer()? {
        return Ok(None);
    }
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
    let outputs = outputs.collect();
    named(grouped, outputs).map(Some)
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

/// Says expressions over the source over partials.
struct Onto<'a> {
    definition: &'a Definition,
    states: States<'a>,
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

    fn is_time(&self, expr: &Expr) -> bool {
        let slot = &self.definition.shape.keys[self.definition.slot];
        match slot {
            Expr::ScalarFunction(call) => {
                matches!(expr, Expr::Column(_)) && call.args.get(1) == Some(expr)
            }
            _ => false,
        }
    }

    /// An aggregate as merged states that are kept.
    fn call(&self, n: usize, expr: &Expr) -> Result<Option<Expr>> {
        let Expr::AggregateFunction(mut call) = unqualified(&expr.clone().unalias())? else {
            return Ok(None);
        };
        let mut told = self.states.told(&call)?;
        let mut filter = None;
        if told.is_none()
            && let Some(condition) = call.params.filter.take()
        {
            filter = self.keys(&condition)?;
            if filter.is_some() {
                told = self.states.told(&call)?;
            }
        }
        let Some(told) = told else {
            return Ok(None);
        };
        let merge = Merge::new(told.name, told.function, filter.is_some());
        let call = AggregateUDF::from(merge).call(told.states);
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
