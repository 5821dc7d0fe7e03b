//! Quarters of an hour: what the buckets of all time zones are made of.
//!
//! Where each row tells its zone, as a merchant does, no bucket is the same for all. Partials are
//! then kept by a slot of which every zone's bucket is a whole number: the quarter of an hour. All
//! zones of the time-zone database have been whole quarters from UTC since 2012, and have changed at
//! one, but for three changes of one zone a minute after midnight. Before there were more of these, and before
//! 1972 there were offsets of seconds. The slots of those times are as short.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::{Result, cast::as_string_array};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{SqlError, SqlState};
use crate::functions::Width;
use crate::types::Zone;

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const QUARTER_US: i64 = 15 * MINUTE_US;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
/// From here on all zones are whole minutes from UTC: 1972-01-08.
const WHOLE_MINUTES_US: i64 = 737 * DAY_US;
/// From here on all zones are whole quarters from UTC, and change at one: 2012-01-01.
const WHOLE_QUARTERS_US: i64 = 15_340 * DAY_US;
/// But in the quarters that begin here: Antarctica/Casey, in October of 2020, 2021 and 2022.
const SPLIT_US: [i64; 3] = [
    1_601_740_800 * SECOND_US,
    1_633_190_400 * SECOND_US,
    1_664_640_000 * SECOND_US,
];

/// The first microsecond of the slot of a time.
fn quarter(time: i64) -> i64 {
    let width = match time {
        i64::MIN | i64::MAX => return time,
        time if time >= WHOLE_QUARTERS_US => {
            let start = time - time.rem_euclid(QUARTER_US);
            return match SPLIT_US.contains(&start) {
                true => time - time.rem_euclid(MINUTE_US),
                false => start,
            };
        }
        time if time >= WHOLE_MINUTES_US => MINUTE_US,
        _ => SECOND_US,
    };
    // Before the first whole second of all there is nothing.
    time.checked_sub(time.rem_euclid(width)).unwrap_or(time)
}

/// Whether buckets of a width are whole quarters.
pub(super) fn divide(width: Width) -> bool {
    match width {
        Width::Fixed(us) => us % QUARTER_US == 0,
        Width::Months(_) => true,
    }
}

/// The slot of a time.
pub(super) fn of(time: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(Quarters::new(Step::Divide).into()));
    FUNCTION.call(vec![time])
}

/// A slot that is to be divided in a zone: an error where that cannot be done.
pub(super) fn in_zone(slot: Expr, zone: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(Quarters::new(Step::CheckZone).into()));
    FUNCTION.call(vec![slot, zone])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Divide,
    CheckZone,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quarters {
    step: Step,
    signature: Signature,
}

impl Quarters {
    fn new(step: Step) -> Self {
        let arguments = match step {
            Step::Divide => 1,
            Step::CheckZone => 2,
        };
        Quarters {
            step,
            signature: Signature::any(arguments, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Quarters {
    fn name(&self) -> &str {
        match self.step {
            Step::Divide => "quarter_of_an_hour",
            Step::CheckZone => "quarter_in_zone",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = args.args[0].to_array(args.number_rows)?;
        if self.step == Step::CheckZone {
            let rows = match &args.args[1] {
                ColumnarValue::Scalar(_) => 1,
                ColumnarValue::Array(_) => args.number_rows,
            };
            check(&args.args[1].to_array(rows)?)?;
            return Ok(ColumnarValue::Array(times));
        }
        let slots: TimestampMicrosecondArray = times
            .as_primitive::<TimestampMicrosecondType>()
            .unary(quarter);
        let zone = match times.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        Ok(ColumnarValue::Array(Arc::new(
            slots.with_timezone_opt(zone),
        )))
    }
}

/// Refuses zones that are one offset which is no whole quarter. What is no zone at all,
/// `time_bucket` tells.
fn check(zones: &ArrayRef) -> Result<()> {
    let zones = arrow::compute::cast(zones, &DataType::Utf8)?;
    let mut last = None;
    for zone in as_string_array(&zones)?.iter().flatten() {
        if last == Some(zone) {
            continue;
        }
        last = Some(zone);
        let Some(Zone::Fixed { east_s, .. }) = Zone::parse(zone) else {
            continue;
        };
        if i64::from(east_s) * SECOND_US % QUARTER_US != 0 {
            let message = format!("time zone \"{zone}\" is no whole quarter of an hour from UTC");
            let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .with_detail("A continuous aggregate keeps quarters of an hour for zones that are told by a column.");
            return Err(DataFusionError::External(Box::new(error)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every zone is whole quarters from UTC, and changes at one, and before 2012 whole minutes.
    #[test]
    fn no_zone_divides_a_slot() {
        const LAST_S: i64 = 68 * 31_557_600;
        const STEP_S: i64 = 21 * 86_400;
        for tz in chrono_tz::TZ_VARIANTS {
            let zone = Zone::Named(tz);
            let fits = |second: i64, what: i64| {
                let us = second * SECOND_US;
                let is_split = SPLIT_US.contains(&(us - us.rem_euclid(QUARTER_US)));
                let is_new = us >= WHOLE_QUARTERS_US && !is_split;
                let width = if is_new { QUARTER_US } else { MINUTE_US };
                assert_eq!(what * SECOND_US % width, 0, "{tz} at {second}");
            };
            let mut second = WHOLE_MINUTES_US / SECOND_US;
            let mut offset = zone.offset_at(second);
            while second < LAST_S {
                fits(second, i64::from(offset));
                let next = zone.offset_at(second + STEP_S);
                if next != offset {
                    let (mut before, mut after) = (second, second + STEP_S);
                    while after - before > 1 {
                        let middle = before.midpoint(after);
                        match zone.offset_at(middle) == offset {
                            true => before = middle,
                            false => after = middle,
                        }
                    }
                    fits(after, after);
                }
                second += STEP_S;
                offset = next;
            }
        }
    }

    #[test]
    fn slots_begin_where_they_should() {
        assert_eq!(
            quarter(WHOLE_QUARTERS_US + QUARTER_US + 1),
            WHOLE_QUARTERS_US + QUARTER_US
        );
        assert_eq!(
            quarter(WHOLE_MINUTES_US + MINUTE_US + 7),
            WHOLE_MINUTES_US + MINUTE_US
        );
        assert_eq!(quarter(-1), -SECOND_US);
        assert_eq!(quarter(i64::MIN), i64::MIN);
        assert_eq!(quarter(i64::MAX), i64::MAX);
        assert_eq!(quarter(i64::MIN + 1), i64::MIN + 1);
    }
}
