//! The names in the log's directory, and how a file comes into the log and leaves it.
//!
//! ```text
//! wal-<ordinal>.log     a file of the log; ordinals have no gaps
//! spare-<number>.log    full length, every byte written and synced once: ready for use
//! filling.tmp           on its way to become a spare
//! filling-large.tmp     on its way to hold a group larger than a file
//! ```
//!
//! A file joins the log so: its header is written and synced under the old name, the file is
//! renamed to `wal-…`, the directory is synced; only then come frames. It leaves so: it is renamed
//! to `spare-…` or removed, and the directory synced, oldest file first. A crash between any two
//! steps leaves a contiguous run of whole log files, and perhaps spares and `.tmp` files that the
//! next start takes up or removes.
//!
//! Files are zero-filled beforehand because a sync that must also allocate blocks or convert
//! unwritten ones costs three to ten times as much (`fallocate` alone does not help).

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::header::{HEADER_BYTES, Header};
use super::{BLOCK, WalOptions, round_up};
use crate::vfs::{Vfs, VfsFile};
use crate::{Error, Result};

const FILLING: &str = "filling.tmp";
const FILLING_LARGE: &str = "filling-large.tmp";
/// Ahead of need, zeros are written and synced in steps of this size, so that a step holds up a
/// commit for milliseconds only.
const FILL_STEP_BYTES: u64 = 1 << 20;
/// The most that is written by one call.
const WRITE_BYTES_MAX: u64 = 4 << 20;

/// The directory of a log.
pub(super) struct Files {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    options: WalOptions,
    spares: VecDeque<PathBuf>,
    next_spare: u64,
    filling: Option<Filling>,
}

/// A file that is being filled with zeros.
struct Filling {
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    done: u64,
    bytes: u64,
}

/// The path of the log's file `ordinal`.
pub(super) fn log_path(dir: &Path, ordinal: u64) -> PathBuf {
    dir.join(format!("wal-{ordinal:010}.log"))
}

fn number(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(".log")?;
    digits.parse().ok().filter(|_| digits.len() >= 10)
}

/// The ordinals of the log's files, ascending.
pub(super) fn list(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<u64>> {
    let names = vfs.list(dir)?;
    let mut ordinals: Vec<u64> = names
        .iter()
        .filter_map(|name| number(name, "wal-"))
        .collect();
    ordinals.sort_unstable();
    Ok(ordinals)
}

impl Files {
    /// Looks the directory over: takes up spares, removes what was left unfinished.
    pub(super) fn open(vfs: Arc<dyn Vfs>, dir: &Path, options: WalOptions) -> Result<Files> {
        let mut files = Files {
            vfs,
            dir: dir.to_path_buf(),
            options: WalOptions {
                file_bytes: round_up(options.file_bytes.max(2 * BLOCK)),
                ..options
            },
            spares: VecDeque::new(),
            next_spare: 1,
            filling: None,
        };
        for name in files.vfs.list(dir)? {
            let path = dir.join(&name);
            if name == FILLING || name == FILLING_LARGE {
                files.vfs.remove(&path)?;
            } else if let Some(spare) = number(&name, "spare-") {
                files.next_spare = files.next_spare.max(spare + 1);
                let usable = files.spares.len() < files.options.files_kept_max
                    && files.vfs.open(&path)?.len()? == files.options.file_bytes;
                if usable {
                    files.spares.push_back(path);
                } else {
                    files.vfs.remove(&path)?;
                }
            }
        }
        Ok(files)
    }

    /// Brings a file with room for `group_bytes` into the log.
    pub(super) fn join(&mut self, header: &Header, group_bytes: u64) -> Result<Arc<dyn VfsFile>> {
        let bytes = HEADER_BYTES + group_bytes;
        let prepared = if bytes > self.options.file_bytes {
            let mut large = self.begin(FILLING_LARGE, bytes)?;
            self.write_on(&mut large, bytes)?;
            large.path
        } else {
            if self.spares.is_empty() {
                self.fill(u64::MAX)?;
            }
            self.spares.pop_front().expect("just filled")
        };
        let path = log_path(&self.dir, header.ordinal);
        match self.publish(&prepared, &path, header) {
            Ok(file) => Ok(file),
            Err(error) => {
                // If the rename did not happen the file is as good as before; if it did, the log
                // is closed anyway.
                if bytes <= self.options.file_bytes {
                    self.spares.push_front(prepared);
                } else {
                    self.discard(&prepared);
                }
                Err(error)
            }
        }
    }

    fn publish(&self, prepared: &Path, path: &Path, header: &Header) -> Result<Arc<dyn VfsFile>> {
        fail::fail_point!("wal.before_header");
        let file = self.vfs.open(prepared)?;
        file.write_at(0, &header.encode())?;
        file.sync()?;
        drop(file);
        self.vfs.rename(prepared, path)?;
        self.vfs.sync_dir(&self.dir)?;
        self.vfs.open(path)
    }

    /// Takes a file out of the log: keeps it as a spare, or removes it.
    pub(super) fn leave(&mut self, path: &Path, bytes: u64) -> Result<()> {
        fail::fail_point!("wal.before_recycle");
        let keep =
            bytes == self.options.file_bytes && self.spares.len() < self.options.files_kept_max;
        if keep {
            let spare = self.spare_path();
            self.vfs.rename(path, &spare)?;
            self.spares.push_back(spare);
        } else {
            self.vfs.remove(path)?;
        }
        // Once for each file: were two renames to reach the disk in the other order, a crash would
        // leave a gap in the log.
        self.vfs.sync_dir(&self.dir)?;
        fail::fail_point!("wal.after_recycle");
        Ok(())
    }

    /// Does a step towards having a spare. Answers whether there is more to do.
    pub(super) fn prepare(&mut self) -> Result<bool> {
        if !self.spares.is_empty() || self.options.files_kept_max == 0 {
            return Ok(false);
        }
        self.fill(FILL_STEP_BYTES)?;
        Ok(self.spares.is_empty())
    }

    fn spare_path(&mut self) -> PathBuf {
        let name = format!("spare-{:010}.log", self.next_spare);
        self.next_spare += 1;
        self.dir.join(name)
    }

    /// Goes on filling the next spare by up to `bytes`.
    fn fill(&mut self, bytes: u64) -> Result<()> {
        let mut filling = match self.filling.take() {
            Some(filling) => filling,
            None => self.begin(FILLING, self.options.file_bytes)?,
        };
        if self.write_on(&mut filling, bytes)? {
            let spare = self.spare_path();
            let renamed = self.vfs.rename(&filling.path, &spare);
            renamed.inspect_err(|_| self.discard(&filling.path))?;
            self.spares.push_back(spare);
        } else {
            self.filling = Some(filling);
        }
        Ok(())
    }

    fn begin(&self, name: &str, bytes: u64) -> Result<Filling> {
        let path = self.dir.join(name);
        let file = match self.vfs.create(&path) {
            // An earlier attempt failed, and then could not be removed either.
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                self.vfs.remove(&path)?;
                self.vfs.create(&path)?
            }
            created => created?,
        };
        Ok(Filling {
            file,
            path,
            done: 0,
            bytes,
        })
    }

    /// Writes and syncs up to `bytes` more zeros; true once the file is full. A file that cannot be
    /// filled is removed, which gives the room back.
    fn write_on(&self, filling: &mut Filling, bytes: u64) -> Result<bool> {
        let step = bytes.min(filling.bytes - filling.done);
        let written = write_zeros(&*filling.file, filling.done, step);
        written
            .and_then(|()| filling.file.sync())
            .inspect_err(|_| self.discard(&filling.path))?;
        filling.done += step;
        Ok(filling.done == filling.bytes)
    }

    /// Removes a file that is of no use any more, after a failure that is reported anyway.
    fn discard(&self, path: &Path) {
        if let Err(error) = self.vfs.remove(path) {
            tracing::warn!(%error, "leftover file of the write-ahead log");
        }
    }
}

/// Writes zeros, not synced.
pub(super) fn write_zeros(file: &dyn VfsFile, offset: u64, bytes: u64) -> Result<()> {
    let zeros = vec![0; bytes.min(WRITE_BYTES_MAX) as usize];
    let mut done = 0;
    while done < bytes {
        let step = (bytes - done).min(zeros.len() as u64);
        file.write_at(offset + done, &zeros[..step as usize])?;
        done += step;
    }
    Ok(())
}

/// Whether an operation failed for lack of space and changed nothing that counts, so that the log
/// stays usable. A failed sync is never harmless, whatever its reason.
pub(super) fn is_survivable(error: &Error) -> bool {
    let harmless = matches!(
        error,
        Error::Io {
            op: "create" | "write" | "rename" | "remove",
            ..
        }
    );
    harmless && error.is_disk_full()
}
