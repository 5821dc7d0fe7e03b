//! The group buffer: transactions that wait for the next sync.
//!
//! ```text
//! | transaction | transaction | … | zeros to a multiple of 4096 |
//! transaction = frame* Commit-frame, all of one sequence
//! ```
//!
//! Epoch and group are stamped on the frames when the group is written, since only then it is
//! known which file has room for it. The frame with the flag `last` is the group's last Commit.

use super::frame::{self, FLAG_LAST, FRAME_HEADER, Frame, FrameKind, TALLY_BYTES, Tally};
use super::{BLOCK, round_up};
use crate::{Sequence, TableId};

/// A buffer that grew beyond this for one group is given back after it.
const BUFFER_BYTES_KEPT_MAX: usize = 16 << 20;

/// Transactions to be written and synced at once.
#[derive(Debug, Default)]
pub(super) struct Group {
    buffer: Vec<u8>,
    last_commit: usize,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The bytes it will take in a file.
    pub(super) fn padded_bytes(&self) -> u64 {
        round_up(self.buffer.len() as u64)
    }

    /// Adds a transaction.
    pub(super) fn push(&mut self, sequence: Sequence, frames: &[Frame]) {
        let bytes: usize = frames.iter().map(Frame::size).sum();
        self.buffer.reserve(bytes + FRAME_HEADER + TALLY_BYTES);
        for frame in frames {
            frame.write(sequence.0, &mut self.buffer);
        }
        self.last_commit = self.buffer.len();
        let commit = Frame {
            kind: FrameKind::Commit,
            table: TableId(0),
            schema_version: 0,
            payload: bytes::Bytes::from_static(&[0; TALLY_BYTES]),
        };
        commit.write(sequence.0, &mut self.buffer);
    }

    /// Stamps all frames and pads the group; what it answers goes to the file as it is.
    pub(super) fn seal(&mut self, epoch: u64, group: u64) -> &[u8] {
        let mut tally = Tally::default();
        let mut at = 0;
        while at < self.buffer.len() {
            let end = at + frame::size_at(&self.buffer[at..]);
            let bytes = &mut self.buffer[at..end];
            let flags = if at == self.last_commit { FLAG_LAST } else { 0 };
            if frame::is_commit(bytes) {
                bytes[FRAME_HEADER..].copy_from_slice(&tally.finish());
                frame::stamp(bytes, epoch, group, flags);
            } else {
                frame::stamp(bytes, epoch, group, flags);
                tally.add(bytes);
            }
            at = end;
        }
        let padding = self.padded_bytes() as usize - self.buffer.len();
        self.buffer
            .extend_from_slice(&[0; BLOCK as usize][..padding]);
        &self.buffer
    }

    /// Forgets all transactions.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.last_commit = 0;
        if self.buffer.capacity() > BUFFER_BYTES_KEPT_MAX {
            self.buffer = Vec::new();
        }
    }
}
