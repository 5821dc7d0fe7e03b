//! `slicedb demo`: a pizza-ordering platform in one command.
//!
//! It is a client like any other: it connects to the server over TCP, creates the two tables,
//! copies a week of history in, asks three questions and then streams orders until it is told
//! to stop. Nothing here touches the database's insides.
//!
//! Invariant: the history in the table is a prefix of the generated one at every instant (COPYs
//! run side by side but commit in order), so a run that was stopped or killed is continued by
//! the next one from `max(order_id)`, without a hole and without a row twice. Only of the live
//! stream is the rest of the minute left out in which it was stopped.

mod client;
mod generator;
mod history;
mod live;
mod tour;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_postgres::Client;

pub(crate) use client::DemoError;
use client::{Server, say};
use generator::{Generator, Merchants, SKEW};

/// Minutes of a day.
const DAY_MINUTES: i64 = 24 * 60;

/// What `slicedb demo` can be told.
#[derive(Clone, Debug)]
pub(crate) struct DemoOptions {
    /// Where the server keeps its data; named at the end, so that the user finds it again.
    pub(crate) data_dir: PathBuf,
    /// The user and the database to connect as.
    pub(crate) user: String,
    pub(crate) database: String,
    /// Orders of the whole history.
    pub(crate) rows: u64,
    /// Days that the history covers, up to the present; a gap since the last run is filled as
    /// far back as this.
    pub(crate) days: NonZeroU32,
    /// Orders a second once the history is there; 0 means none.
    pub(crate) live_rows_per_second: u32,
    /// Connections that copy at the same time.
    pub(crate) connections: NonZeroUsize,
    pub(crate) merchants: NonZeroU32,
    /// The same seed gives the same platform.
    pub(crate) seed: u64,
    /// Load, show the queries and stop, instead of streaming until told to stop.
    pub(crate) once: bool,
    /// The end of the history where it is not streamed on from; `None` is the present.
    pub(crate) until: Option<DateTime<Utc>>,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("demo-data"),
            user: "slicedb".to_owned(),
            database: "slicedb".to_owned(),
            rows: 3_000_000,
            days: NonZeroU32::MIN.saturating_add(6),
            live_rows_per_second: 2_000,
            connections: NonZeroUsize::MIN.saturating_add(1),
            merchants: NonZeroU32::MIN.saturating_add(99_999),
            seed: 1,
            once: false,
            until: None,
        }
    }
}

/// Runs the demo against the server at `addr` until `shutdown` becomes true, or until the tour
/// has been printed when `options.once` is set. A shutdown in the middle is no error.
pub(crate) async fn run(
    addr: SocketAddr,
    options: DemoOptions,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), DemoError> {
    let mut stop = shutdown.clone();
    let server = Server::new(addr, &options.user, &options.database);
    let outcome = tokio::select! {
        outcome = show(&server, &options, &mut shutdown) => outcome,
        () = server_gone_after(&mut stop) => Ok(()),
    };
    let stopped = *stop.borrow();
    match outcome {
        // The server may have said goodbye first; what was not acknowledged comes next time.
        Err(_) if stopped => {}
        outcome => outcome?,
    }
    if stopped {
        say!(
            "Stopped. The data stays in {}; the same command continues.",
            options.data_dir.display()
        );
    }
    Ok(())
}

/// Returns some seconds after the stop: a server that is going down may leave a COPY unanswered.
async fn server_gone_after(stop: &mut watch::Receiver<bool>) {
    client::stopped(stop).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
}

async fn show(
    server: &Server,
    options: &DemoOptions,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<(), DemoError> {
    let clients = Arc::new(server.connect_all(options.connections.get()).await?);
    let first = &clients[0];
    create_tables(first).await?;
    let merchants = load_merchants(first, options).await?;

    let mut end = minute_of(options.until.unwrap_or_else(Utc::now));
    let mut rows = load_until(&clients, &merchants, options, end, shutdown).await?;
    // Loading took time, and orders went on: catch up before the stream begins.
    while rows > 0 && !options.once && !*shutdown.borrow() {
        end = minute_of(Utc::now());
        rows = load_until(&clients, &merchants, options, end, shutdown).await?;
    }
    if *shutdown.borrow() {
        return Ok(());
    }

    say!("\n  {}\n", server.psql());
    tour::print(first).await?;
    if options.once {
        return Ok(());
    }
    let per_minute = u64::from(options.live_rows_per_second) * 60;
    let generator = Generator::flat(merchants, per_minute);
    let start = live::first_second(&generator, end, newest_order(first).await?);
    live::stream(&clients, generator, start, shutdown).await
}

async fn create_tables(client: &Client) -> Result<(), DemoError> {
    let merchants = generator::MERCHANTS_COLUMNS;
    let (orders, options) = (generator::ORDERS_COLUMNS, generator::ORDERS_OPTIONS);
    for sql in [
        format!("CREATE TABLE IF NOT EXISTS merchants ({merchants})"),
        format!("CREATE TABLE IF NOT EXISTS orders ({orders}) WITH ({options})"),
    ] {
        let done = client.batch_execute(&sql).await;
        done.map_err(|source| DemoError::new("create the tables", source))?;
    }
    Ok(())
}

/// Fills the table `merchants` once. A platform that exists keeps its number of merchants.
async fn load_merchants(
    client: &Client,
    options: &DemoOptions,
) -> Result<Arc<Merchants>, DemoError> {
    let row = client
        .query_one("SELECT count(*) FROM merchants", &[])
        .await;
    let row = row.map_err(|source| DemoError::new("count the merchants", source))?;
    let present = u32::try_from(row.get::<_, i64>(0))
        .ok()
        .and_then(NonZeroU32::new);
    let merchants = Merchants::new(options.seed, present.unwrap_or(options.merchants), SKEW);
    if present.is_none() {
        let mut csv = Vec::new();
        merchants.write_csv(&mut csv);
        let sql = "COPY merchants FROM STDIN WITH (FORMAT csv)";
        let copy = client::Copy::begin(client, sql).await?;
        copy.send_all(csv.into()).await?.finish().await?;
    }
    Ok(Arc::new(merchants))
}

/// Copies what the history still lacks up to the minute `end`; returns its rows.
async fn load_until(
    clients: &Arc<Vec<Client>>,
    merchants: &Arc<Merchants>,
    options: &DemoOptions,
    end: i64,
    shutdown: &watch::Receiver<bool>,
) -> Result<u64, DemoError> {
    let window = end - i64::from(options.days.get()) * DAY_MINUTES..end;
    let minutes = missing(window.clone(), newest_order(&clients[0]).await?);
    let generator = Generator::history(Arc::clone(merchants), window, options.rows);
    history::load(clients, Arc::new(generator), minutes, shutdown).await
}

/// Minute and row within it of the last order that the database knows.
async fn newest_order(client: &Client) -> Result<Option<(i64, u64)>, DemoError> {
    let row = client
        .query_one("SELECT max(order_id) FROM orders", &[])
        .await;
    let row = row.map_err(|source| DemoError::new("ask how far the orders go", source))?;
    Ok(row
        .get::<_, Option<i64>>(0)
        .map(generator::position_of_order))
}

/// What of `window` comes after the minute of the order `newest`.
fn missing(window: Range<i64>, newest: Option<(i64, u64)>) -> Range<i64> {
    let start = newest.map_or(window.start, |(minute, _)| window.start.max(minute + 1));
    start.min(window.end)..window.end
}

/// The minute that `time` falls in, counted from 1970.
fn minute_of(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_lacks_the_whole_window() {
        assert_eq!(missing(100..200, None), 100..200);
    }

    #[test]
    fn a_run_continues_after_the_last_minute_and_no_further_back_than_the_window() {
        assert_eq!(missing(100..200, Some((149, 5))), 150..200);
        assert_eq!(missing(100..200, Some((7, 5))), 100..200);
        assert_eq!(missing(100..200, Some((199, 5))), 200..200);
        assert_eq!(missing(100..200, Some((300, 5))), 200..200);
    }
}
