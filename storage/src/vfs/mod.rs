//! The seam to files and the clock. Everything the engine writes itself goes through [`Vfs`], so
//! that tests can fail, tear or forget any write; RocksDB does its own IO beside it.
//!
//! [`RealVfs`] is the operating system, [`fault::FaultVfs`] a disk in memory that misbehaves on
//! demand.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Result;

pub mod fault;
mod real;

pub use fault::FaultVfs;
pub use real::RealVfs;

/// The files of a data directory, and the time.
pub trait Vfs: Send + Sync + 'static {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> Result<Arc<dyn VfsFile>>;
    /// Creates a file that does not exist yet, with mode 0600. Its name is durable after
    /// [`Vfs::sync_dir`].
    fn create(&self, path: &Path) -> Result<Arc<dyn VfsFile>>;
    /// Names of the entries of a directory, sorted.
    fn list(&self, dir: &Path) -> Result<Vec<String>>;
    /// Moves a file over another, atomically.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Creates a directory and its parents with mode 0700; existing ones are fine. Those it had to
    /// create are durable when it returns.
    fn create_dir(&self, dir: &Path) -> Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> Result<()>;
    /// Microseconds since 1970 UTC.
    fn now(&self) -> i64;
    /// Microseconds that have passed since some moment; whoever sets the clock does not change it.
    fn uptime(&self) -> i64;
}

/// An open file. Positions are explicit; there is no cursor.
#[expect(
    clippy::len_without_is_empty,
    reason = "a file's length is a system call that can fail, not a collection's size"
)]
pub trait VfsFile: Send + Sync {
    /// Where it stood when it was opened, for messages.
    fn path(&self) -> &PathBuf;
    /// Length in bytes.
    fn len(&self) -> Result<u64>;
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize>;
    /// Writes all bytes at `offset`. After an error any prefix of them may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Cuts or extends the file (with zeros).
    fn set_len(&self, len: u64) -> Result<()>;
    /// Makes the contents durable (fdatasync). Never to be retried after a failure: the system
    /// forgets which pages it could not write, and a second call would answer success.
    fn sync(&self) -> Result<()>;
}
