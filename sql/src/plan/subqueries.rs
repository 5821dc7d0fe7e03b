//! Subqueries within expressions, in the forms that DataFusion runs, with SQL's three values.
//!
//! DataFusion runs `IN` and `EXISTS` as joins, and only where they are conditions of a filter. As
//! such it takes NULL for false, which is right for a row that is kept or not and wrong
//! everywhere else; `> ALL` and its like it answers wrongly; a scalar subquery without a row it takes
//! for one that is never NULL; and a correlated one it refuses unless it is an aggregate. So:
//!
//! | where | is planned as |
//! |---|---|
//! | `x IN (Q)`, `EXISTS (Q)` as conditions | a join, by DataFusion |
//! | elsewhere | counts of rows: all, those that are `x`, those that are NULL |
//! | `x > ANY (Q)` and its like | the smallest or largest value of Q, and the same counts |
//! | a scalar subquery that may have no row, or more | a list of up to two rows, of which the only one is taken |
//! | a correlated one with `LIMIT 1` | `first_value` in its order |
//!
//! The rule runs after types are settled.

mod membership;
mod scalar;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{
    BinaryExpr, Exists, InSubquery, SetComparison, SetQuantifier,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, Filter, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery,
    binary_expr, lit, not,
};
use datafusion::optimizer::AnalyzerRule;

use crate::error::SqlError;
use membership::{compared, is_in, rows};
use scalar::{aggregated, first_column, like, scalar};

/// The rule.
#[derive(Debug)]
pub(crate) struct Subqueries;

impl AnalyzerRule for Subqueries {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut changed = false;
        plan.transform_up_with_subqueries(|plan| {
            let has_some = has_subquery(&plan)?;
            if !has_some && !changed {
                return Ok(Transformed::no(plan));
            }
            changed = true;
            let plan = if has_some { rewrite(plan)? } else { plan };
            // What is above may be NULL now.
            Ok(Transformed::yes(plan.recompute_schema()?))
        })
        .data()
    }

    fn name(&self) -> &str {
        "subqueries"
    }
}

fn has_subquery(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found = found || expr.exists(|expr| Ok(subquery_of(expr).is_some()))?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. })
        | Expr::ScalarSubquery(subquery) => Some(subquery),
        _ => None,
    }
}

fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(filter) => {
            let predicate = conditions(filter.predicate, filter.input.schema())?;
            Ok(LogicalPlan::Filter(Filter::try_new(
                predicate,
                filter.input,
            )?))
        }
        // What an inner join asks for may be asked of its rows.
        LogicalPlan::Join(mut join) if join.join_type == JoinType::Inner => {
            let split = join.filter.take().map(split_conjunction_owned);
            let mut kept = Vec::new();
            let mut moved = Vec::new();
            for condition in split.into_iter().flatten() {
                match condition.exists(|expr| Ok(subquery_of(expr).is_some()))? {
                    true => moved.push(condition),
                    false => kept.push(condition),
                }
            }
            join.filter = conjunction(kept);
            let plan = LogicalPlan::Join(join);
            match conjunction(moved) {
                Some(condition) => {
                    let predicate = conditions(condition, plan.schema())?;
                    Ok(LogicalPlan::Filter(Filter::try_new(
                        predicate,
                        Arc::new(plan),
                    )?))
                }
                None => Ok(plan),
            }
        }
        plan @ LogicalPlan::Projection(_) => {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| value(expr, &schema, false))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
            .data()
        }
        plan => computed_below(plan),
    }
}

/// A plan whose subqueries are computed by a projection below it: DataFusion joins correlated
/// ones to projections and filters alone.
fn computed_below(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = merge_schema(&plan.inputs());
    let columns = plan.schema().columns();
    let names = NamePreserver::new(&plan);
    // DataFusion cannot tell two orders alike that ask for a value which is not there yet.
    let is_sort = matches!(plan, LogicalPlan::Sort(_));
    let mut computed = Vec::new();
    let plan = plan
        .map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr
                .transform_up(|expr| value(expr, &schema, false))?
                .transform_data(|expr| {
                    expr.transform_up(|expr| below(expr, is_sort, &mut computed))
                })?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })
        .data()?;
    if computed.is_empty() {
        return Ok(plan);
    }
    let [input] = plan.inputs()[..] else {
        let error =
            SqlError::unsupported("a correlated subquery in the condition of an outer join");
        return Err(DataFusionError::External(Box::new(error)));
    };
    let mut items: Vec<Expr> = input
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    items.extend(computed);
    let input = LogicalPlanBuilder::from(input.clone())
        .project(items)?
        .build()?;
    let plan = plan.with_new_exprs(plan.expressions(), vec![input])?;
    if plan.schema().fields().len() == columns.len() {
        return Ok(plan);
    }
    LogicalPlanBuilder::from(plan)
        .project(columns.into_iter().map(Expr::Column))?
        .build()
}

/// A correlated subquery, or any, as a column that the projection below has.
fn below(expr: Expr, any: bool, computed: &mut Vec<Expr>) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarSubquery(subquery) if any || is_correlated(&subquery) => {
            let name = format!("subquery\u{1}{}", computed.len());
            computed.push(Expr::ScalarSubquery(subquery).alias(&name));
            Ok(Transformed::yes(Expr::Column(Column::from_name(name))))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The column under a name of its own: a cast would have the name of what is cast, which DataFusion
/// puts beside it where the subquery compares it with the query outside.
fn named(subquery: Subquery) -> Result<Subquery> {
    let plan = match subquery.subquery.as_ref() {
        LogicalPlan::Projection(projection) if projection.expr.len() == 1 => {
            let column = projection.expr[0].clone().unalias().alias("value\u{1}");
            Projection::try_new(vec![column], projection.input.clone())?
        }
        _ => return Ok(subquery),
    };
    Ok(Subquery {
        subquery: Arc::new(LogicalPlan::Projection(plan)),
        ..subquery
    })
}

/// What is looked for moves into the subquery, where a correlated one would be two levels in.
fn refuse_correlated(expr: &Expr) -> Result<()> {
    if has_correlated(expr)? {
        let error = SqlError::unsupported("a correlated subquery before IN (subquery)");
        return Err(DataFusionError::External(Box::new(error)));
    }
    Ok(())
}

fn has_correlated(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| Ok(subquery_of(expr).is_some_and(is_correlated)))
}

fn conditions(predicate: Expr, schema: &DFSchema) -> Result<Expr> {
    let mut conditions = Vec::new();
    for condition in split_conjunction_owned(predicate) {
        conditions.push(condition_of_filter(condition, schema, true)?);
    }
    Ok(conjunction(conditions).unwrap_or_else(|| lit(true)))
}

/// A condition where NULL and false are the same: as far as it goes through AND and OR.
fn condition_of_filter(expr: Expr, schema: &DFSchema, is_whole: bool) -> Result<Expr> {
    let expr = as_in(expr);
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::And | Operator::Or),
            right,
        }) => Ok(binary_expr(
            condition_of_filter(*left, schema, false)?,
            op,
            condition_of_filter(*right, schema, false)?,
        )),
        Expr::InSubquery(InSubquery {
            expr,
            subquery,
            negated,
        }) if !negated || is_whole && is_column(&expr) && !is_correlated(&subquery) => {
            // DataFusion's anti join knows NULLs, with one column to join by.
            refuse_correlated(&expr)?;
            let subquery = named(subquery)?;
            let expr = expr.transform_up(|expr| value(expr, schema, true)).data()?;
            Ok(Expr::InSubquery(InSubquery::new(
                Box::new(expr),
                subquery,
                negated,
            )))
        }
        other => other.transform_up(|expr| value(expr, schema, true)).data(),
    }
}

/// `= ANY` is IN, `<> ALL` is NOT IN, `NOT (x IN …)` is `x NOT IN …`.
fn as_in(expr: Expr) -> Expr {
    match expr {
        Expr::SetComparison(SetComparison {
            expr,
            subquery,
            op: Operator::Eq,
            quantifier: SetQuantifier::Any,
        }) => Expr::InSubquery(InSubquery::new(expr, subquery, false)),
        Expr::SetComparison(SetComparison {
            expr,
            subquery,
            op: Operator::NotEq,
            quantifier: SetQuantifier::All,
        }) => Expr::InSubquery(InSubquery::new(expr, subquery, true)),
        Expr::Not(inner) => match as_in(*inner) {
            Expr::InSubquery(InSubquery {
                expr,
                subquery,
                negated,
            }) => Expr::InSubquery(InSubquery::new(expr, subquery, !negated)),
            inner => not(inner),
        },
        other => other,
    }
}

/// A subquery as a value, whose children are done.
fn value(expr: Expr, schema: &DFSchema, in_filter: bool) -> Result<Transformed<Expr>> {
    match as_in_value(expr) {
        Expr::Exists(Exists { subquery, negated }) if !in_filter => {
            let rows = rows(&subquery, None)?;
            Ok(Transformed::yes(match negated {
                true => rows.eq(lit(0i64)),
                false => rows.gt(lit(0i64)),
            }))
        }
        Expr::InSubquery(InSubquery {
            expr,
            subquery,
            negated,
        }) => {
            let found = is_in(*expr, &named(subquery)?, schema)?;
            Ok(Transformed::yes(if negated { not(found) } else { found }))
        }
        Expr::SetComparison(mut comparison) => {
            comparison.subquery = named(comparison.subquery)?;
            Ok(Transformed::yes(compared(comparison, schema)?))
        }
        Expr::ScalarSubquery(subquery) => scalar(subquery),
        other => Ok(Transformed::no(other)),
    }
}

/// [`as_in`] without looking below NOT, which comes by itself.
fn as_in_value(expr: Expr) -> Expr {
    match expr {
        expr @ Expr::SetComparison(_) => as_in(expr),
        other => other,
    }
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => is_column(&cast.expr),
        _ => false,
    }
}

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}

fn aggregate_of(subquery: &Subquery, aggregate: Expr) -> Result<Expr> {
    let plan = aggregated(subquery.subquery.as_ref().clone(), aggregate)?;
    Ok(Expr::ScalarSubquery(like(subquery, plan)))
}
