//! `interval * number`, `interval / number` and the order of intervals, which DataFusion's operators
//! do not have.
//!
//! As `interval_mul` of PostgreSQL: the fraction of a month becomes days of 30 a month, the
//! fraction of a day becomes time. As `interval_cmp`: a month is 30 days, a day 24 hours.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, AsArray, Decimal128Array, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::columns::evaluate;
use super::fault;
use crate::error::SqlState;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DAY_US: f64 = 86_400e6;

static MULTIPLY: LazyLock<ScalarUDF> = LazyLock::new(|| ScalarUDF::from(Scale::multiply()));
static DIVIDE: LazyLock<ScalarUDF> = LazyLock::new(|| ScalarUDF::from(Scale::divide()));
static ORDER: LazyLock<ScalarUDF> = LazyLock::new(|| ScalarUDF::from(Order::new()));

/// `interval * number`
pub(crate) fn interval_multiply(interval: Expr, number: Expr) -> Expr {
    MULTIPLY.call(vec![interval, number])
}

/// `interval / number`
pub(crate) fn interval_divide(interval: Expr, number: Expr) -> Expr {
    DIVIDE.call(vec![interval, number])
}

/// The number by which intervals are compared.
pub(crate) fn interval_order(interval: Expr) -> Expr {
    ORDER.call(vec![interval])
}

/// The number by which intervals are compared: microseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Order {
    signature: Signature,
}

impl Order {
    fn new() -> Self {
        Order {
            signature: Signature::exact(vec![INTERVAL], Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Order {
    fn name(&self) -> &str {
        "interval_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(38, 0))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&args, |columns, _| {
            let intervals = columns[0].as_primitive::<IntervalMonthDayNanoType>();
            let out: Decimal128Array = intervals.unary(microseconds);
            Ok(Arc::new(out.with_precision_and_scale(38, 0)?))
        })
    }
}

/// The length of an interval, its months of 30 days.
pub(super) fn microseconds(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * DAY_US as i128 + i128::from(interval.nanoseconds / 1000)
}

/// One of the two.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Scale {
    divides: bool,
    signature: Signature,
}

impl Scale {
    pub(super) fn multiply() -> Self {
        Self::new(false)
    }

    pub(super) fn divide() -> Self {
        Self::new(true)
    }

    fn new(divides: bool) -> Self {
        let signature = Signature::exact(vec![INTERVAL, DataType::Float64], Volatility::Immutable);
        Scale { divides, signature }
    }
}

impl ScalarUDFImpl for Scale {
    fn name(&self) -> &str {
        if self.divides {
            "interval_divide"
        } else {
            "interval_multiply"
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&args, |columns, rows| {
            let intervals = columns[0].as_primitive::<IntervalMonthDayNanoType>();
            let factors = columns[1].as_primitive::<Float64Type>();
            let mut out = IntervalMonthDayNanoArray::builder(rows);
            for row in 0..rows {
                if intervals.is_null(row) || factors.is_null(row) {
                    out.append_null();
                    continue;
                }
                let (interval, factor) = (intervals.value(row), factors.value(row));
                out.append_value(if !self.divides {
                    scale(interval, |part| part * factor)?
                } else if factor == 0.0 {
                    return Err(fault(SqlState::DIVISION_BY_ZERO, "division by zero"));
                } else {
                    scale(interval, |part| part / factor)?
                });
            }
            Ok(Arc::new(out.finish()))
        })
    }
}

fn scale(interval: IntervalMonthDayNano, by: impl Fn(f64) -> f64) -> Result<IntervalMonthDayNano> {
    let out_of_range = || fault(SqlState::DATETIME_OVERFLOW, "interval out of range");
    let whole = |value: f64| -> Result<i32> {
        let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value);
        if fits {
            Ok(value as i32)
        } else {
            Err(out_of_range())
        }
    };
    // To the microsecond, as PostgreSQL rounds fractions on the way.
    let round = |seconds: f64| (seconds * 1e6).round() / 1e6;
    let (months, days) = (by(f64::from(interval.months)), by(f64::from(interval.days)));
    let mut out_days = whole(days.trunc())?;
    let month_days = round((months - months.trunc()) * 30.0);
    let mut day_us = round((days - days.trunc()) + (month_days - month_days.trunc())) * DAY_US;
    if day_us.abs() >= DAY_US {
        out_days += (day_us / DAY_US) as i32;
        day_us -= (day_us / DAY_US).trunc() * DAY_US;
    }
    out_days = out_days
        .checked_add(month_days as i32)
        .ok_or_else(out_of_range)?;
    let nanoseconds = by(interval.nanoseconds as f64) + day_us * 1e3;
    // To whole microseconds, as PostgreSQL keeps them.
    let nanoseconds = (nanoseconds / 1e3).round() * 1e3;
    if nanoseconds.is_nan() || nanoseconds.abs() >= i64::MAX as f64 {
        return Err(out_of_range());
    }
    Ok(IntervalMonthDayNano::new(
        whole(months.trunc())?,
        out_days,
        nanoseconds as i64,
    ))
}
