//! [`Zone`]: a time zone of the session or of one value.
//!
//! Offsets are seconds east of UTC. Names are case-insensitive. `SET TimeZone` also takes hours
//! (`-3.5`, east is positive) and POSIX forms without rules (`UTC+3`, where *west* is positive, as
//! POSIX has it and PostgreSQL follows).

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, Tz};

use super::calendar::{civil_from_days, days_from_civil, is_leap, weekday};

const DAY_S: i64 = 86_400;

/// The last year in the tables of the time-zone database; later years repeat its rules.
const TABLE_YEAR_MAX: i64 = 2099;

/// A time zone.
#[derive(Debug, Clone, PartialEq)]
pub enum Zone {
    /// A zone of the time-zone database.
    Named(Tz),
    /// One offset at all times.
    Fixed {
        /// Seconds east of UTC.
        east_s: i32,
        /// Its abbreviation, as the layouts print it that name zones.
        abbreviation: String,
        /// How `SHOW TimeZone` prints it.
        name: String,
    },
}

/// Zones by name in lower case.
static NAMES: LazyLock<HashMap<String, Tz>> = LazyLock::new(|| {
    chrono_tz::TZ_VARIANTS
        .iter()
        .map(|tz| (tz.name().to_ascii_lowercase(), *tz))
        .collect()
});

/// What an abbreviation stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Abbreviation {
    /// An offset, and whether it is daylight saving time.
    Offset { east_s: i32, daylight: bool },
    /// Whatever the zone used under this name.
    Zone(Tz),
}

/// Abbreviations in lower case.
static ABBREVIATIONS: LazyLock<HashMap<&'static str, Abbreviation>> = LazyLock::new(|| {
    include_str!("zone_abbreviations.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (name, meaning) = (words.next()?, words.next()?);
            let meaning = match meaning.parse() {
                Ok(east_s) => Abbreviation::Offset {
                    east_s,
                    daylight: words.next().is_some(),
                },
                Err(_) => Abbreviation::Zone(*NAMES.get(&meaning.to_ascii_lowercase())?),
            };
            Some((name, meaning))
        })
        .collect()
});

/// The meaning of an abbreviation such as `pst`, in lower case.
pub(super) fn abbreviation(word: &str) -> Option<Abbreviation> {
    ABBREVIATIONS.get(word).copied()
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone::Named(Tz::UTC);

    /// A zone with one offset.
    pub fn fixed(east_s: i32) -> Zone {
        let (text, posix) = (offset_text(east_s), offset_text(-east_s));
        Zone::Fixed {
            east_s,
            abbreviation: text.clone(),
            name: format!("<{text}>{posix}"),
        }
    }

    /// Reads a value of `SET TimeZone`: a name, hours east, or a POSIX form. None if it is neither.
    pub fn parse(value: &str) -> Option<Zone> {
        let value = value.trim();
        if let Ok(hours) = value.parse::<f64>() {
            let east_s = hours * 3600.0;
            return (east_s.abs() <= 168.0 * 3600.0).then(|| Zone::fixed(east_s as i32));
        }
        Zone::by_name(value)
    }

    /// A zone by its name or POSIX form: what a timestamp may end with.
    pub(super) fn by_name(name: &str) -> Option<Zone> {
        if let Some(tz) = NAMES.get(&name.to_ascii_lowercase()) {
            return Some(Zone::Named(*tz));
        }
        posix(name)
    }

    /// Whether local time is UTC at all times.
    pub fn is_utc(&self) -> bool {
        match self {
            Zone::Named(tz) => matches!(tz, Tz::UTC | Tz::Etc__UTC | Tz::GMT | Tz::Etc__GMT),
            Zone::Fixed { east_s, .. } => *east_s == 0,
        }
    }

    /// The offset at an instant, given in seconds since 1970 UTC.
    pub fn offset_at(&self, utc_s: i64) -> i32 {
        match self {
            Zone::Named(tz) => naive(utc_s).map_or(0, |utc| {
                tz.offset_from_utc_datetime(&utc).fix().local_minus_utc()
            }),
            Zone::Fixed { east_s, .. } => *east_s,
        }
    }

    /// The offset of a local time, given in seconds since 1970-01-01 00:00 local time.
    ///
    /// As PostgreSQL decides it: of a time that came twice the later one, and for a time that was
    /// skipped the offset before the change.
    pub fn offset_of_local(&self, local_s: i64) -> i32 {
        match self {
            Zone::Named(tz) => {
                let Some(local) = naive(local_s) else {
                    return 0;
                };
                match tz.offset_from_local_datetime(&local) {
                    MappedLocalTime::Single(offset) => offset.fix().local_minus_utc(),
                    MappedLocalTime::Ambiguous(_, later) => later.fix().local_minus_utc(),
                    MappedLocalTime::None => self.offset_at(local_s - DAY_S),
                }
            }
            Zone::Fixed { east_s, .. } => *east_s,
        }
    }

    /// The abbreviation in use at an instant: `CET`, `+05`.
    pub fn abbreviation_at(&self, utc_s: i64) -> String {
        match self {
            Zone::Named(tz) => naive(utc_s)
                .and_then(|utc| {
                    tz.offset_from_utc_datetime(&utc)
                        .abbreviation()
                        .map(str::to_owned)
                })
                .unwrap_or_else(|| offset_text(self.offset_at(utc_s))),
            Zone::Fixed { abbreviation, .. } => abbreviation.clone(),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Zone::Named(tz) => f.write_str(tz.name()),
            Zone::Fixed { name, .. } => f.write_str(name),
        }
    }
}

/// `+05`, `-03:30`, `+00:19:32`: an offset as ISO times end with.
pub(super) fn offset_text(east_s: i32) -> String {
    let sign = if east_s < 0 { '-' } else { '+' };
    let (hours, minutes, seconds) = (
        east_s.abs() / 3600,
        east_s.abs() / 60 % 60,
        east_s.abs() % 60,
    );
    match (minutes, seconds) {
        (0, 0) => format!("{sign}{hours:02}"),
        (_, 0) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// Seconds since 1970 as chrono has them. A year after the tables becomes the year of the same
/// calendar among their last 28, so that the newest rules go on for ever.
fn naive(seconds: i64) -> Option<NaiveDateTime> {
    let (year, _, _) = civil_from_days(seconds.div_euclid(DAY_S));
    let seconds = if year > TABLE_YEAR_MAX {
        let first = days_from_civil(year, 1, 1);
        let like = (TABLE_YEAR_MAX - 27..=TABLE_YEAR_MAX).find(|like| {
            is_leap(*like) == is_leap(year)
                && weekday(days_from_civil(*like, 1, 1)) == weekday(first)
        })?;
        seconds - (first - days_from_civil(like, 1, 1)) * DAY_S
    } else {
        seconds
    };
    DateTime::from_timestamp(seconds, 0).map(|instant| instant.naive_utc())
}

/// `UTC+3`, `<+05>-05`, `+05:30`: a name, then hours *west*.
fn posix(text: &str) -> Option<Zone> {
    let (abbreviation, offset) = match text.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?,
        None => text.split_at(text.find(|c: char| !c.is_ascii_alphabetic())?),
    };
    let (sign, digits) = match offset.strip_prefix('-') {
        Some(digits) => (1, digits),
        None => (-1, offset.strip_prefix('+').unwrap_or(offset)),
    };
    let mut seconds = 0;
    let mut parts = digits.split(':');
    for (unit, max) in [(3600, 167), (60, 59), (1, 59)] {
        let Some(part) = parts.next() else { break };
        let number: i32 = part.parse().ok().filter(|n| (0..=max).contains(n))?;
        if part.starts_with('+') {
            return None;
        }
        seconds += number * unit;
    }
    if parts.next().is_some() {
        return None;
    }
    Some(Zone::Fixed {
        east_s: sign * seconds,
        abbreviation: abbreviation.to_ascii_uppercase(),
        name: text.to_ascii_uppercase(),
    })
}
