//! Aggregates over aggregates, said as aggregates over rows.
//!
//! What an aggregate of a day computes from those of its hours it could as well compute from the
//! rows, if it is a sum of sums or counts, a least of least values and the like. Its query is turned
//! into that before it is compiled, so that an aggregate over an aggregate keeps partials of its own
//! and is as exact as any. What cannot be said over rows, such as an average of averages, is refused.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::logical_plan::{Filter, Join};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder,
};

use super::definition::plain;
use super::parts::refuse;
use crate::error::{Result, SqlError};
use crate::functions::Width;

const DAY_US: i64 = 86_400_000_000;

/// Aggregates of which the same aggregate over all rows answers the same.
const IDEMPOTENT: &[&str] = &["min", "max", "bool_and", "bool_or", "bit_and", "bit_or"];

/// The query over rows that an analyzed query over aggregates means; any other query as it is.
///
/// # Errors
/// 0A000 with the reason when it cannot be said over rows.
pub(crate) fn over_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut failed = None;
    let mut done = false;
    let flat = plan.transform_down(|node| match &node {
        LogicalPlan::Aggregate(outer) if !done => {
            done = true;
            if !has_grouping(&outer.input) {
                return Ok(Transformed::no(node));
            }
            match flattened(outer).and_then(|flat| flat.under_names_of(outer)) {
                Ok(plan) => Ok(Transformed::yes(plan)),
                Err(e) => {
                    failed = Some(e);
                    Ok(Transformed::no(node))
                }
            }
        }
        _ => Ok(Transformed::no(node)),
    });
    match failed {
        Some(e) => Err(e),
        None => flat.data().map_err(plain),
    }
}

fn has_grouping(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(_)) || plan.inputs().into_iter().any(has_grouping)
}

/// A plan without the groupings in it.
struct Lowered {
    plan: LogicalPlan,
    /// What its columns are over the plan. Those that were aggregates are calls of them.
    outputs: Vec<Expr>,
}

impl Lowered {
    /// An expression over the columns of `schema` as one over the plan.
    fn put_into(&self, expr: &Expr, schema: &DFSchema) -> Result<Expr> {
        let put = expr.clone().transform_up(|expr| {
            let at = match &expr {
                Expr::Column(column) => schema.maybe_index_of_column(column),
                _ => None,
            };
            Ok(match at {
                Some(at) => Transformed::yes(self.outputs[at].clone()),
                None => Transformed::no(expr),
            })
        });
        put.data().map_err(plain)
    }
}

fn lowered(plan: &LogicalPlan) -> Result<Lowered> {
    if !has_grouping(plan) {
        let columns = plan.schema().columns().into_iter();
        return Ok(Lowered {
            plan: plan.clone(),
            outputs: columns.map(Expr::Column).collect(),
        });
    }
    match plan {
        LogicalPlan::Aggregate(inner) => {
            let flat = flattened(inner)?;
            let aggregates = flat.answers.into_iter();
            let aggregates = aggregates.map(|answer| answer.of(&flat.aggregates));
            Ok(Lowered {
                outputs: flat.groups.iter().cloned().chain(aggregates).collect(),
                plan: flat.input,
            })
        }
        LogicalPlan::Projection(projection) => {
            let below = lowered(&projection.input)?;
            let schema = projection.input.schema();
            let outputs = projection.expr.iter();
            let outputs = outputs.map(|e| Ok(below.put_into(e, schema)?.unalias_nested().data));
            Ok(Lowered {
                outputs: outputs.collect::<Result<_>>()?,
                plan: below.plan,
            })
        }
        LogicalPlan::SubqueryAlias(alias) => lowered(&alias.input),
        LogicalPlan::Filter(filter) => {
            let below = lowered(&filter.input)?;
            let predicate = below.put_into(&filter.predicate, filter.input.schema())?;
            if has_call(&predicate) {
                return Err(refuse("a continuous aggregate cannot choose among the groups of another one by their values")
                    .with_hint("Choose by the columns that it is grouped by."));
            }
            let chosen = Filter::try_new(predicate, Arc::new(below.plan)).map_err(plain)?;
            Ok(Lowered {
                plan: LogicalPlan::Filter(chosen),
                outputs: below.outputs,
            })
        }
        LogicalPlan::Join(join) => joined(join),
        _ => Err(SqlError::unsupported(
            "a query of this form over a continuous aggregate",
        )),
    }
}

fn joined(join: &Join) -> Result<Lowered> {
    if !matches!(
        join.join_type,
        JoinType::Inner | JoinType::Left | JoinType::Right
    ) {
        return Err(SqlError::unsupported(
            "a join of this kind over a continuous aggregate",
        ));
    }
    let (left, right) = (lowered(&join.left)?, lowered(&join.right)?);
    let both = Lowered {
        outputs: left.outputs.iter().chain(&right.outputs).cloned().collect(),
        plan: left.plan.clone(),
    };
    let filter = join.filter.as_ref();
    let filter = filter
        .map(|filter| both.put_into(filter, &join.schema))
        .transpose()?;
    let on = join.on.iter().map(|(own, other)| {
        let own = left.put_into(own, join.left.schema())?;
        Ok((own, right.put_into(other, join.right.schema())?))
    });
    let on = on.collect::<Result<Vec<_>>>()?;
    let conditions = on.iter().flat_map(|(own, other)| [own, other]);
    if conditions.chain(&filter).any(has_call) {
        return Err(
            refuse("a continuous aggregate cannot be joined by the values of another one")
                .with_hint("Join by the columns that it is grouped by."),
        );
    }
    let names = left.plan.schema().columns();
    if let Some(twice) = names
        .iter()
        .find(|name| right.plan.schema().has_column(name))
    {
        let table = twice
            .relation
            .as_ref()
            .map_or("", |relation| relation.table());
        return Err(refuse(format!("table name \"{table}\" specified more than once"))
            .with_hint("The aggregate that this one reads from joins a table of this name too: give it an alias."));
    }
    let joined = Join::try_new(
        Arc::new(left.plan),
        Arc::new(right.plan),
        on,
        filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    );
    Ok(Lowered {
        plan: LogicalPlan::Join(joined.map_err(plain)?),
        outputs: both.outputs,
    })
}

/// A grouping over rows.
struct Flat {
    input: LogicalPlan,
    groups: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// What the original's aggregates are, of these.
    answers: Vec<Answer>,
}

/// One of the aggregates, as the type of the original.
struct Answer {
    which: usize,
    cast: Option<DataType>,
}

impl Answer {
    fn of(self, aggregates: &[Expr]) -> Expr {
        self.over(aggregates[self.which].clone())
    }

    fn over(&self, value: Expr) -> Expr {
        match &self.cast {
            Some(ty) => Expr::Cast(Cast::new(Box::new(value), ty.clone())),
            None => value,
        }
    }
}

impl Flat {
    /// The grouping with the columns of the original.
    fn under_names_of(self, outer: &Aggregate) -> Result<LogicalPlan> {
        let count = self.groups.len();
        let builder = LogicalPlanBuilder::from(self.input);
        let grouped = builder
            .aggregate(self.groups, self.aggregates)
            .map_err(plain)?;
        let grouped = grouped.build().map_err(plain)?;
        let column = |at: usize| {
            let (qualifier, field) = grouped.schema().qualified_field(at);
            Expr::Column(Column::from((qualifier, field)))
        };
        let groups = (0..count).map(column);
        let answers = self.answers.iter();
        let answers = answers.map(|answer| answer.over(column(count + answer.which)));
        let outputs = groups.chain(answers).zip(outer.schema.iter());
        let outputs = outputs.map(|(value, (qualifier, field))| {
            value.alias_qualified(qualifier.cloned(), field.name())
        });
        let outputs: Vec<Expr> = outputs.collect();
        let named = LogicalPlanBuilder::from(grouped).project(outputs);
        named.and_then(LogicalPlanBuilder::build).map_err(plain)
    }
}

fn flattened(outer: &Aggregate) -> Result<Flat> {
    let below = lowered(&outer.input)?;
    let schema = outer.input.schema();
    let groups = outer.group_expr.iter().map(|expr| {
        let group = below.put_into(&expr.clone().unalias(), schema)?;
        if has_call(&group) {
            return Err(refuse(
                "a continuous aggregate cannot be grouped by the values of another one",
            ));
        }
        within_buckets(group)
    });
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let mut aggregates: Vec<Expr> = Vec::new();
    let mut answers = Vec::new();
    for (n, expr) in outer.aggr_expr.iter().enumerate() {
        let Expr::AggregateFunction(call) = expr.clone().unalias() else {
            return Err(SqlError::internal("an aggregate is no call of a function"));
        };
        let is_over_groups = has_grouping(&outer.input);
        let inner = match is_over_groups {
            true => of_rows(call, &below, schema)?,
            false => call,
        };
        let inner = Expr::AggregateFunction(inner);
        let which = aggregates.iter().position(|known| *known == inner);
        let which = which.unwrap_or_else(|| {
            aggregates.push(inner.clone());
            aggregates.len() - 1
        });
        let wanted = outer.schema.field(outer.group_expr.len() + n).data_type();
        let own = inner.get_type(below.plan.schema()).map_err(plain)?;
        let cast = (own != *wanted).then(|| wanted.clone());
        answers.push(Answer { which, cast });
    }
    Ok(Flat {
        input: below.plan,
        groups,
        aggregates,
        answers,
    })
}

/// The aggregate over rows that one over groups is.
fn of_rows(
    mut call: AggregateFunction,
    below: &Lowered,
    schema: &DFSchema,
) -> Result<AggregateFunction> {
    let name = call.func.name().to_owned();
    let args = call.params.args.iter();
    let args = args.map(|arg| below.put_into(arg, schema));
    let args = args.collect::<Result<Vec<_>>>()?;
    let filter = call.params.filter.as_deref();
    let filter = filter
        .map(|filter| below.put_into(filter, schema))
        .transpose()?;
    if filter.as_ref().is_some_and(has_call) {
        return Err(refuse(
            "FILTER by the values of another continuous aggregate is not supported",
        ));
    }
    if !args.iter().any(has_call) {
        // Over columns that are grouped by, what does not count gives the same over rows.
        let is_fit = call.params.distinct || IDEMPOTENT.contains(&name.as_str());
        if !is_fit || args.is_empty() {
            return Err(not_over_rows(&name, None));
        }
        call.params.args = args;
        call.params.filter = filter.map(Box::new);
        return Ok(call);
    }
    let [arg] = args.as_slice() else {
        return Err(not_over_rows(&name, None));
    };
    let mut value = arg;
    while let Expr::Cast(cast) = value {
        value = &cast.expr;
    }
    let Expr::AggregateFunction(inner) = value else {
        return Err(not_over_rows(&name, None));
    };
    let inner_name = inner.func.name();
    let is_same = IDEMPOTENT.contains(&name.as_str()) && name == inner_name;
    let is_sum = name == "sum" && matches!(inner_name, "sum" | "count") && !call.params.distinct;
    let is_rollup = name == "rollup";
    // Where no group is counted a sum is null, and a count is 0.
    let is_null = filter.is_some() && inner_name == "count";
    if !(is_same || is_sum || is_rollup) || is_null {
        return Err(not_over_rows(&name, Some(inner_name)));
    }
    let mut inner = inner.clone();
    let own = inner.params.filter.take().map(|filter| *filter);
    inner.params.filter = conjunction(own.into_iter().chain(filter)).map(Box::new);
    Ok(inner)
}

fn not_over_rows(name: &str, inner: Option<&str>) -> SqlError {
    let of = inner
        .map(|inner| format!(" of {inner}"))
        .unwrap_or_default();
    refuse(format!("{name}{of} over the groups of a continuous aggregate cannot be maintained"))
        .with_hint("sum of sums and counts, min of min, max of max, bool_and, bool_or and rollup can; or aggregate the table itself.")
}

fn has_call(expr: &Expr) -> bool {
    let is_call = |expr: &Expr| Ok(matches!(expr, Expr::AggregateFunction(_)));
    expr.exists(is_call).unwrap_or(true)
}

/// Buckets of buckets: the wider have to be whole numbers of the others.
fn within_buckets(expr: Expr) -> Result<Expr> {
    let mut failed = None;
    let merged = expr.transform_up(|expr| {
        let Expr::ScalarFunction(outer) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let inner = match (outer.name(), outer.args.get(1)) {
            ("time_bucket", Some(Expr::ScalarFunction(inner))) if inner.name() == "time_bucket" => {
                inner
            }
            _ => return Ok(Transformed::no(expr)),
        };
        if !divides(inner, outer) {
            failed = Some(incompatible());
            return Ok(Transformed::no(expr));
        }
        if outer.args.len() == 2 && inner.args.len() == 2 {
            let args = vec![outer.args[0].clone(), inner.args[1].clone()];
            let func = outer.func.clone();
            let direct = Expr::ScalarFunction(ScalarFunction { func, args });
            return Ok(Transformed::yes(direct));
        }
        Ok(Transformed::no(expr))
    });
    match failed {
        Some(e) => Err(e),
        None => merged.data().map_err(plain),
    }
}

/// Whether each bucket of `outer` is a whole number of those of `inner`.
pub(super) fn divides(inner: &ScalarFunction, outer: &ScalarFunction) -> bool {
    let width = |call: &ScalarFunction| match call.args.first() {
        Some(Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(width)), _)) => {
            Width::of(*width).ok()
        }
        _ => None,
    };
    // The same zone, origin and offset, or neither has any.
    if inner.args.get(2..) != outer.args.get(2..) {
        return false;
    }
    match (width(inner), width(outer)) {
        (Some(Width::Fixed(inner)), Some(Width::Fixed(outer))) => outer % inner == 0,
        (Some(Width::Fixed(inner)), Some(Width::Months(_))) => DAY_US % inner == 0,
        (Some(Width::Months(inner)), Some(Width::Months(outer))) => outer % inner == 0,
        _ => false,
    }
}

fn incompatible() -> SqlError {
    refuse("cannot create continuous aggregate with incompatible bucket width")
        .with_detail("Its buckets have to be whole numbers of those of the aggregate that it reads from, in the same zone and with the same origin.")
}
