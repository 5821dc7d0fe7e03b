//! Intervals by ISO 8601: `P1Y2M3DT4H5M6S`, and the alternative `P0001-02-03T04:05:06`.

use super::interval_in::{Fault, Total, Unit, fraction_of, integer};

/// Reads an interval that begins with P.
pub(super) fn read(text: &str) -> Result<Total, Fault> {
    let rest = text
        .strip_prefix('P')
        .filter(|rest| !rest.is_empty())
        .ok_or(Fault::Format)?;
    let (date, time) = match rest.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (rest, None),
    };
    let mut total = Total::default();
    read_date(date, &mut total)?;
    if let Some(time) = time {
        read_time(time, &mut total)?;
    }
    Ok(total)
}

/// A number with its sign and fraction.
struct Number {
    whole: i64,
    fraction: f64,
    digits: usize,
}

/// Takes a number off the front of a text.
fn number(text: &str) -> Result<(Number, &str), Fault> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, rest) = unsigned.split_at(end);
    let (digits, after_point) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || number == "." {
        return Err(Fault::Format);
    }
    let mut whole = if digits.is_empty() {
        0
    } else {
        integer(digits)?
    };
    let mut fraction = fraction_of(after_point)?;
    if negative {
        (whole, fraction) = (-whole, -fraction);
    }
    Ok((
        Number {
            whole,
            fraction,
            digits: digits.len(),
        },
        rest,
    ))
}

fn read_date(mut text: &str, total: &mut Total) -> Result<(), Fault> {
    let mut first = true;
    while !text.is_empty() {
        let (amount, rest) = number(text)?;
        let mut chars = rest.chars();
        let unit = match chars.next() {
            Some('Y') => Unit::Year,
            Some('M') => Unit::Month,
            Some('W') => Unit::Week,
            Some('D') => Unit::Day,
            // Without units: years, months, days; or all of them run together.
            Some('-') if first => return read_hyphens(text, total),
            None if first && amount.digits == 8 && amount.fraction == 0.0 => {
                total.add(amount.whole / 10_000, 0.0, Unit::Year)?;
                total.add(amount.whole / 100 % 100, 0.0, Unit::Month)?;
                return total.add(amount.whole % 100, 0.0, Unit::Day);
            }
            None if first => return total.add(amount.whole, amount.fraction, Unit::Year),
            _ => return Err(Fault::Format),
        };
        total.add(amount.whole, amount.fraction, unit)?;
        text = chars.as_str();
        first = false;
    }
    Ok(())
}

/// `0001-02-03`
fn read_hyphens(mut text: &str, total: &mut Total) -> Result<(), Fault> {
    for unit in [Unit::Year, Unit::Month, Unit::Day] {
        let (amount, rest) = number(text)?;
        total.add(amount.whole, amount.fraction, unit)?;
        text = match rest.strip_prefix('-') {
            Some(rest) => rest,
            None if rest.is_empty() => return Ok(()),
            None => return Err(Fault::Format),
        };
    }
    Err(Fault::Format)
}

fn read_time(mut text: &str, total: &mut Total) -> Result<(), Fault> {
    let mut first = true;
    while !text.is_empty() {
        let (amount, rest) = number(text)?;
        let mut chars = rest.chars();
        let unit = match chars.next() {
            Some('H') => Unit::Hour,
            Some('M') => Unit::Minute,
            Some('S') => Unit::Second,
            Some(':') if first => return read_colons(text, total),
            None if first && amount.digits == 6 => {
                total.add(amount.whole / 10_000, 0.0, Unit::Hour)?;
                total.add(amount.whole / 100 % 100, 0.0, Unit::Minute)?;
                return total.add(amount.whole % 100, amount.fraction, Unit::Second);
            }
            None if first => return total.add(amount.whole, amount.fraction, Unit::Hour),
            _ => return Err(Fault::Format),
        };
        total.add(amount.whole, amount.fraction, unit)?;
        text = chars.as_str();
        first = false;
    }
    Ok(())
}

/// `04:05:06`
fn read_colons(mut text: &str, total: &mut Total) -> Result<(), Fault> {
    for unit in [Unit::Hour, Unit::Minute, Unit::Second] {
        let (amount, rest) = number(text)?;
        total.add(amount.whole, amount.fraction, unit)?;
        text = match rest.strip_prefix(':') {
            Some(rest) => rest,
            None if rest.is_empty() => return Ok(()),
            None => return Err(Fault::Format),
        };
    }
    Err(Fault::Format)
}
