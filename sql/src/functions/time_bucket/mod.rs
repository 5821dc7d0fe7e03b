//! `time_bucket`: the beginning of the bucket that a time or number falls in.
//!
//! | call | buckets |
//! |---|---|
//! | `(interval, timestamptz)` | in UTC |
//! | `(interval, timestamp)`, `(interval, date)` | in the time that the value tells |
//! | `(…, origin)` | one of them begins there |
//! | `(…, "offset" interval)` | all moved by it |
//! | `(interval, timestamptz, timezone text [, origin [, "offset"]])` | in that zone's local time |
//! | `(int, int [, "offset" int])` | of numbers |
//!
//! The result has the type of the second argument. Named arguments are brought into this order
//! before planning (see the dialect's `rewrite`).

mod arguments;
mod bucket;
mod steps;

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, PrimitiveArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use arguments::Arguments;
use bucket::DAY_US;
pub use bucket::{Bucketer, Width};
pub(crate) use steps::{Steps, ticks};

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimeBucket {
    signature: Signature,
}

impl TimeBucket {
    pub(crate) fn new() -> Self {
        TimeBucket {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        arguments::coerce(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[1].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let values = args.args[1].clone().into_array(rows)?;
        let out: ArrayRef = match values.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let times = values.as_primitive::<TimestampMicrosecondType>();
                let out: TimestampMicrosecondArray =
                    buckets_of_times(&args.args, times, rows, Ok, Ok)?;
                Arc::new(out.with_timezone_opt(zone.clone()))
            }
            DataType::Date32 => {
                let days = values.as_primitive::<Date32Type>();
                let out: Date32Array =
                    buckets_of_times(&args.args, days, rows, day_to_us, us_to_day)?;
                Arc::new(out)
            }
            DataType::Int16 => Arc::new(buckets_of_numbers::<Int16Type>(
                &args.args,
                values.as_primitive(),
            )?),
            DataType::Int32 => Arc::new(buckets_of_numbers::<Int32Type>(
                &args.args,
                values.as_primitive(),
            )?),
            _ => Arc::new(buckets_of_numbers::<Int64Type>(
                &args.args,
                values.as_primitive(),
            )?),
        };
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }

    /// A later time has no earlier bucket, except in the hour that a zone goes through twice.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let constant = |input: &ExprProperties| input.sort_properties == SortProperties::Singleton;
        let others = inputs.iter().enumerate().filter(|(index, _)| *index != 1);
        let has_zone = inputs
            .get(2)
            .is_some_and(|input| input.range.data_type() == DataType::Utf8);
        if has_zone || !others.into_iter().all(|(_, input)| constant(input)) {
            return Ok(SortProperties::Unordered);
        }
        Ok(inputs[1].sort_properties)
    }

    /// `time_bucket('1 hour', ts) = '12:00'` is `ts >= '12:00' AND ts < '13:00'`, by which chunks and
    /// segments can be skipped. For a constant width and the usual origin.
    fn preimage(&self, args: &[Expr], bound: &Expr, _: &SimplifyContext) -> Result<PreimageResult> {
        let [width, time] = args else {
            return Ok(PreimageResult::None);
        };
        let (
            Some(ScalarValue::IntervalMonthDayNano(Some(width))),
            Some(ScalarValue::TimestampMicrosecond(Some(bound), zone)),
        ) = (width.as_literal(), bound.as_literal())
        else {
            return Ok(PreimageResult::None);
        };
        let Ok(bucketer) = Width::of(*width).map(Bucketer::new) else {
            return Ok(PreimageResult::None);
        };
        match (bucketer.bucket(*bound), bucketer.next(*bound)) {
            (Ok(start), Ok(end)) if start == *bound => {
                let at = |us| ScalarValue::TimestampMicrosecond(Some(us), zone.clone());
                let interval = Box::new(Interval::try_new(at(start), at(end))?);
                Ok(PreimageResult::Range {
                    expr: time.clone(),
                    interval,
                })
            }
            _ => Ok(PreimageResult::None),
        }
    }
}

/// A day in microseconds, -infinity and infinity kept.
fn day_to_us(day: i32) -> Result<i64> {
    Ok(match day {
        i32::MIN => i64::MIN,
        i32::MAX => i64::MAX,
        day => i64::from(day) * DAY_US,
    })
}

fn us_to_day(us: i64) -> Result<i32> {
    match us {
        i64::MIN => Ok(i32::MIN),
        i64::MAX => Ok(i32::MAX),
        us => i32::try_from(us.div_euclid(DAY_US)).map_err(|_| bucket::out_of_range()),
    }
}

/// Buckets of times, which `to_us` makes microseconds since 1970 of and `from_us` gives back.
fn buckets_of_times<T: ArrowPrimitiveType>(
    args: &[ColumnarValue],
    times: &PrimitiveArray<T>,
    rows: usize,
    to_us: impl Fn(T::Native) -> Result<i64>,
    from_us: impl Fn(i64) -> Result<T::Native>,
) -> Result<PrimitiveArray<T>> {
    let is_date = T::DATA_TYPE == DataType::Date32;
    let others_constant = args
        .iter()
        .enumerate()
        .all(|(index, arg)| index == 1 || matches!(arg, ColumnarValue::Scalar(_)));
    if others_constant {
        let arguments = Arguments::new(args, 1)?;
        let Some(bucketer) = arguments.bucketer(0, is_date)? else {
            return Ok(PrimitiveArray::new_null(rows));
        };
        // Rows of a series follow each other: most fall in the bucket of the row before.
        let mut last: Option<(i64, i64)> = None;
        let simple = bucketer.offset.is_none() && bucketer.zone.is_none();
        return try_unary(times, |time| {
            let time = to_us(time)?;
            if let Some((start, end)) = last
                && (start..end).contains(&time)
            {
                return from_us(start);
            }
            let start = bucketer.bucket(time)?;
            last = match bucketer.next(start) {
                Ok(end) if simple => Some((start, end)),
                _ => None,
            };
            from_us(start)
        });
    }
    let arguments = Arguments::new(args, rows)?;
    let mut out = PrimitiveArray::<T>::builder(rows);
    for row in 0..rows {
        match arguments.bucketer(row, is_date)? {
            Some(bucketer) if times.is_valid(row) => {
                out.append_value(from_us(bucketer.bucket(to_us(times.value(row))?)?)?);
            }
            _ => out.append_null(),
        }
    }
    Ok(out.finish())
}

/// A function of the values that are there.
fn try_unary<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    mut f: impl FnMut(T::Native) -> Result<T::Native>,
) -> Result<PrimitiveArray<T>> {
    let mut out = Vec::with_capacity(values.len());
    for (index, value) in values.values().iter().enumerate() {
        out.push(if values.is_valid(index) {
            f(*value)?
        } else {
            T::default_value()
        });
    }
    Ok(PrimitiveArray::new(out.into(), values.nulls().cloned()))
}

/// Buckets of numbers.
fn buckets_of_numbers<T: ArrowPrimitiveType<Native: Into<i64> + TryFrom<i64>>>(
    args: &[ColumnarValue],
    values: &PrimitiveArray<T>,
) -> Result<PrimitiveArray<T>> {
    let rows = values.len();
    let column = |index: usize| -> Result<Option<ArrayRef>> {
        args.get(index)
            .map(|arg| arg.clone().into_array(rows))
            .transpose()
    };
    let (Some(widths), offsets) = (column(0)?, column(2)?) else {
        return Ok(PrimitiveArray::new_null(rows));
    };
    let widths = widths.as_primitive::<T>();
    let offsets = offsets.as_ref().map(|offsets| offsets.as_primitive::<T>());
    let mut out = PrimitiveArray::<T>::builder(rows);
    for row in 0..rows {
        let offset_null = offsets.is_some_and(|offsets| offsets.is_null(row));
        if values.is_null(row) || widths.is_null(row) || offset_null {
            out.append_null();
            continue;
        }
        let width: i64 = widths.value(row).into();
        if width <= 0 {
            return Err(bucket::not_positive());
        }
        let offset: i64 = offsets.map_or(0, |offsets| offsets.value(row).into());
        let start = bucket::floor(values.value(row).into(), width, offset)?;
        out.append_value(T::Native::try_from(start).map_err(|_| bucket::out_of_range())?);
    }
    Ok(out.finish())
}
