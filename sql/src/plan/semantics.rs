//! Casts and arithmetic as PostgreSQL has them, in the place of DataFusion's.
//!
//! Runs when types are settled and before anything is folded, so that constants, filters, join
//! conditions and arguments of aggregates all compute alike. Operators that cannot differ stay
//! what they are, because DataFusion reasons about those.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF, ScalarUDFImpl,
    Volatility, binary_expr, lit,
};
use datafusion::optimizer::AnalyzerRule;

use super::unknowns::rewritten;
use crate::functions::{Checked, Convert, FloatFunction, Operation, cast_differs, is_checked_text};
use crate::types::FormatSettings;

/// The rule, with the session's settings.
#[derive(Debug)]
pub(crate) struct PgExpressions(pub(crate) FormatSettings);

impl AnalyzerRule for PgExpressions {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            rewritten(plan, |expr, schema| self.replace(expr, schema))
        })
        .data()
    }

    fn name(&self) -> &str {
        "postgres_expressions"
    }
}

impl PgExpressions {
    fn replace(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::Cast(Cast { expr, field }) => {
                let source = expr.get_type(schema)?;
                if cast_differs(&source, field.data_type()) || is_checked_text(&source, &field) {
                    let convert = Convert::new(field, self.0.clone());
                    Transformed::yes(call(convert, vec![*expr]))
                } else {
                    Transformed::no(Expr::Cast(Cast { expr, field }))
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let operation = match Operation::of(op) {
                    Some(operation) if is_checked(&left, &right, schema)? => operation,
                    _ => {
                        let binary = BinaryExpr { left, op, right };
                        return Ok(Transformed::no(Expr::BinaryExpr(binary)));
                    }
                };
                Transformed::yes(call(Checked::new(operation), vec![*left, *right]))
            }
            Expr::Negative(inner) if Checked::is_for(&inner.get_type(schema)?) => {
                Transformed::yes(call(Checked::new(Operation::Negate), vec![*inner]))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                match replacement(func.name(), &args, schema)? {
                    Some(replacement) => Transformed::yes(replacement.call(args)),
                    None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
                }
            }
            Expr::InList(list) if is_of_expressions(&list)? => {
                Transformed::yes(comparisons(list.expr.as_ref(), &list.list, list.negated))
            }
            expr => Transformed::no(expr),
        })
    }
}

/// Whether the items of an `IN` are more than constants. DataFusion takes two lists for sets and two
/// items for different that are written differently, which only holds for constants.
fn is_of_expressions(list: &InList) -> Result<bool> {
    let varies = |item: &Expr| {
        item.exists(|expr| {
            Ok(match expr {
                Expr::Literal(..) | Expr::Cast(_) | Expr::BinaryExpr(_) => false,
                Expr::ScalarFunction(function) => {
                    function.func.signature().volatility != Volatility::Immutable
                }
                _ => true,
            })
        })
    };
    for item in &list.list {
        if varies(item)? {
            // What is computed anew for each item shall not be another each time.
            return Ok(!list.expr.is_volatile());
        }
    }
    Ok(false)
}

/// `IN` as comparisons with each item; halves of halves, so that they nest but little.
fn comparisons(expr: &Expr, items: &[Expr], negated: bool) -> Expr {
    let (op, joint) = match negated {
        true => (Operator::NotEq, Operator::And),
        false => (Operator::Eq, Operator::Or),
    };
    match items {
        [] => lit(negated),
        [item] => binary_expr(expr.clone(), op, item.clone()),
        items => {
            let (left, right) = items.split_at(items.len() / 2);
            binary_expr(
                comparisons(expr, left, negated),
                joint,
                comparisons(expr, right, negated),
            )
        }
    }
}

fn call(function: impl ScalarUDFImpl + 'static, args: Vec<Expr>) -> Expr {
    ScalarUDF::from(function).call(args)
}

/// Whether both operands have one type whose arithmetic can leave it.
fn is_checked(left: &Expr, right: &Expr, schema: &DFSchema) -> Result<bool> {
    let ty = left.get_type(schema)?;
    Ok(Checked::is_for(&ty) && right.get_type(schema)? == ty)
}

/// The function in the place of one of DataFusion's.
fn replacement(name: &str, args: &[Expr], schema: &DFSchema) -> Result<Option<ScalarUDF>> {
    let types = args
        .iter()
        .map(|arg| arg.get_type(schema))
        .collect::<Result<Vec<DataType>>>()?;
    if name == "abs" && types.len() == 1 && Checked::is_for(&types[0]) {
        return Ok(Some(Checked::new(Operation::Absolute).into()));
    }
    Ok(FloatFunction::of(name, &types).map(ScalarUDF::from))
}
