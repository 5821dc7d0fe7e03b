//! Casts between dates, times and intervals. Microseconds since 1970 throughout; the least and
//! the greatest value are -infinity and infinity and stay so.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Date32Array, IntervalMonthDayNanoArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    Date32Type, DurationMicrosecondType, IntervalMonthDayNano, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType,
};

use crate::error::{Result, SqlError, SqlState};
use crate::functions::timezone::{instant, local};
use crate::types::Zone;
use crate::types::calendar::DAY_US;

/// The moment at which a day begins. None if no timestamp can tell it.
pub(super) fn midnight(day: i32, zone: Option<&Zone>) -> Option<i64> {
    match day {
        i32::MIN => Some(i64::MIN),
        i32::MAX => Some(i64::MAX),
        day => {
            let local = i64::from(day).checked_mul(DAY_US)?;
            Some(zone.map_or(local, |zone| instant(zone, local)))
        }
    }
}

pub(super) fn date_to_timestamp(values: &ArrayRef, zone: Option<&Zone>) -> Result<ArrayRef> {
    let days = values.as_primitive::<Date32Type>();
    let out: TimestampMicrosecondArray = days.try_unary(|day| {
        midnight(day, zone).ok_or_else(|| {
            SqlError::new(
                SqlState::DATETIME_OVERFLOW,
                "date out of range for timestamp",
            )
        })
    })?;
    Ok(zoned(out, zone))
}

pub(super) fn timestamp_to_date(values: &ArrayRef, zone: Option<&Zone>) -> ArrayRef {
    let times = values.as_primitive::<TimestampMicrosecondType>();
    let out: Date32Array = times.unary(|time| match time {
        i64::MIN => i32::MIN,
        i64::MAX => i32::MAX,
        // Days of all timestamps fit.
        time => seen(time, zone).div_euclid(DAY_US) as i32,
    });
    Arc::new(out)
}

pub(super) fn timestamp_to_time(values: &ArrayRef, zone: Option<&Zone>) -> ArrayRef {
    let times = values.as_primitive::<TimestampMicrosecondType>();
    let out: Time64MicrosecondArray = times.unary_opt(|time| match time {
        i64::MIN | i64::MAX => None,
        time => Some(seen(time, zone).rem_euclid(DAY_US)),
    });
    Arc::new(out)
}

pub(super) fn to_instant(values: &ArrayRef, zone: &Zone) -> ArrayRef {
    let times = values.as_primitive::<TimestampMicrosecondType>();
    let out: TimestampMicrosecondArray = times.unary(|time| match time {
        i64::MIN | i64::MAX => time,
        time => instant(zone, time),
    });
    zoned(out, Some(zone))
}

pub(super) fn to_local(values: &ArrayRef, zone: &Zone) -> ArrayRef {
    let times = values.as_primitive::<TimestampMicrosecondType>();
    let out: TimestampMicrosecondArray = times.unary(|time| match time {
        i64::MIN | i64::MAX => time,
        time => local(zone, time),
    });
    zoned(out, None)
}

pub(super) fn time_to_interval(values: &ArrayRef) -> ArrayRef {
    let times = values.as_primitive::<Time64MicrosecondType>();
    let out: IntervalMonthDayNanoArray =
        times.unary(|time| IntervalMonthDayNano::new(0, 0, time * 1000));
    Arc::new(out)
}

pub(super) fn interval_to_time(values: &ArrayRef) -> ArrayRef {
    let intervals = values.as_primitive::<IntervalMonthDayNanoType>();
    let out: Time64MicrosecondArray =
        intervals.unary(|interval| (interval.nanoseconds / 1000).rem_euclid(DAY_US));
    Arc::new(out)
}

/// A difference of times, with its whole days apart.
pub(super) fn duration_to_interval(values: &ArrayRef) -> Result<ArrayRef> {
    let durations = values.as_primitive::<DurationMicrosecondType>();
    let out: IntervalMonthDayNanoArray = durations.try_unary(|us| {
        let days = i32::try_from(us / DAY_US)
            .map_err(|_| SqlError::new(SqlState::DATETIME_OVERFLOW, "interval out of range"))?;
        Ok::<_, SqlError>(IntervalMonthDayNano::new(0, days, us % DAY_US * 1000))
    })?;
    Ok(Arc::new(out))
}

/// What a clock of the zone shows.
fn seen(time: i64, zone: Option<&Zone>) -> i64 {
    zone.map_or(time, |zone| local(zone, time))
}

fn zoned(times: TimestampMicrosecondArray, zone: Option<&Zone>) -> ArrayRef {
    // `unary` gives the type without a zone, and the caller wants the session's.
    Arc::new(match zone {
        Some(_) => times.with_timezone("UTC"),
        None => times,
    })
}
