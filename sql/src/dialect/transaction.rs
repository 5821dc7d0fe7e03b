//! Transactions: `BEGIN`, `COMMIT`, `ROLLBACK`, savepoints and `SET TRANSACTION`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::Statement;
use crate::error::Result;

/// The modes that a transaction is begun or changed with; `None` where nothing was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionModes {
    /// `ISOLATION LEVEL`.
    pub isolation: Option<IsolationLevel>,
    /// `READ ONLY` or `READ WRITE`.
    pub read_only: Option<bool>,
    /// `DEFERRABLE` or `NOT DEFERRABLE`.
    pub deferrable: Option<bool>,
}

/// An isolation level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// As `ReadCommitted` in PostgreSQL.
    ReadUncommitted,
    /// Each statement reads what was committed before it.
    ReadCommitted,
    /// Every statement reads what was committed before the first.
    RepeatableRead,
    /// As if one after the other.
    Serializable,
}

impl IsolationLevel {
    /// As `SHOW transaction_isolation` tells it.
    pub fn as_str(self) -> &'static str {
        match self {
            IsolationLevel::ReadUncommitted => "read uncommitted",
            IsolationLevel::ReadCommitted => "read committed",
            IsolationLevel::RepeatableRead => "repeatable read",
            IsolationLevel::Serializable => "serializable",
        }
    }
}

/// The statements that begin, end and mark transactions.
pub(crate) fn parse(at: &mut Cursor<'_>) -> Result<Statement> {
    if at.take(&["start", "transaction"]) {
        return Ok(Statement::Begin(modes(at, false)?));
    }
    match at.take_one_of(&[
        "begin",
        "commit",
        "end",
        "rollback",
        "abort",
        "savepoint",
        "release",
    ]) {
        Some("begin") => {
            at.take_one_of(&["work", "transaction"]);
            Ok(Statement::Begin(modes(at, false)?))
        }
        Some("savepoint") => Ok(Statement::Savepoint(at.name()?)),
        Some("release") => {
            at.take(&["savepoint"]);
            Ok(Statement::ReleaseSavepoint(at.name()?))
        }
        Some("commit") if at.sees(&["prepared"]) => at.unsupported("COMMIT PREPARED"),
        Some("rollback") if at.sees(&["prepared"]) => at.unsupported("ROLLBACK PREPARED"),
        Some("commit" | "end") => {
            at.take_one_of(&["work", "transaction"]);
            Ok(Statement::Commit { chain: chain(at)? })
        }
        Some(word) => {
            at.take_one_of(&["work", "transaction"]);
            if word == "rollback" && at.take(&["to"]) {
                at.take(&["savepoint"]);
                return Ok(Statement::RollbackTo(at.name()?));
            }
            Ok(Statement::Rollback { chain: chain(at)? })
        }
        None => at.syntax_error(),
    }
}

/// `AND [NO] CHAIN`.
fn chain(at: &mut Cursor<'_>) -> Result<bool> {
    if !at.take(&["and"]) {
        return Ok(false);
    }
    let chain = !at.take(&["no"]);
    at.expect(&["chain"])?;
    Ok(chain)
}

/// Transaction modes, with or without commas between them.
pub(crate) fn modes(at: &mut Cursor<'_>, required: bool) -> Result<TransactionModes> {
    let mut modes = TransactionModes::default();
    let mut first = true;
    loop {
        let comma = !first && at.take_token(&Token::Comma);
        if at.take(&["isolation", "level"]) {
            modes.isolation = Some(isolation_level(at)?);
        } else if at.take(&["read", "only"]) {
            modes.read_only = Some(true);
        } else if at.take(&["read", "write"]) {
            modes.read_only = Some(false);
        } else if at.take(&["deferrable"]) {
            modes.deferrable = Some(true);
        } else if at.take(&["not", "deferrable"]) {
            modes.deferrable = Some(false);
        } else if comma || (first && required) {
            return at.syntax_error();
        } else {
            return Ok(modes);
        }
        first = false;
    }
}

fn isolation_level(at: &mut Cursor<'_>) -> Result<IsolationLevel> {
    Ok(if at.take(&["read", "uncommitted"]) {
        IsolationLevel::ReadUncommitted
    } else if at.take(&["read", "committed"]) {
        IsolationLevel::ReadCommitted
    } else if at.take(&["repeatable", "read"]) {
        IsolationLevel::RepeatableRead
    } else if at.take(&["serializable"]) {
        IsolationLevel::Serializable
    } else {
        return at.syntax_error();
    })
}
