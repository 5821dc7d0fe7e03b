//! `EXCEPT ALL` and `INTERSECT ALL` count rows that are alike: of three on the left and one on the right,
//! two are left, or one is common. DataFusion plans both as a join that keeps all of them or none.
//!
//! Here rows that are alike are numbered on both sides, and their number is joined by too.

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::config::ConfigOptions;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

/// The rule.
#[derive(Debug)]
pub(crate) struct Multisets;

impl AnalyzerRule for Multisets {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Join(join) if is_of_all(&join) => counted(join).map(Transformed::yes),
            node => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "multisets"
    }
}

/// Whether a join is `EXCEPT ALL` or `INTERSECT ALL`: without `ALL` the left rows are all different.
fn is_of_all(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(*join.left, LogicalPlan::Distinct(_))
}

fn counted(join: Join) -> Result<LogicalPlan> {
    let columns = join.left.schema().columns().into_iter();
    let columns: Vec<Expr> = columns.map(Expr::Column).collect();
    let (left, left_number) = numbered(&join.left)?;
    let (right, right_number) = numbered(&join.right)?;
    let mut on = join.on;
    on.push((left_number, right_number));
    let joined = Join::try_new(
        left.into(),
        right.into(),
        on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(joined))
        .project(columns)?
        .build()
}

/// A plan with the number of each row among those that are alike, and that column.
fn numbered(plan: &LogicalPlan) -> Result<(LogicalPlan, Expr)> {
    let columns = plan.schema().columns().into_iter();
    let number = row_number().partition_by(columns.map(Expr::Column).collect());
    let numbered = LogicalPlanBuilder::from(plan.clone())
        .window([number.build()?])?
        .build()?;
    let last = numbered.schema().fields().len() - 1;
    let number = Expr::Column(Column::from(numbered.schema().qualified_field(last)));
    Ok((numbered, number))
}
