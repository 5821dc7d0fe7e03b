//! Reads the groups of one log file, and tells a torn tail from damage.
//!
//! A file is walked group by group: each begins at a multiple of 4096 and ends with the frame
//! flagged `last`. The walk stops at the first place where the expected frame is not. If that is
//! in the newest file, it is a *torn tail* as long as no valid frame of the file's epoch with a
//! later group begins at any multiple of 4096 behind it: a group is written only after the one
//! before it was synced, so a later group proves that the missing frame was acknowledged. Frames of
//! the same group may well follow the hole, since the sectors of an unsynced write reach the disk
//! in any order.
//!
//! Frames that validate but cannot follow each other are damage wherever they stand.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::frame::{self, Absent, Frame, FrameKind, Tally};
use super::header::{HEADER_BYTES, Header};
use super::{BLOCK, round_up};
use crate::vfs::Vfs;
use crate::{Error, Result, Sequence};

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) group: u64,
    pub(super) sequence: Sequence,
}

/// Receives committed transactions.
pub(super) type Visit<'a> = &'a mut dyn FnMut(Sequence, Vec<Frame>) -> Result<()>;

/// A file in memory.
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) bytes: Bytes,
}

/// The group with the last committed transaction of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastGroup {
    pub(super) start: usize,
    /// Where its last Commit frame begins and ends.
    pub(super) commit: usize,
    pub(super) end: usize,
}

/// Where and why the walk through a file stopped.
#[derive(Debug)]
pub(super) struct Stop {
    /// What was expected there.
    pub(super) next: Position,
    pub(super) offset: usize,
    pub(super) reason: String,
    /// Whether the stop is where a group would begin, everything before it being whole.
    pub(super) between_groups: bool,
    /// Whether this cannot be a torn tail.
    pub(super) damaged: bool,
    /// A later group that was found behind the stop: its offset and what follows from it.
    pub(super) later: Option<(usize, Position)>,
    pub(super) last_group: Option<LastGroup>,
}

impl Stop {
    /// The damage at the stop.
    pub(super) fn error(&self, path: &Path) -> Error {
        Error::corrupt(path, self.offset as u64, self.reason.clone())
    }
}

/// Reads and verifies the header of the log's file `ordinal`.
pub(super) fn read_header(vfs: &dyn Vfs, path: &Path, ordinal: u64) -> Result<Header> {
    let mut block = vec![0; HEADER_BYTES as usize];
    let read = vfs.open(path)?.read_at(0, &mut block)?;
    Header::decode(&block[..read], path, ordinal)
}

impl LogFile {
    /// Reads a whole file, so that payloads are slices of it and are not copied.
    pub(super) fn read(vfs: &dyn Vfs, path: PathBuf, header: Header) -> Result<LogFile> {
        let file = vfs.open(&path)?;
        let mut bytes = vec![0; file.len()? as usize];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        let bytes = Bytes::from(bytes);
        Ok(LogFile {
            path,
            header,
            bytes,
        })
    }

    /// Walks groups from `offset`, where `next` is expected, and hands every transaction later than
    /// `after` to `visit`. Fails only where `visit` does.
    pub(super) fn walk(
        &self,
        offset: usize,
        next: Position,
        after: Sequence,
        visit: Visit<'_>,
    ) -> Result<Stop> {
        let mut walk = Walk {
            file: self,
            next,
            last_group: None,
        };
        let mut start = offset;
        loop {
            match walk.group(start, after, visit)? {
                Ok(end) => {
                    walk.next.group += 1;
                    start = round_up(end as u64) as usize;
                }
                Err((offset, absent)) => return Ok(walk.stop(start, offset, absent)),
            }
        }
    }

    /// The first group after `group` that begins at or behind `offset`.
    fn later_group(&self, offset: usize, group: u64) -> Option<(usize, Position)> {
        let mut at = round_up(offset as u64) as usize;
        while at < self.bytes.len() {
            if let Ok(found) = frame::find(&self.bytes, at, self.header.epoch)
                && found.group > group
            {
                let next = Position {
                    group: found.group,
                    sequence: Sequence(found.sequence),
                };
                return Some((at, next));
            }
            at += BLOCK as usize;
        }
        None
    }
}

struct Walk<'a> {
    file: &'a LogFile,
    next: Position,
    last_group: Option<LastGroup>,
}

impl Walk<'_> {
    /// Reads one group. Answers where it ends, or where and why it does not go on.
    fn group(
        &mut self,
        start: usize,
        after: Sequence,
        visit: Visit<'_>,
    ) -> Result<std::result::Result<usize, (usize, Absent)>> {
        let mut frames = Vec::new();
        let mut tally = Tally::default();
        let mut at = start;
        loop {
            let found = match self.expect(at) {
                Ok(found) => found,
                Err(absent) => return Ok(Err((at, absent))),
            };
            if found.frame.kind != FrameKind::Commit {
                tally.add(&self.file.bytes[at..found.end]);
                frames.push(found.frame);
                if found.last {
                    let reason = "a group ends within a transaction".to_string();
                    return Ok(Err((at, Absent::Nonsense(reason))));
                }
                at = found.end;
                continue;
            }
            if found.frame.payload[..] != tally.finish() {
                let reason = "a commit does not match the frames before it".to_string();
                return Ok(Err((at, Absent::Nonsense(reason))));
            }
            let frames = std::mem::take(&mut frames);
            if self.next.sequence > after {
                visit(self.next.sequence, frames)?;
            }
            self.next.sequence = self.next.sequence.next();
            self.last_group = Some(LastGroup {
                start,
                commit: at,
                end: found.end,
            });
            if found.last {
                return Ok(Ok(found.end));
            }
            at = found.end;
        }
    }

    /// The frame at `at`, if it may stand there.
    fn expect(&self, at: usize) -> std::result::Result<frame::Found, Absent> {
        let found = frame::find(&self.file.bytes, at, self.file.header.epoch)?;
        let Position { group, sequence } = self.next;
        if found.group != group {
            return Err(Absent::Invalid(format!(
                "a frame of group {} stands where group {group} goes on",
                found.group
            )));
        }
        if found.sequence != sequence.0 {
            return Err(Absent::Nonsense(format!(
                "a frame of sequence {} stands where {sequence} goes on",
                found.sequence
            )));
        }
        Ok(found)
    }

    fn stop(self, group_start: usize, offset: usize, absent: Absent) -> Stop {
        let later = self.file.later_group(offset, self.next.group);
        // What a torn group has committed counts as a group of its own.
        let kept = self
            .last_group
            .is_some_and(|last| last.start == group_start);
        let next = Position {
            group: self.next.group + u64::from(kept),
            ..self.next
        };
        let (reason, nonsense) = match absent {
            Absent::Invalid(reason) => (reason, false),
            Absent::Nonsense(reason) => (reason, true),
        };
        Stop {
            next,
            offset,
            reason,
            between_groups: offset == group_start,
            damaged: nonsense || later.is_some(),
            later,
            last_group: self.last_group,
        }
    }
}
