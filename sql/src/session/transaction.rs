//! The transaction that a session is in.
//!
//! A statement outside any transaction commits by itself, and is tried again when somebody else
//! changed its rows first. Inside `BEGIN` … `COMMIT` every statement reads the newest
//! commits and the transaction's own changes (READ COMMITTED), or those of the first statement
//! (REPEATABLE READ). A message of several statements is an *implicit* transaction.

use std::sync::Arc;

use slicedb_storage::{Savepoint, Sequence, State, Transaction, View};

use super::settings::Settings;
use super::{Param, Prepared, Session, TransactionStatus};
use crate::dialect::{IsolationLevel, TransactionModes};
use crate::error::{Result, SqlError, SqlState};

/// What an implicit transaction has written.
pub(super) enum OnlyWrite {
    /// Nothing.
    None,
    /// One statement, with its parameters, so that it can be run again.
    One(Arc<Prepared>, Vec<Param>),
    /// More.
    Many,
}

/// A transaction under way.
pub(super) struct Open {
    /// Begun by `BEGIN`, not by a message.
    pub(super) explicit: bool,
    /// An error came: nothing goes on but `ROLLBACK`.
    pub(super) failed: bool,
    pub(super) read_only: bool,
    repeatable: bool,
    /// What REPEATABLE READ reads.
    base: Option<Arc<State>>,
    /// Begun before `base` was taken: whatever is deleted later follows its rows from there on.
    since_base: Option<Transaction>,
    /// `None` before the first write, and while a COPY holds it.
    pub(super) writes: Option<Transaction>,
    savepoints: Vec<(String, Option<Savepoint>, Settings)>,
    /// The one write of an implicit transaction, which may be run again.
    pub(super) only_write: OnlyWrite,
    /// Settings as they were, for a rollback.
    settings: Settings,
    /// Settings that `SET LOCAL` covers, as they were.
    pub(super) local: Vec<(String, String)>,
}

impl Session {
    pub(super) fn open(&mut self, explicit: bool) -> &mut Open {
        let read_only = self
            .settings
            .get("default_transaction_read_only")
            .is_ok_and(|v| v == "on");
        let repeatable = self
            .settings
            .get("default_transaction_isolation")
            .is_ok_and(|v| v == "repeatable read");
        let settings = self.settings.clone();
        self.open.insert(Open {
            explicit,
            failed: false,
            read_only,
            repeatable,
            base: None,
            since_base: None,
            writes: None,
            savepoints: Vec::new(),
            only_write: OnlyWrite::None,
            settings,
            local: Vec::new(),
        })
    }

    /// `BEGIN`.
    pub(super) fn begin(&mut self, modes: &TransactionModes) -> Result<()> {
        match &mut self.open {
            Some(open) if open.explicit => {
                self.warn(
                    SqlState::ACTIVE_SQL_TRANSACTION,
                    "there is already a transaction in progress",
                );
            }
            // What the message did before BEGIN belongs to the transaction, as in PostgreSQL.
            Some(open) => open.explicit = true,
            None => {
                self.open(true);
            }
        }
        self.set_modes(modes)
    }

    /// `SET TRANSACTION`, and the modes of `BEGIN`.
    pub(super) fn set_modes(&mut self, modes: &TransactionModes) -> Result<()> {
        let Some(open) = &mut self.open else {
            self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION can only be used in transaction blocks",
            );
            return Ok(());
        };
        if let Some(level) = modes.isolation {
            let has_read = open.base.is_some() || open.writes.is_some();
            let repeatable = !matches!(
                level,
                IsolationLevel::ReadCommitted | IsolationLevel::ReadUncommitted
            );
            if has_read && repeatable != open.repeatable {
                let message = "SET TRANSACTION ISOLATION LEVEL must be called before any query";
                return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
            }
            if level == IsolationLevel::Serializable {
                return Err(SqlError::unsupported("isolation level serializable")
                    .with_hint("Use REPEATABLE READ; writes of the same rows conflict."));
            }
            open.repeatable = repeatable;
        }
        if let Some(read_only) = modes.read_only {
            open.read_only = read_only;
        }
        Ok(())
    }

    /// What a statement that begins now reads.
    pub(super) fn view(&mut self) -> Result<View> {
        let engine = &self.database.engine();
        let Some(open) = &mut self.open else {
            return Ok(View {
                state: engine.state(),
            });
        };
        if open.repeatable && open.base.is_none() {
            open.since_base = Some(engine.begin());
            open.base = Some(engine.state());
        }
        match &mut open.writes {
            Some(writes) => Ok(writes.view(open.base.as_ref())?),
            None => Ok(View {
                state: open.base.clone().unwrap_or_else(|| engine.state()),
            }),
        }
    }

    /// Takes the transaction that a write goes to. [`Session::finish_write`] gives it back or
    /// commits it. Should it be lost in between, the session's transaction has failed.
    pub(super) fn start_write(&mut self, statement: &str) -> Result<Transaction> {
        if let Some(open) = &mut self.open {
            if open.read_only {
                let message = format!("cannot execute {statement} in a read-only transaction");
                return Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
            }
            if let Some(writes) = open.writes.take() {
                return Ok(writes);
            }
        }
        Ok(self.database.engine().begin())
    }

    /// Keeps the writes for the session's transaction, or commits them when there is none.
    pub(super) async fn finish_write(&mut self, writes: Transaction) -> Result<()> {
        match &mut self.open {
            Some(open) => {
                open.writes = Some(writes);
                Ok(())
            }
            None => self.commit_writes(writes).await,
        }
    }

    /// Commits, and notes to which tables rows came.
    async fn commit_writes(&self, writes: Transaction) -> Result<()> {
        let added = writes.added();
        commit(writes).await?;
        if !added.is_empty() {
            let now_us = self.database.engine().now();
            self.database.watch().note_added(&added, now_us);
        }
        Ok(())
    }

    /// Whether statements commit by themselves, so that they may be tried again.
    pub(super) fn is_autocommit(&self) -> bool {
        self.open.is_none()
    }

    /// Refuses a statement that commits by itself within a transaction that has begun, or may only
    /// read.
    ///
    /// # Errors
    /// 25001 and 25006.
    pub(super) fn refuse_in_block(&self, what: &str) -> Result<()> {
        match &self.open {
            Some(open) if open.read_only => {
                let message = format!("cannot execute {what} in a read-only transaction");
                Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message))
            }
            Some(open) if open.explicit || open.writes.is_some() => {
                let message = format!("{what} cannot run inside a transaction block");
                Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message))
            }
            _ => Ok(()),
        }
    }

    /// `COMMIT`. The tag is `ROLLBACK` when the transaction had failed.
    pub(super) async fn commit(&mut self, chain: bool) -> Result<&'static str> {
        let Some(open) = self.open.take() else {
            self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            );
            return Ok("COMMIT");
        };
        if !open.explicit {
            self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            );
        }
        let tag = if open.failed {
            self.restore(open.settings);
            "ROLLBACK"
        } else {
            for (name, value) in open.local.into_iter().rev() {
                self.settings.set(&name, Some(&value))?;
            }
            if let Some(writes) = open.writes
                && let Err(e) = self.commit_writes(writes).await
            {
                self.restore(open.settings);
                return Err(e);
            }
            "COMMIT"
        };
        if chain {
            self.open(true);
        }
        Ok(tag)
    }

    /// `ROLLBACK`.
    pub(super) fn rollback(&mut self, chain: bool) {
        match self.open.take() {
            Some(open) => {
                if !open.explicit {
                    self.warn(
                        SqlState::NO_ACTIVE_SQL_TRANSACTION,
                        "there is no transaction in progress",
                    );
                }
                self.restore(open.settings);
                if chain {
                    self.open(true);
                }
            }
            None => self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            ),
        }
    }

    fn restore(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// `SAVEPOINT`.
    pub(super) fn savepoint(&mut self, name: String) -> Result<()> {
        let settings = self.settings.clone();
        let open = self.block("SAVEPOINT")?;
        let point = open.writes.as_ref().map(Transaction::savepoint);
        open.savepoints.push((name, point, settings));
        Ok(())
    }

    /// `RELEASE SAVEPOINT`.
    pub(super) fn release(&mut self, name: &str) -> Result<()> {
        let open = self.block("RELEASE SAVEPOINT")?;
        let at = open
            .savepoints
            .iter()
            .rposition(|(n, ..)| n == name)
            .ok_or_else(|| no_savepoint(name))?;
        open.savepoints.truncate(at);
        Ok(())
    }

    /// `ROLLBACK TO SAVEPOINT`.
    pub(super) fn rollback_to(&mut self, name: &str) -> Result<()> {
        let engine = self.database.engine().clone();
        let open = self.block("ROLLBACK TO SAVEPOINT")?;
        let at = open
            .savepoints
            .iter()
            .rposition(|(n, ..)| n == name)
            .ok_or_else(|| no_savepoint(name))?;
        open.savepoints.truncate(at + 1);
        open.writes = open.savepoints[at].1.as_ref().map(|point| {
            let mut writes = engine.begin();
            writes.rollback_to(point);
            writes
        });
        open.failed = false;
        self.settings = open.savepoints[at].2.clone();
        Ok(())
    }

    fn block(&mut self, statement: &str) -> Result<&mut Open> {
        self.open
            .as_mut()
            .filter(|open| open.explicit)
            .ok_or_else(|| {
                let message = format!("{statement} can only be used in transaction blocks");
                SqlError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
            })
    }

    /// From here to [`Session::end_implicit`] statements belong together.
    pub fn begin_implicit(&mut self) {
        if self.open.is_none() {
            self.open(false);
        }
    }

    /// Commits what belongs together since [`Session::begin_implicit`], or undoes it. A
    /// transaction that `BEGIN` began goes on.
    pub async fn end_implicit(&mut self, ok: bool) -> Result<()> {
        match &self.open {
            Some(open) if !open.explicit => {}
            _ => return Ok(()),
        }
        if !ok {
            if let Some(open) = self.open.take() {
                self.restore(open.settings);
            }
            return Ok(());
        }
        let mut only_write = OnlyWrite::None;
        if let Some(open) = &mut self.open {
            open.explicit = true;
            only_write = std::mem::replace(&mut open.only_write, OnlyWrite::None);
        }
        match (self.commit(false).await, only_write) {
            // Outside any transaction a statement that lost against another is run again.
            (Err(e), OnlyWrite::One(prepared, params))
                if e.state == SqlState::SERIALIZATION_FAILURE =>
            {
                let timeout = self.settings.statement_timeout();
                Box::pin(self.dispatch(&prepared, params, timeout, false))
                    .await
                    .map(drop)
            }
            (result, _) => result.map(drop),
        }
    }

    /// An error was told: a transaction that `BEGIN` began has failed.
    pub fn fail(&mut self) {
        self.info.changes.lock().clear();
        if let Some(open) = &mut self.open {
            open.failed = true;
        }
    }

    /// Where the session stands.
    pub fn status(&self) -> TransactionStatus {
        match &self.open {
            Some(open) if !open.explicit => TransactionStatus::Idle,
            Some(open) if open.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::InTransaction,
            None => TransactionStatus::Idle,
        }
    }
}

/// Commits without blocking the connection's thread: the log may be waited for.
pub(super) async fn commit(writes: Transaction) -> Result<Sequence> {
    if writes.is_empty() {
        return Ok(Sequence(0));
    }
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let done = Box::new(move |result| {
        // Whoever waited may have given up; the commit stands all the same.
        let _ = sender.send(result);
    });
    tokio::task::spawn_blocking(move || writes.commit(done))
        .await
        .map_err(|_| SqlError::internal("the commit ended in an internal error"))?;
    let result = receiver
        .await
        .map_err(|_| SqlError::new(SqlState::ADMIN_SHUTDOWN, "the server is shutting down"))?;
    Ok(result?)
}

fn no_savepoint(name: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_SAVEPOINT,
        format!("savepoint \"{name}\" does not exist"),
    )
}

impl Open {
    /// The isolation level, as `SHOW` tells it.
    pub(super) fn isolation(&self) -> &'static str {
        if self.repeatable {
            "repeatable read"
        } else {
            "read committed"
        }
    }
}

impl Session {
    /// Remembers a write of an implicit transaction.
    pub(super) fn note_write(&mut self, prepared: &Arc<Prepared>, params: &[Param]) {
        let Some(open) = self.open.as_mut().filter(|open| !open.explicit) else {
            return;
        };
        open.only_write = match open.only_write {
            OnlyWrite::None => OnlyWrite::One(prepared.clone(), params.to_vec()),
            OnlyWrite::One(..) | OnlyWrite::Many => OnlyWrite::Many,
        };
    }
}
