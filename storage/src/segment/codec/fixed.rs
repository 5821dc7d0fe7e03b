//! Values of a fixed number of bytes as they are: uuids and other fixed-size binaries, intervals,
//! decimals beyond 64 bits, floats that nothing compresses.
//!
//! ```text
//! constant | one value |
//! fixed    | a value for each row, zeros if null |
//! fixed-size binary: its bytes; decimal: i128; f64: its bits;
//! interval: months i32 | days i32 | nanoseconds i64
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, PrimitiveArray};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType,
};

use super::Request;
use super::cursor::{Cursor, Damage};
use super::header::Codec;

/// Appends an array of fixed width with at least one value.
pub(super) fn encode(array: &dyn Array, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) -> Codec {
    let start = out.len();
    let width = match array.data_type() {
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            // Only decimals that are not integers come here; `constant` is an i64 to their reader.
            blank_nulls(&mut out[start..], 16, nulls);
            return Codec::Fixed;
        }
        DataType::Interval(_) => {
            for value in array.as_primitive::<IntervalMonthDayNanoType>().values() {
                out.extend_from_slice(&value.months.to_le_bytes());
                out.extend_from_slice(&value.days.to_le_bytes());
                out.extend_from_slice(&value.nanoseconds.to_le_bytes());
            }
            16
        }
        _ => {
            let array = array.as_fixed_size_binary();
            let width = array.value_length() as usize;
            out.reserve(array.len() * width);
            out.extend_from_slice(&array.value_data()[..array.len() * width]);
            width
        }
    };
    let first = nulls
        .and_then(|nulls| nulls.valid_indices().next())
        .unwrap_or(0);
    let bytes = &mut out[start..];
    blank_nulls(bytes, width, nulls);
    let value = first * width..(first + 1) * width;
    let equal = bytes.chunks(width).enumerate().all(|(row, chunk)| {
        *chunk == bytes[value.clone()] || nulls.is_some_and(|nulls| nulls.is_null(row))
    });
    if equal {
        bytes.copy_within(value, 0);
        out.truncate(start + width);
        return Codec::Constant;
    }
    Codec::Fixed
}

/// Appends floats as they are.
pub(super) fn encode_f64(values: &[i64], out: &mut Vec<u8>) -> Codec {
    out.extend(values.iter().flat_map(|bits| bits.to_le_bytes()));
    Codec::Fixed
}

/// Whatever stands behind a null must not reach the disk.
fn blank_nulls(bytes: &mut [u8], width: usize, nulls: Option<&NullBuffer>) {
    let Some(nulls) = nulls else { return };
    for (row, value) in bytes.chunks_mut(width).enumerate() {
        if nulls.is_null(row) {
            value.fill(0);
        }
    }
}

/// Decodes an array of fixed width.
pub(super) fn decode(request: Request<'_>, body: Cursor<'_>) -> Result<ArrayRef, Damage> {
    Ok(match request.data_type {
        DataType::Interval(_) => {
            let values = values::<16, IntervalMonthDayNanoType>(&request, body, |bytes| {
                let mut cursor = Cursor::new(bytes, 0);
                let (months, days) = (cursor.u32()? as i32, cursor.u32()? as i32);
                Ok(IntervalMonthDayNano {
                    months,
                    days,
                    nanoseconds: cursor.i64()?,
                })
            })?;
            Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::new(
                values.into(),
                request.nulls,
            ))
        }
        DataType::Decimal128(..) => {
            let values = values::<16, Decimal128Type>(&request, body, |bytes| {
                Ok(i128::from_le_bytes(*bytes))
            })?;
            let array = PrimitiveArray::<Decimal128Type>::new(values.into(), request.nulls);
            Arc::new(array.with_data_type(request.data_type.clone()))
        }
        DataType::Float64 => {
            let values =
                values::<8, Float64Type>(&request, body, |bytes| Ok(f64::from_le_bytes(*bytes)))?;
            Arc::new(PrimitiveArray::<Float64Type>::new(
                values.into(),
                request.nulls,
            ))
        }
        DataType::FixedSizeBinary(width) => {
            let bytes = rows(&request, body, *width as usize)?;
            let array = FixedSizeBinaryArray::try_new(*width, Buffer::from(bytes), request.nulls);
            Arc::new(array.map_err(|error| body.damage(error.to_string()))?)
        }
        _ => return Err(request.wrong_codec()),
    })
}

/// The wanted values, each of `N` bytes that `read` makes a number of.
fn values<const N: usize, T: ArrowPrimitiveType>(
    request: &Request<'_>,
    body: Cursor<'_>,
    read: impl Fn(&[u8; N]) -> Result<T::Native, Damage>,
) -> Result<Vec<T::Native>, Damage> {
    let bytes = rows(request, body, N)?;
    bytes.as_chunks::<N>().0.iter().map(read).collect()
}

/// The bytes of the wanted rows, one after the other.
fn rows(request: &Request<'_>, mut body: Cursor<'_>, width: usize) -> Result<Vec<u8>, Damage> {
    let mut out = Vec::with_capacity(super::count(request.ranges) * width);
    match request.codec {
        Codec::Constant => {
            let value = body.take(width)?;
            for _ in 0..super::count(request.ranges) {
                out.extend_from_slice(value);
            }
        }
        Codec::Fixed => {
            let bytes = body.take(request.rows * width)?;
            for range in request.ranges {
                out.extend_from_slice(&bytes[range.start * width..range.end * width]);
            }
        }
        _ => return Err(request.wrong_codec()),
    }
    body.end()?;
    Ok(out)
}
