//! The buckets of a range, one after the other, as `time_bucket_gapfill` asks for them.
//!
//! Times are *ticks*: microseconds since 1970 of a timestamp, days since 1970 of a date, numbers as
//! they are.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};

use super::bucket::{Bucketer, DAY_US, Width, floor};
use super::{day_to_us, us_to_day};
use crate::error::SqlState;
use crate::functions::{fault, timezone};

/// What one call does to each time.
#[derive(Debug)]
pub(crate) enum Steps {
    /// Numbers, so many to a bucket.
    Numbers(i64),
    /// Timestamps.
    Times(Bucketer),
    /// Dates.
    Dates(Bucketer),
}

impl Steps {
    /// The buckets of values of a type. A width of numbers has their type, one of times is an
    /// interval.
    ///
    /// # Errors
    /// 22023 when the width is NULL or not positive, or the zone is unknown; 0A000 when a width has
    /// parts that do not go together.
    pub(crate) fn new(width: &ScalarValue, zone: Option<&str>, ty: &DataType) -> Result<Steps> {
        let invalid = |what: &str| {
            let message = format!("invalid time_bucket_gapfill argument: bucket_width {what}");
            fault(SqlState::INVALID_PARAMETER_VALUE, message)
        };
        if width.is_null() {
            return Err(invalid("cannot be NULL"));
        }
        let ScalarValue::IntervalMonthDayNano(Some(interval)) = width else {
            return match ticks(width) {
                Some(width) if width > 0 => Ok(Steps::Numbers(width)),
                _ => Err(invalid("must be greater than 0")),
            };
        };
        let parts = [
            i64::from(interval.months),
            i64::from(interval.days),
            interval.nanoseconds,
        ];
        if parts.iter().any(|&part| part < 0) || parts.iter().all(|&part| part == 0) {
            return Err(invalid("must be greater than 0"));
        }
        let mut bucketer = Bucketer::new(Width::of(*interval)?);
        bucketer.zone = zone.map(timezone::zone).transpose()?;
        if *ty == DataType::Date32 {
            bucketer.check_days()?;
            return Ok(Steps::Dates(bucketer));
        }
        Ok(Steps::Times(bucketer))
    }

    /// The beginning of the bucket of a time.
    pub(crate) fn bucket(&self, tick: i64) -> Result<i64> {
        match self {
            Steps::Numbers(width) => floor(tick, *width, 0),
            Steps::Times(bucketer) => bucketer.bucket(tick),
            Steps::Dates(bucketer) => {
                let bucket = bucketer.bucket(day_to_us(tick as i32)?)?;
                us_to_day(bucket).map(i64::from)
            }
        }
    }

    /// The beginning of the bucket after one that begins here; the greatest number of all for none.
    pub(crate) fn next(&self, bucket: i64) -> i64 {
        match self {
            Steps::Numbers(width) => bucket.saturating_add(*width),
            Steps::Times(bucketer) => bucketer.next(bucket).unwrap_or(i64::MAX),
            Steps::Dates(bucketer) => {
                let next = bucketer.next(bucket.saturating_mul(DAY_US));
                next.map_or(i64::MAX, |next| next.div_euclid(DAY_US))
            }
        }
    }

    /// The number of buckets from one time to another, or a little less.
    pub(crate) fn count(&self, from: i64, to: i64) -> u64 {
        /// The longest month.
        const MONTH_US: i128 = 31 * DAY_US as i128;
        let of = |bucketer: &Bucketer| match bucketer.width {
            Width::Fixed(us) => i128::from(us),
            Width::Months(months) => i128::from(months) * MONTH_US,
        };
        let (width, tick) = match self {
            Steps::Numbers(width) => (i128::from(*width), 1),
            Steps::Times(bucketer) => (of(bucketer), 1),
            Steps::Dates(bucketer) => (of(bucketer), i128::from(DAY_US)),
        };
        let span = (i128::from(to) - i128::from(from)) * tick;
        u64::try_from(span / width).unwrap_or(0)
    }
}

/// A time or number as ticks; none for NULL and other types.
pub(crate) fn ticks(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) | ScalarValue::Date32(value) => value.map(i64::from),
        ScalarValue::Int64(value) | ScalarValue::TimestampMicrosecond(value, _) => *value,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{IntervalMonthDayNano, TimeUnit};

    const HOUR_US: i64 = 3_600_000_000;

    fn steps(months: i32, days: i32, us: i64, zone: Option<&str>) -> Steps {
        let width = IntervalMonthDayNano::new(months, days, us * 1000);
        let width = ScalarValue::IntervalMonthDayNano(Some(width));
        let ty = DataType::Timestamp(TimeUnit::Microsecond, None);
        Steps::new(&width, zone, &ty).expect("a width")
    }

    /// Every step from one bucket leads to the bucket of the time just after it.
    #[test]
    fn each_step_is_a_bucket() {
        // 2024-03-01 and the year after it, through both changes of the clock.
        let (from, to) = (1_709_251_200_000_000, 1_740_787_200_000_000);
        let zones = [None, Some("Europe/Berlin"), Some("Australia/Lord_Howe")];
        for zone in zones {
            for (months, days, us) in [
                (1, 0, 0),
                (3, 0, 0),
                (0, 1, 0),
                (0, 7, 0),
                (0, 0, HOUR_US),
                (0, 0, HOUR_US / 2),
            ] {
                let steps = steps(months, days, us, zone);
                let mut bucket = steps.bucket(from).expect("a bucket");
                while bucket < to {
                    let next = steps.next(bucket);
                    assert!(next > bucket, "{steps:?} stands still at {bucket}");
                    assert_eq!(steps.bucket(bucket).ok(), Some(bucket), "{steps:?}");
                    assert_eq!(steps.bucket(next - 1).ok(), Some(bucket), "{steps:?}");
                    bucket = next;
                }
            }
        }
    }

    #[test]
    fn numbers_end_at_the_greatest() {
        let steps = Steps::new(&ScalarValue::Int64(Some(10)), None, &DataType::Int64);
        let steps = steps.expect("a width");
        assert_eq!(steps.bucket(-1).ok(), Some(-10));
        assert_eq!(steps.next(i64::MAX - 3), i64::MAX);
        assert_eq!(steps.count(0, 95), 9);
        assert_eq!(steps.count(95, 0), 0);
    }
}
