//! What the sessions of a database are doing, as `pg_stat_activity` tells it.
//!
//! A session writes down when a statement begins and when it waits for the next one. The text is cut:
//! the list is for people, and its memory is bounded by the number of sessions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Canceller;

/// Bytes of a statement's text that are kept, as PostgreSQL's `track_activity_query_size` has it.
const QUERY_BYTES_MAX: usize = 1023;

/// The sessions of a database. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Activities(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sessions: Mutex<BTreeMap<u64, (Activity, Canceller)>>,
    last: AtomicU64,
}

/// A session as others see it. Times are microseconds since 1970 UTC.
#[derive(Debug, Clone)]
pub struct Activity {
    /// The number that cancel requests name.
    pub pid: i32,
    /// The role.
    pub user: String,
    /// The client's name for itself.
    pub application_name: String,
    /// Where the client is.
    pub client: Option<SocketAddr>,
    /// When it connected.
    pub connected_us: i64,
    /// When the open transaction began.
    pub transaction_us: Option<i64>,
    /// When the newest statement began.
    pub statement_us: Option<i64>,
    /// When the state changed.
    pub changed_us: i64,
    /// `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`.
    pub state: &'static str,
    /// The newest statement.
    pub statement: String,
}

impl Activities {
    /// The sessions, oldest first.
    pub fn list(&self) -> Vec<Activity> {
        let sessions = self.0.sessions.lock();
        sessions
            .values()
            .map(|(activity, _)| activity.clone())
            .collect()
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.0.sessions.lock().len()
    }

    /// Ends the running statement of the session with this number, if there is one.
    pub fn cancel(&self, pid: i32) -> bool {
        let sessions = self.0.sessions.lock();
        let found = sessions.values().find(|(activity, _)| activity.pid == pid);
        if let Some((_, canceller)) = found {
            canceller.cancel();
        }
        found.is_some()
    }

    pub(super) fn register(&self, activity: Activity, canceller: Canceller) -> Registered {
        let number = self.0.last.fetch_add(1, Ordering::Relaxed);
        self.0.sessions.lock().insert(number, (activity, canceller));
        Registered {
            activities: self.clone(),
            number,
        }
    }
}

/// A session's place in the list, which it leaves with this value.
pub(super) struct Registered {
    activities: Activities,
    number: u64,
}

impl Registered {
    /// A statement begins.
    pub(super) fn begin(&self, text: &str, now_us: i64) {
        self.change(|activity| {
            activity.state = "active";
            activity.changed_us = now_us;
            activity.statement_us = Some(now_us);
            activity.transaction_us.get_or_insert(now_us);
            text[..text.floor_char_boundary(QUERY_BYTES_MAX)].clone_into(&mut activity.statement);
        });
    }

    /// The session waits for its client.
    pub(super) fn rest(&self, state: &'static str, application_name: &str, now_us: i64) {
        self.change(|activity| {
            activity.state = state;
            activity.changed_us = now_us;
            if state == "idle" {
                activity.transaction_us = None;
            }
            if activity.application_name != application_name {
                application_name.clone_into(&mut activity.application_name);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Activity)) {
        if let Some((activity, _)) = self.activities.0.sessions.lock().get_mut(&self.number) {
            change(activity);
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.activities.0.sessions.lock().remove(&self.number);
    }
}
