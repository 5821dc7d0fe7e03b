//! Functions of dates and times that DataFusion lacks, or counts in nanoseconds, which end in 2262.
//!
//! They belong to a session, because a timestamptz is shown in the session's zone. Local time and
//! instants are microseconds since 1970 here; the least and the greatest are -infinity and infinity.

mod age;
mod make;
mod parts;
mod series;
mod truncate;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::ScalarUDF;

use super::fault;
use super::timezone::{instant, local};
use crate::error::SqlState;
use crate::types::calendar::{DAY_US, civil_from_days, days_from_civil, days_of_month};
use crate::types::{FormatSettings, Zone};

pub(crate) use series::Series;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// All of them, for one session.
pub(crate) fn functions(settings: &FormatSettings) -> Vec<Arc<ScalarUDF>> {
    let mut functions = vec![
        ScalarUDF::from(truncate::DateTrunc::new(settings.time_zone.clone())),
        ScalarUDF::from(parts::DatePart::as_numeric(settings.time_zone.clone())),
        ScalarUDF::from(parts::DatePart::as_double(settings.time_zone.clone())),
    ];
    functions.extend(age::functions(settings));
    functions.extend(make::functions(settings));
    functions.into_iter().map(Arc::new).collect()
}

/// `timestamptz` of a session in this zone.
fn timestamptz(zone: &Zone) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(zone.to_string().into()))
}

/// A local time in its parts; years are astronomical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    us: i64,
}

impl Civil {
    fn of(time: i64) -> Civil {
        let (year, month, day) = civil_from_days(time.div_euclid(DAY_US));
        Civil {
            year,
            month,
            day,
            us: time.rem_euclid(DAY_US),
        }
    }

    fn time(self) -> Option<i64> {
        days_from_civil(self.year, self.month, self.day)
            .checked_mul(DAY_US)?
            .checked_add(self.us)
    }

    /// The same day some months later, or the last of a month that is shorter.
    fn plus_months(self, months: i32) -> Civil {
        let month = self.year * 12 + i64::from(self.month) - 1 + i64::from(months);
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) as u32 + 1);
        Civil {
            year,
            month,
            day: self.day.min(days_of_month(year, month)),
            us: self.us,
        }
    }
}

fn is_infinite(time: i64) -> bool {
    matches!(time, i64::MIN | i64::MAX)
}

/// A time and an interval: months and days by the clock of the zone, hours as they pass.
fn plus(time: i64, interval: IntervalMonthDayNano, zone: Option<&Zone>) -> Result<i64> {
    if is_infinite(time) {
        return Ok(time);
    }
    let mut sum = time;
    if interval.months != 0 || interval.days != 0 {
        let shown = zone.map_or(sum, |zone| local(zone, sum));
        let moved = Civil::of(shown).plus_months(interval.months).time();
        let days = i64::from(interval.days) * DAY_US;
        let moved = moved
            .and_then(|moved| moved.checked_add(days))
            .ok_or_else(out_of_range)?;
        sum = zone.map_or(moved, |zone| instant(zone, moved));
    }
    sum.checked_add(interval.nanoseconds / 1000)
        .filter(|sum| !is_infinite(*sum))
        .ok_or_else(out_of_range)
}

fn out_of_range() -> DataFusionError {
    fault(SqlState::DATETIME_OVERFLOW, "timestamp out of range")
}

fn interval_out_of_range() -> DataFusionError {
    fault(SqlState::DATETIME_OVERFLOW, "interval out of range")
}

/// What functions say of a unit that they do not know.
fn not_recognized(unit: &str, ty: &str) -> DataFusionError {
    fault(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unit \"{unit}\" not recognized for type {ty}"),
    )
}

fn not_supported(unit: &str, ty: &str) -> DataFusionError {
    fault(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("unit \"{unit}\" not supported for type {ty}"),
    )
}

/// A unit of `date_trunc` and `extract`, in any spelling that PostgreSQL knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    fn of(word: &str) -> Option<Unit> {
        Some(match word.to_ascii_lowercase().as_str() {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds" => {
                Unit::Microsecond
            }
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds" => {
                Unit::Millisecond
            }
            "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
            "d" | "day" | "days" => Unit::Day,
            "w" | "week" | "weeks" => Unit::Week,
            "mon" | "mons" | "month" | "months" => Unit::Month,
            "qtr" | "quarter" | "quarters" => Unit::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
            "dec" | "decs" | "decade" | "decades" => Unit::Decade,
            "c" | "cent" | "century" | "centuries" => Unit::Century,
            "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
            _ => return None,
        })
    }
}
