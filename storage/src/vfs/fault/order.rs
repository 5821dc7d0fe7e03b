//! Orders to fail: which operation, when, how.

use std::io;

/// The kinds of operations that are counted and can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opening, listing, asking for a length, reading.
    Read,
    /// Creating a file.
    Create,
    /// Writing to a file.
    Write,
    /// Cutting or extending a file.
    SetLen,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
}

/// An order to fail.
#[derive(Debug, Clone)]
pub struct Fault {
    operation: Option<Operation>,
    countdown: u64,
    forever: bool,
    short: bool,
    kind: io::ErrorKind,
}

impl Fault {
    /// The `nth` operation of this kind from now fails (1 is the next one), with an IO error.
    pub fn nth(operation: Operation, nth: u64) -> Fault {
        Fault {
            operation: Some(operation),
            countdown: nth.max(1),
            forever: false,
            short: false,
            kind: io::ErrorKind::Other,
        }
    }

    /// The power goes at the `nth` operation from now that changes anything: it happens in part if
    /// at all, and everything after it fails. To be followed by [`crash`](super::FaultVfs::crash).
    pub fn power_cut(nth: u64) -> Fault {
        Fault {
            operation: None,
            ..Fault::nth(Operation::Write, nth).forever().short()
        }
    }

    /// Every later operation of the kind fails too, until [`heal`](super::FaultVfs::heal).
    pub fn forever(self) -> Fault {
        Fault {
            forever: true,
            ..self
        }
    }

    /// A failing write writes a random part of its bytes first.
    pub fn short(self) -> Fault {
        Fault {
            short: true,
            ..self
        }
    }

    /// With this error, say [`io::ErrorKind::StorageFull`].
    pub fn kind(self, kind: io::ErrorKind) -> Fault {
        Fault { kind, ..self }
    }

    fn concerns(&self, operation: Operation) -> bool {
        match self.operation {
            Some(own) => own == operation,
            None => operation != Operation::Read,
        }
    }
}

/// What an operation that fails does first.
pub(super) struct Failure {
    pub(super) error: io::Error,
    pub(super) short: bool,
}

/// How an operation fails, if one of the orders concerns it. Orders that are done with go.
pub(super) fn next(faults: &mut Vec<Fault>, operation: Operation) -> Option<Failure> {
    let mut failure = None;
    faults.retain_mut(|fault| {
        if !fault.concerns(operation) {
            return true;
        }
        fault.countdown -= 1;
        if fault.countdown > 0 {
            return true;
        }
        failure.get_or_insert(Failure {
            error: fault.kind.into(),
            short: fault.short,
        });
        fault.countdown = 1;
        fault.forever
    });
    failure
}
