//! Who may be cancelled: process id and secret key of every session.
//!
//! A CancelRequest comes over a connection of its own, before any login, so the key is all that
//! protects a session: 32 bytes from the operating system's generator, or the 4 bytes that protocol
//! 3.0 has room for, compared in constant time. The client is never told whether it hit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hint::black_box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use slicedb_sql::error::SqlError;
use slicedb_sql::session::Canceller;
use tokio::sync::watch;

/// All sessions that a CancelRequest can reach.
#[derive(Clone, Default)]
pub(super) struct Registry {
    targets: Arc<Mutex<HashMap<i32, Target>>>,
}

struct Target {
    key: Bytes,
    // None until the session exists.
    canceller: Option<Canceller>,
    cancels: watch::Sender<u64>,
}

impl Registry {
    /// Reserves a process id and makes a key of `key_bytes`.
    pub(super) fn register(&self, key_bytes: usize) -> Result<Registration, SqlError> {
        let mut key = vec![0; key_bytes];
        random(&mut key)?;
        let key = Bytes::from(key);
        let (cancels, receiver) = watch::channel(0);
        loop {
            let mut pid = [0; 4];
            random(&mut pid)?;
            // Positive, because clients print it and some parse it as unsigned.
            let pid = i32::from_be_bytes(pid) & i32::MAX;
            let mut targets = self.lock();
            if let Entry::Vacant(vacant) = targets.entry(pid)
                && pid != 0
            {
                vacant.insert(Target {
                    key: key.clone(),
                    canceller: None,
                    cancels,
                });
                drop(targets);
                return Ok(Registration {
                    registry: self.clone(),
                    pid,
                    key,
                    cancels: receiver,
                });
            }
        }
    }

    /// Cancels what runs in the session `pid`, if `key` is its key.
    pub(super) fn cancel(&self, pid: i32, key: &[u8]) -> bool {
        let targets = self.lock();
        let Some(target) = targets.get(&pid).filter(|target| same(&target.key, key)) else {
            return false;
        };
        if let Some(canceller) = &target.canceller {
            canceller.cancel();
        }
        target.cancels.send_modify(|count| *count += 1);
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Target>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place in the registry, until it is dropped.
pub(super) struct Registration {
    registry: Registry,
    /// The session's process id, as far as clients are concerned.
    pub(super) pid: i32,
    /// The key that cancels the session.
    pub(super) key: Bytes,
    /// Counts the CancelRequests that hit.
    pub(super) cancels: watch::Receiver<u64>,
}

impl Registration {
    /// The session is there: from now on requests reach it.
    pub(super) fn arm(&self, canceller: Canceller) {
        if let Some(target) = self.registry.lock().get_mut(&self.pid) {
            target.canceller = Some(canceller);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.pid);
    }
}

fn random(bytes: &mut [u8]) -> Result<(), SqlError> {
    getrandom::fill(bytes).map_err(|error| SqlError::internal(format!("no random bytes: {error}")))
}

// Takes as long for a wrong key as for the right one.
fn same(key: &[u8], guess: &[u8]) -> bool {
    if key.len() != guess.len() {
        return false;
    }
    let difference = key
        .iter()
        .zip(guess)
        .fold(0, |bits, (a, b)| black_box(bits | (a ^ b)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_hits() {
        let registry = Registry::default();
        let one = registry.register(32).unwrap();
        let two = registry.register(4).unwrap();
        assert_ne!(one.pid, two.pid);
        assert!(registry.cancel(one.pid, &one.key));
        assert!(registry.cancel(two.pid, &two.key));
        assert!(!registry.cancel(one.pid, &two.key));
        assert!(!registry.cancel(two.pid, &one.key));
        assert!(!registry.cancel(one.pid, &one.key[..31]));
        assert!(!registry.cancel(one.pid, &[]));
        assert!(!registry.cancel(one.pid.wrapping_add(1), &one.key));
        assert_eq!(*one.cancels.borrow(), 1);
    }

    #[test]
    fn a_session_that_ended_is_not_found() {
        let registry = Registry::default();
        let (pid, key) = {
            let one = registry.register(4).unwrap();
            (one.pid, one.key.clone())
        };
        assert!(!registry.cancel(pid, &key));
        assert!(registry.lock().is_empty());
    }
}
