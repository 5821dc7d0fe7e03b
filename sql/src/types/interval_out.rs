//! Intervals as text, in PostgreSQL's four layouts.
//!
//! Months, days and time are three numbers with signs of their own: `1 mon -2 days +03:00:00`.

use arrow::datatypes::IntervalMonthDayNano;

use super::datetime_out::write_fraction;
use super::numbers::{write_int, write_two, write_uint};
use super::{FormatSettings, IntervalStyle};

/// An interval cut into the units it is printed in.
struct Parts {
    years: i64,
    months: i64,
    days: i64,
    /// Of the time; the units below have no sign.
    negative_time: bool,
    hours: u64,
    minutes: u64,
    seconds: u64,
    micros: u32,
}

impl Parts {
    fn of(interval: IntervalMonthDayNano) -> Parts {
        let micros = interval.nanoseconds / 1000;
        let seconds = micros.unsigned_abs() / 1_000_000;
        Parts {
            years: i64::from(interval.months / 12),
            months: i64::from(interval.months % 12),
            days: interval.days.into(),
            negative_time: micros < 0,
            hours: seconds / 3600,
            minutes: seconds / 60 % 60,
            seconds: seconds % 60,
            micros: (micros.unsigned_abs() % 1_000_000) as u32,
        }
    }

    fn has_time(&self) -> bool {
        self.hours > 0 || self.minutes > 0 || self.has_seconds()
    }

    fn has_seconds(&self) -> bool {
        self.seconds > 0 || self.micros > 0
    }

    fn write_sign(&self, out: &mut Vec<u8>) {
        if self.negative_time {
            out.push(b'-');
        }
    }

    /// `mm:ss.ffffff`
    fn write_minutes(&self, out: &mut Vec<u8>) {
        write_two(self.minutes as u32, out);
        out.push(b':');
        write_two(self.seconds as u32, out);
        write_fraction(self.micros, out);
    }
}

/// Appends an interval.
pub(super) fn write(value: IntervalMonthDayNano, settings: &FormatSettings, out: &mut Vec<u8>) {
    let parts = Parts::of(value);
    match settings.interval_style {
        IntervalStyle::Postgres => write_postgres(&parts, out),
        IntervalStyle::PostgresVerbose => write_verbose(&parts, out),
        IntervalStyle::SqlStandard => write_sql(&parts, out),
        IntervalStyle::Iso8601 => write_iso(&parts, out),
    }
}

/// `1 year 2 mons -3 days +04:05:06`
fn write_postgres(parts: &Parts, out: &mut Vec<u8>) {
    let start = out.len();
    let mut before_negative = false;
    for (value, unit) in [
        (parts.years, "year"),
        (parts.months, "mon"),
        (parts.days, "day"),
    ] {
        if value == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        // After a negative unit a positive one says so.
        if before_negative && value > 0 {
            out.push(b'+');
        }
        before_negative = value < 0;
        write_int(value, out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
    }
    if parts.has_time() || out.len() == start {
        if out.len() > start {
            out.push(b' ');
        }
        if parts.negative_time {
            out.push(b'-');
        } else if before_negative {
            out.push(b'+');
        }
        match parts.hours {
            short @ 0..100 => write_two(short as u32, out),
            long => write_uint(long, out),
        }
        out.push(b':');
        parts.write_minutes(out);
    }
}

/// `@ 1 year 2 mons 3 days 4 hours 5 mins 6 secs ago`
fn write_verbose(parts: &Parts, out: &mut Vec<u8>) {
    out.push(b'@');
    let time_sign = if parts.negative_time { -1 } else { 1 };
    // The first unit tells the sign of all: its own by "ago", the others' relative to it.
    let mut ago = None;
    let units = [
        (parts.years, "year"),
        (parts.months, "mon"),
        (parts.days, "day"),
        (parts.hours as i64 * time_sign, "hour"),
        (parts.minutes as i64 * time_sign, "min"),
    ];
    for (value, unit) in units {
        if value == 0 {
            continue;
        }
        let ago = *ago.get_or_insert(value < 0);
        let value = if ago { -value } else { value };
        out.push(b' ');
        write_int(value, out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
    }
    if parts.has_seconds() {
        let ago = *ago.get_or_insert(parts.negative_time);
        out.push(b' ');
        if parts.negative_time != ago {
            out.push(b'-');
        }
        write_uint(parts.seconds, out);
        write_fraction(parts.micros, out);
        let one = parts.seconds == 1 && parts.micros == 0;
        out.extend_from_slice(if one { b" sec" } else { b" secs" });
    }
    match ago {
        None => out.extend_from_slice(b" 0"),
        Some(true) => out.extend_from_slice(b" ago"),
        Some(false) => {}
    }
}

/// `1-2 3 4:05:06`, or with a sign before each part where the standard has no form for it.
fn write_sql(parts: &Parts, out: &mut Vec<u8>) {
    let has_months = parts.years != 0 || parts.months != 0;
    let has_days = parts.days != 0 || parts.has_time();
    let any_negative = parts.years < 0 || parts.months < 0 || parts.days < 0 || parts.negative_time;
    let any_positive = parts.years > 0
        || parts.months > 0
        || parts.days > 0
        || (parts.has_time() && !parts.negative_time);
    let clock = |out: &mut Vec<u8>| {
        write_uint(parts.hours, out);
        out.push(b':');
        parts.write_minutes(out);
    };
    let months = |out: &mut Vec<u8>| {
        write_uint(parts.years.unsigned_abs(), out);
        out.push(b'-');
        write_uint(parts.months.unsigned_abs(), out);
    };
    if !has_months && !has_days {
        out.push(b'0');
    } else if (any_negative && any_positive) || (has_months && has_days) {
        let sign = |negative: bool| if negative { b'-' } else { b'+' };
        out.push(sign(parts.years < 0 || parts.months < 0));
        months(out);
        out.push(b' ');
        out.push(sign(parts.days < 0));
        write_uint(parts.days.unsigned_abs(), out);
        out.push(b' ');
        out.push(sign(parts.negative_time));
        clock(out);
    } else {
        if any_negative {
            out.push(b'-');
        }
        if has_months {
            months(out);
        } else {
            if parts.days != 0 {
                write_uint(parts.days.unsigned_abs(), out);
                out.push(b' ');
            }
            clock(out);
        }
    }
}

/// `P1Y2M3DT4H5M6S`
fn write_iso(parts: &Parts, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'P');
    for (value, unit) in [
        (parts.years, b'Y'),
        (parts.months, b'M'),
        (parts.days, b'D'),
    ] {
        if value != 0 {
            write_int(value, out);
            out.push(unit);
        }
    }
    if parts.has_time() {
        out.push(b'T');
    } else if out.len() == start + 1 {
        out.extend_from_slice(b"T0S");
    }
    for (value, unit) in [(parts.hours, b'H'), (parts.minutes, b'M')] {
        if value > 0 {
            parts.write_sign(out);
            write_uint(value, out);
            out.push(unit);
        }
    }
    if parts.has_seconds() {
        parts.write_sign(out);
        write_uint(parts.seconds, out);
        write_fraction(parts.micros, out);
        out.push(b'S');
    }
}
