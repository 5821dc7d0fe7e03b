//! What the hyperfunctions cost over the rows, beside `sum`.

use std::fmt;
use std::time::Instant;

use crate::Result;
use crate::load::Target;
use crate::times::median;

/// Over what rows a function is measured.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Both,
    /// Of all rows together the summary would be too long: it keeps every point.
    Groups,
}

/// A name, and a number that needs the whole summary.
const FUNCTIONS: &[(&str, &str, Over)] = &[
    ("sum", "sum(gross)", Over::Both),
    ("stddev", "stddev(gross)", Over::Both),
    ("count(DISTINCT)", "count(DISTINCT customer_id)", Over::Both),
    ("first", "first(gross, ts)", Over::Both),
    ("last", "last(gross, ts)", Over::Both),
    (
        "histogram, 20 buckets",
        "cardinality(histogram(gross, 0, 100, 20))",
        Over::Both,
    ),
    ("stats_agg", "stddev(stats_agg(gross))", Over::Both),
    (
        "stats_agg of two",
        "slope(stats_agg(gross, items))",
        Over::Both,
    ),
    (
        "approx_count_distinct",
        "distinct_count(approx_count_distinct(customer_id))",
        Over::Both,
    ),
    (
        "hyperloglog(1024)",
        "distinct_count(hyperloglog(1024, customer_id))",
        Over::Both,
    ),
    (
        "percentile_agg",
        "approx_percentile(0.5, percentile_agg(gross))",
        Over::Both,
    ),
    (
        "uddsketch(100, 0.01)",
        "approx_percentile(0.5, uddsketch(100, 0.01, gross))",
        Over::Both,
    ),
    (
        "tdigest(100)",
        "approx_percentile(0.5, tdigest(100, gross))",
        Over::Both,
    ),
    (
        "candlestick_agg",
        "vwap(candlestick_agg(ts, gross, items))",
        Over::Both,
    ),
    (
        "counter_agg",
        "num_elements(counter_agg(ts, gross))",
        Over::Groups,
    ),
    (
        "time_weight",
        "average(time_weight('locf', ts, gross))",
        Over::Groups,
    ),
    (
        "freq_agg of 5 values",
        "max_frequency(freq_agg(0.01, channel), 'app')",
        Over::Both,
    ),
    (
        "freq_agg of many values",
        "max_frequency(freq_agg(0.01, customer_id), 1)",
        Over::Both,
    ),
    (
        "min_n of 10",
        "cardinality(into_array(min_n(gross, 10)))",
        Over::Both,
    ),
];

const RUNS: usize = 3;

/// Seconds of each function, over all rows and by merchant.
pub(crate) struct Table(Vec<(&'static str, Option<f64>, f64)>);

/// Measures all of them.
pub(crate) async fn measure(target: &Target) -> Result<Table> {
    let mut lines = Vec::new();
    for (name, value, over) in FUNCTIONS {
        let all = match over {
            Over::Both => Some(seconds(target, &format!("SELECT {value} FROM orders")).await?),
            Over::Groups => None,
        };
        let by_merchant = format!(
            "SELECT count(v), max(v) FROM \
             (SELECT {value} AS v FROM orders GROUP BY merchant_id) AS merchants"
        );
        let by_merchant = seconds(target, &by_merchant).await?;
        let of_all = all.map_or(String::new(), |all: f64| format!("{all:.2} s, "));
        eprintln!("  {name}: {of_all}{by_merchant:.2} s by merchant");
        lines.push((*name, all, by_merchant));
    }
    Ok(Table(lines))
}

async fn seconds(target: &Target, sql: &str) -> Result<f64> {
    let client = target.connect().await?;
    client
        .batch_execute("SET slicedb.use_aggregates = off")
        .await?;
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        client.simple_query(sql).await?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(&seconds))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| over the rows, median | of all | by merchant |")?;
        writeln!(f, "|---|---|---|")?;
        let yardstick = self.0.first();
        for (name, all, by_merchant) in &self.0 {
            let cell = |seconds: f64, of_sum: Option<f64>| {
                let times = seconds / of_sum.unwrap_or(seconds);
                format!("{seconds:.2} s ({times:.1} × `sum`)")
            };
            let all = all.map_or("–".to_owned(), |all| {
                cell(all, yardstick.and_then(|line| line.1))
            });
            let by_merchant = cell(*by_merchant, yardstick.map(|line| line.2));
            writeln!(f, "| `{name}` | {all} | {by_merchant} |")?;
        }
        Ok(())
    }
}
