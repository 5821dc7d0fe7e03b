//! The rows, and COPYing them in.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use futures::SinkExt;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

use crate::Result;
use crate::generator::{Generator, Merchants, ORDERS_COLUMNS};

/// The history ends on Monday, 2026-07-13 00:00 UTC: the same rows whenever it runs.
const END_MINUTE: i64 = 29_731_680;
const DAY_MINUTES: i64 = 24 * 60;

/// Merchants of the platform.
pub(crate) const MERCHANTS: u32 = 100_000;

/// A COPY statement ends with the minute that reaches this.
const COPY_ROWS: u64 = 100_000;

/// Lines are sent in messages of about this size.
const MESSAGE_BYTES: usize = 256 * 1024;

/// A history of orders.
pub(crate) struct Orders {
    generator: Arc<Generator>,
    minutes: Range<i64>,
    rows: u64,
}

impl Orders {
    /// So many orders of the last `days`.
    pub(crate) fn new(merchants: &Arc<Merchants>, days: i64, rows: u64) -> Self {
        let minutes = END_MINUTE - days * DAY_MINUTES..END_MINUTE;
        Self::between(merchants, minutes, rows)
    }

    fn between(merchants: &Arc<Merchants>, minutes: Range<i64>, rows: u64) -> Self {
        let merchants = Arc::clone(merchants);
        let generator = Arc::new(Generator::history(merchants, minutes.clone(), rows));
        Self {
            generator,
            minutes,
            rows,
        }
    }

    /// About `rows` orders, as dense in time as these, of the beginning of their time.
    pub(crate) fn beginning(&self, merchants: &Arc<Merchants>, rows: u64) -> Self {
        let start = self.minutes.start;
        let mut until = start;
        while until < self.minutes.end && self.generator.rows_between(start..until) < rows {
            until += 1;
        }
        let rows = self.generator.rows_between(start..until);
        Self::between(merchants, start..until, rows)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn generator(&self) -> &Generator {
        &self.generator
    }

    pub(crate) fn minutes(&self) -> Range<i64> {
        self.minutes.clone()
    }

    /// Its last seven days.
    pub(crate) fn week(&self) -> Range<i64> {
        END_MINUTE - 7 * DAY_MINUTES..END_MINUTE
    }

    /// Merchants as often as they have orders, in a fixed random order.
    pub(crate) fn merchants_by_rows(&self, count: i64) -> Vec<i64> {
        let mut lines = Vec::new();
        // A step without a common factor visits the minutes of the week out of order.
        let week = 7 * DAY_MINUTES;
        let minutes = (0..).map(|number| END_MINUTE - 1 - number * 1_009 % week);
        for minute in minutes.take(count.max(week) as usize) {
            self.generator.write_csv(minute, 0..1, &mut lines);
        }
        String::from_utf8_lossy(&lines)
            .lines()
            .filter_map(|line| line.split(',').nth(1)?.parse().ok())
            .take(count as usize)
            .collect()
    }

    /// Numbers of merchants, each as likely as any other: most have few rows.
    pub(crate) fn merchants_of_all(&self, count: i64) -> Vec<i64> {
        // A step without a common factor visits all, out of order.
        let merchants = (0..count).map(|number| number * 7_919 % i64::from(MERCHANTS) + 1);
        merchants.collect()
    }

    fn batches(&self) -> Vec<Range<i64>> {
        let mut batches = Vec::new();
        let (mut start, mut rows) = (self.minutes().start, 0);
        for minute in self.minutes() {
            rows += self.generator.rows_in(minute);
            if rows >= COPY_ROWS || minute + 1 == self.minutes.end {
                batches.push(start..minute + 1);
                (start, rows) = (minute + 1, 0);
            }
        }
        batches
    }
}

/// A server to measure.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    pub(crate) user: &'static str,
    pub(crate) database: &'static str,
}

impl Target {
    pub(crate) async fn connect(&self) -> Result<Client> {
        let mut config = Config::new();
        config
            .host(self.addr.ip().to_string())
            .port(self.addr.port());
        let (client, connection) = config
            .user(self.user)
            .dbname(self.database)
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        Ok(self.connect().await?.batch_execute(sql).await?)
    }

    pub(crate) async fn create_orders(&self, options: &str) -> Result<()> {
        self.execute(&format!("CREATE TABLE orders ({ORDERS_COLUMNS}){options}"))
            .await
    }

    pub(crate) async fn count(&self) -> Result<u64> {
        let row = self
            .connect()
            .await?
            .query_one("SELECT count(*) FROM orders", &[])
            .await?;
        Ok(row.get::<_, i64>(0) as u64)
    }
}

/// How a load went.
pub(crate) struct Load {
    pub(crate) rows: u64,
    bytes: u64,
    pub(crate) seconds: f64,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows as f64 / self.seconds;
        let megabytes = self.bytes as f64 / self.seconds / 1e6;
        write!(f, "{:.0} K rows/s ({megabytes:.0} MB/s)", rows / 1e3)
    }
}

/// Copies `orders` in on `connections` connections and checks that all have arrived.
pub(crate) async fn copy(target: &Target, orders: &Orders, connections: usize) -> Result<Load> {
    let batches = Arc::new(orders.batches());
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(target.connect().await?);
    }
    let before = target.count().await?;
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for client in clients {
        let generator = Arc::clone(&orders.generator);
        let (batches, next) = (Arc::clone(&batches), Arc::clone(&next));
        workers.spawn(async move {
            let mut bytes = 0;
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                bytes += copy_batch(&client, &generator, batch.clone()).await?;
            }
            Result::Ok(bytes)
        });
    }
    let mut bytes = 0;
    while let Some(worker) = workers.join_next().await {
        bytes += worker??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rows = target.count().await? - before;
    if rows != orders.rows {
        return Err(format!("{rows} rows counted, {} were copied", orders.rows).into());
    }
    Ok(Load {
        rows,
        bytes,
        seconds,
    })
}

async fn copy_batch(client: &Client, generator: &Generator, minutes: Range<i64>) -> Result<u64> {
    let sink = client
        .copy_in("COPY orders FROM STDIN WITH (FORMAT csv)")
        .await?;
    let mut sink = std::pin::pin!(sink);
    let (mut lines, mut bytes) = (Vec::new(), 0);
    for minute in minutes.clone() {
        generator.write_csv(minute, 0..u64::MAX, &mut lines);
        if lines.len() >= MESSAGE_BYTES || minute + 1 == minutes.end {
            let message = Bytes::from(std::mem::take(&mut lines));
            bytes += message.len() as u64;
            sink.send(message).await?;
        }
    }
    sink.finish().await?;
    Ok(bytes)
}
