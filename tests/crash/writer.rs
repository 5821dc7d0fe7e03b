//! A writer: one piece of work after the other, until the server is gone.

use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, CopyInSink};

use super::account::{Account, Ending, How, Step, Work};
use super::batch::{self, NoFacts, Table, batches_of};
use super::chance::Chance;

/// One in so many acknowledgements is followed by a look whether it is true.
const LOOKS: u64 = 10;
/// Bytes of one CopyData message.
const MESSAGE_BYTES: usize = 8192;

/// How a statement ended.
pub(crate) enum Failed {
    /// It had no effect, says the server.
    Refused(SqlState, String),
    /// Nobody knows: the connection is gone, or the server said that it cannot tell.
    Unknown(Option<String>),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Failed {
        match error.as_db_error() {
            // Operator intervention, system errors, internal errors: the server is going down, or
            // cannot tell what is on its disk.
            Some(e) if ["57", "58", "XX"].contains(&&e.code().code()[..2]) => {
                Failed::Unknown(Some(format!("{}: {}", e.code().code(), e.message())))
            }
            Some(e) => Failed::Refused(e.code().clone(), e.message().to_owned()),
            None => Failed::Unknown(None),
        }
    }
}

/// Works until the server is gone.
pub(crate) async fn write(client: Client, mut account: Account, mut chance: Chance) -> Account {
    let mut work = account.choose(&mut chance);
    loop {
        account.begin(&work);
        match perform(&client, &work).await {
            Ok(()) => account.done(),
            Err(Failed::Unknown(said)) => {
                account.last_words = said;
                return account;
            }
            Err(Failed::Refused(state, message)) => {
                account.undone();
                match (work.ending, &state) {
                    (Ending::Duplicate, s) if *s == SqlState::UNIQUE_VIOLATION => {}
                    (Ending::Malformed, s) if *s == SqlState::INVALID_TEXT_REPRESENTATION => {}
                    // Room is made sooner or later.
                    (_, s) if *s == SqlState::DISK_FULL => {
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                    // Nor may it be 40001: each writer changes rows of its own, and seals and merges
                    // are no reason to fail.
                    _ => panic!("{work:?} was refused: {state:?} {message}"),
                }
                if work.steps.len() > 1 && client.batch_execute("ROLLBACK").await.is_err() {
                    return account;
                }
            }
        }
        if chance.one_in(LOOKS) && !look(&client, &account).await {
            return account;
        }
        work = account.choose(&mut chance);
    }
}

/// Whether the server still answers; what it answers must be right.
async fn look(client: &Client, account: &Account) -> bool {
    match batch::facts(client, batches_of(account.writer)).await {
        Ok(facts) => {
            assert_eq!(
                facts, account.now,
                "acknowledged, and not so (writer {})",
                account.writer
            );
            true
        }
        Err(NoFacts::Failed(e)) if e.as_db_error().is_none() => false,
        Err(NoFacts::Failed(e)) => match Failed::from(e) {
            Failed::Unknown(_) => false,
            Failed::Refused(state, message) => panic!("a query failed: {state:?} {message}"),
        },
        Err(NoFacts::Wrong(reason)) => panic!("{reason}"),
    }
}

async fn perform(client: &Client, work: &Work) -> Result<(), Failed> {
    let is_transaction = work.steps.len() > 1 || work.ending == Ending::RolledBack;
    if is_transaction {
        client.batch_execute("BEGIN").await?;
    }
    for &step in &work.steps {
        perform_step(client, step, work.ending).await?;
    }
    match work.ending {
        Ending::RolledBack => client.batch_execute("ROLLBACK").await?,
        Ending::Duplicate | Ending::Malformed => panic!("{work:?} was taken"),
        _ if is_transaction => client.batch_execute("COMMIT").await?,
        _ => {}
    }
    Ok(())
}

async fn perform_step(client: &Client, step: Step, ending: Ending) -> Result<(), Failed> {
    let (expected, changed) = match step {
        Step::Add(table, batch, rows, How::Insert) => {
            let insert = format!(
                "INSERT INTO {} VALUES {}",
                table.name(),
                batch::values(batch, rows)
            );
            (rows, client.execute(&insert, &[]).await?)
        }
        Step::Add(table, batch, rows, How::Copy) => {
            let mut text = batch::csv(batch, rows);
            if ending == Ending::Malformed {
                text += "1,2,2024-05-01 00:00:00+00,x,0,1,0,0,\n";
            }
            if ending == Ending::Abandoned {
                return abandon(client, table, &text).await;
            }
            let mut copy = Box::pin(begin_copy(client, table).await?);
            send(&mut copy, text).await?;
            (rows, copy.as_mut().finish().await?)
        }
        Step::Update(table, batch) => {
            let update = format!(
                "UPDATE {} SET version = version + 1 WHERE batch = {batch}",
                table.name()
            );
            (0, client.execute(&update, &[]).await?)
        }
        Step::Delete(table, batch) => {
            let delete = format!("DELETE FROM {} WHERE batch = {batch}", table.name());
            (0, client.execute(&delete, &[]).await?)
        }
    };
    // How many rows an old batch has, a look tells.
    assert!(
        changed > 0 && (expected == 0 || changed == expected),
        "{step:?} changed {changed} rows"
    );
    Ok(())
}

async fn begin_copy(client: &Client, table: Table) -> Result<CopyInSink<Bytes>, Failed> {
    Ok(client
        .copy_in(&format!("COPY {} FROM STDIN (FORMAT csv)", table.name()))
        .await?)
}

async fn send(
    copy: &mut std::pin::Pin<Box<CopyInSink<Bytes>>>,
    text: String,
) -> Result<(), Failed> {
    let mut rest = Bytes::from(text);
    while !rest.is_empty() {
        let part = rest.split_to(MESSAGE_BYTES.min(rest.len()));
        copy.send(part).await?;
    }
    Ok(())
}

/// Sends half of a COPY, then says that it failed.
async fn abandon(client: &Client, table: Table, text: &str) -> Result<(), Failed> {
    let mut copy = Box::pin(begin_copy(client, table).await?);
    send(&mut copy, text[..text.len() / 2].to_owned()).await?;
    drop(copy);
    Ok(())
}
