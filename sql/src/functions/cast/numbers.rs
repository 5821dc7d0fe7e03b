//! Casts between numbers. A numeric is rounded half away from zero, a float half to even, as
//! PostgreSQL does both; what does not fit is an error and never cut.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Float32Array, Float64Array, PrimitiveArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::types::{ColumnBuilder, FormatSettings, PgType};

pub(super) fn float_to_int(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let values = cast(values, &DataType::Float64).map_err(plain)?;
    let values = values.as_primitive::<Float64Type>();
    let round = |value: f64| {
        let rounded = value.round_ties_even();
        // The greatest i64 is no float; the float after it is out of range.
        // -2⁶³ and 2⁶³ are floats, the largest bigint is none.
        let fits = (i64::MIN as f64..-(i64::MIN as f64)).contains(&rounded);
        fits.then_some(rounded as i64)
    };
    to_int(values, to, round)
}

pub(super) fn decimal_to_int(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let (values, scale) = match values.data_type() {
        DataType::Decimal128(_, scale) => (values.clone(), *scale),
        // Arrow rounds half away from zero between decimals.
        _ => (
            cast(values, &DataType::Decimal128(38, 0)).map_err(plain)?,
            0,
        ),
    };
    let values = values.as_primitive::<Decimal128Type>();
    let unit = 10_i128.checked_pow(scale.unsigned_abs().into());
    let round = |value: i128| {
        let whole = match (scale >= 0, unit) {
            (true, Some(unit)) => {
                let (whole, rest) = (value / unit, value % unit);
                let up = rest.unsigned_abs() >= unit.unsigned_abs() - rest.unsigned_abs();
                whole + if up { value.signum() } else { 0 }
            }
            (true, None) => 0,
            (false, Some(unit)) => value.checked_mul(unit)?,
            (false, None) => return (value == 0).then_some(0),
        };
        i64::try_from(whole).ok()
    };
    to_int(values, to, round)
}

fn to_int<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    to: &DataType,
    round: impl Fn(T::Native) -> Option<i64>,
) -> Result<ArrayRef> {
    Ok(match to {
        DataType::Int16 => Arc::new(fitted::<T, Int16Type>(values, "smallint", round)?),
        DataType::Int32 => Arc::new(fitted::<T, Int32Type>(values, "integer", round)?),
        // The caller casts on to the few types beside these.
        _ => Arc::new(fitted::<T, Int64Type>(values, "bigint", round)?),
    })
}

fn fitted<T: ArrowPrimitiveType, I: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    name: &str,
    round: impl Fn(T::Native) -> Option<i64>,
) -> Result<PrimitiveArray<I>>
where
    I::Native: TryFrom<i64>,
{
    values.try_unary(|value| {
        let whole = round(value).and_then(|whole| I::Native::try_from(whole).ok());
        whole.ok_or_else(|| out_of_range(name))
    })
}

/// A float as the numeric that its shortest sure digits tell: 15 of a double, 6 of a real.
pub(super) fn float_to_decimal(
    values: &ArrayRef,
    to: &PgType,
    settings: &FormatSettings,
) -> Result<ArrayRef> {
    let is_real = *values.data_type() == DataType::Float32;
    let values = cast(values, &DataType::Float64).map_err(plain)?;
    let mut builder = ColumnBuilder::new(to, values.len(), settings);
    for value in values.as_primitive::<Float64Type>() {
        match value {
            None => builder.append_null(),
            Some(value) if !value.is_finite() => {
                builder.append_text(value.to_string().as_bytes())?
            }
            Some(value) if is_real => builder.append_text(format!("{value:.5e}").as_bytes())?,
            Some(value) => builder.append_text(format!("{value:.14e}").as_bytes())?,
        }
    }
    Ok(builder.finish())
}

/// The nearest float. A division would round twice where the digits are more than a float has.
pub(super) fn decimal_to_float(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(_, scale) = values.data_type() else {
        return cast(values, to).map_err(plain);
    };
    let scale = i32::from(*scale);
    let values = values.as_primitive::<Decimal128Type>();
    let is_double = *to == DataType::Float64;
    if !is_double {
        let read = |value: i128| nearest::<f32>(value, scale);
        let out: Float32Array = values.try_unary(read)?;
        return Ok(Arc::new(out));
    }
    let power = (0..=22).contains(&scale).then(|| 10_f64.powi(scale));
    let read = |value: i128| match power {
        // Both are exact, so that the quotient is rounded once.
        Some(power) if value.unsigned_abs() < 1 << 53 => Ok(value as f64 / power),
        _ => nearest::<f64>(value, scale),
    };
    let out: Float64Array = values.try_unary(read)?;
    Ok(Arc::new(out))
}

fn nearest<F: std::str::FromStr>(value: i128, scale: i32) -> Result<F> {
    let text = format!("{value}e{}", -scale);
    text.parse()
        .map_err(|_| SqlError::internal("a numeric is no number"))
}

/// Doubles as reals.
pub(super) fn narrowed(values: &ArrayRef) -> Result<ArrayRef> {
    let values = values.as_primitive::<Float64Type>();
    let narrow = |value: f64| {
        let narrow = value as f32;
        if narrow.is_infinite() && value.is_finite() {
            Err(float_overflow())
        } else if narrow == 0.0 && value != 0.0 {
            Err(float_underflow())
        } else {
            Ok(narrow)
        }
    };
    let out: PrimitiveArray<Float32Type> = values.try_unary(narrow)?;
    Ok(Arc::new(out))
}

/// `integer out of range` and its like.
pub(crate) fn out_of_range(name: &str) -> SqlError {
    SqlError::new(
        SqlState::NUMERIC_OUT_OF_RANGE,
        format!("{name} out of range"),
    )
}

pub(crate) fn float_overflow() -> SqlError {
    SqlError::new(
        SqlState::NUMERIC_OUT_OF_RANGE,
        "value out of range: overflow",
    )
}

pub(crate) fn float_underflow() -> SqlError {
    SqlError::new(
        SqlState::NUMERIC_OUT_OF_RANGE,
        "value out of range: underflow",
    )
}

fn plain(error: ArrowError) -> SqlError {
    from_datafusion(DataFusionError::from(error), "")
}
