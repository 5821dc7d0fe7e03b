//! The sum of bigints is a numeric, as PostgreSQL has it: DataFusion's is a bigint and wraps around.
//!
//! Runs before types are settled, because sums of smaller integers, which are bigints, are taken for
//! sums of bigints after that.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;

use super::unknowns::rewritten;

/// Digits of a bigint.
const BIGINT_DIGITS: u8 = 19;

/// The rule.
#[derive(Debug)]
pub(crate) struct NumericSums;

impl AnalyzerRule for NumericSums {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut is_changed = false;
        plan.transform_up_with_subqueries(|plan| {
            let plan = rewritten(plan, |expr, schema| Ok(widened(expr, schema)))?;
            let was_changed = is_changed;
            is_changed |= plan.transformed;
            match was_changed {
                // The types of what is below are others now.
                true => Ok(Transformed::yes(plan.data.recompute_schema()?)),
                false => Ok(plan),
            }
        })
        .data()
    }

    fn name(&self) -> &str {
        "numeric_sums"
    }
}

fn widened(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let args = match &mut expr {
        Expr::AggregateFunction(call) if call.func.name() == "sum" => &mut call.params.args,
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) if function.name() == "sum" => {
                &mut call.params.args
            }
            _ => return Transformed::no(expr),
        },
        _ => return Transformed::no(expr),
    };
    match &mut args[..] {
        [value] if matches!(value.get_type(schema), Ok(DataType::Int64)) => {
            *value = cast(
                std::mem::take(value),
                DataType::Decimal128(BIGINT_DIGITS, 0),
            );
            Transformed::yes(expr)
        }
        _ => Transformed::no(expr),
    }
}
