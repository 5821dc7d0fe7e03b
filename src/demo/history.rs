//! Copies a range of minutes in, on several connections at once.
//!
//! Each COPY is a batch of whole minutes. Batches are sent side by side and committed in order:
//! a batch is finished only after the one before it. That costs little, since the server has
//! parsed most of a batch by then, and keeps the table a prefix of the stream.

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::client::{Copy, DemoError, say};
use super::generator::Generator;

/// A batch ends with the minute that reaches this.
const BATCH_ROWS: u64 = 50_000;

/// Lines are sent when this much has been generated.
const SEND_BYTES: usize = 256 * 1024;

/// What the workers share.
struct Load {
    clients: Arc<Vec<Client>>,
    generator: Arc<Generator>,
    batches: Vec<Range<i64>>,
    /// The next batch that nobody has taken.
    next: AtomicUsize,
    /// How many batches are committed: exactly those before this number.
    committed: watch::Sender<usize>,
    shutdown: watch::Receiver<bool>,
    progress: ProgressBar,
}

/// Copies the orders that arrived in `minutes`; returns how many. A shutdown ends it after the
/// batches under way.
pub(crate) async fn load(
    clients: &Arc<Vec<Client>>,
    generator: Arc<Generator>,
    minutes: Range<i64>,
    shutdown: &watch::Receiver<bool>,
) -> Result<u64, DemoError> {
    let rows = generator.rows_between(minutes.clone());
    if rows == 0 {
        return Ok(0);
    }
    let load = Arc::new(Load {
        batches: batches(&generator, minutes),
        clients: Arc::clone(clients),
        generator,
        next: AtomicUsize::new(0),
        committed: watch::Sender::new(0),
        shutdown: shutdown.clone(),
        progress: bar(rows),
    });
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..clients.len() {
        workers.spawn(work(Arc::clone(&load), worker));
    }
    let mut copied = 0;
    while let Some(worker) = workers.join_next().await {
        // Leaving on the first error drops the set, which stops the others: none waits for ever
        // for a batch that failed.
        match worker {
            Ok(rows) => copied += rows?,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
    load.progress.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();
    say!(
        "Loaded {copied} orders in {seconds:.1} s: {:.0} rows/s.",
        copied as f64 / seconds
    );
    Ok(copied)
}

async fn work(load: Arc<Load>, worker: usize) -> Result<u64, DemoError> {
    let client = &load.clients[worker];
    let mut committed = load.committed.subscribe();
    let mut copied = 0;
    while !*load.shutdown.borrow() {
        let number = load.next.fetch_add(1, Ordering::Relaxed);
        let Some(minutes) = load.batches.get(number) else {
            break;
        };
        let copy = send(&load.generator, client, minutes.clone()).await?;
        // The sender lives in `load`, so this cannot fail.
        let _ = committed.wait_for(|done| *done == number).await;
        let rows = copy.finish().await?;
        load.committed.send_replace(number + 1);
        load.progress.inc(rows);
        copied += rows;
    }
    Ok(copied)
}

async fn send(
    generator: &Generator,
    client: &Client,
    minutes: Range<i64>,
) -> Result<Copy, DemoError> {
    let mut copy = Copy::begin(client, "COPY orders FROM STDIN WITH (FORMAT csv)").await?;
    let mut lines = Vec::new();
    for minute in minutes.clone() {
        generator.write_csv(minute, 0..u64::MAX, &mut lines);
        if lines.len() >= SEND_BYTES || minute + 1 == minutes.end {
            copy = copy.send_all(std::mem::take(&mut lines).into()).await?;
        }
    }
    Ok(copy)
}

/// Cuts `minutes` into batches.
fn batches(generator: &Generator, minutes: Range<i64>) -> Vec<Range<i64>> {
    let mut batches = Vec::new();
    let (mut start, mut rows) = (minutes.start, 0);
    for minute in minutes.clone() {
        rows += generator.rows_in(minute);
        if rows >= BATCH_ROWS || minute + 1 == minutes.end {
            batches.push(start..minute + 1);
            (start, rows) = (minute + 1, 0);
        }
    }
    batches
}

fn bar(rows: u64) -> ProgressBar {
    let style = "Loading orders {wide_bar} {human_pos} of {human_len}  {rate} rows/s  {eta} left";
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        // A progress bar that cannot be written is no reason to stop.
        let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
    };
    let bar = ProgressBar::new(rows);
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style.with_key("rate", rate));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::generator::{Merchants, SKEW};
    use super::*;

    #[test]
    fn batches_cover_the_minutes_once_and_in_order() {
        let merchants = Arc::new(Merchants::new(1, NonZeroU32::MIN, SKEW));
        for (rows, expected) in [(10, 1), (200_000, 4)] {
            let generator = Generator::history(Arc::clone(&merchants), 1_000..2_440, rows);
            let batches = batches(&generator, 1_000..2_440);
            assert_eq!(batches.len(), expected);
            assert_eq!(
                (batches[0].start, batches[expected - 1].end),
                (1_000, 2_440)
            );
            assert!(batches.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
