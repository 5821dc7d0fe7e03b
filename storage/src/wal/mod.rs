//! The write-ahead log: what was acknowledged is in it, or in a segment.
//!
//! Transactions are appended to a *group* in memory; [`Wal::sync`] writes the group and makes it
//! durable with one fdatasync, however many transactions it holds. A transaction lies in one group
//! and a group in one file. [`Wal::open`] replays what the segments do not hold yet.
//!
//! Invariants:
//!
//! - A transaction is replayed whole, in order, or not at all.
//! - What [`Wal::sync`] answered `Ok` for is replayed, or [`Error::Corrupt`] says which file is
//!   damaged at what offset. Only the last group of all cannot tell damage from a torn write.
//! - What it answered an error for while the log stays usable is never replayed.
//! - After a failed sync nothing is written any more: the system no longer knows which pages it
//!   could not write, so that trying again would answer success for lost data (PostgreSQL, "fsync
//!   gate", 2018).
//!
//! The newest file is told from a lost one by a number outside the directory, the [`Register`]: it
//! is noted before the first group of a file is written, so that it may be behind the newest file
//! by files without a group, and never ahead.
//!
//! The bytes are drawn where they are written: a frame in `frame`, a transaction and a group in
//! `group`, the header in `header`, the names of the files in `files`.
//!
//! The caller gives every transaction its sequence, releases what it has sealed, and may call
//! [`Wal::prepare`] when idle. One thread owns the log.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::vfs::{Vfs, VfsFile};
use crate::{Error, Result, Sequence};

mod current;
mod files;
mod frame;
mod group;
mod header;
mod reader;
mod recovery;
mod repair;

pub use frame::{Frame, FrameKind};

use current::{CurrentFile, Failure};
use files::{Files, is_survivable};
use group::Group;
use header::{HEADER_BYTES, Header};

/// Groups begin at multiples of this.
const BLOCK: u64 = 4096;

fn round_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

/// Sizes of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalOptions {
    /// Length of a file; rounded up to 4 KiB, at least 8 KiB. A larger group gets a larger file.
    pub file_bytes: u64,
    /// Spare files that are kept for use again; the others are removed.
    pub files_kept_max: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            file_bytes: 64 << 20,
            files_kept_max: 2,
        }
    }
}

/// The number of the newest file, kept where it is not lost together with the file.
pub struct Register {
    /// What was noted last; 0 before anything was.
    pub newest: u64,
    /// Notes a number. When it returns the number is durable.
    pub note: Box<dyn FnMut(u64) -> Result<()> + Send>,
}

/// A log that is open for appending.
pub struct Wal {
    vfs: Arc<dyn Vfs>,
    files: Files,
    register: Register,
    /// Files before the current one, oldest first.
    past: VecDeque<PastFile>,
    current: CurrentFile,
    group: Group,
    next_group: u64,
    /// The last sequence that is durable.
    synced: Sequence,
    /// The last sequence in the group, or durable.
    last: Sequence,
    /// The verb that failed for good.
    failed: Option<&'static str>,
}

struct PastFile {
    path: PathBuf,
    file_bytes: u64,
    last: Sequence,
}

impl Wal {
    /// Opens the log in `dir`, which is created if need be; hands every committed transaction with
    /// a sequence later than `after` to `replay`, in order; and leaves the log ready to append.
    ///
    /// A torn tail of the newest file is cut off. Any other damage is [`Error::Corrupt`], and so is
    /// a log that begins later than `after + 1`, ends before `after`, lacks the file that
    /// `register` names, or is gone though `after` is not 0. An error of `replay` is answered as it
    /// is.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: WalOptions,
        after: Sequence,
        register: Register,
        replay: &mut dyn FnMut(Sequence, Vec<Frame>) -> Result<()>,
    ) -> Result<Wal> {
        vfs.create_dir(dir)?;
        let ordinals = files::list(&*vfs, dir)?;
        check_newest(dir, &ordinals, register.newest)?;
        let mut files = Files::open(Arc::clone(&vfs), dir, options)?;
        if ordinals.is_empty() {
            check_absent(dir, after)?;
            let header = Header {
                ordinal: 1,
                epoch: first_epoch(&*vfs, 0),
                first_group: 1,
                first_sequence: Sequence(1),
            };
            let file = files.join(&header, 0)?;
            return Wal::new(vfs, files, register, Vec::new(), file, header, HEADER_BYTES);
        }
        let recovered = recovery::recover(&*vfs, dir, &ordinals, after, replay, &mut Err)?;
        let recovered = recovered.expect("damage was an error");
        let header = recovered.newest.header;
        let (file, end) = repair::repair(&*vfs, dir, &recovered.newest, &recovered.stop)?;
        let mut wal = Wal::new(vfs, files, register, recovered.past, file, header, end)?;
        wal.next_group = recovered.stop.next.group;
        wal.synced = Sequence(recovered.stop.next.sequence.0 - 1);
        wal.last = wal.synced;
        Ok(wal)
    }

    fn new(
        vfs: Arc<dyn Vfs>,
        files: Files,
        register: Register,
        past: Vec<recovery::Past>,
        file: Arc<dyn VfsFile>,
        header: Header,
        end: u64,
    ) -> Result<Wal> {
        let past = past.into_iter().map(|past| PastFile {
            path: past.path,
            file_bytes: past.file_bytes,
            last: past.last,
        });
        let last = Sequence(header.first_sequence.0 - 1);
        Ok(Wal {
            vfs,
            files,
            register,
            past: past.collect(),
            current: CurrentFile::new(file, header, end)?,
            group: Group::default(),
            next_group: header.first_group,
            synced: last,
            last,
            failed: None,
        })
    }

    /// Reads and verifies the log in `dir` without changing a byte, and hands every transaction it
    /// can make out, later than `after`, to `visit`. `newest` is what the [`Register`] holds. Answers
    /// all damage; a torn tail is none.
    pub fn check(
        vfs: &dyn Vfs,
        dir: &Path,
        after: Sequence,
        newest: u64,
        visit: &mut dyn FnMut(Sequence, Vec<Frame>) -> Result<()>,
    ) -> Vec<Error> {
        let mut found = Vec::new();
        let mut visit = |sequence, frames| visit(sequence, frames);
        let checked = files::list(vfs, dir).and_then(|ordinals| {
            let mut note = |error: Error| -> Result<()> {
                found.push(error);
                Ok(())
            };
            if let Err(error) = check_newest(dir, &ordinals, newest) {
                note(error)?;
            }
            if ordinals.is_empty() {
                return check_absent(dir, after);
            }
            recovery::recover(vfs, dir, &ordinals, after, &mut visit, &mut note).map(drop)
        });
        found.extend(checked.err());
        found
    }

    /// Adds a transaction, which is durable after the next [`Wal::sync`]. The log adds the commit
    /// frame. `sequence` must follow [`Wal::last_sequence`].
    pub fn append(&mut self, sequence: Sequence, frames: &[Frame]) -> Result<()> {
        self.check_usable()?;
        assert_eq!(sequence, self.last.next(), "sequences have no gaps");
        for frame in frames {
            frame.check()?;
        }
        self.group.push(sequence, frames);
        self.last = sequence;
        Ok(())
    }

    /// Makes everything that was appended durable. Without any, does nothing.
    ///
    /// If there is no space for it ([`Error::is_disk_full`]), all of it is dropped and the log goes
    /// on after [`Wal::last_sequence`], which is then the last durable one. After any other error
    /// every later call answers [`Error::Closed`].
    pub fn sync(&mut self) -> Result<()> {
        self.check_usable()?;
        if self.group.is_empty() {
            return Ok(());
        }
        match self.write_group() {
            Ok(()) => {
                self.synced = self.last;
                self.group.clear();
                Ok(())
            }
            Err(Failure::Dropped(error)) => {
                self.last = self.synced;
                self.group.clear();
                Err(error)
            }
            Err(Failure::Fatal(error)) => Err(self.fail(error)),
        }
    }

    /// Takes files all of whose transactions are at or before `sealed` out of the log.
    pub fn release(&mut self, sealed: Sequence) -> Result<()> {
        self.check_usable()?;
        while let Some(oldest) = self.past.front()
            && oldest.last <= sealed
        {
            let left = self.files.leave(&oldest.path, oldest.file_bytes);
            left.or_else(|error| self.settle(error))?;
            self.past.pop_front();
        }
        Ok(())
    }

    /// Does a few milliseconds of work towards having a spare file, so that no commit has to wait
    /// for one to be filled. Answers whether there is more to do. To be called when idle.
    pub fn prepare(&mut self) -> Result<bool> {
        self.check_usable()?;
        let prepared = self.files.prepare();
        prepared.or_else(|error| self.settle(error))
    }

    /// Whether commits are taken: no operation has failed for good.
    pub fn is_usable(&self) -> bool {
        self.failed.is_none()
    }

    /// The last sequence that was appended, durable or not.
    pub fn last_sequence(&self) -> Sequence {
        self.last
    }

    /// Bytes of the log that are not released yet.
    pub fn bytes(&self) -> u64 {
        let past: u64 = self.past.iter().map(|file| file.file_bytes).sum();
        past + self.current.end
    }

    fn write_group(&mut self) -> std::result::Result<(), Failure> {
        let bytes = self.group.padded_bytes();
        if !self.current.has_room(bytes) {
            self.next_file(bytes).map_err(|error| match error {
                error if is_survivable(&error) => Failure::Dropped(error),
                error => Failure::Fatal(error),
            })?;
        }
        self.note_file()?;
        let epoch = self.current.header.epoch;
        self.current
            .write(self.group.seal(epoch, self.next_group))?;
        self.next_group += 1;
        Ok(())
    }

    /// Before the first group of a file: whoever misses the file later shall know that it was.
    fn note_file(&mut self) -> std::result::Result<(), Failure> {
        let ordinal = self.current.header.ordinal;
        if ordinal <= self.register.newest {
            return Ok(());
        }
        fail::fail_point!("wal.before_note");
        (self.register.note)(ordinal).map_err(|error| {
            if error.is_disk_full() {
                Failure::Dropped(error)
            } else {
                Failure::Fatal(error)
            }
        })?;
        self.register.newest = ordinal;
        Ok(())
    }

    /// Goes on in a fresh file with room for a group of `bytes`.
    fn next_file(&mut self, bytes: u64) -> Result<()> {
        let header = Header {
            ordinal: self.current.header.ordinal + 1,
            epoch: first_epoch(&*self.vfs, self.current.header.epoch),
            first_group: self.next_group,
            first_sequence: self.synced.next(),
        };
        let file = self.files.join(&header, bytes)?;
        let next = CurrentFile::new(file, header, HEADER_BYTES)?;
        let past = std::mem::replace(&mut self.current, next);
        self.past.push_back(PastFile {
            path: past.file.path().clone(),
            file_bytes: past.file_bytes,
            last: self.synced,
        });
        Ok(())
    }

    fn check_usable(&self) -> Result<()> {
        match self.failed {
            None => Ok(()),
            Some(op) => Err(Error::Closed(format!(
                "write-ahead log is closed since an earlier {op} failed; restart the server"
            ))),
        }
    }

    /// Closes the log unless it can go on after `error`.
    fn settle<T>(&mut self, error: Error) -> Result<T> {
        if is_survivable(&error) {
            return Err(error);
        }
        Err(self.fail(error))
    }

    fn fail(&mut self, error: Error) -> Error {
        let op = match &error {
            Error::Io { op, .. } => op,
            _ => "operation",
        };
        tracing::error!(%error, "write-ahead log is closed");
        self.failed = Some(op);
        error
    }
}

/// The epoch of a file that comes into use after one of `epoch`. It grows; it also follows the
/// clock where that runs ahead, so that nobody who writes rows can guess it and have a payload look
/// like a frame.
fn first_epoch(vfs: &dyn Vfs, epoch: u64) -> u64 {
    let now = u64::try_from(vfs.now()).unwrap_or(0);
    now.max(epoch + 1)
}

/// The file that was noted last is there, or a later one.
fn check_newest(dir: &Path, ordinals: &[u64], noted: u64) -> Result<()> {
    if ordinals.last().copied().unwrap_or(0) >= noted {
        return Ok(());
    }
    let gone = files::log_path(dir, noted);
    Err(Error::corrupt(gone, 0, "this file of the log is missing"))
}

/// A log is only ever absent before the first transaction.
fn check_absent(dir: &Path, after: Sequence) -> Result<()> {
    if after == Sequence(0) {
        return Ok(());
    }
    let reason = format!("the write-ahead log has no files, and {after} is sealed");
    Err(Error::corrupt(dir, 0, reason))
}

#[cfg(test)]
mod tests;
