//! What a server and `slicedb check` say of a damaged copy, and whether they may.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use tempfile::TempDir;

use super::directory::{Directory, QUIET, runtime};
use crate::crash::batch::{self, Facts, NoFacts};
use crate::crash::trial::{connect, tail};
use crate::server::{Server, check};

/// A start, a query or a check takes longer only when it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a damaged copy.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it could be read.
    Facts(Facts),
    /// It was reported as damaged.
    Reported(String),
}

/// Starts a server on the copy and asks it for everything. Panics when it does what is never right.
pub(super) fn outcome(copy: &Arc<TempDir>) -> Outcome {
    let dir = copy.clone();
    let outcome = within(move || serve(dir));
    let log = std::fs::read_to_string(copy.path().join("log")).unwrap_or_default();
    assert!(!log.contains("panicked at"), "{}", tail(&log));
    outcome
}

fn serve(dir: Arc<TempDir>) -> Outcome {
    let server = match Server::try_start_in(dir, QUIET, &[]) {
        Ok(server) => server,
        Err(log) => {
            let last = log.lines().find(|l| l.starts_with("slicedb: "));
            let last = last.unwrap_or_else(|| panic!("the server ended without a word: {log}"));
            assert!(names_a_place(last), "neither file nor offset: {last}");
            return Outcome::Reported(last.to_owned());
        }
    };
    let answer = runtime().block_on(async {
        let client = connect(server.address()).await.expect("a connection");
        batch::facts(&client, 0..1000).await
    });
    let outcome = match answer {
        Ok(facts) => Outcome::Facts(facts),
        Err(NoFacts::Wrong(reason)) => panic!("a wrong answer: {reason}\n{}", tail(&server.log())),
        Err(NoFacts::Failed(e)) => {
            let error = e
                .as_db_error()
                .unwrap_or_else(|| panic!("{e:?}\n{}", tail(&server.log())));
            assert_eq!(error.code().code(), "XX001", "{error:?}");
            assert!(
                names_a_place(error.message()),
                "neither file nor offset: {error:?}"
            );
            Outcome::Reported(error.message().to_owned())
        }
    };
    server.kill();
    outcome
}

/// Of a file that is not there, the name has to do.
fn names_a_place(message: &str) -> bool {
    let is_damage = message.contains("data corrupted in ") && message.contains(" at offset ");
    is_damage || message.contains("could not open ") && message.contains("No such file")
}

/// Damages copies of the directory by `damage` and holds against each other what the server and the
/// check say: the answer is right, or the damage is reported, by both. `may_lose_marker` when the
/// damage looks like the torn tail of a crash.
pub(super) fn judge(
    directory: &Directory,
    what: &str,
    may_lose_marker: bool,
    damage: &dyn Fn(&Path),
) -> bool {
    let (served, checked) = (directory.copy(), directory.copy());
    for copy in [&served, &checked] {
        damage(&copy.path().join("data"));
    }
    let (is_well, said) = within(move || check(&checked.path().join("data")));
    assert!(!said.contains("panicked at"), "{what}: {said}");
    match outcome(&served) {
        Outcome::Facts(facts) if facts == directory.facts => false,
        Outcome::Facts(facts) if may_lose_marker && facts == directory.facts_before_marker() => {
            false
        }
        Outcome::Facts(facts) => panic!(
            "{what}: a wrong answer\n{facts:?}\nexpected\n{:?}\ncheck said {said}",
            directory.facts
        ),
        Outcome::Reported(reason) => {
            assert!(
                !is_well,
                "{what}: {reason}, and the check found nothing: {said}"
            );
            true
        }
    }
}

/// The result of `work`, unless it hangs.
fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || {
        // The receiver has gone only if it waited too long.
        let _ = sender.send(work());
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
            panic!("nothing came within {PATIENCE:?}")
        }
        Err(_) => std::panic::resume_unwind(thread.join().expect_err("it sent nothing")),
    }
}
