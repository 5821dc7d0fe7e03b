//! What a server does while its disk fails, and the directory that it starts with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::Client;

use super::ledger::{Ledger, Outcome, Step};
use crate::crash::batch::{self, Facts, Table};
use crate::crash::trial::{connect, directory};
use crate::server::Server;

/// Rows of the table `aged`, which retention takes.
const AGED: u64 = 50;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Statements that write, small and larger than a transaction may keep in memory; nothing is sealed.
    Copy,
    /// Rows go from memory to segments.
    Seal,
    /// Segments are merged, and dropped when they are old.
    Compaction,
    /// The start, over rows that are not sealed and segments of a transaction that did not commit.
    Recovery,
}

/// Nothing is sealed, and large transactions write segments.
pub(super) const QUIET: &[&str] = &[
    "wal_file_bytes = 65536",
    "transaction_memory_bytes = 65536",
    "pack_rows = 1024",
];
/// Everything is sealed soon after the start.
const SEALING: &[&str] = &[
    "wal_file_bytes = 524288",
    "memtable_seal_age_ms = 1",
    "memtable_seal_bytes = 65536",
    "memtable_max_bytes = 262144",
    "maintenance_interval_ms = 30",
    "compaction_runs = 1000",
    "pack_rows = 1024",
];
/// The same, and merged.
const MERGING: &[&str] = &[
    "wal_file_bytes = 65536",
    "memtable_seal_age_ms = 1",
    "maintenance_interval_ms = 30",
    "compaction_runs = 2",
    "pack_rows = 1024",
];

/// A directory to begin with, and what is in it.
pub(super) struct Template {
    dir: Arc<TempDir>,
    pub(super) facts: Facts,
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Copy => "copy",
            Phase::Seal => "seal",
            Phase::Compaction => "compaction",
            Phase::Recovery => "recovery",
        }
    }

    /// Of the server that is to fail.
    pub(super) fn settings(self) -> &'static [&'static str] {
        match self {
            Phase::Copy | Phase::Recovery => QUIET,
            Phase::Seal => SEALING,
            Phase::Compaction => MERGING,
        }
    }

    /// Makes the directory that every trial begins with a copy of.
    pub(super) async fn template(self) -> Template {
        let dir = Arc::new(directory());
        let before = match self {
            Phase::Compaction => SEALING,
            _ => QUIET,
        };
        let server = Server::start_in(dir.clone(), before, &[]);
        let client = connect(server.address()).await.expect("a connection");
        for table in Table::ALL {
            let create = client.batch_execute(&table.create()).await;
            create.expect("a table");
        }
        make_aged(&client).await;
        let mut ledger = Ledger::default();
        for (number, rows) in (1..).zip([300, 40, 900, 700, 20, 2500, 300, 800]) {
            let table = Table::ALL[number as usize % 3];
            done(&mut ledger, &client, Step::Copy(table, number, rows)).await;
            if self == Phase::Compaction {
                tokio::time::sleep(Duration::from_millis(70)).await;
            }
        }
        done(&mut ledger, &client, Step::Update(Table::Orders, 3)).await;
        done(&mut ledger, &client, Step::Delete(Table::Payments, 4)).await;
        if self == Phase::Compaction {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let policy = "SELECT add_retention_policy('aged', INTERVAL '1 day')";
            client.batch_execute(policy).await.expect("a policy");
        }
        if self == Phase::Recovery {
            // Its segments stay behind.
            let begin = client.batch_execute("BEGIN").await;
            begin.expect("a transaction");
            let values = batch::values(50, 1200);
            let insert = format!("INSERT INTO orders VALUES {values}");
            client.execute(&insert, &[]).await.expect("rows");
        }
        ledger.look_without(&client, 50).await;
        server.kill();
        Template {
            dir,
            facts: ledger.now,
        }
    }

    /// What a server does once calls may fail.
    pub(super) async fn work(self, server: &Server, client: &Client, ledger: &mut Ledger) {
        match self {
            Phase::Copy => {
                for (nth, step) in [
                    Step::Copy(Table::Orders, 101, 200),
                    Step::Copy(Table::Merchants, 102, 30),
                    Step::Copy(Table::Payments, 103, 2000),
                    Step::Update(Table::Orders, 3),
                    Step::Twins(110, 300),
                    Step::Delete(Table::Merchants, 2),
                    Step::RolledBack(Table::Orders, 111, 1500),
                    Step::Copy(Table::Orders, 112, 1800),
                    Step::Delete(Table::Payments, 1),
                    Step::Copy(Table::Payments, 113, 3),
                ]
                .into_iter()
                .enumerate()
                {
                    ledger.attempt(client, step).await;
                    if nth % 3 == 2 {
                        ledger.look(client).await;
                    }
                }
            }
            Phase::Seal => {
                quiet(server).await;
                ledger.look(client).await;
                for step in [
                    Step::Copy(Table::Orders, 101, 900),
                    Step::Delete(Table::Orders, 3),
                    Step::Twins(110, 400),
                ] {
                    ledger.attempt(client, step).await;
                    quiet(server).await;
                    ledger.look(client).await;
                }
            }
            Phase::Compaction => {
                quiet(server).await;
                ledger.look(client).await;
                for step in [
                    Step::Update(Table::Orders, 6),
                    Step::Copy(Table::Merchants, 102, 300),
                    Step::Copy(Table::Merchants, 103, 300),
                ] {
                    ledger.attempt(client, step).await;
                    quiet(server).await;
                }
            }
            Phase::Recovery => {
                ledger
                    .attempt(client, Step::Copy(Table::Orders, 101, 200))
                    .await;
            }
        }
        ledger.look(client).await;
        aged(client).await;
    }
}

impl Template {
    pub(super) fn copy(&self) -> Arc<TempDir> {
        let copy = directory();
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([self.dir.path().join("data"), copy.path().to_owned()])
            .status();
        assert!(copied.expect("cp runs").success());
        Arc::new(copy)
    }
}

/// A table of one chunk, which goes as a whole.
async fn make_aged(client: &Client) {
    let create = "CREATE TABLE aged (ts timestamptz NOT NULL, n bigint)
                  WITH (tsdb.hypertable, tsdb.partition_column='ts', tsdb.chunk_interval='1 hour')";
    client.batch_execute(create).await.expect("a table");
    let insert = format!(
        "INSERT INTO aged SELECT TIMESTAMPTZ '2020-01-01 00:00:00+00', n FROM generate_series(1, {AGED}) AS s(n)"
    );
    assert_eq!(client.execute(&insert, &[]).await.expect("rows"), AGED);
}

/// The rows of `aged` are there, or none of them.
pub(super) async fn aged(client: &Client) {
    let count = client.query_one("SELECT count(*) FROM aged", &[]).await;
    let count: i64 = count.expect("a query").get(0);
    assert!(
        count == 0 || count == AGED as i64,
        "{count} of {AGED} rows are left by retention"
    );
}

async fn done(ledger: &mut Ledger, client: &Client, step: Step) {
    assert_eq!(ledger.attempt(client, step).await, Outcome::Done);
}

/// Waits until background work has found nothing to do for a while, or has failed.
async fn quiet(server: &Server) {
    let busy = |log: &str| {
        let lines = log.lines();
        let words = [
            "sealed rows",
            "merged segments",
            "dropped expired",
            "failed",
        ];
        lines
            .filter(|line| words.iter().any(|w| line.contains(w)))
            .count()
    };
    let started = Instant::now();
    let (mut before, mut since) = (busy(&server.log()), Instant::now());
    while since.elapsed() < Duration::from_millis(90) && started.elapsed() < Duration::from_secs(2)
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = busy(&server.log());
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}
