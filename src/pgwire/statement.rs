//! Prepared statements of the extended protocol: a bounded map of names, in which "" is the unnamed one.
//!
//! Statements of SQL's PREPARE live in the session instead.

use std::collections::HashMap;
use std::sync::Arc;

use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::Prepared;

use super::options::WireOptions;

/// A prepared statement.
#[derive(Clone)]
pub(super) struct Statement {
    /// The plan; None for a text without a statement.
    pub(super) prepared: Option<Arc<Prepared>>,
    /// Bytes of its text.
    pub(super) bytes: usize,
}

/// The prepared statements of a session.
pub(super) struct Statements {
    named: HashMap<String, Statement>,
    bytes: usize,
    count_max: usize,
    bytes_max: usize,
}

impl Statements {
    /// None yet.
    pub(super) fn new(options: &WireOptions) -> Self {
        Statements {
            named: HashMap::new(),
            bytes: 0,
            count_max: options.statements_max,
            bytes_max: options.statement_bytes_max,
        }
    }

    /// Whether one more of `bytes` may have the name. Asked before the work of planning it; the
    /// unnamed statement makes room for its successor at once.
    pub(super) fn admit(&mut self, name: &str, bytes: usize) -> Result<(), SqlError> {
        if name.is_empty() {
            self.remove(name);
        } else if self.named.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                message,
            ));
        }
        let limit = |message: String| {
            Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .with_hint("Close prepared statements that are no longer needed."))
        };
        if self.named.len() >= self.count_max {
            return limit(format!(
                "too many prepared statements, at most {}",
                self.count_max
            ));
        }
        if self.bytes + bytes > self.bytes_max {
            let most = self.bytes_max;
            return limit(format!(
                "prepared statements are too long, at most {most} bytes in all"
            ));
        }
        Ok(())
    }

    /// Keeps an admitted statement.
    pub(super) fn insert(&mut self, name: String, statement: Statement) {
        self.bytes += statement.bytes;
        if let Some(old) = self.named.insert(name, statement) {
            self.bytes -= old.bytes;
        }
    }

    /// The statement of that name.
    pub(super) fn get(&self, name: &str) -> Result<&Statement, SqlError> {
        self.named.get(name).ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        })
    }

    /// Forgets a statement, if there is one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let removed = self.named.remove(name);
        self.bytes -= removed.as_ref().map_or(0, |statement| statement.bytes);
        removed.is_some()
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        self.named = HashMap::new();
        self.bytes = 0;
    }
}
