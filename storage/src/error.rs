//! What can go wrong in storage, named by what the caller does about it.

use std::path::PathBuf;
use std::sync::Arc;

/// The result of every storage call.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed storage call. Cheap to clone: one failed sync answers every commit of its group.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be; nothing was changed.
    #[error("{0}")]
    Invalid(String),

    /// Somebody else changed the same rows first; the same call may succeed when tried again.
    #[error("{0}")]
    Conflict(String),

    /// The rows are too old to be changed: what was derived from them cannot be computed any more.
    #[error("{0}")]
    Expired(String),

    /// A key that must be unique stands twice; nothing was changed.
    #[error("duplicate key value violates the primary key of table {table}")]
    Duplicate {
        /// The table whose key it is.
        table: crate::TableId,
        /// The values of the key, as text, in the key's column order.
        key: Vec<String>,
    },

    /// Bytes on disk are not what was written. They are reported, never read.
    #[error("data corrupted in {} at offset {offset}: {reason}", file.display())]
    Corrupt {
        /// The damaged file, or for a value inside RocksDB its key spelled as a path.
        file: PathBuf,
        /// Where the damaged record begins, in bytes from the start of `file`.
        offset: u64,
        /// What does not hold.
        reason: String,
    },

    /// The operating system refused.
    #[error("could not {op} {}: {source}", path.display())]
    Io {
        /// The verb: `write`, `sync`, `open` …
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },

    /// Writing or syncing a commit failed for good: whether it is durable, the next start finds out.
    /// Until then it is not visible, and nothing else is committed.
    #[error("{0}")]
    Undecided(Box<Error>),

    /// The engine is shut, or refuses writes since an earlier failure; a restart is needed.
    #[error("{0}")]
    Closed(String),
}

impl Error {
    /// An [`Error::Io`], for use in `map_err`.
    pub fn io(op: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io {
            op,
            path,
            source: Arc::new(source),
        }
    }

    /// An [`Error::Corrupt`].
    pub fn corrupt(file: impl Into<PathBuf>, offset: u64, reason: impl Into<String>) -> Self {
        Error::Corrupt {
            file: file.into(),
            offset,
            reason: reason.into(),
        }
    }

    /// Whether the disk had no room. Such a write may be tried again when there is.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Error::Io { source, .. }
            if matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded))
    }
}
