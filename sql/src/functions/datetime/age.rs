//! `age`, `justify_days`, `justify_hours`, `justify_interval`, `isfinite`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{
    Civil, INTERVAL, TIMESTAMP, interval_out_of_range, is_infinite, local, out_of_range,
    timestamptz,
};
use crate::functions::columns::{any_null, evaluate};
use crate::types::calendar::{DAY_US, days_of_month};
use crate::types::{FormatSettings, Zone};

/// The functions of one session.
pub(super) fn functions(settings: &FormatSettings) -> Vec<ScalarUDF> {
    let of = |name| {
        let today = settings.now_us.unwrap_or_default();
        let today = local(&settings.time_zone, today);
        ScalarUDF::from(Span {
            name,
            zone: settings.time_zone.clone(),
            midnight: today - today.rem_euclid(DAY_US),
            signature: Signature::user_defined(Volatility::Stable),
        })
    };
    vec![
        of(Name::Age),
        of(Name::JustifyDays),
        of(Name::JustifyHours),
        of(Name::JustifyInterval),
        of(Name::IsFinite),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    Age,
    JustifyDays,
    JustifyHours,
    JustifyInterval,
    IsFinite,
}

#[derive(Debug)]
struct Span {
    name: Name,
    zone: Zone,
    /// The beginning of today in the zone's local time, from which `age(time)` counts.
    midnight: i64,
    signature: Signature,
}

impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.zone, self.midnight) == (other.name, &other.zone, other.midnight)
    }
}

impl Eq for Span {}

impl std::hash::Hash for Span {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Span {
    fn name(&self) -> &str {
        match self.name {
            Name::Age => "age",
            Name::JustifyDays => "justify_days",
            Name::JustifyHours => "justify_hours",
            Name::JustifyInterval => "justify_interval",
            Name::IsFinite => "isfinite",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let no_function = || plan_err!("function '{}' expects other arguments", self.name());
        let is_text = |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::Utf8View);
        match (self.name, types) {
            (Name::Age, [_] | [_, _]) => {
                let is_local = |ty: &DataType| matches!(ty, DataType::Timestamp(_, None));
                let is_time = |ty: &DataType| {
                    matches!(
                        ty,
                        DataType::Timestamp(..) | DataType::Date32 | DataType::Null
                    ) || is_text(ty)
                };
                if !types.iter().all(is_time) {
                    return no_function();
                }
                let is_local = types.iter().any(is_local) && !types.iter().any(is_zoned);
                let ty = if is_local {
                    TIMESTAMP
                } else {
                    timestamptz(&self.zone)
                };
                Ok(vec![ty; types.len()])
            }
            (Name::IsFinite, [ty]) => Ok(vec![match ty {
                DataType::Date32 => DataType::Date32,
                DataType::Timestamp(_, zone) => {
                    DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
                }
                DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
                _ => return no_function(),
            }]),
            (Name::Age | Name::IsFinite, _) => no_function(),
            (_, [ty]) => match ty {
                DataType::Interval(_) | DataType::Duration(_) | DataType::Null => {
                    Ok(vec![INTERVAL])
                }
                ty if is_text(ty) => Ok(vec![INTERVAL]),
                _ => no_function(),
            },
            _ => no_function(),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.name {
            Name::IsFinite => DataType::Boolean,
            _ => INTERVAL,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&args, |columns, rows| match self.name {
            Name::Age => self.ages(columns, rows),
            Name::IsFinite => Ok(Arc::new(finite(&columns[0]))),
            Name::JustifyDays => justified(&columns[0], justify_days),
            Name::JustifyHours => justified(&columns[0], justify_hours),
            Name::JustifyInterval => justified(&columns[0], justify_interval),
        })
    }
}

impl Span {
    fn ages(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let shown = |column: &ArrayRef, row: usize| {
            let time = column.as_primitive::<TimestampMicrosecondType>().value(row);
            match is_zoned(column.data_type()) && !is_infinite(time) {
                true => local(&self.zone, time),
                false => time,
            }
        };
        let mut out = IntervalMonthDayNanoArray::builder(rows);
        for row in 0..rows {
            if any_null(columns, row) {
                out.append_null();
                continue;
            }
            let first = shown(&columns[0], row);
            out.append_value(match columns.get(1) {
                Some(second) => age(first, shown(second, row))?,
                None => age(self.midnight, first)?,
            });
        }
        Ok(Arc::new(out.finish()))
    }
}

fn is_zoned(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(_, Some(_)))
}

/// Years, months, days and time from the earlier to the later, as a calendar counts them.
/// `timestamp_age` of PostgreSQL.
fn age(to: i64, from: i64) -> Result<IntervalMonthDayNano> {
    if is_infinite(to) || is_infinite(from) {
        return Err(out_of_range());
    }
    let is_back = to < from;
    let (a, b) = (Civil::of(to), Civil::of(from));
    let sign = if is_back { -1 } else { 1 };
    let mut us = sign * (a.us - b.us);
    let mut days = sign * (i64::from(a.day) - i64::from(b.day));
    let mut months =
        sign * ((a.year * 12 + i64::from(a.month)) - (b.year * 12 + i64::from(b.month)));
    if us < 0 {
        us += DAY_US;
        days -= 1;
    }
    // A month that is not full is counted in days of the earlier one's month.
    let earlier = if is_back { a } else { b };
    while days < 0 {
        days += i64::from(days_of_month(earlier.year, earlier.month));
        months -= 1;
    }
    let months = i32::try_from(sign * months).map_err(|_| interval_out_of_range())?;
    Ok(IntervalMonthDayNano::new(
        months,
        (sign * days) as i32,
        sign * us * 1000,
    ))
}

fn finite(values: &ArrayRef) -> BooleanArray {
    match values.data_type() {
        DataType::Date32 => BooleanArray::from_unary(values.as_primitive::<Date32Type>(), |day| {
            !matches!(day, i32::MIN | i32::MAX)
        }),
        DataType::Timestamp(..) => {
            BooleanArray::from_unary(values.as_primitive::<TimestampMicrosecondType>(), |time| {
                !is_infinite(time)
            })
        }
        _ => BooleanArray::from_unary(values.as_primitive::<IntervalMonthDayNanoType>(), |_| true),
    }
}

fn justified(values: &ArrayRef, justify: fn(Parts) -> Option<Parts>) -> Result<ArrayRef> {
    let values = values.as_primitive::<IntervalMonthDayNanoType>();
    let out: IntervalMonthDayNanoArray = values.try_unary(|interval| {
        let parts = Parts {
            months: interval.months.into(),
            days: interval.days.into(),
            us: interval.nanoseconds / 1000,
        };
        let whole = |parts: Parts| {
            let (months, days) = (parts.months.try_into().ok()?, parts.days.try_into().ok()?);
            Some(IntervalMonthDayNano::new(months, days, parts.us * 1000))
        };
        justify(parts)
            .and_then(whole)
            .ok_or_else(interval_out_of_range)
    })?;
    Ok(Arc::new(out))
}

/// The parts of an interval, with room to carry.
#[derive(Clone, Copy)]
struct Parts {
    months: i64,
    days: i64,
    us: i64,
}

/// 24 hours are a day.
fn justify_hours(mut parts: Parts) -> Option<Parts> {
    parts.days += parts.us / DAY_US;
    parts.us %= DAY_US;
    Some(same_sign_of_days(parts))
}

/// 30 days are a month.
fn justify_days(mut parts: Parts) -> Option<Parts> {
    parts.months += parts.days / 30;
    parts.days %= 30;
    if parts.months > 0 && parts.days < 0 {
        parts.days += 30;
        parts.months -= 1;
    } else if parts.months < 0 && parts.days > 0 {
        parts.days -= 30;
        parts.months += 1;
    }
    Some(parts)
}

fn justify_interval(mut parts: Parts) -> Option<Parts> {
    parts.days += parts.us / DAY_US;
    parts.us %= DAY_US;
    parts.months += parts.days / 30;
    parts.days %= 30;
    let rest = (parts.days, parts.us);
    if parts.months > 0 && rest < (0, 0) {
        parts.days += 30;
        parts.months -= 1;
    } else if parts.months < 0 && rest > (0, 0) {
        parts.days -= 30;
        parts.months += 1;
    }
    Some(same_sign_of_days(parts))
}

fn same_sign_of_days(mut parts: Parts) -> Parts {
    if parts.days > 0 && parts.us < 0 {
        parts.us += DAY_US;
        parts.days -= 1;
    } else if parts.days < 0 && parts.us > 0 {
        parts.us -= DAY_US;
        parts.days += 1;
    }
    parts
}
