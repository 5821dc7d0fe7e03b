//! A continuous aggregate, measured from outside: building it over history, late rows, ingest with
//! it attached, dashboards from it; PostgreSQL's materialized view beside it when it is installed.
//! Then what the hyperfunctions cost over the rows.
//!
//! `make bench-aggregates` runs it. As in the main job the release binary runs on a directory of its
//! own, and client, generator and server share the machine. Merchants are all alike over seven
//! days: an hour of a merchant has some two rows, which is the hard case of an aggregate by hour.
//!
//! | variable | default | |
//! |---|---|---|
//! | `SLICEDB_BENCH_ROWS` | 20000000 | rows of history |
//! | `SLICEDB_BENCH_INGEST_ROWS` | 4000000 | rows of each run with and without the aggregate; 0 for none |
//! | `SLICEDB_BENCH_POSTGRES_ROWS` | as many as ours | rows for PostgreSQL; 0 skips it |
//! | `SLICEDB_BENCH_DIR` | the system's | where the temporary directories are made |

mod dashboards;
#[path = "../common/environment.rs"]
mod environment;
mod figures;
#[path = "../../src/demo/generator/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the demo and the unit tests use the rest"
)]
mod generator;
mod hyperfunctions;
#[path = "../common/load.rs"]
#[allow(dead_code, reason = "the main job uses the rest")]
mod load;
#[path = "../common/machine.rs"]
mod machine;
#[path = "../common/postgres.rs"]
#[allow(dead_code, reason = "the main job uses the rest")]
mod postgres;
#[path = "../common/process.rs"]
#[allow(dead_code, reason = "the main job uses the rest")]
mod process;
#[path = "../common/report.rs"]
#[allow(dead_code, reason = "the main job uses the rest")]
mod report;
#[path = "../common/slicedb.rs"]
#[allow(dead_code, reason = "the main job uses the rest")]
mod slicedb;
#[path = "../common/times.rs"]
mod times;
mod upkeep;

use std::error::Error;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figures::{FIGURES, Figure};
use generator::Merchants;
use load::Orders;
use report::{Circumstances, Table};
use slicedb::{Sealing, SliceDb};

/// Whatever goes wrong ends the benchmark.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

type Column = report::Column<Figure>;

/// Days of history.
const DAYS: i64 = 7;

struct Settings {
    rows: u64,
    ingest_rows: u64,
    postgres_rows: u64,
    dir: PathBuf,
}

impl Settings {
    fn from_environment() -> Result<Self> {
        // One row in a hundred is late.
        let rows = environment::rows("SLICEDB_BENCH_ROWS", 20_000_000)?.max(100);
        Ok(Self {
            rows,
            ingest_rows: environment::rows("SLICEDB_BENCH_INGEST_ROWS", 4_000_000)?,
            postgres_rows: environment::rows("SLICEDB_BENCH_POSTGRES_ROWS", rows)?,
            dir: environment::dir(),
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // Dropping the work ends the servers and removes their directories.
    tokio::select! {
        done = measure_all(Settings::from_environment()?) => done,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}

async fn measure_all(settings: Settings) -> Result<()> {
    let merchants = platform(1);
    let orders = Orders::new(&merchants, DAYS, settings.rows);
    let circumstances = Circumstances::of(&settings.dir, &orders);

    let (column, hyperfunctions) = slicedb_column(&settings, &merchants, &orders).await?;
    let mut columns = vec![column];
    if settings.postgres_rows > 0 {
        match postgres::installed() {
            Some(binaries) => {
                let orders = Orders::new(&merchants, DAYS, settings.postgres_rows);
                columns.push(postgres_column(&binaries, &settings.dir, &orders).await?);
            }
            None => eprintln!("PostgreSQL is not installed: no figures beside ours"),
        }
    }
    println!("{circumstances}\n{}\n{hyperfunctions}", Table(columns));
    Ok(())
}

/// Merchants who are all alike.
fn platform(seed: u64) -> Arc<Merchants> {
    let count = NonZeroU32::MIN.saturating_add(load::MERCHANTS - 1);
    Arc::new(Merchants::new(seed, count, 0.0))
}

/// Other rows of the same time, a hundredth as many.
fn late(orders: &Orders, number: u64) -> Orders {
    Orders::new(&platform(number + 2), DAYS, orders.rows() / 100)
}

async fn slicedb_column(
    settings: &Settings,
    merchants: &Arc<Merchants>,
    orders: &Orders,
) -> Result<(Column, hyperfunctions::Table)> {
    let mut column = Column::new(FIGURES, "SliceDB", orders.rows());
    let mut server = SliceDb::start(&settings.dir, Sealing::Usual).await?;
    let target = server.target();
    let options = format!(" WITH ({})", generator::ORDERS_OPTIONS);
    target.create_orders(&options).await?;
    load::copy(&target, orders, 2).await?;
    // So that nothing of the load is left to do.
    server.settled_disk_bytes().await?;

    let without = upkeep::copy_late(&target, orders, 0).await?;
    column.put(Figure::Build, upkeep::build(&target).await?);
    let with = upkeep::copy_late(&target, orders, 1).await?;
    let text = format!(
        "{with:.2} s, {:.2} × the {without:.2} s without; exact at commit",
        with / without
    );
    column.put(Figure::Late, text);
    upkeep::check(&target).await?;
    server.settled_disk_bytes().await?;
    column.put(Figure::Disk, upkeep::disk(&target).await?);

    // A server that has just started has nothing of the load in its caches but the kernel's.
    server.restart().await?;
    let target = server.target();
    column.put_all(dashboards::measure(&target, orders).await?);
    column.put_all(dashboards::revenue_by_day(&target, orders).await?);
    let hyperfunctions = hyperfunctions::measure(&target).await?;
    server.stop()?;

    if settings.ingest_rows > 0 {
        let orders = orders.beginning(merchants, settings.ingest_rows);
        let text = upkeep::ingest(&settings.dir, &orders).await?;
        column.put(Figure::Ingest, text);
    }
    Ok((column, hyperfunctions))
}

async fn postgres_column(binaries: &Path, dir: &Path, orders: &Orders) -> Result<Column> {
    let server = postgres::Postgres::start(binaries, dir).await?;
    let target = server.target();
    let mut column = Column::new(FIGURES, &server.version().await?, orders.rows());
    target.create_orders("").await?;
    load::copy(&target, orders, 2).await?;
    target.execute("VACUUM ANALYZE orders").await?;

    column.put(Figure::Build, upkeep::build_in_postgres(&target).await?);
    let seconds = upkeep::copy_late(&target, orders, 1).await?;
    let refresh = upkeep::refresh(&target).await?;
    let text = format!("{seconds:.2} s, and {refresh:.1} s of REFRESH");
    column.put(Figure::Late, text);
    column.put(Figure::Disk, upkeep::disk_in_postgres(&target).await?);
    column.put_all(dashboards::measure(&target, orders).await?);
    column.put_all(dashboards::revenue_by_day_in_postgres(&target, orders).await?);
    server.stop()?;
    Ok(column)
}
