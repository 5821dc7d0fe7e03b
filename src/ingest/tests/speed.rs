//! How fast COPY's formats are, on the demo's row.

use std::time::Instant;

use super::*;

const ROWS: usize = 1_000_000;

/// The demo's order: twelve columns, about 105 bytes.
fn order_types() -> Vec<(&'static str, PgType)> {
    let money = PgType::Float8;
    vec![
        ("id", PgType::Int8),
        ("merchant", PgType::Int8),
        ("ts", PgType::Timestamptz),
        ("customer", PgType::Int8),
        ("channel", PgType::Text),
        ("status", PgType::Text),
        ("items", PgType::Int4),
        ("gross", money.clone()),
        ("discount", money.clone()),
        ("tax", money),
        ("payment", PgType::Text),
        ("postcode", PgType::Text),
    ]
}

fn order_lines(delimiter: char) -> Vec<u8> {
    let mut data = Vec::new();
    let mut random = 88_172_645_463_325_252_u64;
    for id in 0..ROWS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pick =
            |names: &[&'static str], shift: u32| names[(random >> shift) as usize % names.len()];
        let fields = [
            (4_000_000_000 + id as u64).to_string(),
            (random % 1_000_000).to_string(),
            format!(
                "2024-01-02 {:02}:{:02}:{:02}.{:03}+00",
                id / 60_000 % 24,
                id / 1000 % 60,
                random % 60,
                random % 1000
            ),
            (random >> 20 & 0xfff_ffff).to_string(),
            pick(&["web", "app", "pos", "phone"], 3).to_owned(),
            pick(&["placed", "paid", "refunded", "delivered"], 9).to_owned(),
            (random % 9 + 1).to_string(),
            format!("{}.{:02}", random >> 30 & 0xff, random >> 11 & 63),
            if random.is_multiple_of(10) {
                "2.50".to_owned()
            } else {
                "0".to_owned()
            },
            format!("{}.{:02}", random >> 40 & 0x1f, random >> 17 & 63),
            pick(&["card", "cash", "paypal", "invoice"], 13).to_owned(),
            format!("{:05}", random >> 44 & 0xffff),
        ];
        data.extend_from_slice(fields.join(&delimiter.to_string()).as_bytes());
        data.push(b'\n');
    }
    data
}

/// Time on a processor, which other programs take nothing of; by the clock where Linux is not.
fn time_of(run: impl FnOnce() -> usize) -> f64 {
    let cpu_ns = || {
        let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        times.split(' ').next()?.parse::<f64>().ok()
    };
    let (start, before) = (Instant::now(), cpu_ns());
    assert_eq!(run(), ROWS);
    match (before, cpu_ns()) {
        (Some(before), Some(after)) => (after - before) / 1e9,
        _ => start.elapsed().as_secs_f64(),
    }
}

fn measure(name: &str, data: &[u8], mut run: impl FnMut() -> usize) {
    let best = (0..5).map(|_| time_of(&mut run)).fold(f64::MAX, f64::min);
    let (bytes, mega_rows) = (data.len() / ROWS, ROWS as f64 / best / 1e6);
    let row_ns = best / ROWS as f64 * 1e9;
    println!("{name}: {mega_rows:.2} M rows/s/core, {bytes} B/row, {row_ns:.0} ns/row");
}

#[test]
#[ignore = "a measurement; run it with --release -- --ignored --nocapture"]
fn speed_of_copy() {
    let types = order_types();
    let settings = FormatSettings::default();
    let [text, csv, binary] = formats();
    let decode_all = |options: &CopyOptions, data: &[u8]| {
        let mut decoder = CopyDecoder::new(options, columns(&types), "orders", &settings);
        let mut rows = 0;
        for piece in data.chunks(1 << 20) {
            decoder.push(piece).expect("rows");
            while let Some(batch) = decoder.batch(8192) {
                rows += batch.num_rows();
            }
        }
        rows + decoder
            .finish()
            .expect("rows")
            .map_or(0, |batch| batch.num_rows())
    };
    let text_data = order_lines('\t');
    measure("decode text", &text_data, || decode_all(&text, &text_data));
    let csv_data = order_lines(',');
    measure("decode csv", &csv_data, || decode_all(&csv, &csv_data));
    let batches = decode(&text, &types, &text_data, &[1 << 20]).expect("rows");
    let binary_data = encode(&binary, &types, &batches, &settings);
    measure("decode binary", &binary_data, || {
        decode_all(&binary, &binary_data)
    });
    for (name, options) in [
        ("encode text", &text),
        ("encode csv", &csv),
        ("encode binary", &binary),
    ] {
        let data = encode(options, &types, &batches, &settings);
        measure(name, &data, || {
            encode(options, &types, &batches, &settings);
            ROWS
        });
    }
}
