//! `make_timestamp`, `make_timestamptz`, `make_interval`, `to_timestamp(seconds)`: times out of numbers.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, IntervalMonthDayNanoArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int32Type, IntervalMonthDayNano};
use datafusion::common::{Result, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{
    Civil, INTERVAL, TIMESTAMP, instant, interval_out_of_range, is_infinite, out_of_range,
    timestamptz,
};
use crate::error::SqlState;
use crate::functions::columns::{any_null, evaluate};
use crate::functions::{fault, timezone};
use crate::types::calendar::days_of_month;
use crate::types::{FormatSettings, Zone};

/// The functions of one session.
pub(super) fn functions(settings: &FormatSettings) -> Vec<ScalarUDF> {
    let of = |name| {
        ScalarUDF::from(Make {
            name,
            zone: settings.time_zone.clone(),
            signature: Signature::user_defined(Volatility::Immutable),
        })
    };
    vec![
        of(Name::Timestamp),
        of(Name::Timestamptz),
        of(Name::Interval),
        of(Name::ToTimestamp),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    Timestamp,
    Timestamptz,
    Interval,
    ToTimestamp,
}

#[derive(Debug)]
struct Make {
    name: Name,
    zone: Zone,
    signature: Signature,
}

impl PartialEq for Make {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.zone == other.zone
    }
}

impl Eq for Make {}

impl std::hash::Hash for Make {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Make {
    fn name(&self) -> &str {
        match self.name {
            Name::Timestamp => "make_timestamp",
            Name::Timestamptz => "make_timestamptz",
            Name::Interval => "make_interval",
            Name::ToTimestamp => "to_timestamp",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_number = |ty: &DataType| ty.is_numeric() || ty.is_null();
        let mut coerced = vec![DataType::Int32; types.len()];
        let (seconds, fits) = match self.name {
            Name::Timestamp => (5, types.len() == 6),
            Name::Timestamptz => (5, matches!(types.len(), 6 | 7)),
            Name::Interval => (6, types.len() <= 7),
            Name::ToTimestamp => (0, types.len() == 1),
        };
        if !fits || !types.iter().take(seconds + 1).all(is_number) {
            return plan_err!("function '{}' expects other arguments", self.name());
        }
        if let Some(ty) = coerced.get_mut(seconds) {
            *ty = DataType::Float64;
        }
        if self.name == Name::Timestamptz && types.len() == 7 {
            coerced[6] = DataType::Utf8;
        }
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.name {
            Name::Timestamp => TIMESTAMP,
            Name::Timestamptz | Name::ToTimestamp => timestamptz(&self.zone),
            Name::Interval => INTERVAL,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&args, |columns, rows| match self.name {
            Name::Interval => intervals(columns, rows),
            _ => self.times(columns, rows),
        })
    }
}

impl Make {
    fn times(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let mut out = TimestampMicrosecondArray::builder(rows);
        for row in 0..rows {
            if any_null(columns, row) {
                out.append_null();
                continue;
            }
            let time = match self.name {
                Name::ToTimestamp => of_epoch(columns[0].as_primitive::<Float64Type>().value(row))?,
                _ => self.local_or_instant(columns, row)?,
            };
            out.append_value(time);
        }
        let out = out.finish();
        Ok(match self.name {
            Name::Timestamp => Arc::new(out),
            _ => Arc::new(out.with_timezone(self.zone.to_string())),
        })
    }

    fn local_or_instant(&self, columns: &[ArrayRef], row: usize) -> Result<i64> {
        let number = |index: usize| columns[index].as_primitive::<Int32Type>().value(row);
        let date = (number(0), number(1), number(2));
        let seconds = columns[5].as_primitive::<Float64Type>().value(row);
        let local = of_day(date)?
            .checked_add(of_clock(number(3), number(4), seconds)?)
            .ok_or_else(out_of_range)?;
        Ok(match (self.name, columns.get(6)) {
            (Name::Timestamp, _) => local,
            (_, None) => instant(&self.zone, local),
            (_, Some(zones)) => {
                instant(&timezone::zone(zones.as_string::<i32>().value(row))?, local)
            }
        })
    }
}

/// The beginning of a day; a negative year is one before Christ.
fn of_day((year, month, day): (i32, i32, i32)) -> Result<i64> {
    let fault = || {
        out_of_field(format!(
            "date field value out of range: {year}-{month:02}-{day:02}"
        ))
    };
    let astronomical = match year {
        0 => return Err(fault()),
        year if year < 0 => i64::from(year) + 1,
        year => i64::from(year),
    };
    let (Ok(month), Ok(day)) = (u32::try_from(month), u32::try_from(day)) else {
        return Err(fault());
    };
    let fits = (1..=12).contains(&month) && (1..=days_of_month(astronomical, month)).contains(&day);
    if !fits {
        return Err(fault());
    }
    let start = Civil {
        year: astronomical,
        month,
        day,
        us: 0,
    };
    start.time().ok_or_else(out_of_range)
}

fn of_clock(hour: i32, minute: i32, seconds: f64) -> Result<i64> {
    // 24:00:00 and second 60 are read, as in text.
    let fits = (0..=24).contains(&hour)
        && (0..=59).contains(&minute)
        && (0.0..=60.0).contains(&seconds)
        && (hour < 24 || (minute == 0 && seconds == 0.0));
    if !fits {
        return Err(out_of_field(format!(
            "time field value out of range: {hour}:{minute:02}:{seconds:02}"
        )));
    }
    let minutes = i64::from(hour) * 60 + i64::from(minute);
    Ok(minutes * 60_000_000 + (seconds * 1e6).round_ties_even() as i64)
}

fn out_of_field(message: String) -> DataFusionError {
    fault(SqlState::DATETIME_OVERFLOW, message)
}

/// Seconds since 1970.
fn of_epoch(seconds: f64) -> Result<i64> {
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 { i64::MAX } else { i64::MIN });
    }
    let us = (seconds * 1e6).round_ties_even();
    if us.is_nan() {
        return Err(fault(
            SqlState::DATETIME_OVERFLOW,
            "timestamp cannot be NaN",
        ));
    }
    let us = us as i64;
    if is_infinite(us) {
        return Err(fault(
            SqlState::DATETIME_OVERFLOW,
            format!("timestamp out of range: \"{seconds}\""),
        ));
    }
    Ok(us)
}

/// Years, months, weeks, days, hours, minutes, seconds; what is not given is none.
fn intervals(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let mut out = IntervalMonthDayNanoArray::builder(rows);
    for row in 0..rows {
        if any_null(columns, row) {
            out.append_null();
            continue;
        }
        let number = |index: usize| {
            let column = columns.get(index);
            column.map_or(0, |c| i64::from(c.as_primitive::<Int32Type>().value(row)))
        };
        let seconds = columns
            .get(6)
            .map_or(0.0, |c| c.as_primitive::<Float64Type>().value(row));
        let months = number(0) * 12 + number(1);
        let days = number(2) * 7 + number(3);
        let us = (number(4) * 60 + number(5)) * 60_000_000;
        let us = us as f64 + (seconds * 1e6).round_ties_even();
        let (Ok(months), Ok(days)) = (i32::try_from(months), i32::try_from(days)) else {
            return Err(interval_out_of_range());
        };
        if us.is_nan() || us.abs() >= (i64::MAX / 1000) as f64 {
            return Err(interval_out_of_range());
        }
        out.append_value(IntervalMonthDayNano::new(months, days, us as i64 * 1000));
    }
    Ok(Arc::new(out.finish()))
}
