//! Intervals from text: `1 day 02:03:04`, `1-2`, `@ 3 hours ago`; `interval_iso` reads `P1DT2H`.
//!
//! A unit follows its number, so the tokens are read from the last to the first (PostgreSQL's
//! manual, 8.5.4 "Interval Input").

use arrow::datatypes::IntervalMonthDayNano;

use super::calendar::DAY_US;
use super::clock::clock;
use super::datetime_fields;
use super::datetime_tokens::{Token, tokens};
use super::fault::{Read, shown};
use super::{FormatSettings, IntervalStyle, interval_iso};
use crate::error::{SqlError, SqlState};

/// Reads an interval.
pub(super) fn read(text: &str, settings: &FormatSettings) -> Read<IntervalMonthDayNano> {
    let sql_standard = settings.interval_style == IntervalStyle::SqlStandard;
    let total = match read_words(text, sql_standard) {
        // What has no form of words may have the standard's.
        Err(Fault::Format) => interval_iso::read(text),
        other => other,
    };
    total
        .and_then(Total::interval)
        .map_err(|fault| match fault {
            Fault::Format => SqlError::new(
                SqlState::INVALID_DATETIME_FORMAT,
                format!(
                    "invalid input syntax for type interval: \"{}\"",
                    shown(text.as_bytes())
                ),
            ),
            Fault::Field => SqlError::new(
                SqlState(*b"22015"), // interval_field_overflow
                format!(
                    "interval field value out of range: \"{}\"",
                    shown(text.as_bytes())
                ),
            ),
            Fault::Interval => SqlError::new(SqlState::DATETIME_OVERFLOW, "interval out of range"),
        })
}

/// Why a text is no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The text has no known form.
    Format,
    /// A field is outside its range.
    Field,
    /// Every field fits, the interval does not.
    Interval,
}

/// The sum of the parts so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Total {
    months: i64,
    days: i64,
    micros: i64,
}

/// Units by the part of an interval that counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    fn of_word(word: &str) -> Option<Unit> {
        // PostgreSQL looks at ten letters.
        let word = word.get(..10).unwrap_or(word);
        Some(match word {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Unit::Microsecond,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => Unit::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
            "d" | "day" | "days" => Unit::Day,
            "w" | "week" | "weeks" => Unit::Week,
            "mon" | "mons" | "month" | "months" => Unit::Month,
            "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
            "dec" | "decs" | "decade" | "decades" => Unit::Decade,
            "c" | "cent" | "century" | "centuries" => Unit::Century,
            "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
            _ => return None,
        })
    }

    /// Months, days or microseconds of one.
    fn size(self) -> (Part, i64) {
        match self {
            Unit::Microsecond => (Part::Micros, 1),
            Unit::Millisecond => (Part::Micros, 1000),
            Unit::Second => (Part::Micros, 1_000_000),
            Unit::Minute => (Part::Micros, 60_000_000),
            Unit::Hour => (Part::Micros, 3_600_000_000),
            Unit::Day => (Part::Days, 1),
            Unit::Week => (Part::Days, 7),
            Unit::Month => (Part::Months, 1),
            Unit::Year => (Part::Months, 12),
            Unit::Decade => (Part::Months, 120),
            Unit::Century => (Part::Months, 1200),
            Unit::Millennium => (Part::Months, 12_000),
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Months,
    Days,
    Micros,
}

impl Total {
    /// Adds a number of units. The fraction goes on to smaller parts: of a year to months, of a
    /// month to days of a thirtieth, of a day to time.
    pub(super) fn add(&mut self, whole: i64, fraction: f64, unit: Unit) -> Result<(), Fault> {
        let (part, size) = unit.size();
        let amount = whole.checked_mul(size).ok_or(Fault::Field)?;
        match part {
            Part::Micros => {
                self.add_micros(amount)?;
                self.add_micros(nearest(fraction * size as f64))
            }
            Part::Days => {
                self.add_days(amount)?;
                self.add_fraction_of_days(fraction * size as f64)
            }
            Part::Months => {
                // Months and years must each fit 32 bits; their sum is looked at in the end.
                let counted = if size == 1 { amount } else { amount / 12 };
                i32::try_from(counted).map_err(|_| Fault::Field)?;
                let months = fraction * size as f64;
                self.months = self.months.checked_add(amount).ok_or(Fault::Field)?;
                if size > 1 {
                    self.months += months.round_ties_even() as i64;
                } else {
                    let days = months * 30.0;
                    self.add_days(days.trunc() as i64)?;
                    self.add_fraction_of_days(days.fract())?;
                }
                Ok(())
            }
        }
    }

    fn add_days(&mut self, days: i64) -> Result<(), Fault> {
        self.days = self.days.checked_add(days).ok_or(Fault::Field)?;
        i32::try_from(self.days)
            .map(|_| ())
            .map_err(|_| Fault::Field)
    }

    fn add_fraction_of_days(&mut self, days: f64) -> Result<(), Fault> {
        self.add_days(days.trunc() as i64)?;
        self.add_micros(nearest(days.fract() * DAY_US as f64))
    }

    fn add_micros(&mut self, micros: i64) -> Result<(), Fault> {
        self.micros = self.micros.checked_add(micros).ok_or(Fault::Field)?;
        Ok(())
    }

    /// Adds hours, minutes and seconds with one sign.
    pub(super) fn add_clock(&mut self, text: &str, negative: bool) -> Result<(), Fault> {
        let clock = clock(text).map_err(|fault| match fault {
            datetime_fields::Fault::Format => Fault::Format,
            _ => Fault::Field,
        })?;
        self.add_micros(if negative {
            -clock.micros()
        } else {
            clock.micros()
        })
    }

    fn negated(self) -> Option<Total> {
        let months = -self.months;
        let days = -self.days;
        i32::try_from(months).ok()?;
        i32::try_from(days).ok()?;
        Some(Total {
            months,
            days,
            micros: self.micros.checked_neg()?,
        })
    }

    fn interval(self) -> Result<IntervalMonthDayNano, Fault> {
        let months = i32::try_from(self.months).map_err(|_| Fault::Interval)?;
        let days = i32::try_from(self.days).map_err(|_| Fault::Interval)?;
        let nanos = self.micros.checked_mul(1000).ok_or(Fault::Interval)?;
        Ok(IntervalMonthDayNano::new(months, days, nanos))
    }
}

/// Reads the forms of words and clocks.
fn read_words(text: &str, sql_standard: bool) -> Result<Total, Fault> {
    let tokens = tokens(text, |_| true).ok_or(Fault::Format)?;
    // By the SQL standard one sign in front counts for all fields, if no other has its own.
    let signs = |token: &&Token| matches!(token, Token::Signed(_));
    let sign_for_all = sql_standard
        && matches!(tokens.first(), Some(Token::Signed(text)) if text.starts_with('-'))
        && tokens.iter().filter(signs).count() == 1;
    let mut words = Words {
        sign_for_all,
        ..Words::default()
    };
    for token in tokens.iter().rev() {
        words.token(token)?;
    }
    if words.units.is_empty() && !words.has_clock {
        return Err(Fault::Format);
    }
    match words.ago {
        true => words.total.negated().ok_or(Fault::Field),
        false => Ok(words.total),
    }
}

/// State while tokens are read from the last to the first.
#[derive(Default)]
struct Words {
    total: Total,
    /// The unit that was read last: that of the number before it.
    unit: Option<Unit>,
    /// Units told so far; none may be told twice.
    units: Vec<Unit>,
    has_clock: bool,
    ago: bool,
    sign_for_all: bool,
}

impl Words {
    fn token(&mut self, token: &Token) -> Result<(), Fault> {
        match token {
            Token::Time(text) => self.clock(text, self.sign_for_all),
            Token::Signed(text) if text.contains(':') => {
                self.clock(&text[1..], text.starts_with('-'))
            }
            Token::Signed(text) | Token::Number(text) | Token::Date(text) => self.number(text),
            Token::Word(word) if word == "ago" => {
                self.ago = true;
                self.unit = None;
                Ok(())
            }
            Token::Word(word) => {
                self.unit = Some(Unit::of_word(word).ok_or(Fault::Format)?);
                Ok(())
            }
            Token::SignedWord(_) => Err(Fault::Format),
        }
    }

    fn clock(&mut self, text: &str, negative: bool) -> Result<(), Fault> {
        if self.has_clock
            || self
                .units
                .iter()
                .any(|unit| matches!(unit.size().0, Part::Micros))
        {
            return Err(Fault::Format);
        }
        self.total.add_clock(text, negative)?;
        self.has_clock = true;
        // A bare number before a clock counts days.
        self.unit = Some(Unit::Day);
        Ok(())
    }

    fn number(&mut self, text: &str) -> Result<(), Fault> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (self.sign_for_all, text.strip_prefix('+').unwrap_or(text)),
        };
        let mut unit = self.unit.unwrap_or(Unit::Second);
        let (mut whole, fraction);
        if let Some((years, months)) = unsigned.split_once('-') {
            // 1-2 is a year and two months.
            let (years, months) = (integer(years)?, integer(months)?);
            if months >= 12 {
                return Err(Fault::Field);
            }
            unit = Unit::Month;
            whole = years.checked_mul(12).ok_or(Fault::Field)? + months;
            fraction = 0.0;
        } else {
            let (digits, after_point) = unsigned.split_once('.').unwrap_or((unsigned, ""));
            whole = if digits.is_empty() {
                0
            } else {
                integer(digits)?
            };
            fraction = fraction_of(after_point)?;
        }
        let mut fraction = fraction;
        if negative {
            (whole, fraction) = (-whole, -fraction);
        }
        let clock_told = self.has_clock && matches!(unit.size().0, Part::Micros);
        if self.units.contains(&unit) || clock_told {
            return Err(Fault::Format);
        }
        self.units.push(unit);
        self.unit = Some(unit);
        self.total.add(whole, fraction, unit)
    }
}

/// The nearest integer; a half goes towards zero.
fn nearest(value: f64) -> i64 {
    let rest = value.fract();
    value.trunc() as i64 + i64::from(rest > 0.5) - i64::from(rest < -0.5)
}

/// Digits as an integer of 64 bits.
pub(super) fn integer(digits: &str) -> Result<i64, Fault> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Format);
    }
    digits.parse().map_err(|_| Fault::Field)
}

/// Digits after a point.
pub(super) fn fraction_of(digits: &str) -> Result<f64, Fault> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Format);
    }
    if digits.is_empty() {
        Ok(0.0)
    } else {
        format!("0.{digits}").parse().map_err(|_| Fault::Format)
    }
}
