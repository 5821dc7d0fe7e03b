//! [`Clock`]: a time of day in its parts, and the texts of parts: clocks, offsets, fractions.

use super::datetime_fields::Fault;
use super::numbers::digits;

/// A time of day in its parts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) micros: i64,
}

impl Clock {
    pub(super) fn micros(&self) -> i64 {
        ((self.hour * 60 + self.minute) * 60 + self.second) * 1_000_000 + self.micros
    }
}

/// `12:34`, `12:34:56.7`, `12:34.5` (minutes and seconds). Digits may be missing at the end: `12:`.
pub(super) fn clock(text: &str) -> Result<Clock, Fault> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.contains(['.', ':']) {
        return Err(Fault::Format);
    }
    let micros = fraction_of(fraction, 1_000_000);
    let parts: Vec<&str> = whole.split(':').collect();
    let clock = match parts.as_slice() {
        [minute, second] if text.contains('.') => Clock {
            hour: 0,
            minute: integer(minute)?,
            second: integer(second)?,
            micros,
        },
        [hour, minute, rest @ ..] if rest.len() <= 1 => Clock {
            hour: integer(hour)?,
            minute: integer_or_none(minute)?,
            second: rest
                .first()
                .map_or(Ok(0), |second| integer_or_none(second))?,
            micros,
        },
        _ => return Err(Fault::Format),
    };
    if clock.minute > 59 || clock.second > 60 {
        return Err(Fault::Field);
    }
    Ok(clock)
}

/// `+02`, `-0330`, `+01:02:03`: seconds east.
pub(super) fn offset(text: &str) -> Result<i32, Fault> {
    let (sign, unsigned) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(Fault::Format),
    };
    let parts: Vec<&str> = unsigned.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [run] if run.len() > 2 => {
            let run = integer(run)?;
            (run / 100, run % 100, 0)
        }
        [hour] => (integer(hour)?, 0, 0),
        [hour, minute] => (integer(hour)?, integer(minute)?, 0),
        [hour, minute, second] => (integer(hour)?, integer(minute)?, integer(second)?),
        _ => return Err(Fault::Format),
    };
    if hour > 15 || minute > 59 || second > 59 {
        return Err(Fault::Displacement);
    }
    Ok(sign * (hour * 3600 + minute * 60 + second) as i32)
}

fn integer_or_none(text: &str) -> Result<i64, Fault> {
    if text.is_empty() {
        Ok(0)
    } else {
        integer(text)
    }
}

/// Digits as an integer of 32 bits; what is longer is a field out of range.
pub(super) fn integer(text: &str) -> Result<i64, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Format);
    }
    digits(text.as_bytes())
        .and_then(|value| i32::try_from(value).ok())
        .map(i64::from)
        .ok_or(Fault::Field)
}

/// Digits after a point as a number of units, rounded.
pub(super) fn fraction_of(digits: &str, units: i64) -> i64 {
    if digits.is_empty() {
        return 0;
    }
    let fraction: f64 = format!("0.{digits}").parse().unwrap_or(0.0);
    (fraction * units as f64).round_ties_even() as i64
}
