//! `ASOF JOIN`: rows in the order of keys and times on both sides, gone through once.
//!
//! The dialect has made it an inner or left join whose right side is marked. The first rule knows
//! it by the mark, when types are settled; the second, one of the optimizer's, lets conditions
//! pass to the inputs, which DataFusion does for its own joins alone.

mod exec;
mod node;
mod order;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, Filter, JoinConstraint, JoinType, LogicalPlan, Operator,
    Projection, SubqueryAlias, cast,
};
use datafusion::optimizer::{AnalyzerRule, ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::error::{SqlError, SqlState};
use crate::functions::ASOF_MARK;

pub(super) use exec::planned;
pub(super) use node::AsOfJoin;

/// The rule that knows the joins.
#[derive(Debug)]
pub(crate) struct AsOfJoins;

impl AnalyzerRule for AsOfJoins {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut found = false;
        plan.apply_with_subqueries(|plan| {
            found |= is_marked(plan);
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        if !found {
            return Ok(plan);
        }
        let joined = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) => match unmarked(&join.right)? {
                Some(right) => asof(join, right).map(Transformed::yes),
                None => Ok(Transformed::no(LogicalPlan::Join(join))),
            },
            plan => Ok(Transformed::no(plan)),
        });
        joined.data()
    }

    fn name(&self) -> &str {
        "asof_joins"
    }
}

fn is_marked(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else {
        return false;
    };
    matches!(&filter.predicate, Expr::ScalarFunction(call) if call.name() == ASOF_MARK)
}

/// The right side without its mark, if it has one.
fn unmarked(right: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::SubqueryAlias(alias) = right else {
        return Ok(None);
    };
    let LogicalPlan::Projection(projection) = alias.input.as_ref() else {
        return Ok(None);
    };
    let LogicalPlan::Filter(filter) = projection.input.as_ref() else {
        return Ok(None);
    };
    if !is_marked(&projection.input) {
        return Ok(None);
    }
    let projection = Projection::try_new(projection.expr.clone(), filter.input.clone())?;
    let input = Arc::new(LogicalPlan::Projection(projection));
    let alias = SubqueryAlias::try_new(input, alias.alias.clone())?;
    Ok(Some(LogicalPlan::SubqueryAlias(alias)))
}

/// What a condition compares: an expression of the left side with one of the right.
struct Compared {
    left: Expr,
    op: Operator,
    right: Expr,
}

fn asof(join: Join, right: LogicalPlan) -> Result<LogicalPlan> {
    let left = Arc::unwrap_or_clone(join.left);
    let mut keys = Vec::new();
    let mut times = Vec::new();
    for (own, other) in join.on {
        let (own, other) = same_type(own, other, left.schema(), right.schema())?;
        keys.push((own, other));
    }
    if join.join_constraint == JoinConstraint::Using {
        // The last of the columns is the time.
        times.extend(
            keys.pop()
                .map(|(left, right)| (left, Operator::GtEq, right)),
        );
    }
    for condition in join.filter.iter().flat_map(split_conjunction) {
        let Some(compared) = compared(condition, left.schema(), right.schema()) else {
            let message =
                "ASOF JOIN conditions other than comparisons of a left with a right column";
            return Err(external(SqlError::unsupported(message)));
        };
        let Compared { left, op, right } = compared;
        match op {
            Operator::Eq => keys.push((left, right)),
            _ => times.push((left, op, right)),
        }
    }
    if times.len() > 1 {
        return Err(invalid("Multiple ASOF JOIN inequalities"));
    }
    let Some((earlier, op, later)) = times.pop() else {
        return Err(invalid("Missing ASOF JOIN inequality"));
    };
    let node = AsOfJoin::new(left, right, keys, (earlier, later), op, join.join_type)?;
    Ok(extension(node))
}

fn extension(node: AsOfJoin) -> LogicalPlan {
    LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    })
}

fn compared(condition: &Expr, left: &DFSchema, right: &DFSchema) -> Option<Compared> {
    let Expr::BinaryExpr(BinaryExpr {
        left: first,
        op,
        right: second,
    }) = condition
    else {
        return None;
    };
    let is_known = matches!(
        op,
        Operator::Eq | Operator::GtEq | Operator::Gt | Operator::LtEq | Operator::Lt
    );
    if !is_known {
        return None;
    }
    if is_of(first, left) && is_of(second, right) {
        return Some(Compared {
            left: first.as_ref().clone(),
            op: *op,
            right: second.as_ref().clone(),
        });
    }
    if is_of(first, right) && is_of(second, left) {
        return Some(Compared {
            left: second.as_ref().clone(),
            op: op.swap()?,
            right: first.as_ref().clone(),
        });
    }
    None
}

/// Whether an expression is computed of columns of one side, and of some.
fn is_of(expr: &Expr, schema: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty()
        && columns.into_iter().all(|column| schema.has_column(column))
        && !expr.is_volatile()
}

/// Columns of `USING`, which may be of different types.
fn same_type(
    left: Expr,
    right: Expr,
    left_schema: &DFSchema,
    right_schema: &DFSchema,
) -> Result<(Expr, Expr)> {
    let types = (left.get_type(left_schema)?, right.get_type(right_schema)?);
    if types.0 == types.1 {
        return Ok((left, right));
    }
    match comparison_coercion(&types.0, &types.1) {
        Some(ty) => Ok((cast(left, ty.clone()), cast(right, ty))),
        None => Ok((left, right)),
    }
}

/// Conditions above such a join, on its inputs where they may be.
#[derive(Debug)]
pub(crate) struct PushDownAsOf;

impl OptimizerRule for PushDownAsOf {
    fn name(&self) -> &str {
        "push_down_asof"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else {
            return Ok(Transformed::no(plan));
        };
        let node = match filter.input.as_ref() {
            LogicalPlan::Extension(extension) => {
                extension.node.as_any().downcast_ref::<AsOfJoin>().cloned()
            }
            _ => None,
        };
        let Some(node) = node else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        pushed(filter, &node)
    }
}

/// A condition on the left side chooses among its rows. If it is one on keys, no other row on the
/// right matters either.
fn pushed(filter: Filter, node: &AsOfJoin) -> Result<Transformed<LogicalPlan>> {
    let schema = node.left.schema();
    let conditions = split_conjunction_owned(filter.predicate.clone());
    let (left, kept): (Vec<Expr>, Vec<Expr>) =
        conditions.into_iter().partition(|expr| is_of(expr, schema));
    if left.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let mut right = Vec::new();
    for condition in &left {
        right.extend(on_the_right(condition, node)?);
    }
    let node = node.of(
        filtered(left, node.left.clone())?,
        filtered(right, node.right.clone())?,
    )?;
    filtered(kept, extension(node)).map(Transformed::yes)
}

/// A condition on left keys as one on the right ones.
fn on_the_right(condition: &Expr, node: &AsOfJoin) -> Result<Option<Expr>> {
    let other = |expr: &Expr| {
        let key = node.keys.iter().find(|(left, _)| left == expr);
        key.map(|(_, right)| right.clone())
    };
    let mut columns = condition.column_refs().into_iter();
    if !columns.all(|column| other(&Expr::Column(column.clone())).is_some()) {
        return Ok(None);
    }
    let put = condition.clone().transform_up(|expr| {
        let is_column = matches!(expr, Expr::Column(_));
        Ok(match other(&expr).filter(|_| is_column) {
            Some(right) => Transformed::yes(right),
            None => Transformed::no(expr),
        })
    });
    put.data().map(Some)
}

fn filtered(conditions: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match conjunction(conditions) {
        Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, Arc::new(input))?),
        None => input,
    })
}

fn invalid(message: &str) -> DataFusionError {
    external(SqlError::new(SqlState::SYNTAX_ERROR, message))
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Whether rows on the left stay without a partner.
fn keeps_left(join_type: JoinType) -> bool {
    join_type == JoinType::Left
}
