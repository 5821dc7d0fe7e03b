//! From where to where buckets are filled: as the arguments say, or as the query's conditions on
//! its time column do.
//!
//! As in TimescaleDB, conditions count that stand beside each other in WHERE or in an inner join, and
//! compare the column itself with something that has a value before any row is read. Where
//! several do, the narrowest range is taken.

use std::sync::Arc;

use arrow::datatypes::DataType;
use chrono::DateTime;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{Between, BinaryExpr, ScalarFunction};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Cast, Expr, JoinType, LogicalPlan, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::node::Range;
use crate::error::{SqlError, SqlState};
use crate::functions::{Convert, ticks};
use crate::plan::literals::TextLiterals;
use crate::types::{FormatSettings, Zone};

const HINT: &str = "Specify start and finish as arguments or in the WHERE clause.";

/// What is known of a call.
pub(super) struct Call {
    pub(super) width: Expr,
    pub(super) time: Expr,
    pub(super) zone: Option<Expr>,
    start: Option<Expr>,
    finish: Option<Expr>,
}

/// Computes what has a value before any row is read.
pub(super) struct Constants<'a> {
    pub(super) settings: &'a FormatSettings,
    pub(super) config: &'a ConfigOptions,
}

impl Constants<'_> {
    /// The value of an expression; none where it depends on rows, or on chance.
    pub(super) fn value(&self, expr: &Expr) -> Result<Option<ScalarValue>> {
        let depends = expr.exists(|expr| {
            Ok(matches!(
                expr,
                Expr::Column(_)
                    | Expr::OuterReferenceColumn(..)
                    | Expr::ScalarSubquery(_)
                    | Expr::Exists(_)
                    | Expr::InSubquery(_)
                    | Expr::SetComparison(_)
                    | Expr::AggregateFunction(_)
                    | Expr::WindowFunction(_)
            ))
        })?;
        if depends {
            return Ok(None);
        }
        if let Expr::Literal(value, _) = expr {
            return Ok(Some(value.clone()));
        }
        let now = self
            .settings
            .now_us
            .and_then(DateTime::from_timestamp_micros);
        let context = SimplifyContext::builder()
            .with_config_options(Arc::new(self.config.clone()))
            .with_query_execution_start_time(now)
            .build();
        let simplified = ExprSimplifier::new(context).simplify(expr.clone())?;
        Ok(match simplified {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        })
    }
}

impl Call {
    /// The arguments of a call.
    pub(super) fn of(
        function: &ScalarFunction,
        input: &LogicalPlan,
        constants: &Constants<'_>,
    ) -> Result<Call> {
        let mut args = function.args.iter().cloned();
        let (Some(width), Some(time)) = (args.next(), args.next()) else {
            return Err(invalid("bucket_width and ts are needed"));
        };
        let rest: Vec<Expr> = args.collect();
        let (zone, rest) = match &rest[..] {
            [zone, rest @ ..] if is_zone(zone, rest.len(), input, constants)? => (Some(zone), rest),
            rest => (None, rest),
        };
        let given = |at: usize| rest.get(at).filter(|arg| !is_null(arg)).cloned();
        Ok(Call {
            width,
            time,
            zone: zone.cloned(),
            start: given(0),
            finish: given(1),
        })
    }

    /// The buckets to be filled over the rows of `input`.
    ///
    /// # Errors
    /// 22023 where an argument is not what it may be, and where a bound is not to be found.
    pub(super) fn range(&self, input: &LogicalPlan, constants: &Constants<'_>) -> Result<Range> {
        let Some(width) = constants.value(&self.width)? else {
            return Err(invalid("bucket_width must be a simple expression"));
        };
        if is_null(&self.time) {
            return Err(invalid("ts cannot be NULL"));
        }
        let zone = match &self.zone {
            None => None,
            Some(zone) => match constants.value(zone)? {
                None => {
                    let message = "time_bucket_gapfill does not support non-constant timezone";
                    let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message);
                    return Err(external(error.with_hint("Use a constant timezone value.")));
                }
                Some(zone) => Some(zone.try_as_str().flatten().map(str::to_owned)),
            },
        };
        let ty = super::type_of(&self.time, input.schema())?;
        let given = |arg: &Expr, name: &str| match constants.value(&typed(arg, &ty, constants)?)? {
            Some(value) => Ok(ticks(&value)),
            None => Err(invalid(&format!("{name} must be a simple expression"))),
        };
        let mut bounds = Bounds::new(&ty, constants);
        if self.start.is_none() || self.finish.is_none() {
            let Expr::Column(column) = &self.time else {
                let error =
                    "ts needs to refer to a single column if no start or finish is supplied";
                return Err(with_hint(format!(
                    "invalid time_bucket_gapfill argument: {error}"
                )));
            };
            bounds.of_plan(input, column)?;
        }
        let start = match &self.start {
            Some(start) => given(start, "start")?,
            None => found(&bounds.starts, "start")?.into_iter().max().flatten(),
        };
        let finish = match &self.finish {
            Some(finish) => given(finish, "finish")?,
            None => found(&bounds.ends, "finish")?.into_iter().min().flatten(),
        };
        Ok(Range {
            width,
            zone,
            start,
            finish,
        })
    }
}

/// The bounds of one kind: all, or a NULL among them.
fn found(bounds: &[Option<i64>], name: &str) -> Result<Vec<Option<i64>>> {
    if bounds.is_empty() {
        return Err(with_hint(format!(
            "missing time_bucket_gapfill argument: could not infer {name} from WHERE clause"
        )));
    }
    Ok(match bounds.contains(&None) {
        true => vec![None],
        false => bounds.to_vec(),
    })
}

/// Whether the third argument is a zone, which a bare string may be or not.
fn is_zone(
    third: &Expr,
    after: usize,
    input: &LogicalPlan,
    constants: &Constants<'_>,
) -> Result<bool> {
    if after == 2 {
        return Ok(true);
    }
    if super::type_of(third, input.schema())? != DataType::Utf8 {
        return Ok(false);
    }
    Ok(match constants.value(third)? {
        Some(ScalarValue::Utf8(Some(text))) => Zone::parse(&text).is_some(),
        _ => true,
    })
}

/// A bound that is still text, as a time.
fn typed(arg: &Expr, ty: &DataType, constants: &Constants<'_>) -> Result<Expr> {
    match arg {
        Expr::Literal(ScalarValue::Utf8(_), _) => {
            let cast = Expr::Cast(Cast::new(Box::new(arg.clone()), ty.clone()));
            Ok(TextLiterals(constants.settings.clone()).read(cast)?.data)
        }
        arg => Ok(arg.clone()),
    }
}

/// Bounds of the time column, in ticks; NULLs among them.
struct Bounds<'a> {
    ty: &'a DataType,
    constants: &'a Constants<'a>,
    /// First times that may be.
    starts: Vec<Option<i64>>,
    /// First times that may not be any more.
    ends: Vec<Option<i64>>,
}

impl<'a> Bounds<'a> {
    fn new(ty: &'a DataType, constants: &'a Constants<'a>) -> Self {
        Bounds {
            ty,
            constants,
            starts: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Takes the bounds of a column of a plan.
    fn of_plan(&mut self, plan: &LogicalPlan, column: &Column) -> Result<()> {
        let Some(at) = plan.schema().maybe_index_of_column(column) else {
            return Ok(());
        };
        match plan {
            LogicalPlan::Filter(filter) => {
                self.of_condition(&filter.predicate, column)?;
                self.of_plan(&filter.input, column)
            }
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
                if let Some(condition) = &join.filter {
                    self.of_condition(condition, column)?;
                }
                self.of_plan(&join.left, column)?;
                self.of_plan(&join.right, column)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let inner = Column::from(alias.input.schema().qualified_field(at));
                self.of_plan(&alias.input, &inner)
            }
            LogicalPlan::Projection(projection) => match projection.expr[at].clone().unalias() {
                Expr::Column(inner) => self.of_plan(&projection.input, &inner),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn of_condition(&mut self, condition: &Expr, column: &Column) -> Result<()> {
        for condition in split_conjunction(condition) {
            match condition {
                Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                    if self.is_column(left, column) {
                        self.add(*op, right)?;
                    } else if self.is_column(right, column)
                        && let Some(op) = op.swap()
                    {
                        self.add(op, left)?;
                    }
                }
                Expr::Between(Between {
                    expr,
                    negated: false,
                    low,
                    high,
                }) if self.is_column(expr, column) => {
                    self.add(Operator::GtEq, low)?;
                    self.add(Operator::LtEq, high)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether an expression is a column, perhaps as a wider type to compare it with.
    fn is_column(&self, expr: &Expr, column: &Column) -> bool {
        match expr {
            Expr::Column(own) => own == column,
            Expr::Cast(Cast { expr, field }) => {
                field.data_type().is_integer() && self.is_column(expr, column)
            }
            // A date beside a timestamp.
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                *self.ty == DataType::Date32
                    && func.inner().downcast_ref::<Convert>().is_some()
                    && args.iter().all(|arg| self.is_column(arg, column))
            }
            _ => false,
        }
    }

    fn add(&mut self, op: Operator, bound: &Expr) -> Result<()> {
        let bounds = match op {
            Operator::Gt | Operator::GtEq => &mut self.starts,
            Operator::Lt | Operator::LtEq => &mut self.ends,
            _ => return Ok(()),
        };
        let Some(value) = self.constants.value(bound)? else {
            return Ok(());
        };
        let is_whole = value.data_type().is_integer();
        if self.ty.is_integer() && !is_whole && !value.is_null() {
            return Ok(());
        }
        let value = ticks(&value.cast_to(self.ty)?);
        // A bucket begins at its first time, so that a bound is the first time on its other side.
        let after = matches!(op, Operator::Gt | Operator::LtEq);
        bounds.push(value.map(|value| value.saturating_add(i64::from(after))));
        Ok(())
    }
}

/// An argument that was not given.
fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => matches!(value, ScalarValue::Null),
        Expr::Cast(cast) => is_null(&cast.expr),
        _ => false,
    }
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn invalid(what: &str) -> DataFusionError {
    let message = format!("invalid time_bucket_gapfill argument: {what}");
    external(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
}

/// An error about a bound.
pub(super) fn with_hint(message: String) -> DataFusionError {
    external(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(HINT))
}
