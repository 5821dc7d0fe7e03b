//! Portals: statements bound to their parameters, perhaps half read. A bounded map of names, in which
//! "" is the unnamed one. All of them end with the transaction.

use std::collections::HashMap;
use std::sync::Arc;

use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::{Param, Prepared};
use slicedb_sql::types::Format;

use super::options::WireOptions;
use super::rows::Cursor;

/// A statement with its parameters.
pub(super) struct Portal {
    /// The plan; None for a text without a statement.
    pub(super) prepared: Option<Arc<Prepared>>,
    /// One of each result column.
    pub(super) formats: Vec<Format>,
    /// How far it is.
    pub(super) state: State,
    /// Bytes of its parameters as they came.
    pub(super) bytes: usize,
}

/// How far a portal is.
pub(super) enum State {
    /// Not run yet.
    Bound(Vec<Param>),
    /// Its rows are being read, or have been.
    Open(Cursor),
    /// It had no rows, and has been run.
    Finished,
}

/// The portals of a session.
pub(super) struct Portals {
    named: HashMap<String, Portal>,
    bytes: usize,
    count_max: usize,
    bytes_max: usize,
}

impl Portals {
    /// None yet.
    pub(super) fn new(options: &WireOptions) -> Self {
        Portals {
            named: HashMap::new(),
            bytes: 0,
            count_max: options.portals_max,
            // So that the largest Bind fits when no other portal is open.
            bytes_max: options.message_bytes_max,
        }
    }

    /// Whether one more with parameters of `bytes` may have the name; the unnamed portal makes room
    /// for its successor at once.
    pub(super) fn admit(&mut self, name: &str, bytes: usize) -> Result<(), SqlError> {
        if name.is_empty() {
            self.take(name);
        } else if self.named.contains_key(name) {
            let message = format!("portal \"{name}\" already exists");
            return Err(SqlError::new(SqlState::DUPLICATE_CURSOR, message));
        }
        let limit = |message: String| {
            Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .with_hint("Close portals that are no longer needed, or end the transaction."))
        };
        if self.named.len() >= self.count_max {
            return limit(format!("too many portals, at most {}", self.count_max));
        }
        if self.bytes + bytes > self.bytes_max {
            let most = self.bytes_max;
            return limit(format!(
                "parameters of portals are too long, at most {most} bytes in all"
            ));
        }
        Ok(())
    }

    /// Keeps an admitted portal.
    pub(super) fn insert(&mut self, name: String, portal: Portal) {
        self.bytes += portal.bytes;
        if let Some(old) = self.named.insert(name, portal) {
            self.bytes -= old.bytes;
        }
    }

    /// The portal of that name.
    pub(super) fn get(&self, name: &str) -> Result<&Portal, SqlError> {
        self.named.get(name).ok_or_else(|| missing(name))
    }

    /// The portal of that name, out of the map.
    pub(super) fn take(&mut self, name: &str) -> Option<Portal> {
        let taken = self.named.remove(name)?;
        self.bytes -= taken.bytes;
        Some(taken)
    }

    /// Ends them all.
    pub(super) fn clear(&mut self) {
        self.named = HashMap::new();
        self.bytes = 0;
    }
}

/// There is no such portal.
pub(super) fn missing(name: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_CURSOR_NAME,
        format!("portal \"{name}\" does not exist"),
    )
}
