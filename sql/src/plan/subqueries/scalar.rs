//! Subqueries that are one value.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::functions_aggregate::expr_fn::first_value;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{
    Expr, FetchType, LogicalPlan, LogicalPlanBuilder, SkipType, Subquery,
};

use super::{aggregate_of, is_correlated};
use crate::functions::{only_value, up_to_two};

/// A scalar subquery that has one row for every row outside, and is NULL where it has none.
pub(super) fn scalar(subquery: Subquery) -> Result<Transformed<Expr>> {
    let plan = subquery.subquery.as_ref();
    let is_nullable = plan.schema().field(0).is_nullable();
    let is_done = match aggregation(plan) {
        Aggregation::OneRow => true,
        Aggregation::Groups => is_nullable,
        Aggregation::None => is_nullable && !is_correlated(&subquery),
    };
    if is_done {
        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
    }
    if is_correlated(&subquery)
        && let Some((input, value, order)) = first_of(plan)?
    {
        let plan = aggregated(input, first_value(value, order))?;
        return Ok(Transformed::yes(Expr::ScalarSubquery(like(
            &subquery, plan,
        ))));
    }
    let list = aggregate_of(&subquery, up_to_two(first_column(plan)))?;
    Ok(Transformed::yes(only_value(list)))
}

enum Aggregation {
    None,
    /// Exactly one row, always.
    OneRow,
    Groups,
}

fn aggregation(mut plan: &LogicalPlan) -> Aggregation {
    let mut is_filtered = false;
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Filter(filter) => {
                is_filtered = true;
                &filter.input
            }
            LogicalPlan::Aggregate(aggregate) => {
                return match aggregate.group_expr.is_empty() && !is_filtered {
                    true => Aggregation::OneRow,
                    false => Aggregation::Groups,
                };
            }
            _ => return Aggregation::None,
        };
    }
}

/// `SELECT value FROM input ORDER BY order LIMIT 1`, taken apart.
fn first_of(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, Expr, Vec<Sort>)>> {
    let LogicalPlan::Limit(limit) = plan else {
        return Ok(None);
    };
    let is_one = matches!(limit.get_skip_type()?, SkipType::Literal(0))
        && matches!(limit.get_fetch_type()?, FetchType::Literal(Some(1)));
    if !is_one {
        return Ok(None);
    }
    let input = limit.input.as_ref();
    if let LogicalPlan::Sort(sort) = input {
        let value = first_column(&sort.input);
        return Ok(Some((
            sort.input.as_ref().clone(),
            value,
            sort.expr.clone(),
        )));
    }
    if let LogicalPlan::Projection(projection) = input
        && let LogicalPlan::Sort(sort) = projection.input.as_ref()
        && let [value] = &projection.expr[..]
    {
        let (input, value) = (sort.input.as_ref().clone(), value.clone().unalias());
        return Ok(Some((input, value, sort.expr.clone())));
    }
    Ok(Some((input.clone(), first_column(input), Vec::new())))
}

/// A plan of one aggregate over all rows.
pub(super) fn aggregated(input: LogicalPlan, aggregate: Expr) -> Result<LogicalPlan> {
    let name = aggregate.schema_name().to_string();
    LogicalPlanBuilder::from(input)
        .aggregate(Vec::<Expr>::new(), vec![aggregate])?
        .project(vec![Expr::Column(Column::from_name(name)).alias("value")])?
        .build()
}

pub(super) fn like(subquery: &Subquery, plan: LogicalPlan) -> Subquery {
    Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: Arc::new(plan),
        spans: subquery.spans.clone(),
    }
}

pub(super) fn first_column(plan: &LogicalPlan) -> Expr {
    Expr::Column(Column::from(plan.schema().qualified_field(0)))
}
