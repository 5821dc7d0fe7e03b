//! How large conditions grow when they are pushed down.
//!
//! The optimizer moves a condition beneath the projections below it, and puts the expression behind
//! each column in the column's place. `SELECT x + x AS x` in thirty levels under one `WHERE` is
//! a condition of a billion terms. So its size is computed, without building it, before it is.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, Union};

use crate::error::{SqlError, SqlState};

/// Terms of a condition, with the expressions behind its columns.
const TERMS_MAX: u64 = 50_000;

/// Refuses a plan with a condition that would grow beyond all measure.
///
/// # Errors
/// 54001.
pub(crate) fn check(plan: &LogicalPlan) -> Result<()> {
    terms(plan).map(drop)
}

/// Terms of the expression behind each column of a plan's rows.
fn terms(plan: &LogicalPlan) -> Result<Vec<u64>> {
    plan.apply_subqueries(|subquery| {
        check(subquery)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    let width = plan.schema().fields().len();
    let out = match plan {
        LogicalPlan::Projection(projection) => {
            let input = terms(&projection.input)?;
            let schema = projection.input.schema();
            let sizes = projection
                .expr
                .iter()
                .map(|expr| size(expr, schema, &input));
            sizes.collect::<Result<Vec<_>>>()?
        }
        LogicalPlan::Filter(filter) => {
            let input = terms(&filter.input)?;
            limited(&filter.predicate, filter.input.schema(), &input)?;
            input
        }
        LogicalPlan::Aggregate(aggregate) => {
            let input = terms(&aggregate.input)?;
            let schema = aggregate.input.schema();
            let groups = aggregate.group_expr.iter();
            let mut sizes = groups
                .map(|expr| size(expr, schema, &input))
                .collect::<Result<Vec<_>>>()?;
            // Nothing passes beneath what is aggregated.
            sizes.resize(width, 1);
            sizes
        }
        LogicalPlan::Join(join) => of_join(join)?,
        LogicalPlan::Union(Union { inputs, .. }) => {
            let mut most = vec![1; width];
            for input in inputs {
                for (most, terms) in most.iter_mut().zip(terms(input)?) {
                    *most = terms.max(*most);
                }
            }
            most
        }
        other => {
            let mut sizes = Vec::with_capacity(width);
            for input in other.inputs() {
                sizes.extend(terms(input)?);
            }
            sizes.resize(width, 1);
            sizes
        }
    };
    Ok(out)
}

fn of_join(join: &Join) -> Result<Vec<u64>> {
    let (mut left, mut right) = (terms(&join.left)?, terms(&join.right)?);
    let both: Vec<u64> = left.iter().chain(&right).copied().collect();
    if let Some(filter) = &join.filter {
        let schema = Arc::new(join.left.schema().join(join.right.schema())?);
        limited(filter, &schema, &both)?;
    }
    Ok(match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => left,
        JoinType::RightSemi | JoinType::RightAnti => right,
        JoinType::LeftMark => {
            left.push(1);
            left
        }
        JoinType::RightMark => {
            right.push(1);
            right
        }
        _ => both,
    })
}

fn limited(condition: &Expr, schema: &DFSchema, input: &[u64]) -> Result<()> {
    if size(condition, schema, input)? <= TERMS_MAX {
        return Ok(());
    }
    let error = SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "statement too complex");
    let detail =
        format!("With the expressions behind its columns, a condition may have {TERMS_MAX} terms.");
    Err(DataFusionError::External(Box::new(
        error.with_detail(detail),
    )))
}

fn size(expr: &Expr, schema: &DFSchema, input: &[u64]) -> Result<u64> {
    let mut terms = 0_u64;
    expr.apply(|part| {
        let own = match part {
            Expr::Column(column) => {
                let at = schema.maybe_index_of_column(column);
                at.and_then(|at| input.get(at)).copied().unwrap_or(1)
            }
            _ => 1,
        };
        terms = terms.saturating_add(own);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(terms)
}
