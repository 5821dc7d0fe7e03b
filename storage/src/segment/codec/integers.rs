//! Arrow's integer-like arrays (integers, dates, times, timestamps, durations, decimals) as `i64`.
//!
//! A null row takes the value of the row before, which costs the fewest bits. `u64` is stored as
//! the `i64` of the same bits.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeType, DataType, Decimal128Type, TimeUnit};

use super::cursor::{Cursor, Damage};
use super::header::Codec;
use super::ints::{self, Ints};
use super::{Request, fixed};

/// Evaluates `$body` with `$type` as the Arrow type of an integer-like `$data_type`.
macro_rules! match_integer_type {
    ($data_type:expr, $type:ident => $body:expr, _ => $otherwise:expr) => {
        match_integer_type!($data_type, $type, $body, $otherwise;
            DataType::Int8 => Int8Type,
            DataType::Int16 => Int16Type,
            DataType::Int32 => Int32Type,
            DataType::Int64 => Int64Type,
            DataType::UInt8 => UInt8Type,
            DataType::UInt16 => UInt16Type,
            DataType::UInt32 => UInt32Type,
            DataType::UInt64 => UInt64Type,
            DataType::Date32 => Date32Type,
            DataType::Date64 => Date64Type,
            DataType::Time32(TimeUnit::Second) => Time32SecondType,
            DataType::Time32(TimeUnit::Millisecond) => Time32MillisecondType,
            DataType::Time64(TimeUnit::Microsecond) => Time64MicrosecondType,
            DataType::Time64(TimeUnit::Nanosecond) => Time64NanosecondType,
            DataType::Timestamp(TimeUnit::Second, _) => TimestampSecondType,
            DataType::Timestamp(TimeUnit::Millisecond, _) => TimestampMillisecondType,
            DataType::Timestamp(TimeUnit::Microsecond, _) => TimestampMicrosecondType,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => TimestampNanosecondType,
            DataType::Duration(TimeUnit::Second) => DurationSecondType,
            DataType::Duration(TimeUnit::Millisecond) => DurationMillisecondType,
            DataType::Duration(TimeUnit::Microsecond) => DurationMicrosecondType,
            DataType::Duration(TimeUnit::Nanosecond) => DurationNanosecondType,
        )
    };
    ($data_type:expr, $type:ident, $body:expr, $otherwise:expr; $($pattern:pat => $arrow:ident,)*) => {
        match $data_type {
            $($pattern => {
                type $type = arrow::datatypes::$arrow;
                $body
            })*
            _ => $otherwise,
        }
    };
}
pub(in crate::segment) use match_integer_type;

/// Whether the `i64` of a type are in the order of its values.
pub(super) fn are_ordered(data_type: &DataType) -> bool {
    match_integer_type!(data_type, T => T::DATA_TYPE != DataType::UInt64, _ => false)
}

/// Appends an integer-like array.
pub(super) fn encode(array: &dyn Array, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) -> Codec {
    let values = match_integer_type!(
        array.data_type(),
        T => widen(array.as_primitive::<T>(), nulls),
        _ => unreachable!("{} has a type tag but no codec", array.data_type())
    );
    ints::encode(&values, out)
}

/// Decodes an integer-like array.
pub(super) fn decode(request: Request<'_>, body: Cursor<'_>) -> Result<ArrayRef, Damage> {
    match_integer_type!(
        request.data_type,
        T => decode_as::<T>(request, body),
        _ => Err(request.wrong_codec())
    )
}

/// Appends decimals: as integers if all fit an `i64`, else as they are.
pub(super) fn encode_decimal(
    array: &dyn Array,
    nulls: Option<&NullBuffer>,
    out: &mut Vec<u8>,
) -> Codec {
    let decimals = array.as_primitive::<Decimal128Type>().values();
    let mut values = Vec::with_capacity(decimals.len());
    for (row, decimal) in decimals.iter().enumerate() {
        match i64::try_from(*decimal) {
            Ok(value) => values.push(value),
            Err(_) if nulls.is_some_and(|nulls| nulls.is_null(row)) => values.push(0),
            Err(_) => return fixed::encode(array, nulls, out),
        }
    }
    if let Some(nulls) = nulls {
        values = fill(&values, nulls);
    }
    ints::encode(&values, out)
}

/// Decodes decimals.
pub(super) fn decode_decimal(request: Request<'_>, body: Cursor<'_>) -> Result<ArrayRef, Damage> {
    if request.codec == Codec::Fixed {
        return fixed::decode(request, body);
    }
    decode_as::<Decimal128Type>(request, body)
}

fn decode_as<T: ArrowPrimitiveType<Native: Narrow>>(
    request: Request<'_>,
    body: Cursor<'_>,
) -> Result<ArrayRef, Damage> {
    let ints = Ints::parse(request.codec, body, request.rows)?;
    let values = decode_values::<T::Native>(&ints, &request)?;
    let array = PrimitiveArray::<T>::new(values.into(), request.nulls);
    Ok(Arc::new(array.with_data_type(request.data_type.clone())))
}

fn decode_values<N: Narrow>(ints: &Ints<'_>, request: &Request<'_>) -> Result<Vec<N>, Damage> {
    let mut values = Vec::with_capacity(super::count(request.ranges));
    for range in request.ranges {
        ints.decode(range.clone(), &mut |chunk| {
            values.extend(chunk.iter().map(|value| N::narrow(*value)));
        })?;
    }
    Ok(values)
}

/// The values of an array as `i64`, those of null rows replaced.
fn widen<'a, T: ArrowPrimitiveType<Native: Narrow>>(
    array: &'a PrimitiveArray<T>,
    nulls: Option<&NullBuffer>,
) -> Cow<'a, [i64]> {
    match nulls {
        Some(nulls) => Cow::Owned(fill(array.values(), nulls)),
        None if size_of::<T::Native>() == size_of::<i64>() => {
            Cow::Borrowed(array.values().inner().typed_data::<i64>())
        }
        None => Cow::Owned(array.values().iter().map(|value| value.widen()).collect()),
    }
}

/// The values as `i64`, those of null rows replaced by the value before (or the first after).
pub(super) fn fill<N: Narrow>(values: &[N], nulls: &NullBuffer) -> Vec<i64> {
    let first = nulls.valid_indices().next().unwrap_or(0);
    let mut last = values[first].widen();
    let bits = nulls.inner().iter();
    let filled = values.iter().zip(bits).map(|(value, valid)| {
        last = if valid { value.widen() } else { last };
        last
    });
    filled.collect()
}

/// A native number that an `i64` holds.
pub(super) trait Narrow: ArrowNativeType {
    /// As `i64`.
    fn widen(self) -> i64;
    /// From the `i64` of [`widen`](Self::widen); any other is cut.
    fn narrow(value: i64) -> Self;
}

macro_rules! narrow {
    ($($native:ty),*) => {
        $(impl Narrow for $native {
            fn widen(self) -> i64 {
                self as i64
            }

            fn narrow(value: i64) -> Self {
                value as $native
            }
        })*
    };
}
narrow!(i8, i16, i32, i64, i128, u8, u16, u32, u64);
