//! `IN`, `ANY`, `ALL` and `EXISTS` as values: true, false, or NULL where a NULL might decide.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::expr::{SetComparison, SetQuantifier};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlanBuilder, Operator, Subquery, binary_expr, lit, not, when,
};

use super::{aggregate_of, aggregated, first_column, like, refuse_correlated};
use crate::error::SqlError;

/// Whether `x` is among the rows: true, else NULL where a NULL might be it, else false.
pub(super) fn is_in(x: Expr, subquery: &Subquery, schema: &DFSchema) -> Result<Expr> {
    let column = first_column(&subquery.subquery);
    let outer = to_outer(x.clone(), schema)?;
    let found = rows(subquery, Some(outer.eq(column)))?.gt(lit(0i64));
    let mut case = when(found, lit(true));
    if let Some(unknown) = unknown(x, subquery, schema)? {
        case.when(unknown, lit(ScalarValue::Boolean(None)));
    }
    case.otherwise(lit(false))
}

/// `x op ANY (…)` and `x op ALL (…)`, by the smallest and the largest row.
pub(super) fn compared(comparison: SetComparison, schema: &DFSchema) -> Result<Expr> {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let SetComparison {
        expr: x,
        subquery,
        op,
        quantifier,
    } = comparison;
    let column = first_column(&subquery.subquery);
    let smallest = || aggregate_of(&subquery, min(column.clone()));
    let largest = || aggregate_of(&subquery, max(column.clone()));
    let with = |op, extreme: Expr| binary_expr((*x).clone(), op, extreme);
    let differs = || -> Result<Expr> { Ok(with(NotEq, smallest()?).or(with(NotEq, largest()?))) };
    // What one row decides, whatever the others are.
    let (decisive, decided) = match quantifier {
        SetQuantifier::Any => {
            let decisive = match op {
                Gt | GtEq => with(op, smallest()?),
                Lt | LtEq => with(op, largest()?),
                NotEq => differs()?,
                other => return Err(no_operator(other)),
            };
            (decisive, true)
        }
        SetQuantifier::All => {
            let decisive = match op {
                Gt | GtEq => not(with(op, largest()?)),
                Lt | LtEq => not(with(op, smallest()?)),
                Eq => differs()?,
                other => return Err(no_operator(other)),
            };
            (decisive, false)
        }
    };
    let mut case = when(decisive, lit(decided));
    if let Some(unknown) = unknown((*x).clone(), &subquery, schema)? {
        case.when(unknown, lit(ScalarValue::Boolean(None)));
    }
    case.otherwise(lit(!decided))
}

/// Whether a comparison of `x` with some row is NULL; `None` if none can be.
fn unknown(x: Expr, subquery: &Subquery, schema: &DFSchema) -> Result<Option<Expr>> {
    let column = first_column(&subquery.subquery);
    let of_x = match x.nullable(schema)? {
        true => Some(x.is_null().and(rows(subquery, None)?.gt(lit(0i64)))),
        false => None,
    };
    let of_rows = match subquery.subquery.schema().field(0).is_nullable() {
        true => Some(rows(subquery, Some(column.is_null()))?.gt(lit(0i64))),
        false => None,
    };
    Ok(match (of_x, of_rows) {
        (Some(left), Some(right)) => Some(left.or(right)),
        (one, other) => one.or(other),
    })
}

/// How many rows a subquery has, or how many of them are so.
pub(super) fn rows(subquery: &Subquery, filter: Option<Expr>) -> Result<Expr> {
    let mut plan = LogicalPlanBuilder::from(subquery.subquery.clone());
    if let Some(filter) = filter {
        plan = plan.filter(filter)?;
    }
    let plan = aggregated(plan.build()?, count(lit(1i64)))?;
    Ok(Expr::ScalarSubquery(like(subquery, plan)))
}

/// An expression of the query outside as one within the subquery.
fn to_outer(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    if expr.contains_outer() {
        let error = SqlError::unsupported("a subquery that refers to a query two levels out");
        return Err(DataFusionError::External(Box::new(error)));
    }
    refuse_correlated(&expr)?;
    expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(schema.qualified_field_from_column(&column)?.1);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn no_operator(op: Operator) -> DataFusionError {
    let error = SqlError::unsupported(format!("operator {op} with ANY or ALL of a subquery"));
    DataFusionError::External(Box::new(error))
}
