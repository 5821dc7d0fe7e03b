//! Random values, printed by us and by a live PostgreSQL.
//!
//! Values go to the server in the binary format of COPY, so that it never reads our text.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::*;
use super::postgres::Postgres;

const VALUES: usize = 20_000;

fn random<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    (0..VALUES)
        .map(|_| strategy.new_tree(&mut runner).expect("a value").current())
        .collect()
}

/// Has both sides print values in binary form, under a setting of the session.
fn compare(
    postgres: &Postgres,
    ty: &PgType,
    values: &[Vec<u8>],
    setting: &str,
    settings: &FormatSettings,
) {
    let mut file = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let mut builder = ColumnBuilder::new(ty, values.len(), settings);
    for value in values {
        file.extend_from_slice(&1_i16.to_be_bytes());
        file.extend_from_slice(&(value.len() as i32).to_be_bytes());
        file.extend_from_slice(value);
        builder.append_binary(value).expect("a value");
    }
    file.extend_from_slice(&(-1_i16).to_be_bytes());
    let path = postgres.path("values");
    std::fs::write(&path, file).expect("a file");
    let live = postgres.run(&format!(
        "{setting}; CREATE TABLE v (n bigserial, v {});
         COPY v (v) FROM '{}' (FORMAT binary); SELECT v FROM v ORDER BY n; DROP TABLE v;",
        ty.name(),
        path.display()
    ));
    let field = ty.field("v", true);
    let encoder =
        Encoder::new(&field, &builder.finish(), Format::Text, settings).expect("an encoder");
    let mut ours = Vec::new();
    for (row, theirs) in live
        .split(|byte| *byte == b'\n')
        .take(values.len())
        .enumerate()
    {
        ours.clear();
        encoder.write(row, &mut ours);
        assert_eq!(
            String::from_utf8_lossy(&ours),
            String::from_utf8_lossy(theirs),
            "{} {:02x?} {setting}",
            ty.name(),
            values[row]
        );
    }
    // And what is printed reads back to the same bytes, but for floats printed short.
    if settings.extra_float_digits > 0 {
        let mut back = ColumnBuilder::new(ty, values.len(), settings);
        let lines = live.split(|byte| *byte == b'\n').take(values.len());
        lines.for_each(|line| back.append_text(line).expect("a value"));
        let encoder =
            Encoder::new(&field, &back.finish(), Format::Binary, settings).expect("an encoder");
        for (row, value) in values.iter().enumerate() {
            ours.clear();
            encoder.write(row, &mut ours);
            assert_eq!(&ours, value, "{} {setting}", ty.name());
        }
    }
}

#[test]
fn random_floats_print_as_postgresqls() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let powers = (-1074..1024).map(|power| 2_f64.powi(power));
    let tens = (-308..309).map(|power| format!("1e{power}").parse::<f64>().expect("a float"));
    let doubles: Vec<Vec<u8>> = random(any::<u64>().prop_map(f64::from_bits))
        .into_iter()
        .chain(random(
            (any::<i32>(), 0..8).prop_map(|(n, scale)| f64::from(n) / 10_f64.powi(scale)),
        ))
        .chain(random(
            (1_u64 << 53..1 << 54, -30..30).prop_map(|(n, power)| n as f64 * 2_f64.powi(power)),
        ))
        .chain(powers.clone())
        .chain(powers.map(|power| power * 3.0))
        .chain(tens)
        .filter(|value| !value.is_nan())
        .map(|value| value.to_be_bytes().to_vec())
        .collect();
    let reals: Vec<Vec<u8>> = random(any::<u32>().prop_map(f32::from_bits))
        .into_iter()
        .chain(random(
            (any::<i16>(), 0..5).prop_map(|(n, scale)| f32::from(n) / 10_f32.powi(scale)),
        ))
        .chain((-149..128).map(|power| 2_f32.powi(power)))
        .filter(|value| !value.is_nan())
        .map(|value| value.to_be_bytes().to_vec())
        .collect();
    for digits in [1, 0, -3, -15] {
        let settings = FormatSettings {
            extra_float_digits: digits,
            ..FormatSettings::default()
        };
        let setting = format!("SET extra_float_digits = {digits}");
        compare(&postgres, &PgType::Float8, &doubles, &setting, &settings);
        compare(&postgres, &PgType::Float4, &reals, &setting, &settings);
    }
}

#[test]
fn random_times_print_as_postgresqls() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    // From 4713 BC to the year 9999, and the last hundred years more often.
    let micros = prop_oneof![
        -211_800_000_000_000_000_i64..252_400_000_000_000_000,
        -1_000_000_000_000_000_i64..800_000_000_000_000,
    ];
    let instants: Vec<Vec<u8>> = random(micros)
        .into_iter()
        .map(|v| v.to_be_bytes().to_vec())
        .collect();
    let days: Vec<Vec<u8>> = random(-2_451_544_i32..2_145_031_948)
        .into_iter()
        .map(|v| v.to_be_bytes().to_vec())
        .collect();
    for style in ["ISO, MDY", "SQL, DMY", "Postgres, MDY", "German, DMY"] {
        let settings = FormatSettings {
            date_style: DateStyle::default().changed_by(style).expect("a style"),
            ..FormatSettings::default()
        };
        let setting = format!("SET DateStyle = '{style}'; SET TimeZone = 'UTC'");
        compare(
            &postgres,
            &PgType::Timestamp,
            &instants,
            &setting,
            &settings,
        );
        compare(
            &postgres,
            &PgType::Timestamptz,
            &instants,
            &setting,
            &settings,
        );
        compare(&postgres, &PgType::Date, &days, &setting, &settings);
    }
    // Some zones, from 1970 on: PostgreSQL may have other tables for the time before.
    let recent = random(-946_684_800_000_000_i64..30_000_000_000_000_000);
    let recent: Vec<Vec<u8>> = recent
        .into_iter()
        .map(|v| v.to_be_bytes().to_vec())
        .collect();
    for zone in [
        "America/New_York",
        "Europe/Berlin",
        "Asia/Kolkata",
        "Australia/Sydney",
        "America/St_Johns",
    ] {
        let settings = FormatSettings {
            time_zone: Zone::parse(zone).expect("a zone"),
            ..FormatSettings::default()
        };
        // A time that came twice reads back to the later, so only the text is compared.
        let texts_only = FormatSettings {
            extra_float_digits: 0,
            ..settings
        };
        compare(
            &postgres,
            &PgType::Timestamptz,
            &recent,
            &format!("SET TimeZone = '{zone}'"),
            &texts_only,
        );
    }
    let intervals = (
        -9_000_000_000_000_000_i64..9_000_000_000_000_000,
        any::<i32>(),
        any::<i32>(),
        0..8_u8,
    );
    let intervals: Vec<Vec<u8>> = random(intervals)
        .into_iter()
        .map(|(micros, days, months, kept)| {
            // Parts are often missing.
            let keep = |bit: u8| kept & bit != 0;
            let micros = if keep(1) { micros } else { 0 };
            let days = if keep(2) { days } else { 0 };
            let months = if keep(4) { months } else { 0 };
            [
                &micros.to_be_bytes()[..],
                &days.to_be_bytes(),
                &months.to_be_bytes(),
            ]
            .concat()
        })
        .collect();
    for style in ["postgres", "postgres_verbose", "sql_standard", "iso_8601"] {
        let settings = FormatSettings {
            interval_style: style.parse().expect("a style"),
            ..FormatSettings::default()
        };
        compare(
            &postgres,
            &PgType::Interval,
            &intervals,
            &format!("SET IntervalStyle = '{style}'"),
            &settings,
        );
    }
}
