//! Continuous aggregates against their queries over the rows.
//!
//! | file | holds |
//! |---|---|
//! | `schema` | tables, aggregates, queries, and the same in PostgreSQL's words |
//! | `step` | what may happen: rows of now and of long ago, twice the same, deleted, changed, dropped by retention; transactions, crashes, … |
//! | `sequence` | some steps, and after each of them every aggregate against its query |
//! | `session` | a connection whose plans are kept |
//! | `reference` | PostgreSQL over the same rows |
//! | `kills`, `power` | SIGKILL and power cuts inside seals, builds, repairs and merges |
//! | `readers` | who reads beside writers |
//!
//! After every step each aggregate must be what its query is over the rows, in one statement and so
//! at one instant, while background work seals, merges and repairs all the time; inside
//! transactions too. A query over the table must be what it is over a subquery, which no aggregate answers.
//!
//! `SLICEDB_SEQUENCES` says how many sequences there are. A failing one names its seed:
//! `SLICEDB_CRASH_SEED` with `SLICEDB_SEQUENCES=1` runs it alone.

mod kills;
mod power;
mod readers;
mod reference;
mod schema;
mod sequence;
mod session;
mod step;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::crash::chance::{Chance, number, seed};
use crate::crash::trial::directory;
use crate::server::{self, Server};
use crate::slt::SEAL_AT_ONCE;
use crate::slt::postgres::Postgres;
use reference::Reference;

/// Rows stay in memory, are sealed at once, or now and then.
const OPTIONS: [&[&str]; 3] = [
    &[],
    SEAL_AT_ONCE,
    &[
        "memtable_seal_age_ms = 100",
        "maintenance_interval_ms = 30",
        "compaction_runs = 3",
        "pack_rows = 1024",
    ],
];
/// After so many failures it is known that there are some.
const FAILURES_MAX: usize = 3;

#[test]
fn aggregates_are_their_queries() {
    let work = Work {
        seed: seed("continuous aggregates"),
        sequences: number("SLICEDB_SEQUENCES", 300),
        postgres: Postgres::start(),
        next: AtomicU64::new(0),
        failures: Mutex::new(Vec::new()),
    };
    if work.postgres.is_none() {
        println!("skipped the end of each: no PostgreSQL in /usr/lib/postgresql");
    }
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads.min(work.sequences as usize) {
            let work = &work;
            scope.spawn(move || work.run(thread));
        }
    });
    println!("{} sequences in {:?}", work.sequences, started.elapsed());
    let failures = work.failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Sequences that are done beside each other, each on a server of its own.
struct Work {
    seed: u64,
    sequences: u64,
    postgres: Option<Postgres>,
    next: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Work {
    /// One sequence after the other, until there are no more.
    fn run(&self, thread: usize) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("a runtime");
        let mut reference = self.postgres.as_ref().map(|postgres| {
            runtime.block_on(Reference::of(postgres, &format!("sequences_{thread}")))
        });
        let start = || Server::start_in(directory().into(), OPTIONS[thread % OPTIONS.len()], &[]);
        let mut server = start();
        loop {
            let nth = self.next.fetch_add(1, Ordering::Relaxed);
            if nth >= self.sequences {
                break;
            }
            let seed = self.seed.wrapping_add(nth);
            let sequence = sequence::run(&mut server, Chance::seeded(seed), reference.as_mut());
            if let Err(wrong) = runtime.block_on(sequence) {
                let mut failures = self.failures.lock().expect("no panic");
                failures.push(format!(
                    "repeat with SLICEDB_CRASH_SEED={seed} SLICEDB_SEQUENCES=1: {wrong}"
                ));
                if failures.len() >= FAILURES_MAX {
                    return;
                }
                server = start();
            }
        }
        let log = server.log();
        let failed = |line: &&str| line.contains("could not");
        assert_eq!(log.lines().find(failed), None, "partials are kept");
        server.terminate();
        server.wait();
        let (sound, told) = server::check(&server.data_dir());
        assert!(sound, "{told}");
    }
}
