//! Operators between types that DataFusion has no such operator for, or takes for others: literals
//! without a type, dates, intervals, reals.
//!
//! PostgreSQL gives a bare string the type of the operator's other side (manual, 10.2 "Operators").
//! DataFusion would compare texts, or times in nanoseconds, which end in the year 2262. What is
//! resolved here are casts around operands; DataFusion then finds the operator as ever.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::functions::{interval_divide, interval_multiply, interval_order};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Resolves operands while a query is planned.
#[derive(Debug)]
pub(crate) struct PgOperators;

impl ExprPlanner for PgOperators {
    fn plan_binary_op(
        &self,
        raw: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = raw;
        let (left, right) = match comparison_of(&op) {
            Some(_) => comparable(left, right, schema),
            None => match arithmetic_of(&op) {
                Some(operator) => match arithmetic(operator, left, right, schema) {
                    Ok(planned) => return Ok(PlannerResult::Planned(planned)),
                    Err(operands) => *operands,
                },
                None => (left, right),
            },
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

fn comparison_of(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

fn arithmetic_of(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        _ => return None,
    })
}

/// Both sides of a comparison as PostgreSQL compares them.
pub(super) fn comparable(left: Expr, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    let (Ok(l), Ok(r)) = (field(&left, schema), field(&right, schema)) else {
        return (left, right);
    };
    let (left, l) = typed(left, l, &r);
    let (right, r) = typed(right, r, &l);
    let common = common(l.data_type(), r.data_type());
    let (left, right) = match common {
        Some(ty) => (cast(left, &l, &ty), cast(right, &r, &ty)),
        None => (left, right),
    };
    // DataFusion compares months, then days, then time: a day would be more than 25 hours.
    let are_spans = is_span(l.data_type()) && is_span(r.data_type());
    if are_spans && [&l, &r].iter().any(|field| *field.data_type() == INTERVAL) {
        return (
            interval_order(span(left, &l)),
            interval_order(span(right, &r)),
        );
    }
    (left, right)
}

/// An expression, with the type of `other` if it is a string that has none yet.
pub(super) fn typed(expr: Expr, own: FieldRef, other: &FieldRef) -> (Expr, FieldRef) {
    if !is_unknown(&expr) || !gives_type(other.data_type()) {
        return (expr, own);
    }
    if let DataType::Decimal128(..) | DataType::Decimal256(..) = other.data_type() {
        if let Some(number) = number(&expr) {
            let ty = number.data_type();
            return (Expr::Literal(number, None), nullable(ty));
        }
        // With the digits that the other side happens to have it would be rounded.
        let ty = crate::types::PgType::NUMERIC.arrow();
        return (as_type(expr, nullable(ty.clone())), nullable(ty));
    }
    let target = match other.data_type() {
        DataType::UInt64 => nullable(DataType::Int64),
        DataType::Duration(_) => nullable(INTERVAL),
        DataType::Timestamp(_, zone) => {
            nullable(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        _ => Arc::new(other.as_ref().clone().with_name("").with_nullable(true)),
    };
    (as_type(expr, target.clone()), target)
}

/// The operation, if it is not one of DataFusion's; otherwise its operands, resolved.
fn arithmetic(
    operator: Operator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> Result<Expr, Box<(Expr, Expr)>> {
    let (Ok(l), Ok(r)) = (field(&left, schema), field(&right, schema)) else {
        return Err(Box::new((left, right)));
    };
    let (left, l) = operand(operator, left, l, r.data_type());
    let (right, r) = operand(operator, right, r, l.data_type());
    let (lt, rt) = (l.data_type(), r.data_type());
    let binary = |left: Expr, right: Expr| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
    };
    use Operator::{Divide, Minus, Multiply, Plus};
    match operator {
        Multiply if is_span(lt) && is_number(rt) => {
            return Ok(interval_multiply(span(left, &l), double(right, &r)));
        }
        Multiply if is_number(lt) && is_span(rt) => {
            return Ok(interval_multiply(span(right, &r), double(left, &l)));
        }
        Divide if is_span(lt) && is_number(rt) => {
            return Ok(interval_divide(span(left, &l), double(right, &r)));
        }
        // In PostgreSQL a date and an interval make a timestamp.
        Plus | Minus if *lt == DataType::Date32 && is_span(rt) => {
            return Ok(binary(cast(left, &l, &TIMESTAMP), span(right, &r)));
        }
        Plus if is_span(lt) && *rt == DataType::Date32 => {
            return Ok(binary(span(left, &l), cast(right, &r, &TIMESTAMP)));
        }
        Plus if *lt == DataType::Date32 && is_time(rt) => {
            return Ok(binary(
                cast(left, &l, &TIMESTAMP),
                cast(right, &r, &INTERVAL),
            ));
        }
        Plus if is_time(lt) && *rt == DataType::Date32 => {
            return Ok(binary(
                cast(left, &l, &INTERVAL),
                cast(right, &r, &TIMESTAMP),
            ));
        }
        // Days between dates are counted in an integer.
        Minus if *lt == DataType::Date32 && *rt == DataType::Date32 => {
            let days = binary(left, right);
            return Ok(Expr::Cast(Cast::new(Box::new(days), DataType::Int32)));
        }
        Minus if is_moment(lt) && is_moment(rt) => {
            if let Some(ty) = common(lt, rt) {
                return Ok(binary(cast(left, &l, &ty), cast(right, &r, &ty)));
            }
        }
        Plus | Minus if is_span(lt) && is_span(rt) && lt != rt => {
            return Ok(binary(span(left, &l), span(right, &r)));
        }
        _ if is_number(lt) => {
            if let Some(ty) = common(lt, rt) {
                return Ok(binary(cast(left, &l, &ty), cast(right, &r, &ty)));
            }
        }
        _ => {}
    }
    Err(Box::new((left, right)))
}

/// A string without a type as the operand that PostgreSQL takes it for.
fn operand(operator: Operator, expr: Expr, own: FieldRef, other: &DataType) -> (Expr, FieldRef) {
    if !is_unknown(&expr) {
        return (expr, own);
    }
    let multiplies = matches!(operator, Operator::Multiply | Operator::Divide);
    let is_difference = operator == Operator::Minus;
    let ty = match other {
        DataType::Interval(_) | DataType::Duration(_) if multiplies => DataType::Float64,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        // Of two equals there is a difference, and nothing else.
        DataType::Timestamp(_, zone) if is_difference => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::Time64(_) | DataType::Date32 if is_difference => other.clone(),
        DataType::Timestamp(..) | DataType::Time64(_) if operator == Operator::Plus => INTERVAL,
        _ if is_number(other) => {
            let other = nullable(other.clone());
            return typed(expr, own, &other);
        }
        _ => return (expr, own),
    };
    let target = nullable(ty);
    (as_type(expr, target.clone()), target)
}

/// The type in which two types meet, where DataFusion would choose another.
fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Float32, Float64, Timestamp};
    let meet = |a: &DataType, b: &DataType| match (a, b) {
        (Date32, Timestamp(_, zone)) | (Timestamp(_, None), Timestamp(_, zone @ Some(_))) => {
            Some(Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        // A real and any other number are compared and computed as doubles.
        (Float32, other) if is_number(other) && *other != Float32 => Some(Float64),
        _ => None,
    };
    meet(left, right).or_else(|| meet(right, left))
}

/// A bare string.
pub(super) fn is_unknown(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(
            ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_)),
            _
        )
    )
}

/// Whether a bare string takes this type from its neighbour.
pub(super) fn gives_type(ty: &DataType) -> bool {
    is_number(ty)
        || is_span(ty)
        || is_moment(ty)
        || is_time(ty)
        || matches!(
            ty,
            DataType::Boolean
                | DataType::Binary
                | DataType::FixedSizeBinary(16)
                | DataType::List(_)
        )
}

fn is_number(ty: &DataType) -> bool {
    ty.is_numeric()
}

fn is_span(ty: &DataType) -> bool {
    matches!(ty, DataType::Interval(_) | DataType::Duration(_))
}

fn is_moment(ty: &DataType) -> bool {
    matches!(ty, DataType::Date32 | DataType::Timestamp(..))
}

fn is_time(ty: &DataType) -> bool {
    matches!(ty, DataType::Time64(_))
}

/// A bare string as the decimal that it spells, with as many digits.
fn number(expr: &Expr) -> Option<ScalarValue> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) = expr
    else {
        return None;
    };
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = whole.strip_prefix('-').unwrap_or(whole);
    let digits = unsigned.len() + fraction.len();
    if !is_digits(unsigned) || !is_digits(fraction) || !(1..=38).contains(&digits) {
        return None;
    }
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some(ScalarValue::Decimal128(
        Some(value),
        digits as u8,
        fraction.len() as i8,
    ))
}

fn field(expr: &Expr, schema: &DFSchema) -> Result<FieldRef> {
    expr.to_field(schema).map(|(_, field)| field)
}

fn nullable(ty: DataType) -> FieldRef {
    Arc::new(Field::new("", ty, true))
}

pub(super) fn as_type(expr: Expr, target: FieldRef) -> Expr {
    Expr::Cast(Cast::new_from_field(Box::new(expr), target))
}

fn cast(expr: Expr, own: &FieldRef, ty: &DataType) -> Expr {
    if own.data_type() == ty {
        return expr;
    }
    as_type(expr, nullable(ty.clone()))
}

fn span(expr: Expr, own: &FieldRef) -> Expr {
    cast(expr, own, &INTERVAL)
}

fn double(expr: Expr, own: &FieldRef) -> Expr {
    cast(expr, own, &DataType::Float64)
}
