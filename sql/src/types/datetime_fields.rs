//! Tokens to the fields of a date and time: which number is the day?
//!
//! The rules are those of PostgreSQL's manual, appendix B.1 "Date/Time Input Interpretation". Every
//! field may be told once; a second telling is a wrong format.

use super::calendar::{JULIAN_DAY_OF_1970, civil_from_days, days_from_civil, days_of_month};
use super::clock::{Clock, clock, fraction_of, integer, offset};
use super::datetime_tokens::{Token, tokens};
use super::datetime_words::{Keyword, keyword};
use super::zone::{Abbreviation, abbreviation};
use super::{DateOrder, Zone};

/// Why a text is no date, as far as PostgreSQL tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// The text has no known form.
    Format,
    /// A field is outside its range.
    Field,
    /// Month or day are, so perhaps they were taken for each other.
    MonthOrDay,
    /// An offset is beyond 15:59:59.
    Displacement,
    /// A name is no zone.
    UnknownZone(String),
}

/// What a text says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    Fields(Fields),
    Epoch,
    Infinity,
    NegativeInfinity,
    Now,
    /// Days from today, then a time of day if one was told.
    Today {
        days: i64,
        fields: Fields,
    },
}

/// A date, a time of day and a zone, as told.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fields {
    /// Astronomical.
    pub(super) year: i64,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) time_us: i64,
    pub(super) has_time: bool,
    pub(super) zone: Option<ZoneField>,
}

/// The zone of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ZoneField {
    /// Seconds east.
    Offset(i32),
    Named(Zone),
}

/// Whether a date must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    DateTime,
    Time,
}

// Fields told so far, as bits.
const YEAR: u32 = 1;
const MONTH: u32 = 2;
const DAY: u32 = 4;
const DATE: u32 = YEAR | MONTH | DAY;
const DAY_OF_YEAR: u32 = 8;
const TIME: u32 = 16;
const ZONE: u32 = 32;
const WEEKDAY: u32 = 64;
const MERIDIEM: u32 = 128;
const ERA: u32 = 256;
const DAYLIGHT: u32 = 512;

/// Reads a text.
pub(super) fn read(text: &str, wanted: Wanted, order: DateOrder) -> Result<Meaning, Fault> {
    let tokens = tokens(text, |word| keyword(word).is_some()).ok_or(Fault::Format)?;
    let mut decoder = Decoder::new(wanted, order);
    for (at, token) in tokens.iter().enumerate() {
        decoder.token(token, at, &tokens)?;
    }
    decoder.finish()
}

/// What a number means that follows a letter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Julian,
    Time,
}

struct Decoder {
    wanted: Wanted,
    order: DateOrder,
    told: u32,
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    time: Clock,
    zone: Option<ZoneField>,
    meaning: Option<Meaning>,
    prefix: Option<Prefix>,
    named_month: bool,
    two_digit_year: bool,
    julian: bool,
    before_christ: bool,
    /// Some(true) is afternoon.
    meridiem: Option<bool>,
}

impl Decoder {
    fn new(wanted: Wanted, order: DateOrder) -> Decoder {
        Decoder {
            wanted,
            order,
            told: 0,
            year: 0,
            month: 0,
            day: 0,
            day_of_year: 0,
            time: Clock::default(),
            zone: None,
            meaning: None,
            prefix: None,
            named_month: false,
            two_digit_year: false,
            julian: false,
            before_christ: false,
            meridiem: None,
        }
    }

    /// Marks fields as told; an error if one of them was.
    fn tell(&mut self, fields: u32) -> Result<(), Fault> {
        if self.told & fields != 0 {
            return Err(Fault::Format);
        }
        self.told |= fields;
        Ok(())
    }

    fn token(&mut self, token: &Token, at: usize, all: &[Token]) -> Result<(), Fault> {
        match token {
            Token::Number(text) => self.number(text),
            Token::Date(text) => self.date_or_zone(text, at, all),
            Token::Time(text) => {
                self.time = clock(text)?;
                self.tell(TIME)?;
                let past_midnight =
                    self.time.minute > 0 || self.time.second > 0 || self.time.micros > 0;
                if self.time.hour > 24 || (self.time.hour == 24 && past_midnight) {
                    return Err(Fault::Field);
                }
                Ok(())
            }
            Token::Signed(text) => {
                self.zone = Some(ZoneField::Offset(offset(text)?));
                self.tell(ZONE)
            }
            Token::Word(word) => self.word(word, all.get(at + 1)),
            Token::SignedWord(word) if word == "-infinity" => {
                self.meaning = Some(Meaning::NegativeInfinity);
                self.tell(DATE | TIME | ZONE)
            }
            Token::SignedWord(_) => Err(Fault::Format),
        }
    }

    fn number(&mut self, text: &str) -> Result<(), Fault> {
        let before_point = text.find('.');
        match self.prefix.take() {
            Some(Prefix::Julian) => return self.julian_day(text),
            Some(Prefix::Time) => return self.time_digits(text),
            None => {}
        }
        let of_time = self.wanted == Wanted::Time;
        match before_point {
            Some(_) if self.told & DATE == 0 && !of_time => self.whole_date(text),
            Some(digits) if digits > 2 => self.run_together(text),
            _ if text.len() > 4 => self.run_together(text),
            _ => self.short_number(text),
        }
    }

    /// `2451187` or `2451187.5` after a J.
    fn julian_day(&mut self, text: &str) -> Result<(), Fault> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        self.set_julian_day(integer(whole)?);
        self.tell(DATE)?;
        if text.contains('.') {
            self.time = Clock {
                micros: fraction_of(fraction, 86_400_000_000),
                ..Clock::default()
            };
            self.tell(TIME)?;
        }
        Ok(())
    }

    fn set_julian_day(&mut self, day: i64) {
        let (year, month, day) = civil_from_days(day - JULIAN_DAY_OF_1970);
        (self.year, self.month, self.day) = (year, month.into(), day.into());
        self.julian = true;
    }

    /// A date in one token, a time with a zone behind it, or the name of a zone.
    fn date_or_zone(&mut self, text: &str, at: usize, all: &[Token]) -> Result<(), Fault> {
        let starts_with_digit = text.starts_with(|c: char| c.is_ascii_digit());
        let date_expected = match self.wanted {
            Wanted::DateTime => self.prefix.is_none() && self.told & (MONTH | DAY) != MONTH | DAY,
            Wanted::Time => {
                let first_of_several = at == 0 && all.len() >= 2;
                first_of_several
                    && (matches!(all.last(), Some(Token::Date(_)))
                        || matches!(all.get(1), Some(Token::Time(_))))
            }
        };
        if date_expected {
            return self.whole_date(text);
        }
        if self.prefix == Some(Prefix::Julian) {
            // J2451187-08: a day and an offset.
            self.prefix = None;
            let (day, zone) = text.split_at(text.find(['-', '+']).ok_or(Fault::Format)?);
            self.set_julian_day(integer(day)?);
            self.zone = Some(ZoneField::Offset(offset(zone)?));
            return self.tell(DATE | TIME | ZONE);
        }
        if self.prefix.take().is_some() || starts_with_digit {
            // 040506-08: a time and an offset.
            let (time, zone) = text.split_at(text.find('-').ok_or(Fault::Format)?);
            self.zone = Some(ZoneField::Offset(offset(zone)?));
            self.time_digits(time)?;
            return self.tell(ZONE);
        }
        let zone = Zone::by_name(text).ok_or_else(|| Fault::UnknownZone(text.to_owned()))?;
        self.zone = Some(ZoneField::Named(zone));
        self.tell(ZONE)
    }

    /// Three parts of a date, of which one may be the name of a month, or a year and its day.
    fn whole_date(&mut self, text: &str) -> Result<(), Fault> {
        let mut parts = Vec::new();
        for part in text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|part| !part.is_empty())
        {
            // 2jan2024 has no separators.
            let mut rest = part;
            while let Some(first) = rest.chars().next() {
                let numeric = first.is_ascii_digit();
                let end = rest
                    .find(|c: char| c.is_ascii_digit() != numeric)
                    .unwrap_or(rest.len());
                parts.push(&rest[..end]);
                rest = &rest[end..];
            }
        }
        if parts.len() > 4 {
            return Err(Fault::Format);
        }
        let mut named = false;
        for part in parts
            .iter()
            .filter(|part| !part.starts_with(|c: char| c.is_ascii_digit()))
        {
            match keyword(part) {
                Some(Keyword::Month(month)) => {
                    self.month = month.into();
                    self.tell(MONTH)?;
                    named = true;
                }
                Some(Keyword::Ignored) => {}
                _ => return Err(Fault::Format),
            }
        }
        self.named_month |= named;
        for part in parts
            .iter()
            .filter(|part| part.starts_with(|c: char| c.is_ascii_digit()))
        {
            self.date_number(part, named)?;
        }
        // A time in front of such a date is refused, though not in front of one in words.
        if self.told & !(DAY_OF_YEAR | ZONE) == DATE {
            Ok(())
        } else {
            Err(Fault::Format)
        }
    }

    /// A number that stands by itself.
    fn short_number(&mut self, text: &str) -> Result<(), Fault> {
        if self.wanted == Wanted::Time {
            return self.run_together(text);
        }
        self.date_number(text, self.named_month)
    }

    /// One number of a date: what it is depends on what was told and on DateStyle.
    fn date_number(&mut self, text: &str, named_month: bool) -> Result<(), Fault> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let value = integer(whole)?;
        if text.contains('.') {
            if whole.len() > 2 {
                return self.run_together(text);
            }
            if self.told & DATE == DATE {
                return Err(Fault::Format);
            }
            self.time.micros += fraction_of(fraction, 1_000_000);
        }
        if text.len() == 3
            && self.told & DATE == YEAR
            && self.told & DAY_OF_YEAR == 0
            && (1..=366).contains(&value)
        {
            self.day_of_year = value;
            return self.tell(DAY_OF_YEAR | MONTH | DAY);
        }
        let long = text.len() >= 3;
        let year_first = self.order == DateOrder::Ymd;
        let field = match self.told & DATE {
            0 if long || year_first => YEAR,
            0 if self.order == DateOrder::Dmy => DAY,
            0 => MONTH,
            YEAR => MONTH,
            MONTH if named_month && (long || year_first) => YEAR,
            MONTH => DAY,
            told if told == YEAR | MONTH => {
                if named_month && long && self.two_digit_year {
                    // 02-jan-2024 although years come first: the first number was the day.
                    self.day = self.year;
                    self.told = (self.told & !YEAR) | DAY;
                    YEAR
                } else {
                    DAY
                }
            }
            DAY => MONTH,
            told if told == MONTH | DAY => YEAR,
            DATE => return self.run_together(text),
            _ => return Err(Fault::Format),
        };
        match field {
            YEAR => {
                self.year = value;
                self.two_digit_year = text.len() <= 2;
            }
            MONTH => self.month = value,
            _ => self.day = value,
        }
        self.tell(field)
    }

    /// Digits without separators: a date of six digits and more, or a time.
    fn run_together(&mut self, text: &str) -> Result<(), Fault> {
        let date_expected = self.told & DATE != DATE && self.wanted == Wanted::DateTime;
        if text.contains('.') || !date_expected || text.len() < 6 {
            return self.time_digits(text);
        }
        let (rest, day) = text.split_at(text.len() - 2);
        let (year, month) = rest.split_at(rest.len() - 2);
        (self.year, self.month, self.day) = (integer(year)?, integer(month)?, integer(day)?);
        self.two_digit_year = year.len() == 2;
        self.tell(DATE)
    }

    /// A time of six or four digits, and perhaps a fraction.
    fn time_digits(&mut self, text: &str) -> Result<(), Fault> {
        let (digits, fraction) = text.split_once('.').unwrap_or((text, ""));
        if self.told & TIME != 0 || !matches!(digits.len(), 4 | 6) {
            return Err(Fault::Format);
        }
        let two = |at: usize| digits.get(at..at + 2).map_or(Ok(0), integer);
        self.time = Clock {
            hour: two(0)?,
            minute: two(2)?,
            second: two(4)?,
            micros: fraction_of(fraction, 1_000_000),
        };
        self.tell(TIME)
    }

    fn word(&mut self, word: &str, next: Option<&Token>) -> Result<(), Fault> {
        let Some(keyword) = keyword(word) else {
            return self.zone_word(word);
        };
        match keyword {
            Keyword::Ignored => Ok(()),
            Keyword::Month(month) => {
                // 8 Jan: the number before was not the month but the day.
                let first_was_day = self.told & (MONTH | DAY) == MONTH && !self.named_month;
                if first_was_day && (1..=31).contains(&self.month) {
                    self.day = self.month;
                    self.told = (self.told & !MONTH) | DAY;
                }
                self.named_month = true;
                self.month = month.into();
                self.tell(MONTH)
            }
            Keyword::Weekday => self.tell(WEEKDAY),
            Keyword::Am | Keyword::Pm => {
                self.meridiem = Some(matches!(keyword, Keyword::Pm));
                self.tell(MERIDIEM)
            }
            Keyword::Ad | Keyword::Bc => {
                self.before_christ = matches!(keyword, Keyword::Bc);
                self.tell(ERA)
            }
            Keyword::TimeFollows => {
                let date_told = self.told & DATE == DATE || self.wanted == Wanted::Time;
                let time_follows = matches!(
                    next,
                    Some(Token::Number(_) | Token::Time(_) | Token::Date(_))
                );
                if !date_told || !time_follows {
                    return Err(Fault::Format);
                }
                if !matches!(next, Some(Token::Time(_))) {
                    self.prefix = Some(Prefix::Time);
                }
                Ok(())
            }
            Keyword::JulianFollows => {
                self.prefix = Some(Prefix::Julian);
                Ok(())
            }
            Keyword::Daylight => {
                match &mut self.zone {
                    Some(ZoneField::Offset(east_s)) => *east_s += 3600,
                    _ => return Err(Fault::Format),
                }
                self.tell(DAYLIGHT)
            }
            Keyword::Midnight => {
                self.zone = Some(ZoneField::Offset(0));
                self.tell(TIME | ZONE)
            }
            Keyword::Meaning(meaning @ Meaning::Today { .. }) => {
                self.meaning = Some(meaning);
                self.tell(DATE)
            }
            Keyword::Meaning(meaning) => {
                self.meaning = Some(meaning);
                self.tell(DATE | TIME | ZONE)
            }
            Keyword::Reserved => Err(Fault::Format),
        }
    }

    /// An abbreviation or a name of letters only.
    fn zone_word(&mut self, word: &str) -> Result<(), Fault> {
        self.zone = Some(match abbreviation(word) {
            Some(Abbreviation::Offset { east_s, .. }) => ZoneField::Offset(east_s),
            Some(Abbreviation::Zone(tz)) => ZoneField::Named(Zone::Named(tz)),
            None => ZoneField::Named(Zone::by_name(word).ok_or(Fault::Format)?),
        });
        self.tell(ZONE)
    }

    fn finish(mut self) -> Result<Meaning, Fault> {
        if self.meaning.is_none() {
            self.finish_date()?;
        }
        let has_date = self.told & DATE == DATE;
        let fits = match self.wanted {
            Wanted::DateTime => has_date,
            Wanted::Time => self.told & TIME != 0,
        };
        if !fits {
            return Err(Fault::Format);
        }
        self.finish_clock()?;
        let fields = Fields {
            year: self.year,
            month: self.month as u32,
            day: self.day as u32,
            time_us: self.time.micros(),
            has_time: self.told & TIME != 0,
            zone: self.zone,
        };
        Ok(match self.meaning {
            None => Meaning::Fields(fields),
            Some(Meaning::Today { days, .. }) => Meaning::Today { days, fields },
            Some(meaning) => meaning,
        })
    }

    fn finish_clock(&mut self) -> Result<(), Fault> {
        match self.meridiem {
            Some(_) if self.time.hour > 12 => return Err(Fault::Field),
            Some(false) if self.time.hour == 12 => self.time.hour = 0,
            Some(true) if self.time.hour != 12 => self.time.hour += 12,
            _ => {}
        }
        let Clock {
            hour,
            minute,
            second,
            micros,
        } = self.time;
        // A minute may have a 60th second, and the day a 24th hour.
        let after_24 = hour == 24 && (minute > 0 || second > 0 || micros > 0);
        if !(0..=24).contains(&hour) || minute > 59 || second > 60 || after_24 {
            return Err(Fault::Field);
        }
        Ok(())
    }

    fn finish_date(&mut self) -> Result<(), Fault> {
        if self.told & YEAR != 0 && !self.julian {
            self.year = match self.year {
                // There is no year 0; 1 BC is 0 of astronomical years.
                year if self.before_christ && year > 0 => 1 - year,
                _ if self.before_christ => return Err(Fault::Field),
                year @ 0..70 if self.two_digit_year => year + 2000,
                year @ 70..100 if self.two_digit_year => year + 1900,
                year if year <= 0 => return Err(Fault::Field),
                year => year,
            };
        }
        if self.told & DAY_OF_YEAR != 0 {
            let day = days_from_civil(self.year, 1, 1) + self.day_of_year - 1;
            let (year, month, day) = civil_from_days(day);
            (self.year, self.month, self.day) = (year, month.into(), day.into());
        }
        let month_fits = self.told & MONTH == 0 || (1..=12).contains(&self.month);
        let day_fits = self.told & DAY == 0 || (1..=31).contains(&self.day);
        if !month_fits || !day_fits {
            return Err(Fault::MonthOrDay);
        }
        if self.told & DATE == DATE
            && self.day > i64::from(days_of_month(self.year, self.month as u32))
        {
            return Err(Fault::Field);
        }
        Ok(())
    }
}
