//! The words of dates: months, weekdays, `pm`, `today`. Zones are not among them.

use super::datetime_fields::{Fields, Meaning};

/// A word that is not the name of a zone.
pub(super) enum Keyword {
    Month(u32),
    Weekday,
    Am,
    Pm,
    Ad,
    Bc,
    Ignored,
    TimeFollows,
    JulianFollows,
    Daylight,
    Midnight,
    Meaning(Meaning),
    /// Known, but of no use in a date.
    Reserved,
}

/// The meaning of a word in lower case.
pub(super) fn keyword(word: &str) -> Option<Keyword> {
    Some(match word {
        "jan" | "january" => Keyword::Month(1),
        "feb" | "february" => Keyword::Month(2),
        "mar" | "march" => Keyword::Month(3),
        "apr" | "april" => Keyword::Month(4),
        "may" => Keyword::Month(5),
        "jun" | "june" => Keyword::Month(6),
        "jul" | "july" => Keyword::Month(7),
        "aug" | "august" => Keyword::Month(8),
        "sep" | "sept" | "september" => Keyword::Month(9),
        "oct" | "october" => Keyword::Month(10),
        "nov" | "november" => Keyword::Month(11),
        "dec" | "december" => Keyword::Month(12),
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds"
        | "wednesday" | "thu" | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat"
        | "saturday" => Keyword::Weekday,
        "am" => Keyword::Am,
        "pm" => Keyword::Pm,
        "ad" => Keyword::Ad,
        "bc" => Keyword::Bc,
        "at" | "on" => Keyword::Ignored,
        "t" => Keyword::TimeFollows,
        "j" | "jd" | "julian" => Keyword::JulianFollows,
        "dst" => Keyword::Daylight,
        "allballs" => Keyword::Midnight,
        "epoch" => Keyword::Meaning(Meaning::Epoch),
        "infinity" => Keyword::Meaning(Meaning::Infinity),
        "now" => Keyword::Meaning(Meaning::Now),
        "today" => Keyword::Meaning(Meaning::Today {
            days: 0,
            fields: Fields::default(),
        }),
        "tomorrow" => Keyword::Meaning(Meaning::Today {
            days: 1,
            fields: Fields::default(),
        }),
        "yesterday" => Keyword::Meaning(Meaning::Today {
            days: -1,
            fields: Fields::default(),
        }),
        "d" | "h" | "m" | "mm" | "s" | "y" | "dow" | "doy" | "isodow" | "isoyear" => {
            Keyword::Reserved
        }
        _ => return None,
    })
}
