//! The arithmetic of buckets.
//!
//! Buckets are counted from an origin: Monday 2000-01-03 for widths of days and times, 2000-01-01
//! for months. Times before the origin, and before 1970, are floored and not cut towards zero.
//! Source: TimescaleDB 2.x `src/time_bucket.c` and
//! <https://docs.timescale.com/api/latest/hyperfunctions/time_bucket/>.

use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta};
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::Result;

use crate::error::SqlState;
use crate::functions::{fault, timezone};
use crate::types::Zone;

/// Microseconds of a day.
pub(super) const DAY_US: i64 = 86_400_000_000;

/// Monday 2000-01-03, in microseconds since 1970.
const MONDAY_US: i64 = 10_959 * DAY_US;

/// The width of buckets, more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Microseconds; a day is 24 hours.
    Fixed(i64),
    /// Calendar months.
    Months(i32),
}

impl Width {
    /// The width that an interval is.
    pub fn of(interval: IntervalMonthDayNano) -> Result<Width> {
        let IntervalMonthDayNano {
            months,
            days,
            nanoseconds,
        } = interval;
        if months != 0 {
            if days != 0 || nanoseconds != 0 {
                return Err(fault(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "month intervals cannot have day or time component",
                ));
            }
            return if months > 0 {
                Ok(Width::Months(months))
            } else {
                Err(not_positive())
            };
        }
        // At most 2^31 days: no overflow.
        let width = i64::from(days) * DAY_US + nanoseconds / 1000;
        if width > 0 {
            Ok(Width::Fixed(width))
        } else {
            Err(not_positive())
        }
    }
}

pub(super) fn not_positive() -> datafusion::error::DataFusionError {
    fault(
        SqlState::INVALID_PARAMETER_VALUE,
        "period must be greater than 0",
    )
}

/// Everything about buckets but the time: what one call of `time_bucket` does to each row.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucketer {
    /// The width.
    pub width: Width,
    /// A time at which a bucket begins, in microseconds since 1970, local time where there is a zone.
    pub origin: Option<i64>,
    /// Moves all buckets.
    pub offset: Option<IntervalMonthDayNano>,
    /// Buckets follow the local time of this zone.
    pub zone: Option<Zone>,
}

impl Bucketer {
    /// Buckets of a width, from the usual origin.
    pub fn new(width: Width) -> Self {
        Bucketer {
            width,
            origin: None,
            offset: None,
            zone: None,
        }
    }

    /// The beginning of the bucket of a time; both in microseconds since 1970.
    pub fn bucket(&self, time: i64) -> Result<i64> {
        // -infinity and infinity.
        if matches!(time, i64::MIN | i64::MAX) {
            return Ok(time);
        }
        if self.offset.is_none() && self.zone.is_none() {
            return self.floor(time);
        }
        let mut local = self
            .zone
            .as_ref()
            .map_or(time, |zone| timezone::local(zone, time));
        if let Some(offset) = self.offset {
            local = shift(local, offset, -1)?;
        }
        let mut bucket = self.floor(local)?;
        if let Some(offset) = self.offset {
            bucket = shift(bucket, offset, 1)?;
        }
        let Some(zone) = &self.zone else {
            return Ok(bucket);
        };
        let mut bucket = timezone::instant(zone, bucket);
        if let Width::Fixed(width) = self.width {
            // The hour that a zone goes through twice: its local time stands for the second one.
            while bucket > time {
                bucket = bucket.checked_sub(width).ok_or_else(out_of_range)?;
            }
        }
        Ok(bucket)
    }

    /// The beginning of the bucket after one that begins here. Without offset.
    pub fn next(&self, bucket: i64) -> Result<i64> {
        match (self.width, &self.zone) {
            (Width::Fixed(width), None) => bucket.checked_add(width).ok_or_else(out_of_range),
            (Width::Fixed(width), Some(_)) => {
                // Where the zone's clock is put back, so much later may be the same bucket.
                let mut time = bucket;
                loop {
                    time = time.checked_add(width).ok_or_else(out_of_range)?;
                    let next = self.bucket(time)?;
                    if next > bucket {
                        return Ok(next);
                    }
                }
            }
            (Width::Months(months), zone) => {
                let step = IntervalMonthDayNano::new(months, 0, 0);
                match zone {
                    None => shift(bucket, step, 1),
                    Some(zone) => {
                        let local = shift(timezone::local(zone, bucket), step, 1)?;
                        Ok(timezone::instant(zone, local))
                    }
                }
            }
        }
    }

    /// Refuses a width that divides days, for dates.
    pub(super) fn check_days(&self) -> Result<()> {
        let Width::Fixed(us) = self.width else {
            return Ok(());
        };
        if us % DAY_US == 0 {
            return Ok(());
        }
        let message = match us < DAY_US {
            true => "interval must not have sub-day precision",
            false => "interval must be a multiple of a day",
        };
        Err(fault(SqlState::FEATURE_NOT_SUPPORTED, message))
    }

    fn floor(&self, time: i64) -> Result<i64> {
        match self.width {
            Width::Fixed(width) => floor(time, width, self.origin.unwrap_or(MONDAY_US)),
            Width::Months(months) => floor_months(time, months, self.origin),
        }
    }
}

/// The largest multiple of `width`, counted from `origin`, that is not after `value`.
pub(super) fn floor(value: i64, width: i64, origin: i64) -> Result<i64> {
    let origin = origin.rem_euclid(width);
    let steps = value
        .checked_sub(origin)
        .ok_or_else(out_of_range)?
        .div_euclid(width);
    steps
        .checked_mul(width)
        .and_then(|start| start.checked_add(origin))
        .ok_or_else(out_of_range)
}

/// The first day of a month, so many months at a time. Only the month of the origin counts.
fn floor_months(time: i64, months: i32, origin: Option<i64>) -> Result<i64> {
    let origin = match origin {
        Some(origin) => month_of(origin)?,
        None => 2000 * 12,
    };
    let start = floor(month_of(time)?, i64::from(months), origin)?;
    let (year, month) = (start.div_euclid(12), start.rem_euclid(12));
    let date = i32::try_from(year)
        .ok()
        .and_then(|year| NaiveDate::from_ymd_opt(year, month as u32 + 1, 1))
        .ok_or_else(out_of_range)?;
    Ok(date
        .and_time(chrono::NaiveTime::MIN)
        .and_utc()
        .timestamp_micros())
}

/// Months since year 0.
fn month_of(time: i64) -> Result<i64> {
    let date = DateTime::from_timestamp_micros(time).ok_or_else(out_of_range)?;
    Ok(i64::from(date.year()) * 12 + i64::from(date.month0()))
}

/// A time and an interval, added (`1`) or subtracted (`-1`): months first, as PostgreSQL does.
fn shift(time: i64, interval: IntervalMonthDayNano, sign: i64) -> Result<i64> {
    let mut date = DateTime::from_timestamp_micros(time).ok_or_else(out_of_range)?;
    let months = i64::from(interval.months) * sign;
    let step = Months::new(months.unsigned_abs() as u32);
    date = match months {
        1.. => date.checked_add_months(step),
        0 => Some(date),
        _ => date.checked_sub_months(step),
    }
    .ok_or_else(out_of_range)?;
    let rest = i64::from(interval.days) * DAY_US + interval.nanoseconds / 1000;
    date.checked_add_signed(TimeDelta::microseconds(rest * sign))
        .map(|date| date.timestamp_micros())
        .ok_or_else(out_of_range)
}

pub(super) fn out_of_range() -> datafusion::error::DataFusionError {
    fault(SqlState::NUMERIC_OUT_OF_RANGE, "timestamp out of range")
}
