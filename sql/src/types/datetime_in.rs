//! Dates, times and timestamps from text.
//!
//! [`TimestampReader`] is the hot path of COPY: `2024-01-02 03:04:05.678+00` is read in place, with
//! the day of the row before remembered. Every other form goes through `datetime_fields`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::calendar::{DATE_MAX, DATE_MIN, DAY_US, days_from_civil, days_of_month};
use super::datetime_fields::{Fault, Fields, Meaning, Wanted, ZoneField, read};
use super::fault::{Read, shown};
use super::text_in::as_text;
use super::{FormatSettings, PgType, Zone};
use crate::error::{SqlError, SqlState};

/// Reads a date: days since 1970-01-01.
pub(super) fn read_date(text: &str, settings: &FormatSettings) -> Read<i32> {
    let meaning = read(text, Wanted::DateTime, settings.date_style.order)
        .map_err(|fault| error(fault, &PgType::Date, text))?;
    let days = match meaning {
        Meaning::Infinity => return Ok(i32::MAX),
        Meaning::NegativeInfinity => return Ok(i32::MIN),
        Meaning::Epoch => 0,
        Meaning::Now => today(settings),
        Meaning::Today { days, .. } => today(settings) + days,
        Meaning::Fields(fields) => days_from_civil(fields.year, fields.month, fields.day),
    };
    if !(DATE_MIN..=DATE_MAX).contains(&days) {
        return Err(SqlError::new(
            SqlState::DATETIME_OVERFLOW,
            format!("date out of range: \"{text}\""),
        ));
    }
    Ok(days as i32)
}

/// Reads a time of day: microseconds since midnight, up to 24:00:00.
pub(super) fn read_time(text: &str, settings: &FormatSettings) -> Read<i64> {
    let fault = |fault| error(fault, &PgType::Time, text);
    match read(text, Wanted::Time, settings.date_style.order).map_err(fault)? {
        Meaning::Fields(fields) if fields.time_us <= DAY_US => Ok(fields.time_us),
        Meaning::Fields(_) => Err(fault(Fault::Field)),
        Meaning::Today { fields, .. } => Ok(fields.time_us),
        Meaning::Now => Ok(local_now(settings).rem_euclid(DAY_US)),
        Meaning::Epoch | Meaning::Infinity | Meaning::NegativeInfinity => Err(fault(Fault::Format)),
    }
}

/// Whether microseconds since 1970 are a timestamp: from 4714-11-24 BC on, and not infinite.
pub(super) fn is_timestamp(micros: i64) -> bool {
    (DATE_MIN * DAY_US..i64::MAX).contains(&micros)
}

/// Reads timestamps of one column: microseconds since 1970, in UTC if the column has zones.
pub(super) struct TimestampReader {
    with_zone: bool,
    /// The date of the last row, as it was written, and its first microsecond.
    day_text: [u8; 10],
    day_us: i64,
    /// The session zone's offset if it is the same all day.
    day_east_s: Option<i32>,
}

impl TimestampReader {
    /// For `timestamp`, which ignores a zone.
    pub(super) fn without_zone() -> TimestampReader {
        TimestampReader {
            with_zone: false,
            day_text: *b"1970-01-01",
            day_us: 0,
            day_east_s: None,
        }
    }

    /// For `timestamptz`.
    pub(super) fn with_zone() -> TimestampReader {
        TimestampReader {
            with_zone: true,
            ..TimestampReader::without_zone()
        }
    }

    /// Reads one value.
    #[inline]
    pub(super) fn read(&mut self, text: &[u8], settings: &FormatSettings) -> Read<i64> {
        match self.read_iso(text, settings) {
            Some(micros) => Ok(micros),
            None => self.read_slowly(text, settings),
        }
    }

    /// `YYYY-MM-DD hh:mm:ss`, a fraction, and `Z` or an offset. None for all else, also for errors.
    #[inline]
    fn read_iso(&mut self, text: &[u8], settings: &FormatSettings) -> Option<i64> {
        let (head, tail) = text.split_first_chunk::<19>()?;
        let (day, clock) = head.split_first_chunk::<10>()?;
        if *day != self.day_text {
            self.change_day(day, settings)?;
        }
        let &[separator, h1, h0, c1, m1, m0, c2, s1, s0] = clock else {
            return None;
        };
        let two = |high: u8, low: u8| {
            let (high, low) = (high.wrapping_sub(b'0'), low.wrapping_sub(b'0'));
            if high > 9 || low > 9 {
                u32::MAX
            } else {
                u32::from(high) * 10 + u32::from(low)
            }
        };
        let (hour, minute, second) = (two(h1, h0), two(m1, m0), two(s1, s0));
        if !matches!(separator, b' ' | b'T')
            || c1 != b':'
            || c2 != b':'
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let (micros, zone) = match tail {
            [b'.', rest @ ..] => fraction(rest)?,
            _ => (0, tail),
        };
        let east_s = match zone {
            [] if self.with_zone => self.day_east_s?,
            [] | b"Z" | b"+00" | b"+00:00" => 0,
            [sign @ (b'+' | b'-'), h1, h0, rest @ ..] => {
                let minutes = match rest {
                    [] => 0,
                    [b':', m1, m0] | [m1, m0] => two(*m1, *m0),
                    _ => return None,
                };
                let hours = two(*h1, *h0);
                if hours > 15 || minutes > 59 {
                    return None;
                }
                let east_s = (hours * 3600 + minutes * 60) as i32;
                if *sign == b'-' { -east_s } else { east_s }
            }
            _ => return None,
        };
        let east_s = if self.with_zone { east_s } else { 0 };
        let seconds = i64::from(hour * 3600 + minute * 60 + second) - i64::from(east_s);
        Some(self.day_us + seconds * 1_000_000 + micros)
    }

    fn change_day(&mut self, text: &[u8; 10], settings: &FormatSettings) -> Option<()> {
        let &[y3, y2, y1, y0, b'-', m1, m0, b'-', d1, d0] = text else {
            return None;
        };
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0, |value, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| value * 10 + u32::from(digit - b'0'))
            })
        };
        let (year, month, day) = (
            number(&[y3, y2, y1, y0])?,
            number(&[m1, m0])?,
            number(&[d1, d0])?,
        );
        let year = i64::from(year);
        if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_of_month(year, month) {
            return None;
        }
        let days = days_from_civil(year, month, day);
        self.day_text = *text;
        self.day_us = days * DAY_US;
        // No zone changes twice in a day.
        let (first, last) = (days * 86_400, days * 86_400 + 86_399);
        let east_s = settings.time_zone.offset_of_local(first);
        let same = east_s == settings.time_zone.offset_of_local(last);
        self.day_east_s = same.then_some(east_s);
        Some(())
    }

    #[cold]
    fn read_slowly(&self, text: &[u8], settings: &FormatSettings) -> Read<i64> {
        let ty = if self.with_zone {
            PgType::Timestamptz
        } else {
            PgType::Timestamp
        };
        let text = as_text(text)?;
        let meaning = read(text, Wanted::DateTime, settings.date_style.order)
            .map_err(|fault| error(fault, &ty, text))?;
        let local = match meaning {
            Meaning::Infinity => return Ok(i64::MAX),
            Meaning::NegativeInfinity => return Ok(i64::MIN),
            Meaning::Epoch => return Ok(0),
            Meaning::Now if self.with_zone => return Ok(now(settings)),
            Meaning::Now => return Ok(local_now(settings)),
            Meaning::Today { days, fields } => {
                Some(((today(settings) + days) * DAY_US + fields.time_us, fields))
            }
            Meaning::Fields(fields) => days_from_civil(fields.year, fields.month, fields.day)
                .checked_mul(DAY_US)
                .and_then(|day| day.checked_add(fields.time_us))
                .map(|local| (local, fields)),
        };
        local
            .and_then(|(local, fields)| {
                if !self.with_zone {
                    return Some(local);
                }
                let east_s = zone_offset(&fields, local.div_euclid(1_000_000), settings);
                local.checked_sub(i64::from(east_s) * 1_000_000)
            })
            .filter(|micros| is_timestamp(*micros))
            .ok_or_else(|| {
                SqlError::new(
                    SqlState::DATETIME_OVERFLOW,
                    format!("timestamp out of range: \"{text}\""),
                )
            })
    }
}

/// Up to six digits as microseconds, and what follows. None for more, which have to be rounded.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    const UNITS: [i64; 7] = [0, 100_000, 10_000, 1000, 100, 10, 1];
    let length = text
        .iter()
        .take(7)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let unit = UNITS.get(length).filter(|unit| **unit > 0)?;
    let (digits, rest) = text.split_at(length);
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((value * unit, rest))
}

/// The offset of local time in the zone that a text names, or else the session's.
fn zone_offset(fields: &Fields, local_s: i64, settings: &FormatSettings) -> i32 {
    match &fields.zone {
        Some(ZoneField::Offset(east_s)) => *east_s,
        Some(ZoneField::Named(zone)) => zone.offset_of_local(local_s),
        None => settings.time_zone.offset_of_local(local_s),
    }
}

/// The transaction's start or the clock, in microseconds since 1970 UTC.
fn now(settings: &FormatSettings) -> i64 {
    settings.now_us.unwrap_or_else(|| {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        since_1970.as_micros() as i64
    })
}

fn local_now(settings: &FormatSettings) -> i64 {
    let now = now(settings);
    let zone: &Zone = &settings.time_zone;
    now + i64::from(zone.offset_at(now.div_euclid(1_000_000))) * 1_000_000
}

/// Today in the session's zone, in days since 1970.
fn today(settings: &FormatSettings) -> i64 {
    local_now(settings).div_euclid(DAY_US)
}

/// A fault in PostgreSQL's words.
#[cold]
fn error(fault: Fault, ty: &PgType, text: &str) -> SqlError {
    let type_name = match ty {
        PgType::Time => "time",
        PgType::Timestamp => "timestamp",
        ty => ty.base_name(),
    };
    let text = shown(text.as_bytes());
    match fault {
        Fault::Format => SqlError::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        ),
        Fault::Field => SqlError::new(
            SqlState::DATETIME_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        ),
        Fault::MonthOrDay => error(Fault::Field, ty, &text)
            .with_hint("Perhaps you need a different \"datestyle\" setting."),
        Fault::Displacement => SqlError::new(
            SqlState(*b"22009"), // invalid_time_zone_displacement_value
            format!("time zone displacement out of range: \"{text}\""),
        ),
        Fault::UnknownZone(zone) => SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("time zone \"{zone}\" not recognized"),
        ),
    }
}
