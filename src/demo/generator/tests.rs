//! The platform as it should look: shapes, shares, exact cents, the same rows again.

use std::collections::HashMap;
use std::num::NonZeroU32;

use chrono::{DateTime, Datelike, NaiveDate, Timelike};

use super::market::{MARKETS, WEEK_MINUTES, demand};
use super::*;

/// Monday 2026-07-06 00:00 UTC.
const MONDAY: i64 = 29_721_600;

fn platform(count: u32) -> Arc<Merchants> {
    Arc::new(Merchants::new(7, NonZeroU32::new(count).unwrap(), SKEW))
}

/// A row as a reader of the CSV sees it.
struct Row {
    order_id: i64,
    merchant_id: u32,
    ts_micros: i64,
    cents: [i64; 3],
    fields: Vec<String>,
}

fn parse(csv: &[u8]) -> Vec<Row> {
    std::str::from_utf8(csv)
        .unwrap()
        .lines()
        .map(parse_line)
        .collect()
}

fn parse_line(line: &str) -> Row {
    let fields: Vec<String> = line.split(',').map(str::to_owned).collect();
    assert_eq!(fields.len(), ORDERS_COLUMNS.split(", ").count(), "{line}");
    let cents = |amount: &str| {
        let (whole, part) = amount.split_once('.').unwrap();
        assert_eq!(part.len(), 2, "{amount}");
        whole.parse::<i64>().unwrap() * 100 + part.parse::<i64>().unwrap()
    };
    let ts = fields[2].strip_suffix("+00").unwrap();
    let number = |range: Range<usize>| ts[range].parse::<u32>().unwrap();
    assert_eq!([&ts[4..5], &ts[7..8], &ts[10..11]], ["-", "-", " "]);
    assert_eq!([&ts[13..14], &ts[16..17], &ts[19..20]], [":", ":", "."]);
    let day = NaiveDate::from_ymd_opt(number(0..4) as i32, number(5..7), number(8..10)).unwrap();
    let (hour, minute, second) = (number(11..13), number(14..16), number(17..19));
    let ts = day
        .and_hms_micro_opt(hour, minute, second, number(20..26))
        .unwrap();
    Row {
        order_id: fields[0].parse().unwrap(),
        merchant_id: fields[1].parse().unwrap(),
        ts_micros: ts.and_utc().timestamp_micros(),
        cents: [cents(&fields[7]), cents(&fields[8]), cents(&fields[9])],
        fields,
    }
}

fn all_rows(generator: &Generator, minutes: Range<i64>) -> Vec<Row> {
    let mut csv = Vec::new();
    for minute in minutes {
        generator.write_csv(minute, 0..u64::MAX, &mut csv);
    }
    parse(&csv)
}

#[test]
fn the_same_seed_gives_the_same_bytes_from_any_entry() {
    let minutes = MONDAY..MONDAY + 180;
    let one = Generator::history(platform(1_000), minutes.clone(), 5_000);
    let two = Generator::history(platform(1_000), minutes.clone(), 5_000);
    let minute = MONDAY + 97;
    let rows = one.rows_in(minute);
    assert!(rows > 2);
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    one.write_csv(minute, 0..rows, &mut whole);
    two.write_csv(minute, 0..2, &mut parts);
    two.write_csv(minute, 2..rows, &mut parts);
    assert_eq!(whole, parts);

    let other = Arc::new(Merchants::new(8, NonZeroU32::new(1_000).unwrap(), SKEW));
    let mut differs = Vec::new();
    Generator::history(other, minutes, 5_000).write_csv(minute, 0..rows, &mut differs);
    assert_ne!(whole, differs);
}

#[test]
fn a_history_has_exactly_its_rows_each_with_its_own_id() {
    for (length, count) in [(1, 1), (7, 3), (1_440, 12_345), (WEEK_MINUTES, 20_000)] {
        let minutes = MONDAY..MONDAY + length;
        let generator = Generator::history(platform(500), minutes.clone(), count);
        assert_eq!(generator.rows_between(minutes.clone()), count);
        assert_eq!(
            generator.rows_in(MONDAY - 1) + generator.rows_in(minutes.end),
            0
        );
        let rows = all_rows(&generator, minutes);
        assert_eq!(rows.len() as u64, count);
        assert!(
            rows.windows(2)
                .all(|pair| pair[0].order_id < pair[1].order_id)
        );
        for row in &rows {
            let late = position_of_order(row.order_id).0 - row.ts_micros.div_euclid(MINUTE_MICROS);
            assert!((0..6 * 1_440).contains(&late), "{late} minutes late");
        }
    }
}

#[test]
fn a_minute_without_orders_writes_nothing() {
    let generator = Generator::flat(platform(10), 0);
    let mut csv = Vec::new();
    generator.write_csv(MONDAY, 0..u64::MAX, &mut csv);
    assert!(csv.is_empty());
}

#[test]
fn merchants_follow_zipf_over_a_week() {
    let count = 100_000;
    let orders = 200_000;
    let minutes = MONDAY..MONDAY + WEEK_MINUTES;
    let generator = Generator::history(platform(count), minutes.clone(), orders);
    let mut sizes: HashMap<u32, f64> = HashMap::new();
    for row in all_rows(&generator, minutes) {
        assert!((1..=count).contains(&row.merchant_id));
        *sizes.entry(row.merchant_id).or_default() += 1.0;
    }
    let mut sizes: Vec<f64> = sizes.into_values().collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let harmonic = |n: u32| (1..=n).map(|rank| 1.0 / f64::from(rank)).sum::<f64>();
    for top in [1, 10, 100] {
        let measured = sizes[..top as usize].iter().sum::<f64>() / orders as f64;
        let expected = harmonic(top) / harmonic(count);
        // 3 %: the sample's own noise at rank 1,000 lifts the largest of many equals.
        assert!(
            (measured / expected - 1.0).abs() < 0.03,
            "{top}: {measured} {expected}"
        );
    }
}

#[test]
fn merchants_without_skew_are_alike() {
    let merchants = Merchants::new(7, NonZeroU32::new(100).unwrap(), 0.0);
    let minutes = MONDAY..MONDAY + WEEK_MINUTES;
    let generator = Generator::history(Arc::new(merchants), minutes.clone(), 100_000);
    let mut sizes = [0; 100];
    for row in all_rows(&generator, minutes) {
        sizes[row.merchant_id as usize - 1] += 1;
    }
    // A thousand each, give or take six standard deviations.
    assert!(
        sizes.iter().all(|size| (800..1200).contains(size)),
        "{sizes:?}"
    );
}

#[test]
fn demand_peaks_at_lunch_and_dinner_and_towards_the_weekend() {
    let at = |day: i64, hour: i64| demand(MONDAY + day * 1_440 + hour * 60);
    for day in 0..7 {
        assert!(at(day, 12) > at(day, 9) && at(day, 12) > at(day, 15));
        assert!(at(day, 19) > at(day, 12) && at(day, 19) > 20 * at(day, 4));
    }
    assert!(at(5, 19) > at(4, 19) && at(4, 19) > at(0, 19));
}

#[test]
fn orders_follow_the_clock_of_their_merchant() {
    let merchants = platform(2_000);
    let mut reference = Vec::new();
    merchants.write_csv(&mut reference);
    let reference = String::from_utf8(reference).unwrap();
    let zones: Vec<&str> = reference
        .lines()
        .map(|l| l.rsplit(',').nth(1).unwrap())
        .collect();
    let minutes = MONDAY..MONDAY + WEEK_MINUTES;
    let generator = Generator::history(Arc::clone(&merchants), minutes.clone(), 100_000);
    let mut by_hour: HashMap<&str, [u32; 24]> = HashMap::new();
    for row in all_rows(&generator, minutes) {
        let zone = zones[row.merchant_id as usize - 1];
        let market = MARKETS
            .iter()
            .find(|market| market.time_zone.name() == zone)
            .unwrap();
        let local = DateTime::from_timestamp_micros(row.ts_micros).unwrap();
        let local = local.with_timezone(&market.time_zone);
        by_hour.entry(zone).or_default()[local.hour() as usize] += 1;
    }
    assert_eq!(by_hour.len(), MARKETS.len());
    for (zone, hours) in by_hour {
        let busiest = (0..24).max_by_key(|&hour| hours[hour]).unwrap();
        assert!((18..=20).contains(&busiest), "{zone}: {hours:?}");
        assert!(hours[19] > 8 * hours[4], "{zone}: {hours:?}");
    }
}

#[test]
fn a_few_orders_are_hours_late_and_fewer_are_days_late() {
    let orders = 200_000;
    let generator = Generator::history(platform(1_000), MONDAY..MONDAY + 1_000, orders);
    let (mut late, mut hours, mut days) = (0, 0, 0);
    for row in all_rows(&generator, MONDAY..MONDAY + 1_000) {
        match position_of_order(row.order_id).0 - row.ts_micros.div_euclid(MINUTE_MICROS) {
            0 => {}
            1..60 => late += 1,
            60..=361 => hours += 1,
            _ => days += 1,
        }
    }
    let hundredths = (late + hours + days) as f64 / orders as f64 * 100.0;
    assert!((0.9..1.1).contains(&hundredths), "{hundredths} % late");
    assert!(hours > late / 2, "{late} below an hour, {hours} more");
    assert!((8..40).contains(&days), "{days} days late");
}

#[test]
fn money_is_exact_cents_and_survives_a_double() {
    let generator = Generator::history(platform(1_000), MONDAY..MONDAY + 1_000, 20_000);
    let rows = all_rows(&generator, MONDAY..MONDAY + 1_000);
    let mut discounted = 0;
    for row in &rows {
        let [gross, discount, tax] = row.cents;
        assert!(
            gross >= 150 && gross % 5 == 0 && (0..=gross).contains(&discount),
            "{gross}"
        );
        assert!(tax <= (gross - discount) * 2_000 / 10_000 + 1);
        for (cents, field) in row.cents.iter().zip(&row.fields[7..10]) {
            let double: f64 = field.parse().unwrap();
            assert_eq!((double * 100.0).round() / 100.0, double);
            assert_eq!((double * 100.0).round() as i64, *cents);
        }
        discounted += usize::from(discount > 0);
    }
    assert!((rows.len() / 12..rows.len() / 6).contains(&discounted));
}

#[test]
fn a_line_is_about_a_hundred_bytes_of_plain_csv() {
    let generator = Generator::flat(platform(100_000), 5_000);
    let mut csv = Vec::new();
    generator.write_csv(MONDAY, 0..5_000, &mut csv);
    assert!(
        (95..115).contains(&(csv.len() / 5_000)),
        "{}",
        csv.len() / 5_000
    );
    for row in parse(&csv) {
        assert!(["app", "web", "phone", "pos", "kiosk"].contains(&row.fields[4].as_str()));
        assert!((1..=12).contains(&row.fields[6].parse::<u32>().unwrap()));
        assert_eq!(row.fields[11].len(), 5);
    }
}

#[test]
fn every_merchant_has_one_reference_row() {
    let merchants = platform(3_000);
    let mut csv = Vec::new();
    merchants.write_csv(&mut csv);
    let text = String::from_utf8(csv).unwrap();
    assert_eq!(text.lines().count(), 3_000);
    let mut cities = HashMap::new();
    for (line, id) in text.lines().zip(1..) {
        let (number, rest) = line.split_once(",\"").unwrap();
        let (_name, rest) = rest.split_once("\",").unwrap();
        let fields: Vec<&str> = rest.split(',').collect();
        assert_eq!(number.parse::<u32>().unwrap(), id);
        assert_eq!(fields.len(), 5, "{line}");
        let opened: NaiveDate = fields[4].parse().unwrap();
        assert!((2006..2026).contains(&opened.year()));
        *cities.entry(fields[0].to_owned()).or_insert(0) += 1;
    }
    assert_eq!(
        cities.len(),
        MARKETS
            .iter()
            .map(|market| market.cities.len())
            .sum::<usize>()
    );
}
