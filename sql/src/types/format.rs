//! [`FormatSettings`]: the session settings that change how values are written and read.
//!
//! The session owns `SET`; this file owns what the values mean and how `SHOW` prints them.

use std::fmt;
use std::str::FromStr;

use super::Zone;

/// How a value travels: as text or in PostgreSQL's binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Format code 0.
    Text,
    /// Format code 1.
    Binary,
}

/// Settings of one session at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct FormatSettings {
    /// `TimeZone`
    pub time_zone: Zone,
    /// `DateStyle`
    pub date_style: DateStyle,
    /// `IntervalStyle`
    pub interval_style: IntervalStyle,
    /// `extra_float_digits`; above 0 is the shortest text that reads back to the same bits.
    pub extra_float_digits: i32,
    /// `bytea_output`
    pub bytea_output: ByteaOutput,
    /// What 'now' and 'today' mean: the start of the transaction, microseconds since 1970 UTC.
    /// Without it, the clock when the value is read.
    pub now_us: Option<i64>,
}

impl Default for FormatSettings {
    fn default() -> Self {
        FormatSettings {
            time_zone: Zone::UTC,
            date_style: DateStyle::default(),
            interval_style: IntervalStyle::Postgres,
            extra_float_digits: 1,
            bytea_output: ByteaOutput::Hex,
            now_us: None,
        }
    }
}

/// `DateStyle`: a layout and the order of day, month and year in input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateStyle {
    /// How dates are printed.
    pub format: DateFormat,
    /// How `1/2/3` is read, and printed by all layouts but ISO.
    pub order: DateOrder,
}

/// The layout of dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateFormat {
    /// `2024-01-02 03:04:05+00`
    #[default]
    Iso,
    /// `01/02/2024 03:04:05 UTC`
    Sql,
    /// `Tue Jan 02 03:04:05 2024 UTC`
    Postgres,
    /// `02.01.2024 03:04:05 UTC`
    German,
}

/// The order of day, month and year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// Month, day, year.
    #[default]
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

/// The layout of intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntervalStyle {
    /// `1 day 02:03:04`
    #[default]
    Postgres,
    /// `@ 1 day 2 hours 3 mins 4 secs`
    PostgresVerbose,
    /// `1 2:03:04`
    SqlStandard,
    /// `P1DT2H3M4S`
    Iso8601,
}

/// The layout of `bytea`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByteaOutput {
    /// `\x6162`
    #[default]
    Hex,
    /// `ab\000`
    Escape,
}

impl DateStyle {
    /// Applies a value of `SET DateStyle`, such as `German` or `ISO, DMY`, to the style so far.
    /// None if a word is unknown or two words contradict each other.
    pub fn changed_by(self, value: &str) -> Option<DateStyle> {
        let (mut format, mut order) = (None, None);
        for word in value.split(',') {
            let word = word.trim().to_ascii_lowercase();
            let fits = match word.as_str() {
                "iso" => set(&mut format, DateFormat::Iso),
                "sql" => set(&mut format, DateFormat::Sql),
                "german" => set(&mut format, DateFormat::German),
                "ymd" => set(&mut order, DateOrder::Ymd),
                "mdy" | "us" => set(&mut order, DateOrder::Mdy),
                "dmy" => set(&mut order, DateOrder::Dmy),
                "default" => true,
                word if word.starts_with("postgres") => set(&mut format, DateFormat::Postgres),
                word if word.starts_with("euro") => set(&mut order, DateOrder::Dmy),
                word if word.starts_with("noneuro") => set(&mut order, DateOrder::Mdy),
                _ => false,
            };
            if !fits {
                return None;
            }
        }
        // German alone turns the order to day first, as PostgreSQL does.
        let german = format == Some(DateFormat::German);
        let default_order = if german { DateOrder::Dmy } else { self.order };
        Some(DateStyle {
            format: format.unwrap_or(self.format),
            order: order.unwrap_or(default_order),
        })
    }
}

/// Sets a choice; false if another one was made before.
fn set<T: PartialEq>(choice: &mut Option<T>, value: T) -> bool {
    let fits = choice.as_ref().is_none_or(|before| *before == value);
    *choice = Some(value);
    fits
}

impl fmt::Display for DateStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.format {
            DateFormat::Iso => "ISO",
            DateFormat::Sql => "SQL",
            DateFormat::Postgres => "Postgres",
            DateFormat::German => "German",
        };
        let order = match self.order {
            DateOrder::Mdy => "MDY",
            DateOrder::Dmy => "DMY",
            DateOrder::Ymd => "YMD",
        };
        write!(f, "{format}, {order}")
    }
}

impl FromStr for IntervalStyle {
    type Err = ();

    fn from_str(value: &str) -> Result<Self, ()> {
        match value.to_ascii_lowercase().as_str() {
            "postgres" => Ok(IntervalStyle::Postgres),
            "postgres_verbose" => Ok(IntervalStyle::PostgresVerbose),
            "sql_standard" => Ok(IntervalStyle::SqlStandard),
            "iso_8601" => Ok(IntervalStyle::Iso8601),
            _ => Err(()),
        }
    }
}

impl fmt::Display for IntervalStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IntervalStyle::Postgres => "postgres",
            IntervalStyle::PostgresVerbose => "postgres_verbose",
            IntervalStyle::SqlStandard => "sql_standard",
            IntervalStyle::Iso8601 => "iso_8601",
        })
    }
}

impl FromStr for ByteaOutput {
    type Err = ();

    fn from_str(value: &str) -> Result<Self, ()> {
        match value.to_ascii_lowercase().as_str() {
            "hex" => Ok(ByteaOutput::Hex),
            "escape" => Ok(ByteaOutput::Escape),
            _ => Err(()),
        }
    }
}

impl fmt::Display for ByteaOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ByteaOutput::Hex => "hex",
            ByteaOutput::Escape => "escape",
        })
    }
}
