//! The file that groups are written to.

use std::sync::Arc;

use super::files::is_survivable;
use super::header::Header;
use crate::vfs::VfsFile;
use crate::{Error, Result};

/// The newest file of the log.
pub(super) struct CurrentFile {
    pub(super) file: Arc<dyn VfsFile>,
    pub(super) header: Header,
    pub(super) file_bytes: u64,
    /// Where the next group goes.
    pub(super) end: u64,
}

/// A group that was not made durable.
pub(super) enum Failure {
    /// No byte of it is left in the log.
    Dropped(Error),
    /// Nobody knows what is on the disk.
    Fatal(Error),
}

impl CurrentFile {
    pub(super) fn new(file: Arc<dyn VfsFile>, header: Header, end: u64) -> Result<CurrentFile> {
        Ok(CurrentFile {
            file_bytes: file.len()?,
            file,
            header,
            end,
        })
    }

    /// Whether a group of `bytes` fits without the file growing.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        bytes <= self.file_bytes.saturating_sub(self.end)
    }

    /// Writes a sealed group and makes it durable.
    pub(super) fn write(&mut self, group: &[u8]) -> std::result::Result<(), Failure> {
        fail::fail_point!("wal.before_write");
        if let Err(error) = self.file.write_at(self.end, group) {
            return Err(self.give_up(error));
        }
        fail::fail_point!("wal.after_write");
        self.file.sync().map_err(Failure::Fatal)?;
        fail::fail_point!("wal.after_sync");
        self.end += group.len() as u64;
        Ok(())
    }

    /// After a group was written in part at most: takes it out of the file for good if the reason
    /// was lack of space.
    ///
    /// Its frames would validate, being of this epoch and of the group number that the next group
    /// will have, and a client is told that they are not there. So the file is cut before them,
    /// durably and before anybody hears of the error; cutting needs no space. The next group then
    /// goes to a fresh file.
    fn give_up(&mut self, error: Error) -> Failure {
        if !is_survivable(&error) {
            return Failure::Fatal(error);
        }
        self.file_bytes = self.end;
        let cut = self.file.set_len(self.end).and_then(|()| self.file.sync());
        match cut {
            Ok(()) => Failure::Dropped(error),
            Err(error) => Failure::Fatal(error),
        }
    }
}
