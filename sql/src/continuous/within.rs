//! The range of time that a query over a table asks of an aggregate.
//!
//! Its ends are expressions, of which a generic plan asks the value for each run.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::answering::has_subquery;
use super::relation::ALWAYS;
use crate::plan::generic::Parameters;

/// The times of the rows that count: those that meet all bounds.
#[derive(Debug)]
pub(super) struct Within {
    bounds: Vec<Bound>,
    config: Arc<ConfigOptions>,
    parameters: Option<Arc<Parameters>>,
}

/// How the time of a row compares with an instant.
#[derive(Debug)]
struct Bound {
    op: Operator,
    instant: Expr,
}

impl Within {
    /// All times. The parameters are those of the plan, when it is a generic one.
    pub(super) fn always(config: &ConfigOptions, parameters: Option<Arc<Parameters>>) -> Self {
        Within {
            bounds: Vec::new(),
            config: Arc::new(config.clone()),
            parameters,
        }
    }

    /// Takes a condition, if it is one on the time alone. Whether it was one.
    ///
    /// # Errors
    /// When it has a placeholder that stands for no parameter.
    pub(super) fn take(&mut self, filter: &Expr, is_time: &dyn Fn(&Expr) -> bool) -> Result<bool> {
        let bounds = match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if is_time(left) {
                    vec![(Some(*op), right)]
                } else if is_time(right) {
                    vec![(op.swap(), left)]
                } else {
                    return Ok(false);
                }
            }
            Expr::Between(Between {
                expr,
                negated: false,
                low,
                high,
            }) if is_time(expr) => {
                vec![(Some(Operator::GtEq), low), (Some(Operator::LtEq), high)]
            }
            _ => return Ok(false),
        };
        for (op, instant) in bounds {
            use Operator::{Eq, Gt, GtEq, Lt, LtEq};
            let Some(op @ (Eq | Gt | GtEq | Lt | LtEq)) = op else {
                return Ok(false);
            };
            if !instant.column_refs().is_empty() || has_subquery(instant) {
                return Ok(false);
            }
            let instant = match &self.parameters {
                Some(parameters) => parameters.put_into_expr(instant.as_ref().clone())?,
                None => instant.as_ref().clone(),
            };
            self.bounds.push(Bound { op, instant });
        }
        Ok(true)
    }

    /// Whether there are no bounds.
    pub(super) fn is_always(&self) -> bool {
        self.bounds.is_empty()
    }

    /// The first and the last time in microseconds, for the values that the parameters have now.
    /// `None` when a bound is no instant, such as NULL.
    ///
    /// # Errors
    /// Those of the bounds' expressions.
    pub(super) fn times(&self) -> Result<Option<(i64, i64)>> {
        let mut times = ALWAYS;
        for Bound { op, instant } in &self.bounds {
            let Some(at) = self.instant(instant)? else {
                return Ok(None);
            };
            let (from, to) = match op {
                Operator::GtEq => (Some(at), Some(ALWAYS.1)),
                Operator::Gt => (at.checked_add(1), Some(ALWAYS.1)),
                Operator::LtEq => (Some(ALWAYS.0), Some(at)),
                Operator::Lt => (Some(ALWAYS.0), at.checked_sub(1)),
                _ => (Some(at), Some(at)),
            };
            let (Some(from), Some(to)) = (from, to) else {
                return Ok(None);
            };
            times = (times.0.max(from), times.1.min(to));
        }
        Ok(Some(times))
    }

    fn instant(&self, expr: &Expr) -> Result<Option<i64>> {
        let simple = match &self.parameters {
            Some(parameters) => parameters.bind(expr, &Arc::new(Schema::empty()))?,
            None => {
                let context = SimplifyContext::builder().with_config_options(self.config.clone());
                ExprSimplifier::new(context.build()).simplify(expr.clone())?
            }
        };
        let Expr::Literal(value, _) = simple else {
            return Ok(None);
        };
        Ok(match value.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => microseconds(value),
            DataType::Timestamp(_, None) => {
                let ty = DataType::Timestamp(TimeUnit::Microsecond, None);
                microseconds(value.cast_to(&ty)?)
            }
            _ => None,
        })
    }
}

fn microseconds(value: ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampMicrosecond(at, _) => at,
        _ => None,
    }
}
