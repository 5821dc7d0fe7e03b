//! Numbers on the line between two others.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;

/// The times of a column, in ticks.
pub(super) fn ticks_of(times: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast(times, &DataType::Int64)
}

/// A number that lies on lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Real(f32),
    Double(f64),
}

/// The number in a row; none for NULL.
pub(super) fn number(values: &ArrayRef, row: usize) -> Option<Number> {
    if values.is_null(row) {
        return None;
    }
    Some(match values.data_type() {
        DataType::Int16 => Number::Int(values.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Number::Int(values.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Number::Int(values.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Number::Real(values.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Number::Double(values.as_primitive::<Float64Type>().value(row)),
        _ => return None,
    })
}

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) time: i64,
    pub(super) value: Number,
}

/// The sample in a row of records `(time, value)`; none where either is NULL.
pub(super) fn sample(records: &ArrayRef, row: usize) -> Result<Option<Sample>, ArrowError> {
    if records.is_null(row) {
        return Ok(None);
    }
    let Some(records) = records.as_struct_opt() else {
        return Ok(None);
    };
    let times = ticks_of(&records.column(0).slice(row, 1))?;
    let times = times.as_primitive::<Int64Type>();
    let value = number(records.column(1), row);
    Ok(match value {
        Some(value) if times.is_valid(0) => Some(Sample {
            time: times.value(0),
            value,
        }),
        _ => None,
    })
}

/// The number at a time on the line between two samples. Integers are rounded.
pub(super) fn between(before: Sample, after: Sample, time: i64) -> Number {
    let (left, right) = (
        i128::from(after.time) - i128::from(time),
        i128::from(time) - i128::from(before.time),
    );
    let whole = left + right;
    if whole == 0 {
        return before.value;
    }
    match (before.value, after.value) {
        (Number::Int(a), Number::Int(b)) => {
            let sum = i128::from(a) * left + i128::from(b) * right;
            let (quotient, rest) = (sum / whole, sum % whole);
            let is_half = rest.unsigned_abs() * 2 >= whole.unsigned_abs();
            let up = i128::from(is_half) * rest.signum() * whole.signum();
            Number::Int(i64::try_from(quotient + up).unwrap_or(b))
        }
        // What is level stays so, whatever the rounding of products.
        (a, b) if a == b => a,
        (Number::Real(a), Number::Real(b)) => {
            Number::Real((a * left as f32 + b * right as f32) / whole as f32)
        }
        (Number::Double(a), Number::Double(b)) => {
            Number::Double((a * left as f64 + b * right as f64) / whole as f64)
        }
        (a, _) => a,
    }
}

/// Numbers as a column of a type; integers are made as bigints.
pub(super) fn column_of(
    numbers: impl Iterator<Item = Option<Number>>,
    ty: &DataType,
) -> Result<ArrayRef, ArrowError> {
    Ok(match ty {
        DataType::Float32 => {
            let mut out = PrimitiveBuilder::<Float32Type>::new();
            numbers.for_each(|number| match number {
                Some(Number::Real(value)) => out.append_value(value),
                _ => out.append_null(),
            });
            Arc::new(out.finish())
        }
        DataType::Float64 => {
            let mut out = PrimitiveBuilder::<Float64Type>::new();
            numbers.for_each(|number| match number {
                Some(Number::Double(value)) => out.append_value(value),
                _ => out.append_null(),
            });
            Arc::new(out.finish())
        }
        ty => {
            let mut out = PrimitiveBuilder::<Int64Type>::new();
            numbers.for_each(|number| match number {
                Some(Number::Int(value)) => out.append_value(value),
                _ => out.append_null(),
            });
            cast(&out.finish(), ty)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(a: Number, b: Number, at: i64) -> Number {
        let sample = |time, value| Sample { time, value };
        between(sample(0, a), sample(10, b), at)
    }

    #[test]
    fn integers_are_rounded_away_from_zero() {
        let int = |a, b, at| line(Number::Int(a), Number::Int(b), at);
        assert_eq!(int(0, 5, 1), Number::Int(1));
        assert_eq!(int(0, -5, 1), Number::Int(-1));
        assert_eq!(int(0, 4, 1), Number::Int(0));
        assert_eq!(int(10, 0, 9), Number::Int(1));
        assert_eq!(int(i64::MIN, i64::MAX, 10), Number::Int(i64::MAX));
        assert_eq!(int(i64::MIN, i64::MAX, 0), Number::Int(i64::MIN));
        assert_eq!(int(i64::MIN, i64::MIN, 5), Number::Int(i64::MIN));
    }

    #[test]
    fn doubles_lie_on_the_line() {
        let double = |a, b, at| line(Number::Double(a), Number::Double(b), at);
        assert_eq!(double(0.0, 5.0, 3), Number::Double(1.5));
        assert_eq!(double(0.1, 0.1, 3), Number::Double(0.1));
        assert_eq!(
            line(Number::Real(1.0), Number::Real(2.0), 5),
            Number::Real(1.5)
        );
    }
}
