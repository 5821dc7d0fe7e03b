//! Aggregates over aggregates, said as aggregates over rows.
//!
//! What an aggregate of a day computes from those of its hours it could as well compute from the
//! rows, if it is a sum of sums or counts, a least of least values and the like. Its query is turned
//! into that before it is compiled, so that an aggregate over an aggregate keeps partials of its own
//! and is as exact as any. What cannot be said over rows, such as an average of averages, is refused.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, LogicalPlan};

use super::definition::plain;
use super::flat::{Lowered, flattened, has_grouping};
use super::merge::Merge;
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

/// The aggregate over rows that one over groups is.
///
/// # Errors
/// 0A000 when it is none.
pub(super) fn of_rows(
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
        for by in &mut call.params.order_by {
            by.expr = below.put_into(&by.expr, schema)?;
            if has_call(&by.expr) {
                return Err(not_over_rows(&name, None));
            }
        }
        call.params.args = args;
        call.params.filter = filter.map(Box::new);
        return Ok(call);
    }
    let [arg] = args.as_slice() else {
        return Err(not_over_rows(&name, None));
    };
    let rows = below.plan.schema();
    let mut value = arg;
    while let Expr::Cast(cast) = value {
        let from = cast.expr.get_type(rows).map_err(plain)?;
        if !keeps_values(&from, cast.field.data_type()) {
            return Err(not_over_rows(&name, None));
        }
        value = &cast.expr;
    }
    let Expr::AggregateFunction(inner) = value else {
        return Err(not_over_rows(&name, None));
    };
    let Kind {
        name: inner_name,
        is_distinct,
    } = kind(inner);
    let is_same = IDEMPOTENT.contains(&name.as_str()) && name == inner_name;
    let is_sum = name == "sum" && matches!(inner_name, "sum" | "count");
    let is_sum = is_sum && !call.params.distinct && !is_distinct;
    // Of all summaries one has answers that keep less than its states.
    let is_rollup = name == "rollup" && inner_name != "lttb";
    // Where no group is counted a sum is null, and a count is 0.
    let is_null = filter.is_some() && inner_name == "count";
    if !(is_same || is_sum || is_rollup) || is_null {
        return Err(not_over_rows(&name, Some(inner_name)));
    }
    let mut inner = inner.clone();
    let own = inner.params.filter.take().map(|filter| *filter);
    inner.params.filter = conjunction(own.into_iter().chain(filter)).map(Box::new);
    if let Some(merge) = inner.func.inner().downcast_ref::<Merge>() {
        let merge = merge.with_filter(inner.params.filter.is_some());
        inner.func = Arc::new(AggregateUDF::from(merge));
    }
    Ok(inner)
}

/// Which function a call is of.
struct Kind<'a> {
    name: &'a str,
    is_distinct: bool,
}

/// The function that a call, perhaps of its merged states, is of.
fn kind(call: &AggregateFunction) -> Kind<'_> {
    match call.func.inner().downcast_ref::<Merge>() {
        Some(merge) => Kind {
            name: merge.function().fun().name(),
            is_distinct: merge.function().is_distinct(),
        },
        None => Kind {
            name: call.func.name(),
            is_distinct: call.params.distinct,
        },
    }
}

/// Whether a call is a count.
pub(super) fn is_count(expr: &Expr) -> bool {
    matches!(expr, Expr::AggregateFunction(call) if kind(call).name == "count")
}

/// Whether a cast changes no number, so that it may come after what is computed of many.
fn keeps_values(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal128, Decimal256, Float32, Float64, Int16, Int32, Int64};
    // Digits before and behind the point.
    let digits = |ty: &DataType| match ty {
        Int16 => Some((5, 0)),
        Int32 => Some((10, 0)),
        Int64 => Some((19, 0)),
        Decimal128(digits, scale) | Decimal256(digits, scale) => {
            Some((i16::from(*digits) - i16::from(*scale), i16::from(*scale)))
        }
        _ => None,
    };
    match (digits(from), digits(to)) {
        (Some(from), Some(to)) => from.0 <= to.0 && from.1 <= to.1,
        _ => from == to || matches!((from, to), (Float32, Float64)),
    }
}

fn not_over_rows(name: &str, inner: Option<&str>) -> SqlError {
    let of = inner
        .map(|inner| format!(" of {inner}"))
        .unwrap_or_default();
    refuse(format!("{name}{of} over the groups of a continuous aggregate cannot be maintained"))
        .with_hint("sum of sums and counts, min of min, max of max, bool_and, bool_or and rollup can; or aggregate the table itself.")
}

/// Whether an expression is made of aggregates.
pub(super) fn has_call(expr: &Expr) -> bool {
    let is_call = |expr: &Expr| Ok(matches!(expr, Expr::AggregateFunction(_)));
    expr.exists(is_call).unwrap_or(true)
}

/// Buckets of buckets: the wider have to be whole numbers of the others.
///
/// # Errors
/// 0A000 where they are not.
pub(super) fn within_buckets(expr: Expr) -> Result<Expr> {
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
    // Months begin at midnight, whatever the origin is.
    let is_moved = |arg: &Expr| match arg {
        Expr::Literal(value, _) => !value.is_null() && !value.data_type().is_string(),
        _ => true,
    };
    let mut others = inner.args.iter().skip(2);
    match (width(inner), width(outer)) {
        (Some(Width::Fixed(inner)), Some(Width::Fixed(outer))) => outer % inner == 0,
        (Some(Width::Fixed(inner)), Some(Width::Months(_))) => {
            DAY_US % inner == 0 && !others.any(is_moved)
        }
        (Some(Width::Months(inner)), Some(Width::Months(outer))) => outer % inner == 0,
        _ => false,
    }
}

fn incompatible() -> SqlError {
    refuse("cannot create continuous aggregate with incompatible bucket width")
        .with_detail("Its buckets have to be whole numbers of those of the aggregate that it reads from, in the same zone and with the same origin.")
}
