//! Orders as they arrive: a COPY on every connection each second, until the stop.
//!
//! A second's rows are divided among the connections and each part is one transaction. The
//! stream never runs ahead of the clock; when it falls behind (a slow disk, a laptop that slept)
//! it sends what is due in the next COPY, up to a minute's worth.

use std::io::IsTerminal;
use std::ops::Range;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;

use super::client::{Copy, DemoError, say, stopped};
use super::generator::Generator;

/// Seconds that are made up for after a delay; what is older is left out.
const SECONDS_BEHIND_MAX: i64 = 60;

/// Without a terminal, a status line is printed this often.
const PLAIN_STATUS_SECONDS: u64 = 10;

/// The second, since 1970, that the stream starts with: that of the minute `end` of the history,
/// or the first whose orders all come after `newest`, (minute, row), of an earlier stream.
pub(crate) fn first_second(generator: &Generator, end: i64, newest: Option<(i64, u64)>) -> i64 {
    let after_newest = newest.map(|(minute, row)| {
        let rows = generator.rows_in(minute).max(1);
        minute * 60 + ((row + 1) * 60).div_ceil(rows).min(60) as i64
    });
    after_newest.unwrap_or(0).max(end * 60)
}

/// Streams orders from the second `start` on until `shutdown` becomes true.
pub(crate) async fn stream(
    clients: &[Client],
    generator: Generator,
    start: i64,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<(), DemoError> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut status = Status::new();
    // Every second before this one has been sent.
    let mut sent = start;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopped(shutdown) => break,
        }
        let now = Utc::now().timestamp();
        sent = sent.max(now - SECONDS_BEHIND_MAX);
        if sent >= now {
            continue; // Nothing is due, or the clock was set back: no order is sent twice.
        }
        let begun = Instant::now();
        let parts = split(&generator, sent..now, clients.len());
        let copies = clients
            .iter()
            .zip(parts)
            .filter(|(_, lines)| !lines.is_empty());
        let rows = try_join_all(copies.map(|(client, lines)| copy(client, lines))).await?;
        sent = now;
        status.update(rows.iter().sum(), begun.elapsed(), sent);
    }
    status.bar.finish_and_clear();
    Ok(())
}

async fn copy(client: &Client, lines: Vec<u8>) -> Result<u64, DemoError> {
    let copy = Copy::begin(client, "COPY orders FROM STDIN WITH (FORMAT csv)").await?;
    copy.send_all(lines.into()).await?.finish().await
}

/// The orders that arrive in `seconds`, as CSV in `parts` parts.
fn split(generator: &Generator, seconds: Range<i64>, parts: usize) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new(); parts];
    for second in seconds {
        let (minute, second) = (second.div_euclid(60), second.rem_euclid(60) as u64);
        let rows = generator.rows_in(minute);
        let (first, end) = (rows * second / 60, rows * (second + 1) / 60);
        let cut = |part: usize| first + (end - first) * part as u64 / parts as u64;
        for (part, lines) in lines.iter_mut().enumerate() {
            generator.write_csv(minute, cut(part)..cut(part + 1), lines);
        }
    }
    lines
}

/// The one line that tells how the stream goes.
struct Status {
    bar: ProgressBar,
    begun: Instant,
    rows: u64,
    lines_printed: u64,
}

impl Status {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        say!("Streaming orders as they arrive. Ctrl-C stops.");
        Self {
            bar,
            begun: Instant::now(),
            rows: 0,
            lines_printed: 0,
        }
    }

    /// `newest` is the second, since 1970, up to which every order has been acknowledged.
    fn update(&mut self, rows: u64, took: Duration, newest: i64) {
        self.rows += rows;
        let newest = DateTime::from_timestamp(newest, 0)
            .unwrap_or_default()
            .format("%H:%M:%S");
        let (total, took_ms) = (HumanCount(self.rows), took.as_millis());
        let text = format!(
            "live: {total} orders, the last {} durable in {took_ms} ms, up to {newest} UTC",
            HumanCount(rows)
        );
        self.bar.tick();
        if std::io::stderr().is_terminal() {
            self.bar.set_message(text);
        } else if self.begun.elapsed().as_secs() / PLAIN_STATUS_SECONDS >= self.lines_printed {
            self.lines_printed += 1;
            say!("{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::super::generator::{Merchants, SKEW};
    use super::*;

    #[test]
    fn a_stream_starts_with_the_first_order_that_is_not_there() {
        let merchants = Arc::new(Merchants::new(1, NonZeroU32::MIN, SKEW));
        let generator = Generator::flat(merchants, 1_234);
        assert_eq!(first_second(&generator, 100, None), 6_000);
        assert_eq!(first_second(&generator, 100, Some((99, 300))), 6_000);
        for row in 0..1_234 {
            let start = first_second(&generator, 100, Some((100, row)));
            let second = (start - 6_000) as u64;
            assert!(1_234 * second / 60 > row && second <= 60, "{row} {second}");
            assert!(1_234 * (second - 1) / 60 <= row, "{row} {second}");
        }
        // It was faster then: all of its numbers in this minute may be taken.
        assert_eq!(first_second(&generator, 100, Some((100, 5_000))), 6_060);
    }

    #[test]
    fn seconds_and_parts_together_are_the_minute() {
        let merchants = Arc::new(Merchants::new(1, NonZeroU32::MIN.saturating_add(9), SKEW));
        let generator = Generator::flat(merchants, 1_234);
        let mut minute = Vec::new();
        generator.write_csv(100, 0..1_234, &mut minute);
        let mut parts = Vec::new();
        for second in 6_000..6_060 {
            parts.extend(split(&generator, second..second + 1, 3).concat());
        }
        assert_eq!(parts, minute);
        assert!(
            split(&generator, 6_000..6_060, 2)
                .iter()
                .all(|lines| !lines.is_empty())
        );
    }
}
