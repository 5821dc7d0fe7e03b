//! Makes the newest file of a log ready for the next group, after it was read.
//!
//! ```text
//! before  | header | group | group (torn: commit, half a transaction, holes) | stale bytes |
//! after   | header | group | group (its whole transactions, last flag set)   | zeros       |
//! ```
//!
//! Three things are made durable before anything else is written:
//!
//! - The last group is written again as it is. After a process was killed, or its sync failed, the
//!   group may stand in the page cache only, and after a failed sync the pages count as clean: a
//!   mere sync would do nothing.
//! - Everything behind it becomes zeros. Pieces of a torn group have the epoch and the number that
//!   the next group will have; they must be gone before it is written.
//! - The file's name: the process may have ended between its rename and the directory's sync.
//!
//! The log then goes on in the same file: a start needs no space on a full disk, and many starts
//! in a row do not fill it. All of it may be cut short by a crash at any point and done again: what
//! is overwritten was never acknowledged, and groups before the last are not touched.

use std::path::Path;
use std::sync::Arc;

use super::files::{is_survivable, write_zeros};
use super::frame::{self, FLAG_LAST};
use super::header::HEADER_BYTES;
use super::reader::{LogFile, Stop};
use super::round_up;
use crate::Result;
use crate::vfs::{Vfs, VfsFile};

/// Repairs `newest`, which ended as `stop` says. Answers it and where the next group goes.
pub(super) fn repair(
    vfs: &dyn Vfs,
    dir: &Path,
    newest: &LogFile,
    stop: &Stop,
) -> Result<(Arc<dyn VfsFile>, u64)> {
    assert!(!stop.damaged, "a damaged file is not repaired");
    let file = vfs.open(&newest.path)?;
    let mut end = HEADER_BYTES;
    if !stop.between_groups {
        tracing::info!(
            file = %newest.path.display(),
            offset = stop.offset,
            reason = stop.reason,
            "torn group at the end of the write-ahead log: dropped what was never acknowledged"
        );
    }
    if let Some(last) = stop.last_group {
        let mut group = newest.bytes[last.start..last.end].to_vec();
        let commit = &mut group[last.commit - last.start..];
        frame::stamp(
            commit,
            newest.header.epoch,
            frame::u64_at(commit, 16),
            FLAG_LAST,
        );
        group.resize(round_up(group.len() as u64) as usize, 0);
        file.write_at(last.start as u64, &group)?;
        end = last.start as u64 + group.len() as u64;
    }
    let len = newest.bytes.len() as u64;
    if let Err(error) = write_zeros(&*file, end, len.saturating_sub(end)) {
        // A file with holes on a full disk. Without its tail it serves as well.
        if !is_survivable(&error) {
            return Err(error);
        }
        file.set_len(end)?;
    }
    file.sync()?;
    vfs.sync_dir(dir)?;
    Ok((file, end))
}
