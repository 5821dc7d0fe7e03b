//! A disk that fails beneath everything: the k-th write, sync, rename … of the server fails, RocksDB's
//! own among them, and the client knows what must be there.
//!
//! | file | holds |
//! |---|---|
//! | `shim.c` | replaces calls of the C library: counts them, and fails the k-th |
//! | `shim` | compiles it, and tells it what fails |
//! | `ledger` | a client that knows what was acknowledged, and what was left open |
//! | `phase` | what the server does meanwhile: COPY, seal, compaction, recovery |
//!
//! For each k: no wrong answer while it lasts, no panic, refusals with one clear error, a server that
//! goes on or says that it needs a restart; `slicedb check` finds the directory sound; a start
//! without the fault finds everything acknowledged once, and nothing of what was refused.
//!
//! `SLICEDB_FAULTS` says how many k of each phase are tried, spread over all of them; `all` tries every
//! k with several kinds of failure. `SLICEDB_CRASH_SEED` repeats the choice, `SLICEDB_FAULT_AT` one
//! trial, as a failure prints it. Needs Linux and `cc`, and is skipped without.

mod ledger;
mod phase;
mod shim;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::crash::batch::{Table, is_twin};
use crate::crash::chance::{Chance, number};
use crate::crash::trial::{connect, tail};
use crate::server::{Server, check};
use ledger::{Ledger, Outcome, Step};
use phase::{Phase, QUIET, Template};
use shim::{Control, Kind};

/// How long a server may take until it seals again after one failure, or says that it cannot.
const RECOVERY: Duration = Duration::from_secs(5);

#[test]
fn the_disk_fails_under_copy() {
    every(Phase::Copy);
}

#[test]
fn the_disk_fails_under_seal() {
    every(Phase::Seal);
}

#[test]
fn the_disk_fails_under_compaction() {
    every(Phase::Compaction);
}

#[test]
fn the_disk_fails_under_recovery() {
    every(Phase::Recovery);
}

fn every(phase: Phase) {
    let library = match shim::library() {
        Ok(library) => library,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let builder = builder.worker_threads(1).enable_all();
    let runtime = builder.build().expect("threads");
    let mut chance = Chance::from_environment(phase.name());
    let template = runtime.block_on(phase.template());
    let trial = |fault| {
        Trial {
            phase,
            library,
            runtime: &runtime,
            template: &template,
        }
        .run(fault)
    };
    if let Ok(at) = std::env::var("SLICEDB_FAULT_AT") {
        let kind = |name: &str| Kind::ALL.into_iter().find(|k| format!("{k:?}") == name);
        let (name, fault) = at.split_once(':').expect("phase:k:kind");
        if name == phase.name() {
            let (k, name) = fault.split_once(':').expect("phase:k:kind");
            let fault = (k.parse().expect("a number"), kind(name).expect("a kind"));
            println!("{}", trial(Some(fault)));
        }
        return;
    }
    let report = trial(None);
    println!("{} without a fault: {report}", phase.name());
    let calls = report.calls;
    assert!(calls > 10, "{calls} calls: the library is not in place");
    let faults: Vec<(u64, Kind)> = if std::env::var("SLICEDB_FAULTS").as_deref() == Ok("all") {
        let rare = [Kind::OnceFull, Kind::Full, Kind::Short];
        let kinds = |k: u64| [Kind::Once, Kind::Broken, rare[(k % 3) as usize]];
        let every = |k| kinds(k).map(|kind| (k, kind));
        (1..=calls).flat_map(every).collect()
    } else {
        let number = number("SLICEDB_FAULTS", 8).min(calls);
        let slice = |i| (i * calls / number + 1, (i + 1) * calls / number);
        // Most calls are no writes, and cannot be short.
        let often = &Kind::ALL[..4];
        let in_slice = |(first, last)| (chance.between(first, last), chance.pick(often));
        (0..number).map(slice).map(in_slice).collect()
    };
    let (mut missed, mut failed) = (0, Vec::new());
    for &(k, kind) in &faults {
        let at = format!("{}:{k}:{kind:?}", phase.name());
        // The others are tried all the same.
        match catch_unwind(AssertUnwindSafe(|| trial(Some((k, kind))))) {
            Ok(report) => {
                println!("{at}: {report}");
                missed += u64::from(report.hits == 0);
            }
            Err(_) => {
                println!("failed: repeat with SLICEDB_FAULT_AT={at}");
                failed.push(at);
            }
        }
    }
    println!(
        "{}: {} faults among {calls} calls, {missed} not met",
        phase.name(),
        faults.len()
    );
    assert!(failed.is_empty(), "SLICEDB_FAULT_AT={failed:?}");
}

/// What a trial came to.
struct Report {
    calls: u64,
    hits: u64,
    note: String,
    refusals: Vec<String>,
    took: Duration,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} calls, {} failed ({}), {} ms",
            self.calls,
            self.hits,
            self.note,
            self.took.as_millis()
        )?;
        for refusal in &self.refusals {
            write!(f, "\n    {refusal}")?;
        }
        Ok(())
    }
}

/// One server whose disk fails, and the ones after it.
#[derive(Clone, Copy)]
struct Trial<'a> {
    phase: Phase,
    library: &'a Path,
    runtime: &'a Runtime,
    template: &'a Template,
}

impl Trial<'_> {
    fn run(self, fault: Option<(u64, Kind)>) -> Report {
        let started = Instant::now();
        let dir = self.template.copy();
        let data = dir.path().join("data");
        let control = Control::new(dir.path().join("control"), data.clone());
        let mut ledger = Ledger::new(self.template.facts.clone());
        if self.phase == Phase::Recovery {
            control.arm(fault);
        }
        let environment = control.environment(self.library);
        let mut calls = 0;
        match Server::try_start_in(dir.clone(), self.phase.settings(), &environment) {
            Ok(server) => {
                if self.phase != Phase::Recovery {
                    control.arm(fault);
                }
                self.runtime.block_on(async {
                    let client = connect(server.address()).await.expect("a connection");
                    self.phase.work(&server, &client, &mut ledger).await;
                    calls = control.count();
                    control.disarm();
                    if let Some((_, kind)) = fault {
                        self.go_on(&server, &client, &mut ledger, kind).await;
                    }
                });
                if calls % 2 == 0 {
                    server.kill();
                } else {
                    server.terminate();
                    server.wait();
                }
                let log = server.log();
                assert!(!log.contains("panicked"), "{}", tail(&log));
                if let Some((_, kind)) = fault.filter(|_| !ledger.refusals.is_empty()) {
                    assert!(log.contains(kind.words()), "no reason: {}", tail(&log));
                }
            }
            Err(log) => {
                calls = control.count();
                let (_, kind) = fault.unwrap_or_else(|| panic!("no start: {log}"));
                let last = log.lines().last().unwrap_or_default().to_owned();
                let is_clear = last.starts_with("slicedb: ") && last.contains(kind.words());
                assert!(is_clear && !log.contains("panicked"), "{log}");
                ledger.refusals.push(last);
            }
        }
        let report = Report {
            calls,
            hits: control.hits(),
            note: control.note(),
            refusals: ledger.refusals.clone(),
            took: started.elapsed(),
        };
        let is_met = fault.is_none() || report.hits > 0;
        assert!(
            is_met || ledger.refusals.is_empty(),
            "refused without a fault: {report}"
        );
        self.restart(&dir, ledger, &report);
        Report {
            took: started.elapsed(),
            ..report
        }
    }

    /// The disk is well again. Whoever accepts writes seals them too.
    async fn go_on(
        self,
        server: &Server,
        client: &tokio_postgres::Client,
        ledger: &mut Ledger,
        kind: Kind,
    ) {
        let sealed = || server.log().matches(" sealed ").count();
        let started = Instant::now();
        for batch in (201..).filter(|&batch| !is_twin(batch)) {
            let before = sealed();
            let step = Step::Copy(Table::Orders, batch, 30);
            match ledger.attempt(client, step).await {
                // RocksDB looks for room every 5 s: that it finds some is tested elsewhere.
                Outcome::Refused(_) if kind.is_for_room() => break,
                Outcome::Refused(words) if words.contains("restart") => break,
                Outcome::Done if self.phase == Phase::Copy || self.phase == Phase::Recovery => {
                    break;
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            if kind.is_for_room() || sealed() > before {
                break;
            }
            assert!(
                started.elapsed() < RECOVERY,
                "neither sealed nor refused: {}",
                tail(&server.log())
            );
        }
        ledger.look(client).await;
    }

    /// Without the fault, all is there.
    fn restart(self, dir: &std::sync::Arc<tempfile::TempDir>, mut ledger: Ledger, report: &Report) {
        let data = dir.path().join("data");
        let (is_well, said) = check(&data);
        assert!(is_well, "{said}\n{report}");
        let server = match Server::try_start_in(dir.clone(), QUIET, &[]) {
            Ok(server) => server,
            Err(log) => panic!(
                "no start after a fault that is over: {}\n{report}",
                tail(&log)
            ),
        };
        self.runtime.block_on(async {
            let client = connect(server.address()).await.expect("a connection");
            ledger.settle(&client).await;
            phase::aged(&client).await;
            let step = Step::Copy(Table::Payments, 301, 100);
            assert_eq!(ledger.attempt(&client, step).await, Outcome::Done);
            ledger.look(&client).await;
        });
        let staging = std::fs::read_dir(data.join("staging")).expect("a folder");
        assert_eq!(staging.count(), 0, "files are left in staging");
        server.kill();
    }
}
