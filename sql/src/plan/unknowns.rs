//! Strings without a type in `BETWEEN`, `IN`, `CASE` and the like: the places of a query that have
//! no hook while it is planned, as operators have. Runs before DataFusion settles types.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, Operator, and, lit, or, when,
};
use datafusion::optimizer::AnalyzerRule;

use super::operators::{as_type, comparable, gives_type, is_unknown};

/// The rule.
#[derive(Debug)]
pub(crate) struct UnknownLiterals;

impl AnalyzerRule for UnknownLiterals {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| rewritten(plan, resolve))
            .data()
    }

    fn name(&self) -> &str {
        "unknown_literals"
    }
}

/// A plan with its expressions rewritten, under the names that they had.
pub(super) fn rewritten(
    plan: LogicalPlan,
    rewrite: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        let name = scan.table_name.clone();
        schema.merge(&DFSchema::try_from_qualified_schema(
            name,
            &scan.source.schema(),
        )?);
    }
    let names = NamePreserver::new(&plan);
    let plan = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|expr| rewrite(expr, &schema))?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })?;
    if plan.transformed {
        plan.map_data(LogicalPlan::recompute_schema)
    } else {
        Ok(plan)
    }
}

fn resolve(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            let before = (*left, *right);
            let after = comparable(before.0.clone(), before.1.clone(), schema);
            let changed = before != after;
            let (left, right) = (Box::new(after.0), Box::new(after.1));
            let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
            Transformed::new_transformed(expr, changed)
        }
        Expr::Between(between) => self::between(between, schema),
        Expr::InList(list) => in_list(list, schema),
        Expr::Case(case) => self::case(case, schema),
        Expr::ScalarFunction(call) if matches!(call.name(), "concat" | "concat_ws") => {
            concatenated(call, schema)?
        }
        expr => Transformed::no(expr),
    })
}

fn compares(op: Operator) -> bool {
    use Operator::*;
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

fn between(between: Between, schema: &DFSchema) -> Transformed<Expr> {
    let expr = &*between.expr;
    let (above, low) = comparable(expr.clone(), (*between.low).clone(), schema);
    let (below, high) = comparable(expr.clone(), (*between.high).clone(), schema);
    if above == *expr && below == *expr {
        let changed = low != *between.low || high != *between.high;
        let between = Between {
            low: Box::new(low),
            high: Box::new(high),
            ..between
        };
        return Transformed::new_transformed(Expr::Between(between), changed);
    }
    // Each bound is compared in a type of its own.
    Transformed::yes(match between.negated {
        false => and(above.gt_eq(low), below.lt_eq(high)),
        true => or(above.lt(low), below.gt(high)),
    })
}

fn in_list(list: InList, schema: &DFSchema) -> Transformed<Expr> {
    let own = list.expr.get_type(schema).ok();
    let mut changed = false;
    let mut sides: Vec<(Expr, Expr)> = Vec::with_capacity(list.list.len());
    for item in list.list {
        let is_same = !matches!(own, Some(DataType::Interval(_) | DataType::Duration(_)))
            && own.is_some()
            && item.get_type(schema).ok() == own;
        let pair = if is_same {
            ((*list.expr).clone(), item)
        } else {
            let pair = comparable((*list.expr).clone(), item.clone(), schema);
            changed |= pair.1 != item || pair.0 != *list.expr;
            pair
        };
        sides.push(pair);
    }
    let first = sides.first().map(|(expr, _)| expr.clone());
    if let Some(first) = first
        && sides.iter().all(|(expr, _)| *expr == first)
    {
        let items = sides.into_iter().map(|(_, item)| item).collect();
        let list = InList::new(Box::new(first), items, list.negated);
        return Transformed::new_transformed(Expr::InList(list), changed);
    }
    // Items of several types: each is compared in its own.
    let equal = sides.into_iter().map(|(expr, item)| expr.eq(item));
    let any = equal.reduce(or).unwrap_or_else(|| lit(false));
    Transformed::yes(if list.negated { !any } else { any })
}

fn case(case: Case, schema: &DFSchema) -> Transformed<Expr> {
    let mut changed = false;
    let Case {
        expr,
        mut when_then_expr,
        mut else_expr,
    } = case;
    if let Some(operand) = &expr {
        for (when, _) in &mut when_then_expr {
            let (left, right) = comparable((**operand).clone(), (**when).clone(), schema);
            if left == **operand && right != **when {
                **when = right;
                changed = true;
            }
        }
    }
    let results = || {
        let thens = when_then_expr.iter().map(|(_, then)| then);
        thens.chain(&else_expr)
    };
    let known = results().filter(|expr| !is_unknown(expr));
    let common: Option<FieldRef> = known
        .filter_map(|expr| expr.to_field(schema).ok().map(|(_, field)| field))
        .find(|field| gives_type(field.data_type()));
    if let Some(common) = common {
        let common = Arc::new(common.as_ref().clone().with_name("").with_nullable(true));
        let thens = when_then_expr.iter_mut().map(|(_, then)| then);
        for result in thens.chain(&mut else_expr).filter(|expr| is_unknown(expr)) {
            let unknown = std::mem::replace(&mut **result, lit(false));
            **result = as_type(unknown, common.clone());
            changed = true;
        }
    }
    let case = Case::new(expr, when_then_expr, else_expr);
    Transformed::new_transformed(Expr::Case(case), changed)
}

/// `concat` writes booleans as a client sees them; a cast to text would spell the word.
fn concatenated(call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let ScalarFunction { func, args } = call;
    let mut changed = false;
    let mut rewritten = Vec::with_capacity(args.len());
    for arg in args {
        if matches!(arg.get_type(schema), Ok(DataType::Boolean)) {
            let letter = when(arg.clone(), lit("t")).when(!arg, lit("f")).end()?;
            rewritten.push(letter);
            changed = true;
        } else {
            rewritten.push(arg);
        }
    }
    let call = ScalarFunction {
        func,
        args: rewritten,
    };
    Ok(Transformed::new_transformed(
        Expr::ScalarFunction(call),
        changed,
    ))
}
