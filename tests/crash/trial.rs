//! A directory that servers crash on, one after the other, and what must be in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::account::{Account, Seen};
use super::batch::{self, Facts, NoFacts, Table, batches_of};
use super::chance::Chance;
use super::{reader, writer};
use crate::server::{Server, check};

/// Writers at the same time.
pub(crate) const WRITERS: u64 = 4;
const READERS: u64 = 1;

/// So small that seals, merges and the recycling of log files happen all the time.
pub(crate) const SETTINGS: &[&str] = &[
    "wal_file_bytes = 65536",
    "wal_max_bytes = 262144",
    "memtable_seal_bytes = 262144",
    "memtable_max_bytes = 1048576",
    "memtable_seal_age_ms = 50",
    "maintenance_interval_ms = 10",
    "transaction_memory_bytes = 65536",
    "compaction_runs = 2",
    "pack_rows = 1024",
    "segment_rows_max = 65536",
];

/// How long a server goes on without its disk.
const AFTER_CUT: Duration = Duration::from_millis(200);

/// When a server dies.
pub(crate) enum Death<'a> {
    /// By SIGKILL, after some time at work.
    After(Duration),
    /// By itself, at the failpoint that its environment names; by SIGKILL if it takes longer.
    Within(Duration),
    /// By SIGKILL, some time after its disk is gone.
    Cut(Duration, &'a dyn Fn()),
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was killed.
    Killed,
    /// It got to its failpoint.
    ByItself,
}

/// See above.
pub(crate) struct Trial {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) chance: Chance,
    runtime: Runtime,
    accounts: Vec<Account>,
    seen: Seen,
}

impl Trial {
    /// On an empty directory.
    pub(crate) fn new(chance: Chance) -> Trial {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        Trial {
            dir: Arc::new(directory()),
            chance,
            runtime,
            accounts: (0..WRITERS).map(Account::new).collect(),
            seen: Seen::new(),
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts a server that lives, and holds what it has against what it must have.
    pub(crate) fn start(&mut self) -> Server {
        let server = Server::start_in(self.dir.clone(), SETTINGS, &[]);
        self.settle(&server);
        server
    }

    /// A server works until it dies.
    pub(crate) fn crash(&mut self, environment: &[(&str, &str)], death: &Death<'_>) -> End {
        // A failpoint may lie on the way up.
        let started = Server::try_start_in(self.dir.clone(), SETTINGS, environment);
        let Ok(server) = started else {
            assert!(
                !environment.is_empty(),
                "{}",
                started.err().unwrap_or_default()
            );
            return End::ByItself;
        };
        self.settle_if_alive(&server);
        self.work(&server, death)
    }

    /// Lets writers and readers work on a server until it dies.
    pub(crate) fn work(&mut self, server: &Server, death: &Death<'_>) -> End {
        let mut writers = Vec::new();
        let mut readers = Vec::new();
        for account in std::mem::take(&mut self.accounts) {
            let (address, chance) = (server.address(), self.chance.fork());
            writers.push(self.runtime.spawn(async move {
                match connect(address).await {
                    Some(client) => writer::write(client, account, chance).await,
                    None => account,
                }
            }));
        }
        for _ in 0..READERS {
            let (address, chance) = (server.address(), self.chance.fork());
            readers.push(self.runtime.spawn(async move {
                match connect(address).await {
                    Some(client) => reader::read(client, chance).await,
                    None => (Seen::new(), None),
                }
            }));
        }
        let (Death::After(patience) | Death::Within(patience) | Death::Cut(patience, _)) = *death;
        let until = |end: Instant, over: &dyn Fn() -> bool| {
            while Instant::now() < end && !over() {
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        // Clients hear of the end before the system shows it.
        let is_over = || has_ended(server) || writers.iter().any(JoinHandle::is_finished);
        until(Instant::now() + patience, &is_over);
        if let Death::Cut(_, cut) = death {
            cut();
            // Nothing that is acknowledged from now on would be there after the cut.
            until(Instant::now() + AFTER_CUT, &is_over);
        }
        if is_over() {
            until(Instant::now() + Duration::from_secs(1), &|| {
                has_ended(server)
            });
        }
        let end = if has_ended(server) {
            server.wait();
            End::ByItself
        } else {
            server.kill();
            End::Killed
        };
        let mut said = Vec::new();
        for task in writers {
            let mut account = self.runtime.block_on(task).expect("a writer content");
            said.extend(account.last_words.take());
            self.accounts.push(account);
        }
        for task in readers {
            let (seen, last_words) = self.runtime.block_on(task).expect("a reader content");
            said.extend(last_words);
            self.seen.extend(seen);
        }
        // Without its disk a server may say that it cannot go on; otherwise it has no reason to.
        let may_complain = matches!(death, Death::Cut(..));
        assert!(
            may_complain || said.is_empty(),
            "{said:?}\n{}",
            tail(&server.log())
        );
        assert_no_panic(server);
        end
    }

    /// Holds what a server has against what it must have.
    pub(crate) fn settle(&mut self, server: &Server) {
        assert!(
            self.settle_if_alive(server),
            "the server died: {}",
            server.log()
        );
    }

    /// `false` when the server died before it answered.
    fn settle_if_alive(&mut self, server: &Server) -> bool {
        let address = server.address();
        let found = self.runtime.block_on(async {
            let client = connect(address).await?;
            for table in Table::ALL {
                let exists = client
                    .execute(&format!("SELECT 1 FROM {} LIMIT 0", table.name()), &[])
                    .await;
                if exists.is_err_and(|e| e.as_db_error().is_some()) {
                    client.batch_execute(&table.create()).await.ok()?;
                }
            }
            match batch::facts(&client, 0..batches_of(WRITERS).start).await {
                Ok(facts) => Some(facts),
                Err(NoFacts::Wrong(reason)) => panic!("after a crash: {reason}"),
                Err(NoFacts::Failed(e)) if e.as_db_error().is_none() => None,
                Err(NoFacts::Failed(e)) => panic!("after a crash: {e:?}"),
            }
        });
        let Some(found) = found else { return false };
        for account in &mut self.accounts {
            let own = batches_of(account.writer);
            let own: Facts = found
                .iter()
                .filter(|((_, batch), _)| own.contains(batch))
                .map(|(key, fact)| (*key, *fact))
                .collect();
            let settled = account.settle(own, &self.seen);
            settled
                .unwrap_or_else(|wrong| panic!("after a crash: {wrong}\n{}", tail(&server.log())));
        }
        self.seen.clear();
        true
    }

    /// Nobody uses the directory; everything in it holds.
    pub(crate) fn check(&self) {
        let (is_well, said) = check(&self.data_dir());
        assert!(is_well, "{said}");
    }

    /// How much was done.
    pub(crate) fn summary(&self) -> String {
        let acknowledged: u64 = self.accounts.iter().map(|a| a.acknowledged).sum();
        format!("{acknowledged} acknowledged")
    }
}

/// In memory where the system has that: what a kill leaves does not depend on the disk, since the
/// page cache outlives the process, and ten times as much happens between two kills.
pub(crate) fn directory() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("a temporary directory")
}

/// A connection, unless the server is gone.
pub(crate) async fn connect(address: std::net::SocketAddr) -> Option<tokio_postgres::Client> {
    let config = format!(
        "host=127.0.0.1 port={} user=slicedb dbname=slicedb",
        address.port()
    );
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls)
        .await
        .ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// Whether a server is gone.
pub(crate) fn has_ended(server: &Server) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid()));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

fn assert_no_panic(server: &Server) {
    let log = server.log();
    assert!(!log.contains("panicked at"), "{}", tail(&log));
}

/// The last lines.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
