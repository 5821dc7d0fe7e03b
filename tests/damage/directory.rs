//! A data directory with everything in it: segments, merged ones, deleted rows, a log that is not
//! sealed, and as its last group one commit of its own, the *marker*.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use crate::crash::batch::{self, Facts, Table};
use crate::crash::trial::{connect, directory};
use crate::server::Server;

/// The batch that is committed last.
pub(super) const MARKER: (Table, u64) = (Table::Payments, 901);

/// Seals and merges at once.
const BUSY: &[&str] = &[
    "wal_file_bytes = 65536",
    "memtable_seal_age_ms = 1",
    "maintenance_interval_ms = 10",
    "compaction_runs = 2",
    "pack_rows = 1024",
];
/// Leaves the log alone. The servers on damaged copies run so too: a seal would read less.
pub(super) const QUIET: &[&str] = &["wal_file_bytes = 65536", "pack_rows = 1024"];

/// See above; nobody uses it.
pub(super) struct Directory {
    dir: Arc<TempDir>,
    /// What is in it.
    pub(super) facts: Facts,
    /// Where in the newest file of the log the marker's group begins and ends.
    pub(super) marker: std::ops::Range<u64>,
}

impl Directory {
    pub(super) fn build() -> Directory {
        let runtime = runtime();
        let dir = Arc::new(directory());
        let server = Server::start_in(dir.clone(), BUSY, &[]);
        runtime.block_on(async {
            let client = connect(server.address()).await.expect("a connection");
            for table in Table::ALL {
                client
                    .batch_execute(&table.create())
                    .await
                    .expect("a table");
            }
            for batch in 1..9 {
                copy(&client, Table::ALL[batch as usize % 3], batch, 700).await;
                std::thread::sleep(Duration::from_millis(60));
            }
            change(&client, "DELETE FROM orders WHERE batch = 3").await;
            change(
                &client,
                "UPDATE payments SET version = version + 1 WHERE batch = 4",
            )
            .await;
            change(
                &client,
                "UPDATE merchants SET version = version + 1 WHERE batch = 2",
            )
            .await;
        });
        // Everything is sealed, and then nothing any more.
        std::thread::sleep(Duration::from_millis(300));
        server.kill();
        let server = Server::start_in(dir.clone(), QUIET, &[]);
        let data = server.data_dir();
        let facts = runtime.block_on(async {
            let client = connect(server.address()).await.expect("a connection");
            for (table, batch) in [
                (Table::Orders, 11),
                (Table::Merchants, 12),
                (Table::Payments, 13),
            ] {
                copy(&client, table, batch, 300).await;
            }
            change(
                &client,
                "UPDATE orders SET version = version + 1 WHERE batch = 6",
            )
            .await;
            change(&client, "DELETE FROM payments WHERE batch = 7").await;
            let before = used(&newest_log(&data));
            copy(&client, MARKER.0, MARKER.1, 200).await;
            (
                batch::facts(&client, 0..1000).await.expect("the facts"),
                before,
            )
        });
        let (facts, before) = facts;
        server.kill();
        let log = newest_log(&data);
        let marker = before.next_multiple_of(4096)..used(&log);
        assert!(
            marker.start < marker.end,
            "the marker stands in the newest file: {marker:?}"
        );
        Directory { dir, facts, marker }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A copy to be damaged.
    pub(super) fn copy(&self) -> Arc<TempDir> {
        let copy = directory();
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([self.data(), copy.path().to_owned()])
            .status();
        assert!(copied.expect("cp runs").success());
        Arc::new(copy)
    }

    /// Files whose paths within the directory begin so, with their lengths.
    pub(super) fn files(&self, prefix: &str, suffix: &str) -> Vec<(String, u64)> {
        let (folder, name) = prefix.split_once('/').expect("a folder");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.data().join(folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let file = entry.file_name().into_string().expect("a name");
            if file.starts_with(name) && file.ends_with(suffix) {
                files.push((
                    format!("{folder}/{file}"),
                    entry.metadata().expect("a file").len(),
                ));
            }
        }
        files.sort();
        files
    }

    /// The facts without the marker.
    pub(super) fn facts_before_marker(&self) -> Facts {
        let mut facts = self.facts.clone();
        facts.remove(&MARKER);
        facts
    }
}

pub(super) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads")
}

/// The newest file of the log.
pub(super) fn newest_log(data: &Path) -> PathBuf {
    let files = std::fs::read_dir(data.join("wal")).expect("a log");
    let logs = files.map(|file| file.expect("an entry").path());
    let is_log = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("wal-"))
    };
    logs.filter(is_log).max().expect("a file of the log")
}

/// Bytes up to the last that is not zero.
pub(super) fn used(file: &Path) -> u64 {
    let bytes = std::fs::read(file).expect("a file");
    bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last as u64 + 1)
}

pub(super) async fn copy(client: &Client, table: Table, batch: u64, rows: u64) {
    try_copy(client, table, batch, rows).await.expect("a COPY");
}

pub(super) async fn try_copy(
    client: &Client,
    table: Table,
    batch: u64,
    rows: u64,
) -> Result<u64, tokio_postgres::Error> {
    let command = format!("COPY {} FROM STDIN (FORMAT csv)", table.name());
    let mut copy = Box::pin(client.copy_in::<_, Bytes>(&command).await?);
    copy.send(batch::csv(batch, rows).into()).await?;
    copy.as_mut().finish().await
}

/// An UPDATE or DELETE, while merges move the rows.
async fn change(client: &Client, statement: &str) {
    let changed = client.execute(statement, &[]).await;
    assert!(changed.expect(statement) > 0, "{statement}");
}
