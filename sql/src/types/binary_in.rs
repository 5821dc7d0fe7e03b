//! Values from PostgreSQL's binary form: what its `*_recv` functions read. `binary_out` draws it.

use arrow::datatypes::IntervalMonthDayNano;

use super::builder::{ColumnBuilder, Values};
use super::calendar::{DATE_MAX, DATE_MIN, DAY_US, DAYS_TO_2000};
use super::fault::{Read, binary, insufficient};
use super::{PgType, datetime_in, numeric, text_in};
use crate::error::{SqlError, SqlState};

/// Appends one value to the column's values.
pub(super) fn append(column: &mut ColumnBuilder, bytes: &[u8]) -> Read<()> {
    let ty = &column.ty;
    match &mut column.values {
        Values::Bool(values) => values.append(fixed::<1>(bytes)? != [0]),
        Values::Int2(values) => values.push(i16::from_be_bytes(fixed(bytes)?)),
        Values::Int4(values) => values.push(i32::from_be_bytes(fixed(bytes)?)),
        Values::Int8(values) => values.push(i64::from_be_bytes(fixed(bytes)?)),
        Values::Oid(values) => values.push(u32::from_be_bytes(fixed(bytes)?)),
        Values::Float4(values) => values.push(f32::from_be_bytes(fixed(bytes)?)),
        Values::Float8(values) => values.push(f64::from_be_bytes(fixed(bytes)?)),
        Values::Numeric { values, .. } => values.push(numeric::read_binary(bytes, ty)?),
        Values::Text(values) => {
            let text = match (ty, bytes) {
                (PgType::Jsonb, [1, text @ ..]) => text,
                (PgType::Jsonb, [version, ..]) => {
                    return Err(SqlError::internal(format!(
                        "unsupported jsonb version number {version}"
                    )));
                }
                _ => bytes,
            };
            values.push(text_in::fitted(ty, text)?)?;
        }
        Values::Bytea(values) => values.push(bytes)?,
        Values::Date(values) => {
            let days = match i32::from_be_bytes(fixed(bytes)?) {
                infinite @ (i32::MIN | i32::MAX) => infinite,
                days => {
                    let days = i64::from(days) + i64::from(DAYS_TO_2000);
                    if !(DATE_MIN..=DATE_MAX).contains(&days) {
                        let message = "date out of range";
                        return Err(SqlError::new(SqlState::DATETIME_OVERFLOW, message));
                    }
                    days as i32
                }
            };
            values.push(days);
        }
        Values::Time(values) => {
            let micros = i64::from_be_bytes(fixed(bytes)?);
            if !(0..=DAY_US).contains(&micros) {
                return Err(SqlError::new(
                    SqlState::DATETIME_OVERFLOW,
                    "time out of range",
                ));
            }
            values.push(micros);
        }
        Values::Timestamp(values, _) | Values::Timestamptz(values, _) => {
            let micros = match i64::from_be_bytes(fixed(bytes)?) {
                infinite @ (i64::MIN | i64::MAX) => infinite,
                micros => micros
                    .checked_add(i64::from(DAYS_TO_2000) * DAY_US)
                    .filter(|micros| datetime_in::is_timestamp(*micros))
                    .ok_or_else(|| {
                        SqlError::new(SqlState::DATETIME_OVERFLOW, "timestamp out of range")
                    })?,
            };
            values.push(micros);
        }
        Values::Interval(values) => {
            let bytes: [u8; 16] = fixed(bytes)?;
            let micros = i64::from_be_bytes(part(&bytes, 0));
            let nanos = micros.checked_mul(1000).ok_or_else(|| {
                SqlError::new(SqlState::DATETIME_OVERFLOW, "interval out of range")
            })?;
            let days = i32::from_be_bytes(part(&bytes, 8));
            let months = i32::from_be_bytes(part(&bytes, 12));
            values.push(IntervalMonthDayNano::new(months, days, nanos));
        }
        Values::Uuid(values) => values.extend_from_slice(&fixed::<16>(bytes)?),
        Values::Array { offsets, items } => {
            let before = items.len();
            let end = append_items(items, bytes)
                .and_then(|()| i32::try_from(items.len()).map_err(|_| binary()));
            match end {
                Ok(end) => offsets.push(end),
                Err(fault) => {
                    items.truncate(before);
                    return Err(fault);
                }
            }
        }
    }
    Ok(())
}

/// The bytes of a value of fixed length.
fn fixed<const N: usize>(bytes: &[u8]) -> Read<[u8; N]> {
    let (value, rest) = bytes.split_first_chunk::<N>().ok_or_else(insufficient)?;
    if rest.is_empty() {
        Ok(*value)
    } else {
        Err(binary())
    }
}

fn part<const N: usize>(bytes: &[u8; 16], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

/// The elements of an array of one dimension.
fn append_items(items: &mut ColumnBuilder, bytes: &[u8]) -> Read<()> {
    let mut rest = bytes;
    let word = |rest: &mut &[u8]| -> Read<i32> {
        let (word, after) = rest.split_first_chunk::<4>().ok_or_else(insufficient)?;
        *rest = after;
        Ok(i32::from_be_bytes(*word))
    };
    let (dimensions, _nulls, element) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)?);
    if element as u32 != items.pg_type().oid() {
        let message = format!(
            "binary data has array element type {} instead of expected {}",
            element as u32,
            items.pg_type().oid()
        );
        return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
    }
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = word(&mut rest)?;
            word(&mut rest)?; // the lower bound; elements count from one here
            count
        }
        _ => return Err(SqlError::unsupported("an array of several dimensions")),
    };
    for _ in 0..count {
        match word(&mut rest)? {
            -1 => items.append_null(),
            length => {
                let value = usize::try_from(length)
                    .ok()
                    .and_then(|length| rest.get(..length));
                let value = value.ok_or_else(insufficient)?;
                items.append_binary(value)?;
                rest = &rest[value.len()..];
            }
        }
    }
    if count < 0 || !rest.is_empty() {
        return Err(binary());
    }
    Ok(())
}
