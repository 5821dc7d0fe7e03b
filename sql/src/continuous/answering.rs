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
//! Where it joins reference tables, what the join looks at has to be told by keys too; partials are
//! joined in the place of rows, as those of a definition with joins are.
//!
//! The answer is the same, at the same state. Sums of floats may differ in their last digits, as they
//! do from one run to the next.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility};
use slicedb_storage::table::{DAY_US, HOUR_US};
use slicedb_storage::{State, TableId};

use super::Definition;
use super::above::Above;
use super::below::unqualified;
use super::hierarchy;
use super::keys::{key_column, key_name};
use super::parts::{Parts, parts_of_query};
use super::relation::Partials;
use super::states::{States, Told};
use super::within::Within;
use crate::catalog::AggregateEntry;
use crate::functions::Width;
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

/// The grouping of a query over one time-series table, which may be joined with reference tables.
struct Asked<'a> {
    parts: Parts<'a>,
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
        let parts = match &node {
            LogicalPlan::Aggregate(_) => parts_of_query(&node).ok(),
            _ => None,
        };
        let Some(parts) = parts else {
            return Ok(Transformed::no(node));
        };
        let asked = Asked { parts, parameters };
        let mut candidates = candidates(asked.parts.source.entry.def.id)?;
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
        let Parts {
            grouping,
            source,
            references,
        } = &self.parts;
        source.filters.is_empty()
            && references.is_empty()
            && grouping.group_expr.is_empty()
            && grouping.aggr_expr.iter().all(is_told)
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
    let Parts {
        grouping, source, ..
    } = &asked.parts;
    let filters = source.filters.iter().map(|filter| unqualified(filter));
    let mut filters = filters.collect::<Result<Vec<_>>>()?;
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
    let time = source.entry.def.time_column().unwrap_or_default();
    let mut above = Above::new(&shape.table, &asked.parts, time);
    let mut groups = grouping.group_expr.iter();
    if groups.any(|expr| above.group_by(expr).is_err()) {
        return Ok(None);
    }
    let mut aggregates = Vec::with_capacity(grouping.aggr_expr.len());
    for expr in &grouping.aggr_expr {
        let Some(told) = onto.call(&mut above, expr)? else {
            return Ok(None);
        };
        aggregates.push(told);
    }
    if above.join().is_err() {
        return Ok(None);
    }
    let keys = above.keys.exprs.iter();
    let keys = keys.map(|key| onto.keys(&unqualified(key)?));
    let Some(keys) = keys.collect::<Result<Option<Vec<Expr>>>>()? else {
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
    let table = shape.table.as_str();
    let keys = keys.into_iter().enumerate();
    let keys = keys.map(|(n, key)| key.alias_qualified(Some(table), key_name(n)));
    let kept = plan.schema().columns().into_iter();
    let states = kept.skip(shape.keys.len()).map(Expr::Column);
    let outputs: Vec<Expr> = keys.chain(states).collect();
    let partials = plan.project(outputs)?.build()?;
    // An aggregate is a help: without it the rows answer.
    Ok(above.grouped(&partials, aggregates).ok())
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

    /// The kept states that an aggregate merges; which of the joined rows count is told `above`.
    fn call(&self, above: &mut Above<'_>, expr: &Expr) -> Result<Option<Told>> {
        let Expr::AggregateFunction(mut call) = expr.clone().unalias() else {
            return Ok(None);
        };
        let source = &above.parts.source;
        let has_others = !call.params.args.iter().all(|arg| source.covers(arg));
        if has_others || !call.params.order_by.is_empty() {
            return Ok(None);
        }
        let Ok(condition) = above.count_if(call.params.filter.as_deref()) else {
            return Ok(None);
        };
        call.params.filter = condition.clone().map(Box::new);
        let told = self.told(&call)?;
        let Some(condition) = condition.filter(|_| told.is_none()) else {
            return Ok(told);
        };
        above.only_if(condition);
        call.params.filter = None;
        self.told(&call)
    }

    fn told(&self, call: &AggregateFunction) -> Result<Option<Told>> {
        match unqualified(&Expr::AggregateFunction(call.clone()))? {
            Expr::AggregateFunction(call) => self.states.told(&call),
            _ => Ok(None),
        }
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
