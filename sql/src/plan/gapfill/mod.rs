//! `time_bucket_gapfill`: groupings by time in which no bucket is missing.
//!
//! ```text
//! Projection: bucket, locf(min(v)) + …      Projection: bucket, fill + …
//!   Window …                                  Window …
//!     Filter (HAVING)                  →        GapFill: time, keys, from, to
//!       Aggregate: by time_bucket_gapfill         Projection: all columns, min(v)
//!                                                   Filter (HAVING)
//!                                                     Aggregate: by time_bucket
//! ```
//!
//! A made row has its group's keys and NULL in place of what is aggregated; the select list is
//! computed of it as of any other, so that `coalesce(count(*), 0)` works. What `locf` and
//! `interpolate` fill is a column of its own. The rule runs when types are settled.
//! Meaning and words are TimescaleDB's, 2.x `tsl/src/nodes/gapfill`.

mod exec;
mod fill;
mod group;
mod line;
mod markers;
mod node;
mod range;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, EmptyRelation, Expr, ExprSchemable, Extension, Filter,
    LogicalPlan, Projection, ScalarUDF, Window,
};
use datafusion::optimizer::AnalyzerRule;

use crate::error::{SqlError, SqlState};
use crate::functions::TimeBucket;
use crate::functions::gapfill::GAPFILL;
use crate::types::FormatSettings;
use markers::Markers;
pub(super) use node::GapFill;
use node::Range;
use range::{Call, Constants};

pub(super) use exec::planned;

/// The rule, with the session's settings.
#[derive(Debug)]
pub(crate) struct GapFills(pub(crate) FormatSettings);

impl AnalyzerRule for GapFills {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        if !has_call(&plan)? {
            return Ok(plan);
        }
        let constants = Constants {
            settings: &self.0,
            config,
        };
        let mut changed = false;
        let plan = plan.transform_up_with_subqueries(|plan| {
            if is_top(&plan) && grouping(&plan).is_some() {
                changed = true;
                return Ok(Transformed::yes(filled(plan, &constants)?));
            }
            match changed {
                // What is above may be NULL now.
                true => Ok(Transformed::yes(plan.recompute_schema()?)),
                false => Ok(Transformed::no(plan)),
            }
        });
        plan.data()
    }

    fn name(&self) -> &str {
        "gap_fills"
    }
}

/// Whether some grouping is by a call.
fn has_call(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        found |= matches!(plan, LogicalPlan::Aggregate(aggregate) if calls(aggregate) > 0);
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

/// How often a grouping calls the function in what it groups by.
fn calls(aggregate: &Aggregate) -> usize {
    let mut count = 0;
    for expr in groups(aggregate) {
        // It cannot fail.
        let _ = expr.apply(|expr| {
            let is_call = matches!(expr, Expr::ScalarFunction(f) if f.name() == GAPFILL);
            count += usize::from(is_call);
            Ok(TreeNodeRecursion::Continue)
        });
    }
    count
}

/// What a grouping is by, each once: so they are its columns.
fn groups(aggregate: &Aggregate) -> Vec<&Expr> {
    let mut groups: Vec<&Expr> = Vec::with_capacity(aggregate.group_expr.len());
    for expr in &aggregate.group_expr {
        if !groups.contains(&expr) {
            groups.push(expr);
        }
    }
    groups
}

fn is_call(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::ScalarFunction(function) if function.name() == GAPFILL => Some(function),
        Expr::Alias(alias) => is_call(&alias.expr),
        _ => None,
    }
}

/// Whether a node computes the select list of a query.
fn is_top(plan: &LogicalPlan) -> bool {
    matches!(
        plan,
        LogicalPlan::Projection(_) | LogicalPlan::Distinct(Distinct::On(_))
    )
}

/// The grouping by a call that a select list is computed of.
fn grouping(top: &LogicalPlan) -> Option<&Aggregate> {
    let mut plan = *top.inputs().first()?;
    loop {
        plan = match plan {
            LogicalPlan::Window(window) => &window.input,
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::Aggregate(aggregate) if calls(aggregate) > 0 => return Some(aggregate),
            _ => return None,
        };
    }
}

fn filled(top: LogicalPlan, constants: &Constants<'_>) -> Result<LogicalPlan> {
    let Some(aggregate) = grouping(&top) else {
        return internal_err!("there is nothing to fill");
    };
    if calls(aggregate) > 1 {
        return Err(refuse("multiple time_bucket_gapfill calls not allowed"));
    }
    let groups = groups(aggregate);
    let by_call = groups.iter().position(|expr| is_call(expr).is_some());
    let Some((time, call)) = by_call.and_then(|at| Some((at, is_call(groups[at])?))) else {
        return Err(fault(
            SqlState::INVALID_PARAMETER_VALUE,
            "no top level time_bucket_gapfill in group by clause",
        ));
    };
    let call = Call::of(call, &aggregate.input, constants)?;
    let gaps = Gaps {
        time,
        keys: (0..groups.len()).filter(|&at| at != time).collect(),
        range: call.range(&aggregate.input, constants)?,
        markers: Markers::of(&top, aggregate, constants)?,
        call,
    };
    let [input] = top.inputs()[..] else {
        return internal_err!("a select list has one input");
    };
    let input = gaps.below(input)?;
    gaps.above(top, input)
}

/// What is put into a plan.
struct Gaps {
    time: usize,
    keys: Vec<usize>,
    range: Range,
    markers: Markers,
    call: Call,
}

impl Gaps {
    /// The plan between the select list and the grouping, filled.
    fn below(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::Window(window) => {
                let input = self.below(&window.input)?;
                self.above(LogicalPlan::Window(window.clone()), input)
            }
            LogicalPlan::Filter(filter) => {
                let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref() else {
                    return internal_err!("a condition between a grouping and its select list");
                };
                let grouped = LogicalPlan::Aggregate(self.grouped(aggregate)?);
                let filter = Filter::try_new(filter.predicate.clone(), Arc::new(grouped))?;
                self.gap_fill(LogicalPlan::Filter(filter))
            }
            LogicalPlan::Aggregate(aggregate) => {
                self.gap_fill(LogicalPlan::Aggregate(self.grouped(aggregate)?))
            }
            _ => internal_err!("a grouping is not where it was"),
        }
    }

    /// The grouping by `time_bucket`, whose columns have the names that they had.
    fn grouped(&self, aggregate: &Aggregate) -> Result<Aggregate> {
        let mut groups: Vec<Expr> = groups(aggregate).into_iter().cloned().collect();
        let (_, field) = aggregate.schema.qualified_field(self.time);
        let mut args = vec![self.call.width.clone(), self.call.time.clone()];
        args.extend(self.call.zone.clone());
        let bucket = ScalarUDF::from(TimeBucket::new()).call(args);
        groups[self.time] = bucket.alias(field.name());
        Aggregate::try_new(aggregate.input.clone(), groups, aggregate.aggr_expr.clone())
    }

    fn gap_fill(&self, input: LogicalPlan) -> Result<LogicalPlan> {
        let columns = input.schema().columns();
        let width = columns.len();
        let mut items: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
        items.extend(self.markers.values());
        let lookups = self.markers.lookups();
        let apart = self.keys.is_empty() && !lookups.is_empty();
        let mut inputs = Vec::new();
        if apart {
            // It is asked for even where there is no row.
            let one = LogicalPlan::EmptyRelation(EmptyRelation {
                produce_one_row: true,
                schema: Arc::new(DFSchema::empty()),
            });
            inputs.push(project(lookups, one)?);
        } else {
            items.extend(lookups);
        }
        inputs.insert(0, project(items, input)?);
        let node = GapFill::new(
            inputs,
            width,
            self.time,
            self.keys.clone(),
            self.range.clone(),
            self.markers.fills(),
        )?;
        Ok(LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        }))
    }

    /// A node above, which takes filled columns for what they are filled by.
    fn above(&self, plan: LogicalPlan, input: LogicalPlan) -> Result<LogicalPlan> {
        let names = NamePreserver::new(&plan);
        let put = |expr: Expr| {
            let name = names.save(&expr);
            let expr = expr.transform_down(|expr| Ok(self.markers.column(expr)))?;
            Ok(expr.update_data(|expr| name.restore(expr)).data)
        };
        let all = |exprs: Vec<Expr>| exprs.into_iter().map(put).collect::<Result<Vec<_>>>();
        match plan {
            LogicalPlan::Projection(projection) => project(all(projection.expr)?, input),
            LogicalPlan::Window(window) => {
                let window = Window::try_new(all(window.window_expr)?, Arc::new(input))?;
                Ok(LogicalPlan::Window(window))
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                let mut sort = distinct.sort_expr;
                for sort in sort.iter_mut().flatten() {
                    *sort = sort.with_expr(put(sort.expr.clone())?);
                }
                let (on, items) = (all(distinct.on_expr)?, all(distinct.select_expr)?);
                let distinct = DistinctOn::try_new(on, items, sort, Arc::new(input))?;
                Ok(LogicalPlan::Distinct(Distinct::On(distinct)))
            }
            _ => internal_err!("a select list is not where it was"),
        }
    }
}

fn project(items: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan> {
    let projection = Projection::try_new(items, Arc::new(input))?;
    Ok(LogicalPlan::Projection(projection))
}

fn type_of(expr: &Expr, schema: &DFSchema) -> Result<DataType> {
    expr.get_type(schema)
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

fn fault(state: SqlState, message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(SqlError::new(state, message)))
}

fn refuse(message: impl Into<String>) -> DataFusionError {
    fault(SqlState::FEATURE_NOT_SUPPORTED, message)
}
