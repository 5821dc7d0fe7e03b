//! Floats as text, exactly as PostgreSQL prints them.
//!
//! With `extra_float_digits` above 0 that is the shortest text that reads back to the same bits.
//! PostgreSQL's shortest differs from Rust's in one thing: it takes no text that lies exactly
//! between two floats, even if round-half-even would read it back (`d2s.c`, STRICTLY_SHORTEST).

use super::numbers::{write_int, write_two, write_uint};

/// Digits that any decimal text keeps in a double, and in a real.
const F64_DIGITS: i32 = 15;
const F32_DIGITS: i32 = 6;

/// Appends a double.
pub(super) fn write_f64(value: f64, extra_digits: i32, out: &mut Vec<u8>) {
    if write_special(value, out) {
        return;
    }
    if extra_digits <= 0 {
        let digits = (F64_DIGITS + extra_digits).max(1) as usize;
        return write_layout(
            &format!("{value:.*e}", digits - 1),
            digits as i32,
            true,
            out,
        );
    }
    if write_short_decimal(value, out) {
        return;
    }
    let mut text = format!("{value:e}");
    let parts = parts_f64(value);
    let reads_back = |text: &str| text.parse::<f64>().is_ok_and(|read| read == value);
    if is_midpoint(&text, parts) {
        for digits in text_digits(&text)..=17 {
            text = format!("{value:.*e}", digits - 1);
            if reads_back(&text) && !is_midpoint(&text, parts) {
                break;
            }
        }
    }
    if let Some(even) = even_text(&text, parts).filter(|even| reads_back(even)) {
        text = even;
    }
    write_layout(&text, F64_DIGITS, false, out);
}

/// Appends a real.
pub(super) fn write_f32(value: f32, extra_digits: i32, out: &mut Vec<u8>) {
    if write_special(value.into(), out) {
        return;
    }
    if extra_digits <= 0 {
        let digits = (F32_DIGITS + extra_digits).max(1) as usize;
        return write_layout(
            &format!("{value:.*e}", digits - 1),
            digits as i32,
            true,
            out,
        );
    }
    let mut text = format!("{value:e}");
    let parts = parts_f32(value);
    let reads_back = |text: &str| text.parse::<f32>().is_ok_and(|read| read == value);
    if is_midpoint(&text, parts) {
        for digits in text_digits(&text)..=9 {
            text = format!("{value:.*e}", digits - 1);
            if reads_back(&text) && !is_midpoint(&text, parts) {
                break;
            }
        }
    }
    if let Some(even) = even_text(&text, parts).filter(|even| reads_back(even)) {
        text = even;
    }
    write_layout(&text, F32_DIGITS, false, out);
}

fn write_special(value: f64, out: &mut Vec<u8>) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"Infinity"
    } else if value == f64::NEG_INFINITY {
        b"-Infinity"
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

/// The fast path of money and counts: a decimal with few digits after the point.
///
/// A decimal of at most 15 digits is the only one of that length that a double stands for, so if
/// the quotient of integer and power is this double, the integer's digits are the shortest text.
fn write_short_decimal(value: f64, out: &mut Vec<u8>) -> bool {
    let magnitude = value.abs();
    for (scale, power) in [(0, 1.0), (2, 100.0), (4, 10_000.0)] {
        if magnitude * power >= 1e15 {
            return false;
        }
        let scaled = (magnitude * power + 0.5) as u64;
        if scaled as f64 / power != magnitude {
            continue;
        }
        if scaled == 0 || magnitude < 1e-4 {
            return magnitude == 0.0 && {
                out.extend_from_slice(if value.is_sign_negative() {
                    b"-0"
                } else {
                    b"0"
                });
                true
            };
        }
        if value < 0.0 {
            out.push(b'-');
        }
        let (mut integer, mut after_point) = (scaled, scale);
        while after_point > 0 && integer.is_multiple_of(10) {
            integer /= 10;
            after_point -= 1;
        }
        let unit = 10_u64.pow(after_point);
        write_uint(integer / unit, out);
        if after_point > 0 {
            let start = out.len();
            // A one before the digits keeps their leading zeros, and the point takes its place.
            write_uint(unit + integer % unit, out);
            out[start] = b'.';
        }
        return true;
    }
    false
}

/// Lays out what Rust prints as `-1.234e-5` the way C's `%g` does: with an exponent if it is below
/// -4 or not below `digits`.
fn write_layout(scientific: &str, digits: i32, trim_zeros: bool, out: &mut Vec<u8>) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            out.push(b'-');
            rest
        }
        None => mantissa,
    };
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let rest = if trim_zeros {
        rest.trim_end_matches('0')
    } else {
        rest
    };
    let significant = [first.as_bytes(), rest.as_bytes()].concat();
    if exponent < -4 || exponent >= digits {
        out.push(significant[0]);
        if significant.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&significant[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        match exponent.unsigned_abs() {
            short @ 0..100 => write_two(short, out),
            long => write_int(long.into(), out),
        }
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(&significant);
    } else {
        let before_point = exponent as usize + 1;
        let split = before_point.min(significant.len());
        out.extend_from_slice(&significant[..split]);
        out.resize(out.len() + before_point - split, b'0');
        if split < significant.len() {
            out.push(b'.');
            out.extend_from_slice(&significant[split..]);
        }
    }
}

/// Significant digits of a text like `-1.234e-5`.
fn text_digits(text: &str) -> usize {
    text.bytes()
        .take_while(|byte| *byte != b'e')
        .filter(u8::is_ascii_digit)
        .count()
}

/// A float as mantissa times a power of two.
#[derive(Clone, Copy)]
struct Parts {
    mantissa: u64,
    exponent: i32,
    /// The float below is half as far away as the one above: this is a power of two.
    near_below: bool,
}

fn parts_f64(value: f64) -> Parts {
    let bits = value.to_bits();
    parts(
        bits & ((1 << 52) - 1),
        (bits >> 52 & 0x7ff) as i32,
        52,
        1075,
    )
}

fn parts_f32(value: f32) -> Parts {
    let bits = value.to_bits();
    parts(
        (bits & ((1 << 23) - 1)).into(),
        (bits >> 23 & 0xff) as i32,
        23,
        150,
    )
}

fn parts(fraction: u64, exponent: i32, fraction_bits: u32, bias: i32) -> Parts {
    match exponent {
        0 => Parts {
            mantissa: fraction,
            exponent: 1 - bias,
            near_below: false,
        },
        _ => Parts {
            mantissa: fraction | 1 << fraction_bits,
            exponent: exponent - bias,
            near_below: fraction == 0 && exponent > 1,
        },
    }
}

/// The digits of a text like `-1.234e-5` as an integer, and its power of ten.
fn decimal_parts(text: &str) -> (u128, i32) {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let after_point = digits
        .split_once('.')
        .map_or(0, |(_, rest)| rest.len() as i32);
    let power = power.parse::<i32>().unwrap_or(0) - after_point;
    let digits = digits.bytes().filter(u8::is_ascii_digit);
    (
        digits.fold(0, |value, digit| value * 10 + u128::from(digit - b'0')),
        power,
    )
}

/// Whether a text lies exactly between a float, given as parts, and one of its neighbours.
fn is_midpoint(
    text: &str,
    Parts {
        mantissa,
        exponent,
        near_below,
    }: Parts,
) -> bool {
    // An odd mantissa never reads back from a midpoint.
    if mantissa == 0 || !mantissa.is_multiple_of(2) {
        return false;
    }
    let (decimal, power) = decimal_parts(text);
    let quarters = u128::from(mantissa) * 4;
    let below = if near_below {
        quarters - 1
    } else {
        quarters - 2
    };
    [below, quarters + 2]
        .iter()
        .any(|midpoint| equal(decimal, power, *midpoint, exponent - 2))
}

/// If a float lies exactly between a text that ends with an odd digit and its neighbour that ends
/// with an even one: that neighbour, which is what PostgreSQL prints.
fn even_text(
    text: &str,
    Parts {
        mantissa, exponent, ..
    }: Parts,
) -> Option<String> {
    let (decimal, power) = decimal_parts(text);
    if decimal.is_multiple_of(2) {
        return None;
    }
    let tie = |tenths: u128| equal(tenths, power - 1, mantissa.into(), exponent);
    let digit_at = text.find('e').unwrap_or(text.len()) - 1;
    let digit = text.as_bytes()[digit_at] - b'0';
    let even = match digit {
        1.. if tie(decimal * 10 - 5) => digit - 1,
        ..9 if tie(decimal * 10 + 5) => digit + 1,
        _ => return None,
    };
    Some(format!(
        "{}{even}{}",
        &text[..digit_at],
        &text[digit_at + 1..]
    ))
}

/// Whether `decimal` × 10^`power` equals `binary` × 2^`exponent`.
fn equal(decimal: u128, power: i32, binary: u128, exponent: i32) -> bool {
    if decimal == 0 || binary == 0 {
        return decimal == binary;
    }
    // Both sides without factors of two: those must agree, and so must what is left.
    let (decimal_twos, binary_twos) = (
        decimal.trailing_zeros() as i32,
        binary.trailing_zeros() as i32,
    );
    if decimal_twos + power != binary_twos + exponent {
        return false;
    }
    let (decimal, binary) = (decimal >> decimal_twos, binary >> binary_twos);
    let fives = 5_u128.checked_pow(power.unsigned_abs());
    let (small, large) = if power >= 0 {
        (decimal, binary)
    } else {
        (binary, decimal)
    };
    fives
        .and_then(|fives| small.checked_mul(fives))
        .is_some_and(|product| product == large)
}
