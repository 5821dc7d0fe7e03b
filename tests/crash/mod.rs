//! Crashes, with a client outside the server that knows what must be there.
//!
//! | file | holds |
//! |---|---|
//! | `batch` | rows that prove themselves whole |
//! | `account` | what a writer sent and what was acknowledged |
//! | `writer`, `reader` | clients that work until the server is gone |
//! | `trial` | a directory that servers crash on, one after the other |
//! | `power` | power cuts: what was not synced is gone |
//! | `chance` | random numbers that a seed repeats |
//!
//! After each crash: what was acknowledged is there; what else is there was under way; every batch
//! is there as a whole, once, or not at all; what a reader saw is there. `SLICEDB_CRASH_CYCLES` says
//! how often, `SLICEDB_CRASH_SEED` repeats the choices (not the timing).

pub(crate) mod account;
pub(crate) mod batch;
pub(crate) mod chance;
pub(crate) mod power;
mod reader;
pub(crate) mod trial;
mod writer;

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::server::PROGRAM;
use chance::{Chance, number};
use trial::{Death, End, Trial};

/// Every point at which the process can be ended, and the latest hit at which it is. A server that
/// never gets there fails the test: the point has gone, or the work no longer leads there.
const FAILPOINTS: &[(&str, u64)] = &[
    ("commit.before_sync", 25),
    ("commit.after_sync", 25),
    ("wal.before_write", 25),
    ("wal.after_write", 25),
    ("wal.after_sync", 25),
    ("wal.before_header", 3),
    ("wal.before_note", 3),
    ("wal.before_recycle", 3),
    ("wal.after_recycle", 3),
    ("seal.after_freeze", 10),
    ("seal.after_ingest", 10),
    ("seal.before_release", 10),
    ("manifest.before_commit", 15),
    ("manifest.after_commit", 15),
    ("compact.after_ingest", 6),
];

/// One crash in so many is followed by a check of the stopped directory.
const CHECK_EVERY: u64 = 4;

#[test]
fn killed_at_a_random_moment() {
    let chance = Chance::from_environment("killed_at_a_random_moment");
    let cycles = number("SLICEDB_CRASH_CYCLES", 20);
    let mut trial = Trial::new(chance);
    for cycle in 1..=cycles {
        let time = Duration::from_millis(trial.chance.between(50, 1500));
        let end = trial.crash(&[], &Death::After(time));
        assert_eq!(end, End::Killed, "the server died of itself");
        if trial.chance.one_in(3) {
            kill_while_starting(&mut trial);
        }
        if cycle % CHECK_EVERY == 0 {
            trial.check();
        }
    }
    finish(trial);
}

#[test]
fn killed_at_every_failpoint() {
    let chance = Chance::from_environment("killed_at_every_failpoint");
    if !has_failpoints() {
        return;
    }
    let cycles = number("SLICEDB_CRASH_CYCLES", 20).div_ceil(20);
    let mut trial = Trial::new(chance);
    drop(trial.start());
    for _ in 0..cycles {
        for &(point, hits) in FAILPOINTS {
            let at = format!("{point}:{}", trial.chance.between(1, hits));
            let soon = Death::Within(Duration::from_secs(4));
            if trial.crash(&[("SLICEDB_KILL_AT", &at)], &soon) != End::ByItself {
                let at = format!("{point}:1");
                let in_the_end = Death::Within(Duration::from_secs(30));
                let end = trial.crash(&[("SLICEDB_KILL_AT", &at)], &in_the_end);
                assert_eq!(end, End::ByItself, "{at} was not reached");
            }
        }
        trial.check();
    }
    finish(trial);
}

/// The moments between a sync and what follows are short. Longer ones are met more often.
#[test]
fn killed_while_slow() {
    let chance = Chance::from_environment("killed_while_slow");
    if !has_failpoints() {
        return;
    }
    let cycles = number("SLICEDB_CRASH_CYCLES", 20).div_ceil(4);
    let mut trial = Trial::new(chance);
    for _ in 0..cycles {
        let slow = sleeps(&mut trial.chance);
        let time = Duration::from_millis(trial.chance.between(300, 1500));
        trial.crash(&[("FAILPOINTS", &slow)], &Death::After(time));
    }
    finish(trial);
}

/// What makes every point sleep now and then.
fn sleeps(chance: &mut Chance) -> String {
    let sleeps = FAILPOINTS.iter().map(|(point, _)| {
        format!(
            "{point}={}%sleep({})",
            chance.between(1, 30),
            chance.between(1, 25)
        )
    });
    sleeps.collect::<Vec<_>>().join(";")
}

/// A crash during recovery leaves as much as there was.
fn kill_while_starting(trial: &mut Trial) {
    let mut server = Command::new(PROGRAM)
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log-level",
            "error",
            "--data-dir",
        ])
        .arg(trial.data_dir())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program runs");
    std::thread::sleep(Duration::from_millis(trial.chance.below(400)));
    server.kill().expect("a server to kill");
    server.wait().expect("it ends");
}

/// The last server stops as it should, and leaves what it must.
fn finish(mut trial: Trial) {
    let server = trial.start();
    server.terminate();
    server.wait();
    drop(server);
    trial.check();
    drop(trial.start());
    println!("{}", trial.summary());
}

/// Whether the program was built with the feature `failpoints`.
pub(crate) fn has_failpoints() -> bool {
    let output = Command::new(PROGRAM)
        .arg("--version")
        .env("SLICEDB_KILL_AT", "nonsense")
        .output()
        .expect("the program runs");
    let has = !output.status.success();
    if !has {
        println!("skipped: this build has no failpoints; build it with --features failpoints");
    }
    has
}
