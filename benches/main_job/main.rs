//! The main job, measured from outside: orders in by COPY, dashboards out by SQL, a restart after
//! a kill; PostgreSQL beside it when it is installed.
//!
//! `make bench` runs it. It starts the release binary on a directory of its own, speaks to it
//! like any client, prints one Markdown table and leaves nothing behind. Rows are generated while
//! they are sent, on the same cores: the rates are end to end, and the processor
//! time of the generator and of the server stands beside them.
//!
//! | variable | default | |
//! |---|---|---|
//! | `SLICEDB_BENCH_ROWS` | 20000000 | rows of the COPY and query figures |
//! | `SLICEDB_BENCH_UNSEALED_ROWS` | 8000000 | rows in the log at the kill; 0 skips the restart |
//! | `SLICEDB_BENCH_POSTGRES_ROWS` | 2000000 | rows for PostgreSQL; 0 skips it |
//! | `SLICEDB_BENCH_DIR` | the system's | where the temporary directories are made |

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
#[path = "../common/load.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod load;
#[path = "../common/machine.rs"]
mod machine;
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../common/process.rs"]
mod process;
mod queries;
#[path = "../common/report.rs"]
mod report;
#[path = "../common/slicedb.rs"]
mod slicedb;
#[path = "../common/times.rs"]
mod times;

use std::error::Error;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use figures::{FIGURES, Figure};
use generator::Merchants;
use load::Orders;
use report::{Circumstances, Table};
use slicedb::SliceDb;

/// Whatever goes wrong ends the benchmark.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Days of history.
const DAYS: i64 = 30;

type Column = report::Column<Figure>;

struct Settings {
    rows: u64,
    unsealed_rows: u64,
    postgres_rows: u64,
    dir: PathBuf,
}

impl Settings {
    fn from_environment() -> Result<Self> {
        Ok(Self {
            rows: environment::rows("SLICEDB_BENCH_ROWS", 20_000_000)?.max(1),
            unsealed_rows: environment::rows("SLICEDB_BENCH_UNSEALED_ROWS", 8_000_000)?,
            postgres_rows: environment::rows("SLICEDB_BENCH_POSTGRES_ROWS", 2_000_000)?,
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
    let merchants = Arc::new(Merchants::new(
        1,
        NonZeroU32::MIN.saturating_add(load::MERCHANTS - 1),
        generator::SKEW,
    ));
    let orders = Orders::new(&merchants, DAYS, settings.rows);
    let circumstances = Circumstances::of(&settings.dir, &orders);

    let mut columns = vec![slicedb_column(&settings, &merchants, &orders).await?];
    if settings.postgres_rows > 0 {
        match postgres::installed() {
            Some(binaries) => {
                let orders = Orders::new(&merchants, DAYS, settings.postgres_rows);
                columns.push(postgres_column(&binaries, &settings.dir, &orders).await?);
            }
            None => eprintln!("PostgreSQL is not installed: no figures beside ours"),
        }
    }
    println!("{circumstances}\n{}", Table(columns));
    Ok(())
}

async fn slicedb_column(
    settings: &Settings,
    merchants: &Arc<Merchants>,
    orders: &Orders,
) -> Result<Column> {
    let mut column = Column::new(FIGURES, "SliceDB", orders.rows());

    let server = SliceDb::start(&settings.dir, slicedb::Sealing::Usual).await?;
    column.put(Figure::CopyOne, copy_figure(&server, orders, 1).await?);
    server.stop()?;

    let mut server = SliceDb::start(&settings.dir, slicedb::Sealing::Usual).await?;
    column.put(Figure::CopyTwo, copy_figure(&server, orders, 2).await?);
    let ingest_bytes = server.process().peak_memory_bytes();
    let (disk_bytes, waited) = server.settled_disk_bytes().await?;
    let log_bytes = server.log_bytes()?;
    let per_row = disk_bytes.saturating_sub(log_bytes) as f64 / orders.rows() as f64;
    column.put(
        Figure::Disk,
        format!(
            "{per_row:.1} B/row, and {} of log files (settled after {} s)",
            report::mebibytes(log_bytes),
            waited.as_secs()
        ),
    );
    // A server that has just started has nothing of the load in its caches but the kernel's.
    server.restart().await?;
    column.put_all(queries::measure(&server.target(), orders).await?);
    let query_bytes = server.process().peak_memory_bytes();
    column.put(
        Figure::Memory,
        format!(
            "{} ingest, {} queries",
            report::mebibytes(ingest_bytes),
            report::mebibytes(query_bytes)
        ),
    );
    server.stop()?;

    if settings.unsealed_rows > 0 {
        let orders = Orders::new(merchants, DAYS, settings.unsealed_rows);
        column.put(
            Figure::Recovery,
            recovery_figure(&settings.dir, &orders).await?,
        );
    }
    Ok(column)
}

async fn copy_figure(server: &SliceDb, orders: &Orders, connections: usize) -> Result<String> {
    let target = server.target();
    target
        .create_orders(&format!(" WITH ({})", generator::ORDERS_OPTIONS))
        .await?;
    let before = server.process().cpu_seconds();
    let load = load::copy(&target, orders, connections).await?;
    let cpu_ns = (server.process().cpu_seconds() - before) * 1e9 / orders.rows() as f64;
    Ok(format!("{load}; server {cpu_ns:.0} ns CPU/row"))
}

/// Kills the server with every row in the log and none in a segment, and times its return.
async fn recovery_figure(dir: &Path, orders: &Orders) -> Result<String> {
    let mut server = SliceDb::start(dir, slicedb::Sealing::Never).await?;
    copy_figure(&server, orders, 2).await?;
    let log_bytes = server.disk_bytes()?;
    server.kill()?;
    let begun = Instant::now();
    server.restart().await?;
    let rows = server.target().count().await?;
    let seconds = begun.elapsed().as_secs_f64();
    if rows != orders.rows() {
        return Err(format!(
            "{rows} rows after the kill, {} were acknowledged",
            orders.rows()
        )
        .into());
    }
    server.stop()?;
    let (millions, log) = (rows as f64 / 1e6, report::mebibytes(log_bytes));
    Ok(format!(
        "{seconds:.2} s for {millions:.1} M rows ({log} on disk)"
    ))
}

async fn postgres_column(binaries: &Path, dir: &Path, orders: &Orders) -> Result<Column> {
    let server = postgres::Postgres::start(binaries, dir).await?;
    let target = server.target();
    let mut column = Column::new(FIGURES, &server.version().await?, orders.rows());
    for (figure, connections) in [(Figure::CopyOne, 1), (Figure::CopyTwo, 2)] {
        target.execute("DROP TABLE IF EXISTS orders").await?;
        target.create_orders("").await?;
        target
            .execute("CREATE INDEX ON orders (merchant_id, ts)")
            .await?;
        column.put(
            figure,
            load::copy(&target, orders, connections).await?.to_string(),
        );
    }
    target.execute("VACUUM ANALYZE orders").await?;
    let per_row = server.table_bytes().await? as f64 / orders.rows() as f64;
    column.put(
        Figure::Disk,
        format!("{per_row:.1} B/row (table and index)"),
    );
    column.put_all(queries::measure(&target, orders).await?);
    server.stop()?;
    Ok(column)
}
