//! Values from text, exactly as PostgreSQL reads them.

use super::builder::{ColumnBuilder, Values};
use super::fault::{Read, encoding};
use super::{PgType, array_in, bytes, datetime_in, interval_in, numbers, numeric};
use crate::error::{SqlError, SqlState};

/// Appends one value to the column's values.
#[inline]
pub(super) fn append(column: &mut ColumnBuilder, text: &[u8]) -> Read<()> {
    match &mut column.values {
        Values::Int2(values) => {
            let value = numbers::read_int(text, i16::MIN.into(), i16::MAX.into(), "smallint")?;
            values.push(value as i16);
        }
        Values::Int4(values) => {
            let value = numbers::read_int(text, i32::MIN.into(), i32::MAX.into(), "integer")?;
            values.push(value as i32);
        }
        Values::Int8(values) => {
            values.push(numbers::read_int(text, i64::MIN, i64::MAX, "bigint")?);
        }
        Values::Float8(values) => values.push(numbers::read_f64(text)?),
        Values::Timestamp(values, reader) | Values::Timestamptz(values, reader) => {
            values.push(reader.read(text, &column.settings)?);
        }
        Values::Numeric {
            values,
            precision,
            scale,
        } => {
            values.push(numeric::read(text, *precision, *scale, &column.ty)?);
        }
        Values::Text(values) => values.push(fitted(&column.ty, text)?)?,
        Values::Bool(values) => values.append(numbers::read_bool(text)?),
        Values::Oid(values) => values.push(numbers::read_oid(text)?),
        Values::Float4(values) => values.push(numbers::read_f32(text)?),
        Values::Bytea(values) => match bytes::read(text, &mut values.bytes) {
            Ok(()) => values.end_value()?,
            Err(fault) => {
                values.undo_value();
                return Err(fault);
            }
        },
        Values::Date(values) => {
            values.push(datetime_in::read_date(as_text(text)?, &column.settings)?);
        }
        Values::Time(values) => {
            values.push(datetime_in::read_time(as_text(text)?, &column.settings)?);
        }
        Values::Interval(values) => {
            values.push(interval_in::read(as_text(text)?, &column.settings)?);
        }
        Values::Uuid(values) => values.extend_from_slice(&bytes::read_uuid(text)?),
        Values::Array { offsets, items } => {
            let before = items.len();
            let end = array_in::append(items, as_text(text)?).and_then(|()| {
                i32::try_from(items.len()).map_err(|_| {
                    SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many array elements")
                })
            });
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

/// Bytes as text; 22021 if they are not UTF-8 or hold a zero byte.
#[inline]
pub(super) fn as_text(bytes: &[u8]) -> Read<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text),
        _ => Err(encoding(bytes)),
    }
}

/// Whether bytes are ASCII without a zero byte, eight at a time.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A byte minus one has its high bit set if it was zero, or above 128 already.
    let suspicious = |word: u64| (word | word.wrapping_sub(ONES)) & HIGH_BITS != 0;
    let (words, rest) = bytes.as_chunks::<8>();
    words
        .iter()
        .all(|word| !suspicious(u64::from_le_bytes(*word)))
        && rest.iter().all(|byte| byte.wrapping_sub(1) < 127)
}

/// Text as the column's type keeps it: of allowed length, without a `char`'s blanks, valid JSON.
#[inline]
pub(super) fn fitted<'a>(ty: &PgType, bytes: &'a [u8]) -> Read<&'a [u8]> {
    if !is_plain(bytes) {
        as_text(bytes)?;
    }
    match ty {
        PgType::Varchar(Some(max)) => within(bytes, *max as usize, ty),
        PgType::Char(max) => {
            let text = if *max > 0 {
                within(bytes, *max as usize, ty)?
            } else {
                bytes
            };
            let blanks = text.iter().rev().take_while(|byte| **byte == b' ').count();
            Ok(&text[..text.len() - blanks])
        }
        PgType::Name => Ok(cut_name(bytes)),
        PgType::Json | PgType::Jsonb => {
            check_json(bytes)?;
            Ok(bytes)
        }
        _ => Ok(bytes),
    }
}

/// Text of at most `max` characters. What is longer may only be so by blanks, and loses them.
fn within<'a>(text: &'a [u8], max: usize, ty: &PgType) -> Read<&'a [u8]> {
    if text.len() <= max {
        return Ok(text);
    }
    // The characters of UTF-8 begin at the bytes that do not continue one.
    let mut starts = (0..text.len()).filter(|at| text[*at] & 0xc0 != 0x80);
    match starts.nth(max) {
        None => Ok(text),
        Some(end) if text[end..].iter().all(|byte| *byte == b' ') => Ok(&text[..end]),
        Some(_) => Err(SqlError::new(
            SqlState::STRING_TOO_LONG,
            format!("value too long for type {}", ty.name()),
        )),
    }
}

/// A name keeps its first 63 bytes, less half a character.
fn cut_name(text: &[u8]) -> &[u8] {
    const NAME_BYTES_MAX: usize = 63;
    let mut end = text.len().min(NAME_BYTES_MAX);
    while end < text.len() && end > 0 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}

/// Checks that text is JSON.
fn check_json(text: &[u8]) -> Read<()> {
    serde_json::from_slice::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|fault| {
            // PostgreSQL names json for jsonb too.
            let message = "invalid input syntax for type json";
            SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message).with_detail(
                if fault.is_eof() {
                    "The input string ended unexpectedly.".to_owned()
                } else {
                    format!(
                        "The text is invalid at line {}, column {}.",
                        fault.line(),
                        fault.column()
                    )
                },
            )
        })
}
