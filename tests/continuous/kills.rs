//! SIGKILL while rows come and go, are sealed, merged and aggregated anew: at random moments, and
//! where a seal, a build, a repair or a merge of partials is half done. After each start the
//! aggregates are what their queries are, and in the end the data directory is sound.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::OPTIONS;
use super::schema::{AGGREGATES, Aggregate, tables};
use super::sequence::except_all;
use super::step::{Standing, Step};
use crate::crash::chance::{Chance, number};
use crate::crash::has_failpoints;
use crate::crash::trial::{directory, has_ended, tail};
use crate::server::{self, Server};
use crate::slt::SEAL_AT_ONCE;

/// Where partials are half written or half known, and the latest hit that is tried.
pub(super) const POINTS: [(&str, u64); 9] = [
    ("seal.after_freeze", 12),
    ("seal.after_ingest", 12),
    ("seal.before_release", 12),
    ("manifest.before_commit", 20),
    ("manifest.after_commit", 20),
    ("compact.after_ingest", 12),
    ("repair.after_attach", 12),
    ("repair.before_commit", 12),
    ("repair.after_commit", 12),
];
/// How long a server may take until it gets to a point.
const PATIENCE: Duration = Duration::from_secs(30);
const CHANGES: usize = 150;
/// It is made anew again and again.
static AGAIN: &Aggregate = &AGGREGATES[4];

#[test]
fn kills_leave_them_exact() {
    let chance = Chance::from_environment("kills of continuous aggregates");
    let mut ledger = Ledger::new(chance, Arc::new(directory()));
    for round in 0..number("SLICEDB_CRASH_CYCLES", 20).div_ceil(4) {
        // The moments within a piece of work are short. Longer ones are met more often.
        let slow = match round % 2 {
            0 => String::new(),
            _ => ledger.sleeps(20, 20),
        };
        let server = ledger.start(SEAL_AT_ONCE, &[("FAILPOINTS", &slow)]);
        let pause = Duration::from_millis(20 + ledger.chance.below(1500));
        ledger.work(&server, || {
            std::thread::sleep(pause);
            server.kill();
        });
        ledger.check();
    }
    ledger.finish();
}

#[test]
fn kills_at_every_point_leave_them_exact() {
    let chance = Chance::from_environment("kills of continuous aggregates at every point");
    if !has_failpoints() {
        return;
    }
    let mut ledger = Ledger::new(chance, Arc::new(directory()));
    for _ in 0..number("SLICEDB_CRASH_CYCLES", 20).div_ceil(20) {
        for (point, hits) in POINTS {
            let at = format!("{point}:{}", ledger.chance.between(1, hits));
            let at = [("SLICEDB_KILL_AT", at.as_str())];
            // A point may lie on the way up.
            let dir = ledger.dir.clone();
            if let Ok(server) = Server::try_start_in(dir, SEAL_AT_ONCE, &at) {
                let started = Instant::now();
                let mut is_reached = false;
                ledger.work(&server, || {
                    while started.elapsed() < PATIENCE && !is_reached {
                        std::thread::sleep(Duration::from_millis(2));
                        is_reached = has_ended(&server);
                    }
                    server.kill();
                });
                assert!(
                    is_reached,
                    "{at:?} was not reached: {}",
                    tail(&server.log())
                );
            }
            ledger.check();
        }
    }
    ledger.finish();
}

/// A directory that servers die on, and what is done to it.
pub(super) struct Ledger {
    pub(super) chance: Chance,
    pub(super) dir: Arc<TempDir>,
    standing: Standing,
}

impl Ledger {
    /// With all aggregates.
    pub(super) fn new(chance: Chance, dir: Arc<TempDir>) -> Ledger {
        let ledger = Ledger {
            chance,
            dir,
            standing: Standing::default(),
        };
        let mut script = tables() + ";\n";
        for aggregate in &AGGREGATES {
            script += &format!("{};\n", aggregate.create());
        }
        let server = ledger.start(&[], &[]);
        let said = server.psql(&script);
        assert!(!said.contains("ERROR"), "{said}");
        server.kill();
        ledger
    }

    pub(super) fn start(&self, options: &[&str], environment: &[(&str, &str)]) -> Server {
        Server::start_in(self.dir.clone(), options, environment)
    }

    /// Rows are changed, and an aggregate is made anew now and then, until `end` has ended the server.
    pub(super) fn work(&mut self, server: &Server, end: impl FnOnce()) {
        let (name, create) = (AGAIN.name, AGAIN.create());
        let again = format!("drop materialized view if exists {name};\n{create};\n");
        let mut script = again.clone();
        for _ in 0..CHANGES {
            script += &match self.standing.next(&mut self.chance) {
                Step::Change(statement) => format!("{statement};\n"),
                Step::Copy(lines) => format!("copy facts from stdin;\n{lines}\\.\n"),
                Step::Rest(ms) => format!("select pg_sleep(0.{ms:03});\n"),
                Step::Truncate => again.clone(),
                _ => continue,
            };
        }
        std::thread::scope(|scope| {
            // It ends with the server.
            scope.spawn(|| {
                while !has_ended(server) {
                    server.psql(&script);
                }
            });
            end();
        });
    }

    /// What makes every point sleep in so many of a hundred cases, for up to so many milliseconds.
    pub(super) fn sleeps(&mut self, percent: u64, ms: u64) -> String {
        let mut sleep = |(point, _)| {
            let (percent, ms) = (self.chance.between(1, percent), self.chance.between(1, ms));
            format!("{point}={percent}%sleep({ms})")
        };
        POINTS.map(&mut sleep).join(";")
    }

    /// A new server finds the aggregates to be what their queries are.
    pub(super) fn check(&mut self) {
        let options = self.chance.pick(&OPTIONS);
        let server = self.start(options, &[]);
        let mut script =
            "set client_min_messages = warning;\n\\pset format unaligned\n\\pset tuples_only on\n"
                .to_owned();
        // The server may have died between its end and its beginning.
        script += &format!("{};\n", AGAIN.create_if_not_exists());
        for aggregate in &AGGREGATES {
            let query = aggregate.query("facts", false);
            script += &format!("{};\n", except_all(aggregate.name, &query));
        }
        let said = server.psql(&script);
        let wanted = "0\n".repeat(AGGREGATES.len());
        assert_eq!(said, wanted, "in the order of\n{script}");
        server.kill();
    }

    /// The last server stops as it should.
    pub(super) fn finish(self) {
        let server = self.start(SEAL_AT_ONCE, &[]);
        server.terminate();
        server.wait();
        let (sound, told) = server::check(&server.data_dir());
        assert!(sound, "{told}");
    }
}
