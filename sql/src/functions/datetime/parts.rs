//! `extract(field FROM value)`, a numeric, and `date_part(field, value)`, a double.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::{Civil, INTERVAL, Unit, is_infinite, not_recognized, not_supported, timestamptz};
use crate::error::SqlState;
use crate::functions::columns::evaluate;
use crate::functions::fault;
use crate::functions::timezone::local;
use crate::types::calendar::{DAY_US, days_from_civil, weekday};
use crate::types::{PgType, Zone};

/// One of the two, in a session's zone.
#[derive(Debug)]
pub(super) struct DatePart {
    is_extract: bool,
    zone: Zone,
    signature: Signature,
}

impl DatePart {
    pub(super) fn as_numeric(zone: Zone) -> Self {
        Self::new(true, zone)
    }

    pub(super) fn as_double(zone: Zone) -> Self {
        Self::new(false, zone)
    }

    fn new(is_extract: bool, zone: Zone) -> Self {
        DatePart {
            is_extract,
            zone,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl PartialEq for DatePart {
    fn eq(&self, other: &Self) -> bool {
        self.is_extract == other.is_extract && self.zone == other.zone
    }
}

impl Eq for DatePart {}

impl Hash for DatePart {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.is_extract.hash(state);
    }
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        match self.is_extract {
            true => "extract",
            false => "date_part",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, value] = types else {
            return plan_err!("function '{}' expects 2 arguments", self.name());
        };
        let value = match value {
            DataType::Timestamp(_, zone) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
            DataType::Date32 => DataType::Date32,
            DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
            DataType::Utf8 | DataType::Utf8View | DataType::Null => timestamptz(&self.zone),
            other => {
                return plan_err!("function '{}' has no argument of type {other}", self.name());
            }
        };
        Ok(vec![DataType::Utf8, value])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let ty = if self.is_extract {
            let field = match args.scalar_arguments.first() {
                Some(Some(ScalarValue::Utf8(Some(field)) | ScalarValue::Utf8View(Some(field)))) => {
                    Part::of(field)
                }
                _ => None,
            };
            let is_date = args
                .arg_fields
                .get(1)
                .is_some_and(|field| *field.data_type() == DataType::Date32);
            DataType::Decimal128(30, scale(field, is_date))
        } else {
            DataType::Float64
        };
        Ok(Arc::new(Field::new(self.name(), ty, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ty = args.return_field.data_type().clone();
        evaluate(&args, |columns, rows| {
            let fields = columns[0].as_string::<i32>();
            let values = Values::new(&columns[1], &self.zone)?;
            let mut parts = Vec::with_capacity(rows);
            let mut known: Option<(&str, Part)> = None;
            for row in 0..rows {
                if fields.is_null(row) || columns[1].is_null(row) {
                    parts.push(None);
                    continue;
                }
                let word = fields.value(row);
                let part = match known {
                    Some((same, part)) if same == word => part,
                    _ => {
                        let part =
                            Part::of(word).ok_or_else(|| not_recognized(word, values.name))?;
                        known.insert((word, part)).1
                    }
                };
                parts.push(values.part(part, word, row)?);
            }
            finished(parts, &ty)
        })
    }
}

/// A part of a value.
#[derive(Debug, Clone, Copy)]
enum Found {
    /// So many millionths.
    Micros(i128),
    /// What grows with the time, of an infinite one.
    Infinite { negative: bool },
}

fn finished(parts: Vec<Option<Found>>, ty: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = ty else {
        let doubles = parts.into_iter().map(|part| {
            part.map(|part| match part {
                Found::Micros(micros) if micros % 1_000_000 == 0 => (micros / 1_000_000) as f64,
                Found::Micros(micros) => micros as f64 / 1e6,
                Found::Infinite { negative: true } => f64::NEG_INFINITY,
                Found::Infinite { negative: false } => f64::INFINITY,
            })
        });
        return Ok(Arc::new(doubles.collect::<Float64Array>()));
    };
    let unit = 10_i128.pow(6 - u32::try_from(*scale).unwrap_or(0).min(6));
    let decimals = parts
        .into_iter()
        .map(|part| match part {
            None => Ok(None),
            Some(Found::Micros(micros)) => Ok(Some(micros / unit)),
            Some(Found::Infinite { .. }) => Err(fault(
                SqlState::FEATURE_NOT_SUPPORTED,
                "numeric value \"Infinity\" is not supported",
            )),
        })
        .collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(
        decimals.with_precision_and_scale(*precision, *scale)?,
    ))
}

/// A field of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Of(Unit),
    Dow,
    Isodow,
    Doy,
    Isoyear,
    Epoch,
    Zone,
    ZoneHour,
    ZoneMinute,
}

impl Part {
    fn of(word: &str) -> Option<Part> {
        Some(match word.to_ascii_lowercase().as_str() {
            "dow" => Part::Dow,
            "isodow" => Part::Isodow,
            "doy" => Part::Doy,
            "isoyear" => Part::Isoyear,
            "epoch" => Part::Epoch,
            "timezone" => Part::Zone,
            "timezone_hour" => Part::ZoneHour,
            "timezone_minute" => Part::ZoneMinute,
            other => Part::Of(Unit::of(other)?),
        })
    }
}

/// Digits after the point of what `extract` returns.
fn scale(part: Option<Part>, is_date: bool) -> i8 {
    match part {
        Some(Part::Epoch) if is_date => 0,
        Some(Part::Epoch | Part::Of(Unit::Second)) | None => 6,
        Some(Part::Of(Unit::Millisecond)) => 3,
        Some(_) => 0,
    }
}

/// A column whose parts are asked for.
struct Values<'a> {
    column: &'a ArrayRef,
    zone: Option<&'a Zone>,
    name: &'static str,
}

impl<'a> Values<'a> {
    fn new(column: &'a ArrayRef, zone: &'a Zone) -> Result<Self> {
        let is_zoned = matches!(column.data_type(), DataType::Timestamp(_, Some(_)));
        Ok(Values {
            column,
            zone: is_zoned.then_some(zone),
            name: PgType::of_arrow(column.data_type()).base_name(),
        })
    }

    fn part(&self, part: Part, word: &str, row: usize) -> Result<Option<Found>> {
        match self.column.data_type() {
            DataType::Timestamp(..) => {
                let time = self.column.as_primitive::<TimestampMicrosecondType>();
                self.of_time(part, word, time.value(row))
            }
            DataType::Date32 => {
                let time = match self.column.as_primitive::<Date32Type>().value(row) {
                    i32::MIN => i64::MIN,
                    i32::MAX => i64::MAX,
                    day => i64::from(day).saturating_mul(DAY_US),
                };
                let is_of_clock = matches!(
                    part,
                    Part::Of(
                        Unit::Microsecond
                            | Unit::Millisecond
                            | Unit::Second
                            | Unit::Minute
                            | Unit::Hour
                    )
                );
                if is_of_clock {
                    return Err(not_supported(word, self.name));
                }
                self.of_time(part, word, time)
            }
            DataType::Time64(_) => {
                let time = self.column.as_primitive::<Time64MicrosecondType>();
                self.of_clock(part, word, time.value(row))
            }
            _ => {
                let interval = self.column.as_primitive::<IntervalMonthDayNanoType>();
                self.of_interval(part, word, interval.value(row))
            }
        }
    }

    fn of_time(&self, part: Part, word: &str, time: i64) -> Result<Option<Found>> {
        if is_infinite(time) {
            let grows = matches!(
                part,
                Part::Epoch
                    | Part::Isoyear
                    | Part::Of(Unit::Year | Unit::Decade | Unit::Century | Unit::Millennium)
            );
            return Ok(grows.then_some(Found::Infinite {
                negative: time == i64::MIN,
            }));
        }
        let offset_us = match self.zone {
            Some(zone) => local(zone, time) - time,
            None => 0,
        };
        let shown = time + offset_us;
        let civil = Civil::of(shown);
        let day = shown.div_euclid(DAY_US);
        let offset_s = offset_us / 1_000_000;
        let zone_part = |value: i64| match self.zone {
            Some(_) => whole(value),
            None => Err(not_supported(word, self.name)),
        };
        match part {
            Part::Of(unit @ (Unit::Microsecond | Unit::Millisecond | Unit::Second)) => {
                second(unit, civil.us % 60_000_000)
            }
            Part::Of(Unit::Minute) => whole(civil.us / 60_000_000 % 60),
            Part::Of(Unit::Hour) => whole(civil.us / 3_600_000_000),
            Part::Of(Unit::Day) => whole(civil.day.into()),
            Part::Of(Unit::Week) => whole(iso_week(day).1),
            Part::Of(Unit::Month) => whole(civil.month.into()),
            Part::Of(Unit::Quarter) => whole(i64::from(civil.month - 1) / 3 + 1),
            Part::Of(Unit::Year) => whole(shown_year(civil.year)),
            Part::Of(Unit::Decade) => whole(civil.year.div_euclid(10)),
            Part::Of(Unit::Century) => whole(counted(civil.year, 100)),
            Part::Of(Unit::Millennium) => whole(counted(civil.year, 1000)),
            Part::Dow => whole(weekday(day) as i64),
            Part::Isodow => whole((weekday(day) as i64 + 6) % 7 + 1),
            Part::Doy => whole(day - days_from_civil(civil.year, 1, 1) + 1),
            Part::Isoyear => whole(shown_year(iso_week(day).0)),
            Part::Epoch => Ok(Some(Found::Micros(time.into()))),
            Part::Zone => zone_part(offset_s),
            Part::ZoneHour => zone_part(offset_s / 3600),
            Part::ZoneMinute => zone_part(offset_s / 60 % 60),
        }
    }

    fn of_clock(&self, part: Part, word: &str, time: i64) -> Result<Option<Found>> {
        match part {
            Part::Of(unit @ (Unit::Microsecond | Unit::Millisecond | Unit::Second)) => {
                second(unit, time % 60_000_000)
            }
            Part::Of(Unit::Minute) => whole(time / 60_000_000 % 60),
            Part::Of(Unit::Hour) => whole(time / 3_600_000_000),
            Part::Epoch => Ok(Some(Found::Micros(time.into()))),
            _ => Err(not_supported(word, self.name)),
        }
    }

    fn of_interval(
        &self,
        part: Part,
        word: &str,
        interval: IntervalMonthDayNano,
    ) -> Result<Option<Found>> {
        let us = interval.nanoseconds / 1000;
        let (years, months) = (
            i64::from(interval.months / 12),
            i64::from(interval.months % 12),
        );
        match part {
            Part::Of(unit @ (Unit::Microsecond | Unit::Millisecond | Unit::Second)) => {
                second(unit, us % 60_000_000)
            }
            Part::Of(Unit::Minute) => whole(us / 60_000_000 % 60),
            Part::Of(Unit::Hour) => whole(us / 3_600_000_000),
            Part::Of(Unit::Day) => whole(interval.days.into()),
            Part::Of(Unit::Month) => whole(months),
            Part::Of(Unit::Quarter) => whole(months / 3 + 1),
            Part::Of(Unit::Year) => whole(years),
            Part::Of(Unit::Decade) => whole(years / 10),
            Part::Of(Unit::Century) => whole(years / 100),
            Part::Of(Unit::Millennium) => whole(years / 1000),
            // A year is 365.25 days here, the months that are left 30 each.
            Part::Epoch => {
                let quarter_days = i128::from(years) * 1461
                    + i128::from(months) * 120
                    + i128::from(interval.days) * 4;
                let micros = quarter_days * i128::from(DAY_US / 4) + i128::from(us);
                Ok(Some(Found::Micros(micros)))
            }
            _ => Err(not_supported(word, self.name)),
        }
    }
}

fn whole(value: i64) -> Result<Option<Found>> {
    Ok(Some(Found::Micros(i128::from(value) * 1_000_000)))
}

/// The seconds within a minute, in a unit.
fn second(unit: Unit, us: i64) -> Result<Option<Found>> {
    let per_second = match unit {
        Unit::Microsecond => 1_000_000,
        Unit::Millisecond => 1000,
        _ => 1,
    };
    Ok(Some(Found::Micros(i128::from(us) * per_second)))
}

/// There is no year 0: before 1 comes -1.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

/// Centuries and millennia, of which there is no number 0 either.
fn counted(year: i64, size: i64) -> i64 {
    shown_year((year - 1).div_euclid(size) + 1)
}

/// The ISO year and week of a day.
fn iso_week(day: i64) -> (i64, i64) {
    // A week belongs to the year that its Thursday lies in.
    let thursday = day - (weekday(day) as i64 + 6) % 7 + 3;
    let year = Civil::of(thursday * DAY_US).year;
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}
