//! A measurement, not a test: how fast and small the twelve columns of the demo are.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::*;

use super::{Column, encode};
use crate::segment::codec::{decode_batch, encode_batch};
use crate::segment::stats::ZoneMap;

/// Numbers as a linear congruential generator has them.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// A float in 0..1, most of them small.
    fn skewed(&mut self) -> f64 {
        (self.below(1 << 30) as f64 / (1u64 << 30) as f64).powi(3)
    }
}

/// Orders of one hour, sorted by merchant and time, about thirty a merchant.
fn demo(rows: usize) -> RecordBatch {
    let mut chance = Chance(7);
    let mut merchants: Vec<u64> = (0..rows)
        .map(|_| chance.below(rows.div_ceil(30) as u64) * 37 + 100_000)
        .collect();
    merchants.sort_unstable();
    let mut orders: Vec<(u64, u64)> = merchants
        .into_iter()
        .map(|merchant| (merchant, chance.below(3_600_000_000)))
        .collect();
    orders.sort_unstable();
    let cents = |cents: f64| cents.round() / 100.0;
    let gross: Vec<f64> = orders
        .iter()
        .map(|_| cents(500.0 + chance.skewed() * 12_000.0))
        .collect();
    let discount: Vec<f64> = gross
        .iter()
        .map(|gross| {
            if chance.below(10) == 0 {
                cents(gross * 10.0)
            } else {
                0.0
            }
        })
        .collect();
    let tax: Vec<f64> = gross.iter().map(|gross| cents(gross * 19.0)).collect();
    let mut pick = |words: &[&str]| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(
            (0..rows).map(|_| words[chance.below(words.len() as u64) as usize]),
        ))
    };
    let channel = pick(&["web", "app", "till", "phone"]);
    let status = pick(&["paid", "paid", "paid", "refunded", "open"]);
    let payment = pick(&["card", "cash", "paypal", "invoice", "voucher"]);
    let times = orders
        .iter()
        .map(|(_, time)| 1_753_869_600_000_000 + *time as i64);
    let columns: [(&str, ArrayRef); 12] = [
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        ),
        (
            "merchant",
            Arc::new(Int64Array::from_iter_values(
                orders.iter().map(|(merchant, _)| *merchant as i64),
            )),
        ),
        (
            "order_id",
            Arc::new(Int64Array::from_iter_values(
                orders
                    .iter()
                    .map(|(_, time)| 9_000_000_000 + *time as i64 / 250),
            )),
        ),
        (
            "customer",
            Arc::new(Int64Array::from_iter_values(
                (0..rows).map(|_| chance.below(1 << 30) as i64),
            )),
        ),
        ("channel", channel),
        ("status", status),
        (
            "items",
            Arc::new(Int16Array::from_iter_values(
                (0..rows).map(|_| 1 + (chance.skewed() * 7.0) as i16),
            )),
        ),
        ("gross", Arc::new(Float64Array::from(gross))),
        ("discount", Arc::new(Float64Array::from(discount))),
        ("tax", Arc::new(Float64Array::from(tax))),
        ("payment", payment),
        (
            "postcode",
            Arc::new(StringArray::from_iter_values(
                (0..rows).map(|_| format!("{:05}", 10_000 + chance.below(2000) * 17)),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// The shortest of many calls.
fn fastest(mut call: impl FnMut()) -> Duration {
    let started = Instant::now();
    let mut best = Duration::MAX;
    while started.elapsed() < Duration::from_millis(150) {
        let start = Instant::now();
        call();
        best = best.min(start.elapsed());
    }
    best
}

fn millions(rows: usize, time: Duration) -> f64 {
    rows as f64 / time.as_secs_f64() / 1e6
}

#[test]
#[ignore = "a measurement: run with --release -- --ignored --nocapture"]
fn speed() {
    let rows = 32 * 1024;
    let batch = demo(rows);
    println!("{rows} rows; M rows/s of one core");
    println!(
        "{:10} {:>10} {:>6} {:>8} {:>8} {:>8}",
        "column", "codec", "B/row", "encode", "decode", "zone map"
    );
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let value = encode(array);
        let column = Column::open(value.clone().into(), field.data_type()).unwrap();
        println!(
            "{:10} {:>10} {:6.2} {:8.0} {:8.0} {:8.0}",
            field.name(),
            format!("{:?}", column.header.codec),
            value.len() as f64 / rows as f64,
            millions(
                rows,
                fastest(|| {
                    black_box(encode(black_box(array)));
                })
            ),
            millions(
                rows,
                fastest(|| {
                    black_box(column.decode(0..rows).unwrap());
                })
            ),
            millions(
                rows,
                fastest(|| {
                    black_box(ZoneMap::of(array));
                })
            ),
        );
    }
    for rows in [1, 40, 1024, 16 * 1024, 32 * 1024, 64 * 1024] {
        let batch = demo(rows);
        let bytes = bytes::Bytes::from(encode_batch(&batch));
        let encoding = fastest(|| {
            black_box(encode_batch(black_box(&batch)));
        });
        let decoding = fastest(|| {
            black_box(decode_batch(&bytes, batch.schema_ref()).unwrap());
        });
        println!(
            "batch of {rows:5}: {:6.1} B/row, encode {:5.1} M rows/s ({encoding:?}), decode {:5.1} M rows/s ({decoding:?})",
            bytes.len() as f64 / rows as f64,
            millions(rows, encoding),
            millions(rows, decoding),
        );
    }
    ranges(&batch);
}

/// What a lookup of one merchant costs: bounds of a time range, then forty rows.
fn ranges(batch: &RecordBatch) {
    let column = |name: &str| {
        let array = batch.column_by_name(name).unwrap();
        Column::open(encode(array).into(), array.data_type()).unwrap()
    };
    for name in ["ts", "merchant", "gross", "channel", "postcode"] {
        let column = column(name);
        let forty = fastest(|| {
            black_box(column.decode(20_000..20_040).unwrap());
        });
        let many: Vec<_> = (0..100)
            .map(|index| index * 300..index * 300 + 40)
            .collect();
        let hundred = fastest(|| {
            black_box(column.decode_ranges(&many).unwrap());
        });
        println!("{name:10} 40 rows {forty:?}, 100 times 40 rows {hundred:?}");
    }
    let merchant = column("merchant");
    let found = fastest(|| {
        black_box(merchant.lower_bound(black_box(110_000), 0..batch.num_rows()));
    });
    println!("merchant   lower bound {found:?}");
    let ts = column("ts");
    let found = fastest(|| {
        black_box(ts.lower_bound(black_box(1_753_869_700_000_000), 20_000..20_030));
    });
    println!("ts         lower bound in 30 rows {found:?}");
}
