//! Where the merchants are and when people there order.
//!
//! A market is a region with one time zone and one tax rate. Demand follows the *local* clock:
//! a lunch and a dinner peak, more on Fridays and Saturdays. All markets share one curve whose
//! weekly sum is therefore equal, so that over whole weeks it does not bend the merchants' Zipf
//! distribution.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// Minutes of a week, the period of the curve.
pub(crate) const WEEK_MINUTES: i64 = 7 * 24 * 60;

/// A region of the platform.
pub(crate) struct Market {
    pub(crate) time_zone: Tz,
    pub(crate) country: &'static str,
    /// Of 100 merchants, how many are here.
    pub(crate) merchants_percent: u32,
    /// Sales tax in hundredths of a percent, on gross less discount.
    pub(crate) tax_basis_points: u64,
    /// Cities and the first of their 90 five-digit postcodes.
    pub(crate) cities: &'static [(&'static str, u32)],
}

/// The regions; zones with half hours, with and without daylight saving are among them.
pub(crate) const MARKETS: [Market; 12] = [
    market(
        Tz::America__New_York,
        "US",
        16,
        888,
        &[("New York", 10001), ("Boston", 2108), ("Miami", 33101)],
    ),
    market(
        Tz::America__Chicago,
        "US",
        11,
        1025,
        &[("Chicago", 60601), ("Houston", 77002), ("Dallas", 75201)],
    ),
    market(
        Tz::America__Los_Angeles,
        "US",
        11,
        950,
        &[
            ("Los Angeles", 90001),
            ("San Diego", 92101),
            ("Seattle", 98101),
        ],
    ),
    market(
        Tz::America__Sao_Paulo,
        "BR",
        7,
        1700,
        &[
            ("Sao Paulo", 1310),
            ("Rio de Janeiro", 20010),
            ("Curitiba", 80010),
        ],
    ),
    market(
        Tz::Europe__London,
        "GB",
        11,
        2000,
        &[("London", 11010), ("Manchester", 12010), ("Leeds", 13010)],
    ),
    market(
        Tz::Europe__Berlin,
        "DE",
        10,
        700,
        &[("Berlin", 10115), ("Hamburg", 20095), ("Munich", 80331)],
    ),
    market(
        Tz::Europe__Paris,
        "FR",
        8,
        1000,
        &[("Paris", 75001), ("Lyon", 69001), ("Marseille", 13001)],
    ),
    market(
        Tz::Europe__Rome,
        "IT",
        9,
        1000,
        &[("Rome", 118), ("Milan", 20121), ("Naples", 80121)],
    ),
    market(
        Tz::Europe__Madrid,
        "ES",
        5,
        1000,
        &[("Madrid", 28001), ("Barcelona", 8001), ("Valencia", 46001)],
    ),
    market(
        Tz::Asia__Kolkata,
        "IN",
        5,
        500,
        &[("Mumbai", 40001), ("Delhi", 11001), ("Bengaluru", 56001)],
    ),
    market(
        Tz::Asia__Tokyo,
        "JP",
        4,
        800,
        &[("Tokyo", 10000), ("Osaka", 53000), ("Nagoya", 45000)],
    ),
    market(
        Tz::Australia__Adelaide,
        "AU",
        3,
        1000,
        &[("Adelaide", 50000), ("Glenelg", 50450), ("Gawler", 51180)],
    ),
];

const fn market(
    time_zone: Tz,
    country: &'static str,
    merchants_percent: u32,
    tax_basis_points: u64,
    cities: &'static [(&'static str, u32)],
) -> Market {
    Market {
        time_zone,
        country,
        merchants_percent,
        tax_basis_points,
        cities,
    }
}

impl Market {
    /// Minutes to add to UTC for the local clock at `minute`, counted from 1970 UTC.
    pub(crate) fn utc_offset_minutes(&self, minute: i64) -> i64 {
        let utc = DateTime::from_timestamp(minute * 60, 0).unwrap_or_default();
        let offset = self.time_zone.offset_from_utc_datetime(&utc.naive_utc());
        i64::from(offset.fix().local_minus_utc() / 60)
    }
}

/// Orders by the hour of the local day; the hours between are interpolated by the minute.
const HOURS: [u32; 24] = [
    18, 9, 5, 3, 2, 3, 6, 10, 14, 18, 28, 60, 92, 80, 48, 36, 42, 70, 110, 128, 112, 80, 52, 32,
];

/// Orders by the local day, Monday first.
const DAYS: [u32; 7] = [82, 80, 86, 96, 132, 140, 108];

/// How much is ordered in a minute of the local clock, in no particular unit; at least 1.
pub(crate) fn demand(local_minute: i64) -> u64 {
    // 1970-01-01 was a Thursday, three days after a Monday.
    let of_week = (local_minute + 3 * 24 * 60).rem_euclid(WEEK_MINUTES) as usize;
    let (day, of_day) = (of_week / 1440, of_week % 1440);
    let (hour, past) = (of_day / 60, (of_day % 60) as u32);
    let level = HOURS[hour] * (60 - past) + HOURS[(hour + 1) % 24] * past;
    u64::from(level * DAYS[day])
}
