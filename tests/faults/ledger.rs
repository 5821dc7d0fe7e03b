//! One client, and what it knows: what was acknowledged, and what was left open.
//!
//! Unlike the writers of crash tests it goes on after an error, since the server does.

use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::{Client, Error};

use crate::crash::batch::{self, Fact, Facts, NoFacts, Table};

/// How the server says that it does not know whether a transaction will be there after a restart.
const OPEN: &str = "Whether the transaction is kept shows after the restart.";
/// What a server answers that cannot write: the system refused (a file, room), or a restart is due.
const REFUSALS: [&str; 3] = ["58030", "53100", "57P03"];

/// One piece of work.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Copy(Table, u64, u64),
    Update(Table, u64),
    Delete(Table, u64),
    /// In orders and payments, together.
    Twins(u64, u64),
    /// Rows that are taken back.
    RolledBack(Table, u64, u64),
}

/// How a piece of work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Refused(String),
}

/// See above.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// What is acknowledged.
    pub(super) now: Facts,
    /// What may be there instead after a restart.
    open: Option<Facts>,
    /// What was refused, in the server's words.
    pub(super) refusals: Vec<String>,
}

impl Ledger {
    pub(super) fn new(now: Facts) -> Ledger {
        Ledger {
            now,
            ..Ledger::default()
        }
    }

    /// Does a piece of work; whatever the server answers must be an answer that it may give.
    pub(super) async fn attempt(&mut self, client: &Client, step: Step) -> Outcome {
        let after = self.after(step);
        let Err(error) = perform(client, step).await else {
            let commits = !matches!(step, Step::RolledBack(..));
            assert!(
                !commits || self.open.is_none(),
                "{step:?} was acknowledged after a commit that was left open"
            );
            self.now = after;
            return Outcome::Done;
        };
        let Some(said) = error.as_db_error() else {
            panic!("{step:?}: the connection broke: {error:?}");
        };
        let words = format!("{}: {}", said.code().code(), said.message());
        assert!(
            REFUSALS.contains(&said.code().code()) && !said.message().contains('\n'),
            "{step:?}: {words}"
        );
        if said.detail() == Some(OPEN) {
            assert!(self.open.is_none(), "two commits are left open: {words}");
            self.open = Some(after);
        }
        if matches!(step, Step::Twins(..) | Step::RolledBack(..)) {
            let rolled_back = client.batch_execute("ROLLBACK").await;
            rolled_back.expect("a rollback, whatever the disk does");
        }
        self.refusals.push(words.clone());
        Outcome::Refused(words)
    }

    /// What a reader sees is what was acknowledged, neither more nor less.
    pub(super) async fn look(&self, client: &Client) {
        match batch::facts(client, 0..1_000_000).await {
            Ok(seen) => assert_eq!(seen, self.now, "seen, and acknowledged"),
            Err(NoFacts::Wrong(reason)) => panic!("{reason}"),
            Err(NoFacts::Failed(error)) => panic!("a query failed: {error:?}"),
        }
    }

    /// The same beside a transaction that is open, whose batch only its own client sees.
    pub(super) async fn look_without(&self, client: &Client, open: u64) {
        let seen = batch::facts(client, 0..open).await.expect("the facts");
        assert_eq!(seen, self.now);
    }

    /// The same after a restart, where what was left open is decided.
    pub(super) async fn settle(&mut self, client: &Client) {
        if let Some(open) = self.open.take()
            && let Ok(seen) = batch::facts(client, 0..1_000_000).await
            && seen == open
        {
            self.now = open;
        }
        self.look(client).await;
    }

    fn after(&self, step: Step) -> Facts {
        let mut after = self.now.clone();
        let mut add = |table, batch, rows| {
            after.insert((table, batch), Fact { rows, version: 0 });
        };
        match step {
            Step::Copy(table, batch, rows) => add(table, batch, rows),
            Step::Twins(batch, rows) => {
                add(Table::Orders, batch, rows);
                add(Table::Payments, batch, rows);
            }
            Step::Update(table, batch) => {
                if let Some(fact) = after.get_mut(&(table, batch)) {
                    fact.version += 1;
                }
            }
            Step::Delete(table, batch) => {
                after.remove(&(table, batch));
            }
            Step::RolledBack(..) => {}
        }
        after
    }
}

async fn perform(client: &Client, step: Step) -> Result<(), Error> {
    match step {
        Step::Copy(table, batch, rows) => copy(client, table, batch, rows).await,
        Step::Update(table, batch) => {
            let set = "SET version = version + 1 WHERE batch";
            let update = format!("UPDATE {} {set} = {batch}", table.name());
            client.execute(&update, &[]).await.map(drop)
        }
        Step::Delete(table, batch) => {
            let delete = format!("DELETE FROM {} WHERE batch = {batch}", table.name());
            client.execute(&delete, &[]).await.map(drop)
        }
        Step::Twins(batch, rows) => {
            client.batch_execute("BEGIN").await?;
            copy(client, Table::Orders, batch, rows).await?;
            copy(client, Table::Payments, batch, rows).await?;
            client.batch_execute("COMMIT").await
        }
        Step::RolledBack(table, batch, rows) => {
            client.batch_execute("BEGIN").await?;
            copy(client, table, batch, rows).await?;
            client.batch_execute("ROLLBACK").await
        }
    }
}

async fn copy(client: &Client, table: Table, batch: u64, rows: u64) -> Result<(), Error> {
    let command = format!("COPY {} FROM STDIN (FORMAT csv)", table.name());
    let mut copy = Box::pin(client.copy_in::<_, Bytes>(&command).await?);
    copy.send(batch::csv(batch, rows).into()).await?;
    copy.as_mut().finish().await.map(drop)
}
