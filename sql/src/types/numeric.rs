//! `numeric`: decimals of up to 38 digits as text and in binary, both ways.
//!
//! A decimal is an integer and a scale: 123.45 is 12345 with scale 2. Reading rounds half away
//! from zero to the scale of the type. The binary form is PostgreSQL's:
//!
//! ```text
//! | digits u16 be | weight i16 be | sign u16 be | scale u16 be | per digit u16 be, base 10,000 |
//! ```
//! The first digit counts 10,000^weight. Sign is 0 or 0x4000; 0xc000 and above are NaN, infinities.

use std::cmp::Ordering;

use super::fault::{Read, binary, insufficient, syntax};
use super::numbers::{read_point, trim, write_uint};
use super::{PgType, mapping};
use crate::error::{SqlError, SqlState};

/// Powers of ten up to the precision of a decimal.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Appends a decimal; with `trim`, without zeros at its end.
pub(super) fn write(value: i128, scale: i8, trim: bool, out: &mut Vec<u8>) {
    let (value, scale) = if trim {
        trimmed(value, scale)
    } else {
        (value, scale)
    };
    match (u64::try_from(value.unsigned_abs()), usize::try_from(scale)) {
        (Ok(small), Ok(scale @ 0..=18)) => {
            if value < 0 {
                out.push(b'-');
            }
            let unit = 10_u64.pow(scale as u32);
            write_uint(small / unit, out);
            if scale > 0 {
                let start = out.len();
                // A one before the digits keeps their leading zeros, and the point replaces it.
                write_uint(unit + small % unit, out);
                out[start] = b'.';
            }
        }
        _ => write_digits(&value.to_string(), scale, out),
    }
}

/// Appends a decimal given as the digits of its integer.
pub(super) fn write_digits(integer: &str, scale: i8, out: &mut Vec<u8>) {
    let digits = match integer.strip_prefix('-') {
        Some(digits) => {
            out.push(b'-');
            digits
        }
        None => integer,
    };
    let Ok(scale) = usize::try_from(scale) else {
        out.extend_from_slice(digits.as_bytes());
        let zeros = if digits == "0" {
            0
        } else {
            usize::from(scale.unsigned_abs())
        };
        out.resize(out.len() + zeros, b'0');
        return;
    };
    let before_point = digits.len().saturating_sub(scale);
    out.extend_from_slice(if before_point == 0 {
        b"0"
    } else {
        &digits.as_bytes()[..before_point]
    });
    if scale > 0 {
        out.push(b'.');
        out.resize(out.len() + scale.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(&digits.as_bytes()[before_point..]);
    }
}

/// The same value with the smallest scale.
fn trimmed(mut value: i128, mut scale: i8) -> (i128, i8) {
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    (value, scale)
}

/// Reads a decimal of a type's precision and scale.
#[inline]
pub(super) fn read(text: &[u8], precision: u8, scale: i8, ty: &PgType) -> Read<i128> {
    // 18 digits times 10^18 stay below 10^38.
    if let Some((negative, value, after_point)) = read_point(text)
        && let Some(up) = usize::try_from(scale)
            .ok()
            .and_then(|scale| scale.checked_sub(after_point))
        && up <= 18
    {
        let value = i128::from(value) * POWERS[up];
        if value < POWERS[usize::from(precision.min(38))] {
            return Ok(if negative { -value } else { value });
        }
    }
    read_slowly(text, precision, scale, ty)
}

/// Exponents, rounding, long numbers and errors.
fn read_slowly(text: &[u8], precision: u8, scale: i8, ty: &PgType) -> Read<i128> {
    let fault = || syntax("numeric", text);
    let trimmed = trim(text);
    let (negative, unsigned) = match trimmed {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if trimmed.eq_ignore_ascii_case(b"nan") {
        return Err(not_a_number("NaN"));
    }
    if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
        return Err(infinite(ty));
    }
    let exponent_at = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        None => (unsigned, 0),
        Some(at) => {
            let exponent = std::str::from_utf8(&unsigned[at + 1..]).map_err(|_| fault())?;
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(fault());
            }
            let large = if exponent.starts_with('-') {
                i64::MIN / 4
            } else {
                i64::MAX / 4
            };
            (&unsigned[..at], exponent.parse::<i64>().unwrap_or(large))
        }
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let (before, after) = match point {
        None => (mantissa, &[][..]),
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
    };
    if before.len() + after.len() == 0
        || !before.iter().chain(after).all(|byte| byte.is_ascii_digit())
    {
        return Err(fault());
    }
    let digits = before.iter().chain(after).map(|byte| byte - b'0');
    let weight = (before.len() as i64).saturating_add(exponent);
    let magnitude = rounded(digits, weight, scale)
        .filter(|value| *value < POWERS[usize::from(precision.min(38))]);
    let magnitude = magnitude.ok_or_else(|| overflow(precision, scale))?;
    Ok(if negative { -magnitude } else { magnitude })
}

/// Decimal digits, of which `weight` stand before the point, as an integer of a scale. None if it
/// has more than 38 digits.
fn rounded(digits: impl Iterator<Item = u8>, weight: i64, scale: i8) -> Option<i128> {
    let kept = weight.saturating_add(scale.into()); // digits up to the last one of the scale
    let mut value: i128 = 0;
    let mut at = 0;
    for digit in digits {
        if at < kept {
            value = value.checked_mul(10)?.checked_add(digit.into())?;
        } else if at == kept {
            value += i128::from(digit >= 5);
            return Some(value);
        } else {
            return Some(value);
        }
        at += 1;
    }
    if value == 0 {
        return Some(0);
    }
    let missing = usize::try_from(kept - at).unwrap_or(0);
    value.checked_mul(*POWERS.get(missing)?)
}

#[cold]
fn not_a_number(word: &str) -> SqlError {
    SqlError::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("numeric value \"{word}\" is not supported"),
    )
    .with_hint("Use double precision for columns that hold NaN or Infinity.")
}

#[cold]
fn infinite(ty: &PgType) -> SqlError {
    match ty {
        PgType::Numeric {
            precision: precision @ 1..,
            scale,
        } => SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, "numeric field overflow").with_detail(
            format!(
                "A field with precision {precision}, scale {scale} cannot hold an infinite value."
            ),
        ),
        _ => not_a_number("Infinity"),
    }
}

#[cold]
fn overflow(precision: u8, scale: i8) -> SqlError {
    let digits = i32::from(precision) - i32::from(scale);
    let below = if digits == 0 {
        "1".to_owned()
    } else {
        format!("10^{digits}")
    };
    SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, "numeric field overflow").with_detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {below}."
    ))
}

/// Appends the binary form of a decimal.
pub(super) fn write_binary(value: i128, scale: i8, trim: bool, out: &mut Vec<u8>) {
    let (value, scale) = if trim {
        trimmed(value, scale)
    } else {
        (value, scale)
    };
    write_binary_digits(&value.to_string(), scale, out);
}

/// Appends the binary form of a decimal given as the digits of its integer.
pub(super) fn write_binary_digits(integer: &str, scale: i8, out: &mut Vec<u8>) {
    let (negative, digits) = match integer.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, integer),
    };
    let after_point = usize::try_from(scale).unwrap_or(0);
    // Zeros on both sides until groups of four begin and end at the point.
    let mut padded = digits.as_bytes().to_vec();
    padded.resize(
        padded.len() + usize::try_from(-i32::from(scale)).unwrap_or(0),
        b'0',
    );
    padded.resize(
        padded.len() + after_point.next_multiple_of(4) - after_point,
        b'0',
    );
    let groups_after = after_point.div_ceil(4);
    let groups = padded.len().div_ceil(4).max(groups_after);
    let front = groups * 4 - padded.len();
    padded.splice(0..0, std::iter::repeat_n(b'0', front));
    let group = |four: &[u8]| {
        four.iter()
            .fold(0_u16, |value, digit| value * 10 + u16::from(digit - b'0'))
    };
    let values: Vec<u16> = padded.chunks(4).map(group).collect();
    let first = values
        .iter()
        .position(|value| *value != 0)
        .unwrap_or(values.len());
    let last = values
        .iter()
        .rposition(|value| *value != 0)
        .map_or(first, |last| last + 1);
    let weight = if first == last {
        0
    } else {
        groups as i16 - groups_after as i16 - 1 - first as i16
    };
    let sign: u16 = if negative && first < last { 0x4000 } else { 0 };
    out.extend_from_slice(&((last - first) as u16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(after_point as u16).to_be_bytes());
    for value in &values[first..last] {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Reads the binary form.
pub(super) fn read_binary(bytes: &[u8], ty: &PgType) -> Read<i128> {
    let (precision, scale) = ty.decimal();
    debug_assert!(
        precision <= mapping::BARE_NUMERIC.0,
        "columns keep 38 digits"
    );
    let word = |at: usize| match bytes.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(insufficient()),
    };
    let (count, weight, sign) = (usize::from(word(0)?), word(2)? as i16, word(4)?);
    word(6)?; // the scale it was printed with; the digits tell the value
    match bytes.len().cmp(&(8 + count * 2)) {
        Ordering::Less => return Err(insufficient()),
        Ordering::Equal => {}
        Ordering::Greater => return Err(binary()),
    }
    match sign {
        0 | 0x4000 => {}
        0xc000 => return Err(not_a_number("NaN")),
        0xd000 | 0xf000 => return Err(infinite(ty)),
        _ => {
            let message = "invalid sign in external \"numeric\" value";
            return Err(SqlError::new(
                SqlState::INVALID_BINARY_REPRESENTATION,
                message,
            ));
        }
    }
    for at in 0..count {
        if word(8 + at * 2)? > 9999 {
            let message = "invalid digit in external \"numeric\" value";
            return Err(SqlError::new(
                SqlState::INVALID_BINARY_REPRESENTATION,
                message,
            ));
        }
    }
    let digits = bytes[8..].chunks_exact(2).flat_map(|pair| {
        let group = u16::from_be_bytes([pair[0], pair[1]]);
        [group / 1000, group / 100 % 10, group / 10 % 10, group % 10].map(|digit| digit as u8)
    });
    let magnitude = rounded(digits, (i64::from(weight) + 1) * 4, scale)
        .filter(|value| *value < POWERS[usize::from(precision.min(38))])
        .ok_or_else(|| overflow(precision, scale))?;
    Ok(if sign == 0x4000 {
        -magnitude
    } else {
        magnitude
    })
}
