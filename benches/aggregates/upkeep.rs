//! What it takes to have the aggregate, and to keep it.

use std::path::Path;
use std::time::Instant;

use crate::load::{self, Orders, Target};
use crate::slicedb::{Sealing, SliceDb};
use crate::times::median;
use crate::{Result, generator, late};

const VIEW: &str = "CREATE MATERIALIZED VIEW hourly WITH (timescaledb.continuous) AS \
    SELECT time_bucket('1 hour', ts) AS bucket, merchant_id, count(*) AS orders, \
    sum(gross) AS revenue FROM orders GROUP BY bucket, merchant_id";

const VIEW_IN_POSTGRES: &str = "CREATE MATERIALIZED VIEW hourly AS \
    SELECT date_trunc('hour', ts) AS bucket, merchant_id, count(*) AS orders, \
    sum(gross) AS revenue FROM orders GROUP BY 1, 2";

/// Groups, rows and cents, and cents that tell where they are. Cents, because the last digits of
/// sums of doubles depend on the order of rows.
const CHECKSUM: &str = "SELECT count(*)::text || ' groups, ' || sum(orders)::text || ' rows, ' || \
    sum(cents)::text || ' cents, checksum ' || \
    sum(cents * (merchant_id % 997 + hour % 991))::text FROM \
    (SELECT merchant_id, orders, round(revenue * 100)::bigint AS cents, \
    extract(epoch FROM bucket)::bigint / 3600 AS hour FROM";

/// Runs of which the median counts.
const LATE_RUNS: u64 = 3;
const INGEST_RUNS: usize = 3;

/// Seconds of each COPY of late rows, the median of some; those of another `round` are others.
pub(crate) async fn copy_late(target: &Target, orders: &Orders, round: u64) -> Result<f64> {
    let mut seconds = Vec::new();
    for run in 0..LATE_RUNS {
        let late = late(orders, round * LATE_RUNS + run);
        seconds.push(load::copy(target, &late, 1).await?.seconds);
    }
    Ok(median(&seconds))
}

async fn groups(target: &Target) -> Result<i64> {
    let client = target.connect().await?;
    let row = client.query_one("SELECT count(*) FROM hourly", &[]).await?;
    Ok(row.get(0))
}

fn built(seconds: f64, groups: i64) -> String {
    format!("{seconds:.1} s for {:.2} M groups", groups as f64 / 1e6)
}

/// Creates the aggregate and waits until it is built.
pub(crate) async fn build(target: &Target) -> Result<String> {
    let client = target.connect().await?;
    let begun = Instant::now();
    client.batch_execute(VIEW).await?;
    client
        .batch_execute("REFRESH MATERIALIZED VIEW hourly")
        .await?;
    let seconds = begun.elapsed().as_secs_f64();
    let row = client
        .query_one(
            "SELECT percent_built, stale_ranges FROM slicedb.aggregates",
            &[],
        )
        .await?;
    let (percent, stale): (f64, i64) = (row.get(0), row.get(1));
    if (percent, stale) != (100.0, 0) {
        return Err(format!("{percent} % is built, {stale} ranges are stale").into());
    }
    Ok(built(seconds, groups(target).await?))
}

/// Creates PostgreSQL's view, with an index for dashboards.
pub(crate) async fn build_in_postgres(target: &Target) -> Result<String> {
    let begun = Instant::now();
    target.execute(VIEW_IN_POSTGRES).await?;
    target
        .execute("CREATE INDEX ON hourly (merchant_id, bucket)")
        .await?;
    let seconds = begun.elapsed().as_secs_f64();
    target.execute("ANALYZE hourly").await?;
    Ok(built(seconds, groups(target).await?))
}

/// Seconds that it takes to bring PostgreSQL's view up to date.
pub(crate) async fn refresh(target: &Target) -> Result<f64> {
    let begun = Instant::now();
    target.execute("REFRESH MATERIALIZED VIEW hourly").await?;
    let seconds = begun.elapsed().as_secs_f64();
    target.execute("VACUUM ANALYZE hourly").await?;
    Ok(seconds)
}

/// Compares the aggregate with its definition.
///
/// # Errors
/// When they differ.
pub(crate) async fn check(target: &Target) -> Result<()> {
    let client = target.connect().await?;
    client
        .batch_execute("SET slicedb.use_aggregates = off")
        .await?;
    let definition = VIEW.split_once(" AS ").map_or("", |(_, query)| query);
    let mut told: Vec<String> = Vec::new();
    for from in ["hourly".to_owned(), format!("({definition}) AS groups")] {
        let sql = format!("{CHECKSUM} {from}) AS cents");
        told.push(client.query_one(&sql, &[]).await?.get(0));
    }
    match told[0] == told[1] {
        true => Ok(()),
        false => Err(format!("the aggregate is {}, the rows {}", told[0], told[1]).into()),
    }
}

fn per_group(bytes: i64, groups: i64) -> String {
    format!("{:.1} B/group", bytes as f64 / groups.max(1) as f64)
}

/// What a group takes.
pub(crate) async fn disk(target: &Target) -> Result<String> {
    let client = target.connect().await?;
    let row = client
        .query_one("SELECT bytes, partial_rows FROM slicedb.aggregates", &[])
        .await?;
    let (bytes, partials): (i64, i64) = (row.get(0), row.get(1));
    let groups = groups(target).await?;
    let each = partials as f64 / groups.max(1) as f64;
    Ok(format!(
        "{}, in {each:.2} partials each",
        per_group(bytes, groups)
    ))
}

/// What a group of PostgreSQL's view takes, with its index.
pub(crate) async fn disk_in_postgres(target: &Target) -> Result<String> {
    let client = target.connect().await?;
    let row = client
        .query_one("SELECT pg_total_relation_size('hourly')", &[])
        .await?;
    Ok(per_group(row.get(0), groups(target).await?))
}

/// COPY with the aggregate as a share of COPY without it, in turns, each on a new directory.
pub(crate) async fn ingest(dir: &Path, orders: &Orders) -> Result<String> {
    let mut rates = [Vec::new(), Vec::new()];
    let mut cpu_ns = [Vec::new(), Vec::new()];
    for run in 0..2 * INGEST_RUNS {
        let attached = run % 2;
        let server = SliceDb::start(dir, Sealing::Usual).await?;
        let target = server.target();
        let options = format!(" WITH ({})", generator::ORDERS_OPTIONS);
        target.create_orders(&options).await?;
        if attached == 1 {
            target.execute(VIEW).await?;
        }
        let load = load::copy(&target, orders, 1).await?;
        rates[attached].push(load.rows as f64 / load.seconds);
        // With what seals and merges have left to do.
        server.settled_disk_bytes().await?;
        cpu_ns[attached].push(server.process().cpu_seconds() * 1e9 / load.rows as f64);
        server.stop()?;
    }
    let [without, with] = rates.map(|rates| median(&rates));
    let [cpu_without, cpu_with] = cpu_ns.map(|ns| median(&ns));
    Ok(format!(
        "{:.0} K rows/s, {:.0} % of the {:.0} K without; server {cpu_with:.0} ns CPU/row, \
         {cpu_without:.0} without",
        with / 1e3,
        100.0 * with / without,
        without / 1e3
    ))
}
