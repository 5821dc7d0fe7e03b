//! SQL files, each run *hot*, *cold*, *reopened* and *prepared*, and against PostgreSQL.
//!
//! A file is a [sqllogictest] script of two parts, split by a line `# ---`:
//!
//! ```text
//! statement ok
//! create table t (merchant_id bigint, ts timestamptz) with (tsdb.hypertable, tsdb.partition_column='ts')
//!
//! # ---
//!
//! query L
//! select count(*) from t
//! ----
//! 0
//! ```
//!
//! | way | between the parts |
//! |---|---|
//! | hot | nothing: all rows are in memory |
//! | cold | everything is sealed and merged; in both parts background work never rests |
//! | reopened | SIGKILL, and a new server over the same directory |
//! | prepared | nothing, but each query is prepared and run with plans of all kinds |
//!
//! Values stand as the server prints them, separated by `|`, with `NULL` and `(empty)`; columns are
//! told by a letter for their type ([`client::Type`]); errors are regular expressions for
//! `SQLSTATE: message`. The same file has the same answers in PostgreSQL, where it has no tables of
//! time series and the clause `WITH (tsdb…)` is taken out. What only one of the two can answer
//! stands behind `onlyif slicedb` or `onlyif postgres`, what holds for one way behind `onlyif cold`; a file that begins with `# only slicedb` is not
//! run in PostgreSQL at all.
//!
//! `SLT=name` runs the files with that in their path. `UPDATE=1` writes PostgreSQL's answers into
//! the files, and SliceDB's where there are no others; the diff is to be read.
//!
//! [sqllogictest]: https://github.com/risinglightdb/sqllogictest-rs

mod client;
mod file;
pub(crate) mod postgres;
mod predicates;
mod update;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqllogictest::Record;

use crate::server::Server;
use client::{Engine, Type};
use file::{File, run};
use postgres::Postgres;

/// Everything is sealed at once into small packs, and merged as soon as there are two.
pub(super) const SEAL_AT_ONCE: &[&str] = &[
    "memtable_seal_age_ms = 1",
    "maintenance_interval_ms = 10",
    "compaction_runs = 2",
    "pack_rows = 1024",
];
/// Background work is done when the log has been silent for so long.
const QUIET: Duration = Duration::from_millis(300);

#[test]
fn hot() {
    each_file(|file| {
        let server = Server::start();
        let mut failures = ask(&server, "hot", &file.setup);
        failures.extend(ask(&server, "hot", &file.queries));
        failures
    });
}

#[test]
fn cold() {
    each_file(|file| {
        let server = Server::start_with(SEAL_AT_ONCE);
        let mut failures = ask(&server, "cold", &file.setup);
        wait_until_sealed(&server);
        wait_until_quiet(&server);
        failures.extend(ask(&server, "cold", &file.queries));
        failures
    });
}

#[test]
fn prepared() {
    each_file(|file| {
        let server = Server::start();
        let mut failures = ask(&server, "hot", &file.setup);
        failures.extend(ask(&server, client::PREPARED, &file.queries));
        failures
    });
}

#[test]
fn reopened() {
    each_file(|file| {
        let server = Server::start();
        let mut failures = ask(&server, "reopened", &file.setup);
        server.kill();
        let server = Server::start_in(server.dir(), &[], &[]);
        failures.extend(ask(&server, "reopened", &file.queries));
        failures
    });
}

fn ask(server: &Server, way: &str, part: &[Record<Type>]) -> Vec<String> {
    run(Engine::SliceDb, server.address().port(), way, part)
}

#[test]
fn postgresql_answers_the_same() {
    let Some(postgres) = Postgres::start() else {
        println!("skipped: no PostgreSQL in /usr/lib/postgresql");
        return;
    };
    if std::env::var_os("UPDATE").is_some() {
        return update::all(&postgres);
    }
    each_file(|file| {
        if file.is_only_slicedb {
            return Vec::new();
        }
        postgres.create_database(&file.name);
        let ask = |part| {
            run(
                Engine::Postgres(&file.name),
                postgres.port(),
                "postgres",
                part,
            )
        };
        let mut failures = ask(&file.setup);
        failures.extend(ask(&file.queries));
        failures
    });
}

/// Runs `test` on each file, some at a time; panics with all failures.
fn each_file(test: impl Fn(&File) -> Vec<String> + Sync) {
    if std::env::var_os("UPDATE").is_some() {
        println!("skipped: expectations are being written");
        return;
    }
    let files = File::all();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let failed = test(file);
                    failures.lock().expect("no panic").extend(failed);
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic");
    assert!(
        failures.is_empty(),
        "{} answers differ:\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// No row of any table is in memory: every scan says so.
fn wait_until_sealed(server: &Server) {
    let started = Instant::now();
    let bare = "\\pset format unaligned\n\\pset tuples_only on\n";
    let tables = server.psql(&format!(
        "{bare}select tablename from pg_tables where schemaname = 'public';"
    ));
    for table in tables.lines() {
        let table = table.replace('"', "\"\"");
        loop {
            let plan = server.psql(&format!("{bare}explain analyze select * from \"{table}\";"));
            let mut scans = plan.split("memory_chunks=").skip(1).peekable();
            assert!(scans.peek().is_some(), "{table} is not scanned: {plan}");
            if scans.all(|scan| scan.starts_with("0,")) {
                break;
            }
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{table} is not sealed: {plan}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn wait_until_quiet(server: &Server) {
    let started = Instant::now();
    let (mut length, mut since) = (server.log().len(), Instant::now());
    while since.elapsed() < QUIET {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "background work does not end: {}",
            server.log()
        );
        std::thread::sleep(Duration::from_millis(10));
        if server.log().len() != length {
            (length, since) = (server.log().len(), Instant::now());
        }
    }
}
