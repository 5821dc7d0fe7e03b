//! Integers and floats as text: reading both, writing integers. `float_out` writes floats.
//!
//! Reading is the hot path of COPY: a loop for what nearly every field looks like, and everything
//! else (blanks, words, other bases, errors) in cold functions after it.

use super::fault::{Read, out_of_range, syntax};
use crate::error::{SqlError, SqlState};

/// Appends a decimal integer.
pub(super) fn write_int(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_uint(value.unsigned_abs(), out);
}

/// Appends a decimal integer without a sign.
pub(super) fn write_uint(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends an integer below 100 as two digits.
#[inline]
pub(super) fn write_two(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

/// The blanks that PostgreSQL skips around a value.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |last| last + 1);
    &text[start..end]
}

/// The value of up to 18 digits.
#[inline]
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut value = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// An integer within bounds; `type_name` is for the error.
#[inline]
pub(super) fn read_int(text: &[u8], min: i64, max: i64, type_name: &str) -> Read<i64> {
    let plain = match text {
        [b'-', rest @ ..] => digits(rest).map(|value| -(value as i64)),
        _ => digits(text).map(|value| value as i64),
    };
    match plain {
        Some(value) if value >= min && value <= max => Ok(value),
        _ => read_int_slowly(text, min, max, type_name),
    }
}

/// Blanks, a plus sign, other bases and underscores (as PostgreSQL 16), and errors.
#[cold]
fn read_int_slowly(text: &[u8], min: i64, max: i64, type_name: &str) -> Read<i64> {
    let trimmed = trim(text);
    let (negative, unsigned) = match trimmed {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, trimmed),
    };
    let (radix, mut rest) = match unsigned {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'o' | b'O', rest @ ..] => (8, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        _ => (10, unsigned),
    };
    let mut value: Option<i128> = Some(0);
    let mut first = true;
    loop {
        // One underscore may stand before any digit but a first decimal one.
        if let [b'_', after @ ..] = rest
            && (radix != 10 || !first)
        {
            rest = after;
        }
        let [byte, after @ ..] = rest else {
            return Err(syntax(type_name, text));
        };
        let digit = char::from(*byte)
            .to_digit(radix)
            .ok_or_else(|| syntax(type_name, text))?;
        value = value.and_then(|value| value.checked_mul(radix.into())?.checked_add(digit.into()));
        rest = after;
        first = false;
        if rest.is_empty() {
            break;
        }
    }
    value
        .map(|value| if negative { -value } else { value })
        .filter(|value| *value >= i128::from(min) && *value <= i128::from(max))
        .map(|value| value as i64)
        .ok_or_else(|| out_of_range(type_name, text))
}

/// An oid: any 32 bits, also written as a negative number.
pub(super) fn read_oid(text: &[u8]) -> Read<u32> {
    let value = read_int(text, i32::MIN.into(), u32::MAX.into(), "oid")?;
    Ok(value as u32)
}

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// `-123.45` as (negative, 12345, 2): at most 18 digits, no exponent.
#[inline]
pub(super) fn read_point(text: &[u8]) -> Option<(bool, u64, usize)> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if unsigned.is_empty() || unsigned.len() > 19 {
        return None;
    }
    let (mut value, mut point) = (0_u64, None);
    for (at, byte) in unsigned.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    match point {
        None if unsigned.len() <= 18 => Some((negative, value, 0)),
        None => None,
        Some(_) if unsigned.len() == 1 => None,
        Some(at) => Some((negative, value, unsigned.len() - 1 - at)),
    }
}

/// A double. Integer and power of ten are exact below 2^53 and 10^22, so their quotient is the
/// nearest double; longer texts go through the standard library.
#[inline]
pub(super) fn read_f64(text: &[u8]) -> Read<f64> {
    match read_point(text) {
        Some((negative, value, scale)) if value <= 1 << 53 => {
            let magnitude = value as f64 / EXACT_POWERS[scale];
            Ok(if negative { -magnitude } else { magnitude })
        }
        _ => read_f64_slowly(text),
    }
}

#[cold]
fn read_f64_slowly(text: &[u8]) -> Read<f64> {
    let fault = || syntax("double precision", text);
    let number = match number_or_word(text).ok_or_else(fault)? {
        Number::Word(value) => return Ok(value),
        Number::Digits(number) => number,
    };
    let value: f64 = number.parse().map_err(|_| fault())?;
    if value.is_infinite() || (value == 0.0 && !is_zero(number)) {
        return Err(float_out_of_range(number, "double precision"));
    }
    Ok(value)
}

/// A real, rounded from the text at once: by way of a double it would be rounded twice.
pub(super) fn read_f32(text: &[u8]) -> Read<f32> {
    // 2^24 and 10^10 are exact reals.
    if let Some((negative, value, scale)) = read_point(text)
        && value <= 1 << 24
        && scale <= 10
    {
        let magnitude = value as f32 / EXACT_POWERS[scale] as f32;
        return Ok(if negative { -magnitude } else { magnitude });
    }
    let fault = || syntax("real", text);
    let number = match number_or_word(text).ok_or_else(fault)? {
        Number::Word(value) => return Ok(value as f32),
        Number::Digits(number) => number,
    };
    let value: f32 = number.parse().map_err(|_| fault())?;
    if value.is_infinite() || (value == 0.0 && !is_zero(number)) {
        return Err(float_out_of_range(number, "real"));
    }
    Ok(value)
}

enum Number<'a> {
    Word(f64),
    Digits(&'a str),
}

/// Tells `inf`, `NaN` and the like from what looks like a number.
fn number_or_word(text: &[u8]) -> Option<Number<'_>> {
    let trimmed = trim(text);
    let (sign, word) = match trimmed {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        rest => (1.0, rest),
    };
    if word.eq_ignore_ascii_case(b"nan") {
        return Some(Number::Word(f64::NAN));
    }
    if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") {
        return Some(Number::Word(sign * f64::INFINITY));
    }
    let numeric = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    if trimmed.is_empty() || !trimmed.iter().all(numeric) {
        return None;
    }
    std::str::from_utf8(trimmed).ok().map(Number::Digits)
}

/// Whether all digits of a number are zero.
fn is_zero(number: &str) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

#[cold]
fn float_out_of_range(number: &str, type_name: &str) -> SqlError {
    SqlError::new(
        SqlState::NUMERIC_OUT_OF_RANGE,
        format!("\"{number}\" is out of range for type {type_name}"),
    )
}

/// The words of `boolean`: any beginning of true, false, yes and no that tells them apart, on,
/// off, 1 and 0.
#[inline]
pub(super) fn read_bool(text: &[u8]) -> Read<bool> {
    match text {
        b"t" | b"true" | b"1" => return Ok(true),
        b"f" | b"false" | b"0" => return Ok(false),
        _ => {}
    }
    let word = trim(text).to_ascii_lowercase();
    match word.as_slice() {
        b"" => Err(syntax("boolean", text)),
        b"on" | b"1" => Ok(true),
        b"of" | b"off" | b"0" => Ok(false),
        word if b"true".starts_with(word) || b"yes".starts_with(word) => Ok(true),
        word if b"false".starts_with(word) || b"no".starts_with(word) => Ok(false),
        _ => Err(syntax("boolean", text)),
    }
}
