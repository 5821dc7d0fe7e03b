//! Dates, times and timestamps as text, in PostgreSQL's four layouts.
//!
//! Dates are days and timestamps microseconds since 1970-01-01; the extreme values of their
//! integers are -infinity and infinity.

use super::calendar::{DAY_US, MONTHS, WEEKDAYS, civil_from_days, weekday};
use super::numbers::{write_two, write_uint};
use super::zone::offset_text;
use super::{DateFormat, DateOrder, FormatSettings};

/// Appends a date.
pub(super) fn write_date(days: i32, settings: &FormatSettings, out: &mut Vec<u8>) {
    if write_infinite(days == i32::MIN, days == i32::MAX, out) {
        return;
    }
    let (year, month, day) = civil_from_days(days.into());
    let shown = shown_year(year);
    match settings.date_style.format {
        DateFormat::Iso => {
            write_year(shown, out);
            write_parts(&[month, day], b'-', true, out);
        }
        DateFormat::German => {
            write_parts(&[day, month], b'.', false, out);
            out.push(b'.');
            write_year(shown, out);
        }
        DateFormat::Sql => {
            write_parts(&ordered(month, day, settings), b'/', false, out);
            out.push(b'/');
            write_year(shown, out);
        }
        DateFormat::Postgres => {
            write_parts(&ordered(month, day, settings), b'-', false, out);
            out.push(b'-');
            write_year(shown, out);
        }
    }
    write_era(year, out);
}

/// Appends a time of day, given in microseconds since midnight.
pub(super) fn write_time(micros: i64, out: &mut Vec<u8>) {
    // A value outside the day is not a time; print it as hours all the same.
    let seconds = micros.div_euclid(1_000_000);
    write_clock(
        seconds.max(0) as u64,
        micros.rem_euclid(1_000_000) as u32,
        out,
    );
}

/// Appends a timestamp without a zone.
pub(super) fn write_timestamp(micros: i64, settings: &FormatSettings, out: &mut Vec<u8>) {
    if !write_infinite(micros == i64::MIN, micros == i64::MAX, out) {
        write_local(micros, None, settings, out);
    }
}

/// Appends a timestamp in the session's zone.
pub(super) fn write_timestamptz(micros: i64, settings: &FormatSettings, out: &mut Vec<u8>) {
    if write_infinite(micros == i64::MIN, micros == i64::MAX, out) {
        return;
    }
    let utc_s = micros.div_euclid(1_000_000);
    let east_s = match settings.time_zone.is_utc() {
        true => 0, // without a search in the zone's history
        false => settings.time_zone.offset_at(utc_s),
    };
    let local = micros.saturating_add(i64::from(east_s) * 1_000_000);
    let zone = match settings.date_style.format {
        DateFormat::Iso if east_s == 0 => return write_local(local, Some("+00"), settings, out),
        DateFormat::Iso => offset_text(east_s),
        _ => settings.time_zone.abbreviation_at(utc_s),
    };
    write_local(local, Some(&zone), settings, out);
}

/// Appends microseconds of local time and its zone.
fn write_local(micros: i64, zone: Option<&str>, settings: &FormatSettings, out: &mut Vec<u8>) {
    let days = micros.div_euclid(DAY_US);
    let of_day = micros.rem_euclid(DAY_US);
    let (year, month, day) = civil_from_days(days);
    let shown = shown_year(year);
    let clock = |out: &mut Vec<u8>| {
        write_clock(
            (of_day / 1_000_000) as u64,
            (of_day % 1_000_000) as u32,
            out,
        );
    };
    match settings.date_style.format {
        DateFormat::Iso => {
            write_year(shown, out);
            write_parts(&[month, day], b'-', true, out);
            out.push(b' ');
            clock(out);
            out.extend_from_slice(zone.unwrap_or_default().as_bytes());
        }
        DateFormat::Sql | DateFormat::German => {
            let separator = match settings.date_style.format {
                DateFormat::Sql => {
                    write_parts(&ordered(month, day, settings), b'/', false, out);
                    b'/'
                }
                _ => {
                    write_parts(&[day, month], b'.', false, out);
                    b'.'
                }
            };
            out.push(separator);
            write_year(shown, out);
            out.push(b' ');
            clock(out);
            write_zone_name(zone, out);
        }
        DateFormat::Postgres => {
            out.extend_from_slice(&WEEKDAYS[weekday(days)].as_bytes()[..3]);
            out.push(b' ');
            let name = &MONTHS[month as usize - 1].as_bytes()[..3];
            if settings.date_style.order == DateOrder::Dmy {
                write_two(day, out);
                out.push(b' ');
                out.extend_from_slice(name);
            } else {
                out.extend_from_slice(name);
                out.push(b' ');
                write_two(day, out);
            }
            out.push(b' ');
            clock(out);
            out.push(b' ');
            write_year(shown, out);
            write_zone_name(zone, out);
        }
    }
    write_era(year, out);
}

/// A zone after a blank, as all layouts but ISO have it.
fn write_zone_name(zone: Option<&str>, out: &mut Vec<u8>) {
    if let Some(zone) = zone {
        out.push(b' ');
        out.extend_from_slice(zone.as_bytes());
    }
}

/// `hh:mm:ss` and as many digits of a second as are not zero.
fn write_clock(seconds: u64, micros: u32, out: &mut Vec<u8>) {
    match seconds / 3600 {
        short @ 0..100 => write_two(short as u32, out),
        long => write_uint(long, out),
    }
    out.push(b':');
    write_two((seconds / 60 % 60) as u32, out);
    out.push(b':');
    write_two((seconds % 60) as u32, out);
    write_fraction(micros, out);
}

/// `.5`, nothing for zero.
pub(super) fn write_fraction(micros: u32, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    let start = out.len();
    // A million before the digits keeps their leading zeros, and the point replaces its one.
    write_uint(1_000_000 + u64::from(micros), out);
    out[start] = b'.';
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// The number that a year is printed with: there is no year 0.
fn shown_year(year: i64) -> u64 {
    if year > 0 {
        year as u64
    } else {
        (1 - year) as u64
    }
}

fn write_year(shown: u64, out: &mut Vec<u8>) {
    match shown {
        0..=9999 => {
            write_two((shown / 100) as u32, out);
            write_two((shown % 100) as u32, out);
        }
        _ => write_uint(shown, out),
    }
}

fn write_era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// Two-digit parts with separators between them, and perhaps one before.
fn write_parts(parts: &[u32; 2], separator: u8, before: bool, out: &mut Vec<u8>) {
    if before {
        out.push(separator);
    }
    write_two(parts[0], out);
    out.push(separator);
    write_two(parts[1], out);
}

fn ordered(month: u32, day: u32, settings: &FormatSettings) -> [u32; 2] {
    match settings.date_style.order {
        DateOrder::Dmy => [day, month],
        DateOrder::Mdy | DateOrder::Ymd => [month, day],
    }
}

fn write_infinite(past: bool, future: bool, out: &mut Vec<u8>) -> bool {
    if past {
        out.extend_from_slice(b"-infinity");
    } else if future {
        out.extend_from_slice(b"infinity");
    }
    past || future
}
