//! `interval * number` and `interval / number`, which DataFusion's operators do not have.
//!
//! As `interval_mul` of PostgreSQL: the fraction of a month becomes days of 30 a month, the
//! fraction of a day becomes time.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, IntervalMonthDayNanoArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::fault;
use crate::error::SqlState;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DAY_US: f64 = 86_400e6;

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
        let scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let intervals = cast(&args.args[0].clone().into_array(rows)?, &INTERVAL)?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let factors = cast(&args.args[1].clone().into_array(rows)?, &DataType::Float64)?;
        let factors = factors.as_primitive::<Float64Type>();
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
        let out = Arc::new(out.finish()) as _;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
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
