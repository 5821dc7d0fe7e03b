//! `date_trunc(unit, time [, zone])`.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::{
    Civil, INTERVAL, Unit, is_infinite, not_recognized, not_supported, out_of_range, timestamptz,
};
use crate::functions::columns::evaluate;
use crate::functions::timezone::{self, instant, local};
use crate::types::Zone;
use crate::types::calendar::{DAY_US, weekday};

/// The function, in a session's zone.
#[derive(Debug)]
pub(super) struct DateTrunc {
    zone: Zone,
    signature: Signature,
}

impl DateTrunc {
    pub(super) fn new(zone: Zone) -> Self {
        DateTrunc {
            zone,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl PartialEq for DateTrunc {
    fn eq(&self, other: &Self) -> bool {
        self.zone == other.zone
    }
}

impl Eq for DateTrunc {}

impl std::hash::Hash for DateTrunc {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        "date_trunc".hash(state);
    }
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        "date_trunc"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (time, has_zone) = match types {
            [_, time] => (time, false),
            [_, time, _] => (time, true),
            _ => return plan_err!("function 'date_trunc' expects 2 or 3 arguments"),
        };
        let time = match time {
            DataType::Timestamp(_, None) if !has_zone => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            DataType::Timestamp(_, Some(zone)) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone()))
            }
            DataType::Interval(_) | DataType::Duration(_) if !has_zone => INTERVAL,
            // Dates and bare strings are timestamptz, PostgreSQL's preferred type.
            DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Utf8
            | DataType::Utf8View
            | DataType::Null => timestamptz(&self.zone),
            other => return plan_err!("function 'date_trunc' has no argument of type {other}"),
        };
        let mut coerced = vec![DataType::Utf8, time];
        coerced.extend(has_zone.then_some(DataType::Utf8));
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[1].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let [
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(word))),
            ColumnarValue::Array(times),
        ] = &args.args[..]
            && let DataType::Timestamp(_, zone) = times.data_type()
        {
            let unit =
                Unit::of(word).ok_or_else(|| not_recognized(word, name_of(zone.is_some())))?;
            let in_zone = zone.as_ref().map(|_| &self.zone);
            let windows = Windows::new(unit, in_zone);
            let times = times.as_primitive::<TimestampMicrosecondType>();
            let out: TimestampMicrosecondArray = times.try_unary(|time| windows.start(time))?;
            return Ok(ColumnarValue::Array(Arc::new(
                out.with_timezone_opt(zone.clone()),
            )));
        }
        evaluate(&args, |columns, rows| {
            let units = columns[0].as_string::<i32>();
            let values = &columns[1];
            match values.data_type() {
                DataType::Interval(_) => of_intervals(units, values, rows),
                DataType::Timestamp(_, zone) => {
                    let zones = columns.get(2).map(|zones| zones.as_string::<i32>());
                    let is_zoned = zone.is_some();
                    let out = self.of_times(units, values, zones, is_zoned)?;
                    Ok(Arc::new(out.with_timezone_opt(zone.clone())) as ArrayRef)
                }
                other => plan_err!("date_trunc of {other}"),
            }
        })
    }

    /// A later time has no earlier beginning, where no clock is put back.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let is_plain = match inputs {
            [unit, time] => {
                let is_local = matches!(time.range.data_type(), DataType::Timestamp(_, None));
                unit.sort_properties == SortProperties::Singleton
                    && (is_local || self.zone.is_utc())
            }
            _ => false,
        };
        Ok(match is_plain {
            true => inputs[1].sort_properties,
            false => SortProperties::Unordered,
        })
    }

    /// `date_trunc('day', ts) = '2024-01-01'` is a range of `ts`, by which chunks can be skipped.
    fn preimage(&self, args: &[Expr], bound: &Expr, _: &SimplifyContext) -> Result<PreimageResult> {
        let [unit, time] = args else {
            return Ok(PreimageResult::None);
        };
        let (
            Some(ScalarValue::Utf8(Some(unit))),
            Some(ScalarValue::TimestampMicrosecond(Some(bound), zone)),
        ) = (unit.as_literal(), bound.as_literal())
        else {
            return Ok(PreimageResult::None);
        };
        let Some(unit) = Unit::of(unit).filter(|_| !is_infinite(*bound)) else {
            return Ok(PreimageResult::None);
        };
        let in_zone = zone.as_ref().map(|_| &self.zone);
        let end = next(unit, *bound, in_zone);
        let (Some(end), Ok(start)) = (end, truncated(unit, *bound, in_zone)) else {
            return Ok(PreimageResult::None);
        };
        if start != *bound {
            return Ok(PreimageResult::None);
        }
        let at = |us| ScalarValue::TimestampMicrosecond(Some(us), zone.clone());
        Ok(PreimageResult::Range {
            expr: time.clone(),
            interval: Box::new(Interval::try_new(at(start), at(end))?),
        })
    }
}

impl DateTrunc {
    fn of_times(
        &self,
        units: &StringArray,
        values: &ArrayRef,
        zones: Option<&StringArray>,
        is_zoned: bool,
    ) -> Result<TimestampMicrosecondArray> {
        let times = values.as_primitive::<TimestampMicrosecondType>();
        let ty = name_of(is_zoned);
        let mut out = TimestampMicrosecondArray::builder(times.len());
        let mut unit: Option<(&str, Unit)> = None;
        let mut named: Option<(&str, Zone)> = None;
        for row in 0..times.len() {
            let zone_is_null = zones.is_some_and(|zones| zones.is_null(row));
            if times.is_null(row) || units.is_null(row) || zone_is_null {
                out.append_null();
                continue;
            }
            let word = units.value(row);
            let unit = match unit {
                Some((known, unit)) if known == word => unit,
                _ => {
                    let found = Unit::of(word).ok_or_else(|| not_recognized(word, ty))?;
                    unit.insert((word, found)).1
                }
            };
            let zone = match zones.map(|zones| zones.value(row)) {
                None => is_zoned.then_some(&self.zone),
                Some(name) => Some(match &mut named {
                    Some((known, zone)) if *known == name => &*zone,
                    slot => &slot.insert((name, timezone::zone(name)?)).1,
                }),
            };
            let time = times.value(row);
            out.append_value(if is_infinite(time) {
                time
            } else {
                truncated(unit, time, zone)?
            });
        }
        Ok(out.finish())
    }
}

fn name_of(is_zoned: bool) -> &'static str {
    match is_zoned {
        true => "timestamp with time zone",
        false => "timestamp without time zone",
    }
}

/// Times truncated one after the other. Neighbours mostly begin alike.
struct Windows<'a> {
    unit: Unit,
    zone: Option<&'a Zone>,
    known: Cell<Window>,
}

/// Times from `from` to before `until`, which begin at `start`.
#[derive(Clone, Copy, Default)]
struct Window {
    from: i64,
    until: i64,
    start: i64,
}

impl<'a> Windows<'a> {
    fn new(unit: Unit, zone: Option<&'a Zone>) -> Self {
        Windows {
            unit,
            zone,
            known: Cell::default(),
        }
    }

    /// The beginning of the unit that a time lies in.
    fn start(&self, time: i64) -> Result<i64> {
        let Window { from, until, start } = self.known.get();
        if (from..until).contains(&time) {
            return Ok(start);
        }
        if is_infinite(time) {
            return Ok(time);
        }
        let start = truncated(self.unit, time, self.zone)?;
        if let Some((from, until)) = self.around(time) {
            self.known.set(Window { from, until, start });
        }
        Ok(start)
    }

    /// The unit of the clock or the day around a time, if the zone's clocks are not put forward or
    /// back within.
    fn around(&self, time: i64) -> Option<(i64, i64)> {
        let size = size(self.unit).unwrap_or(DAY_US);
        let offset = |time| self.zone.map_or(0, |zone| local(zone, time) - time);
        let shift = offset(time);
        let from = time.checked_sub(time.checked_add(shift)?.rem_euclid(size))?;
        let until = from.checked_add(size)?;
        (offset(from) == shift && offset(until - 1) == shift).then_some((from, until))
    }
}

/// The beginning of the unit that a time lies in.
fn truncated(unit: Unit, time: i64, zone: Option<&Zone>) -> Result<i64> {
    let shown = zone.map_or(time, |zone| local(zone, time));
    let start = beginning(unit, shown).ok_or_else(out_of_range)?;
    Ok(match (zone, size(unit)) {
        // Within a day no clock is asked again: the hour that comes twice has two beginnings.
        (Some(_), Some(_)) => time - (shown - start),
        (Some(zone), None) => instant(zone, start),
        (None, _) => start,
    })
}

/// The beginning of the unit after one that begins here.
fn next(unit: Unit, start: i64, zone: Option<&Zone>) -> Option<i64> {
    if let Some(size) = size(unit) {
        return start.checked_add(size);
    }
    let shown = zone.map_or(start, |zone| local(zone, start));
    let months = match unit {
        Unit::Month => 1,
        Unit::Quarter => 3,
        Unit::Year => 12,
        Unit::Decade => 120,
        Unit::Century => 1200,
        Unit::Millennium => 12_000,
        _ => 0,
    };
    let next = match unit {
        Unit::Day => shown.checked_add(DAY_US)?,
        Unit::Week => shown.checked_add(7 * DAY_US)?,
        _ => Civil::of(shown).plus_months(months).time()?,
    };
    Some(zone.map_or(next, |zone| instant(zone, next)))
}

/// Microseconds of a unit of the clock.
fn size(unit: Unit) -> Option<i64> {
    Some(match unit {
        Unit::Microsecond => 1,
        Unit::Millisecond => 1000,
        Unit::Second => 1_000_000,
        Unit::Minute => 60_000_000,
        Unit::Hour => 3_600_000_000,
        _ => return None,
    })
}

fn beginning(unit: Unit, local: i64) -> Option<i64> {
    if let Some(size) = size(unit) {
        return local.checked_sub(local.rem_euclid(size));
    }
    let day = local.div_euclid(DAY_US);
    let Civil { year, month, .. } = Civil::of(local);
    // Centuries and millennia begin with a year 1.
    let first = |years: i64| (year - 1).div_euclid(years) * years + 1;
    let (year, month) = match unit {
        Unit::Day => return day.checked_mul(DAY_US),
        Unit::Week => {
            let since_monday = (weekday(day) as i64 + 6) % 7;
            return (day - since_monday).checked_mul(DAY_US);
        }
        Unit::Month => (year, month),
        Unit::Quarter => (year, (month - 1) / 3 * 3 + 1),
        Unit::Decade => (year.div_euclid(10) * 10, 1),
        Unit::Century => (first(100), 1),
        Unit::Millennium => (first(1000), 1),
        _ => (year, 1),
    };
    let start = Civil {
        year,
        month,
        day: 1,
        us: 0,
    };
    start.time()
}

fn of_intervals(units: &StringArray, values: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    let values = values.as_primitive::<IntervalMonthDayNanoType>();
    let mut out = IntervalMonthDayNanoArray::builder(rows);
    for row in 0..rows {
        if values.is_null(row) || units.is_null(row) {
            out.append_null();
            continue;
        }
        let word = units.value(row);
        let unit = Unit::of(word).ok_or_else(|| not_recognized(word, "interval"))?;
        let value = values.value(row);
        let months = |size: i32| IntervalMonthDayNano::new(value.months / size * size, 0, 0);
        out.append_value(match unit {
            Unit::Week => return Err(not_supported(word, "interval")),
            Unit::Month => months(1),
            Unit::Quarter => months(3),
            Unit::Year => months(12),
            Unit::Decade => months(120),
            Unit::Century => months(1200),
            Unit::Millennium => months(12_000),
            unit => {
                let size = size(unit).unwrap_or(DAY_US) * 1000;
                let nanoseconds = match unit {
                    Unit::Day => 0,
                    _ => value.nanoseconds / size * size,
                };
                IntervalMonthDayNano::new(value.months, value.days, nanoseconds)
            }
        });
    }
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn neighbours_begin_as_each_alone(
            zone in prop::sample::select(vec![
                None,
                Some("UTC"),
                Some("America/New_York"),
                Some("Australia/Lord_Howe"),
                Some("Asia/Kathmandu"),
                Some("Africa/Casablanca"),
                Some("Pacific/Apia"),
            ]),
            unit in prop::sample::select(vec![
                "microsecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year",
                "decade", "century", "millennium",
            ]),
            start in -2_000_000_000_000_000_i64..4_000_000_000_000_000,
            steps in prop::collection::vec(-3_600_000_000_i64..3 * 3_600_000_000, 1..200),
        ) {
            let zone = zone.map(|name| timezone::zone(name).expect("a zone"));
            let unit = Unit::of(unit).expect("a unit");
            let windows = Windows::new(unit, zone.as_ref());
            let mut time = start;
            for step in steps {
                time += step;
                let alone = truncated(unit, time, zone.as_ref()).expect("in range");
                prop_assert_eq!(windows.start(time).expect("in range"), alone);
            }
        }
    }
}
