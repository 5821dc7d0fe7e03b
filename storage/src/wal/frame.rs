//! One record of the log, as bytes.
//!
//! ```text
//! frame, integers little endian, not aligned
//!    0  len             u32   bytes of payload, at most 1 GiB
//!    4  crc32           u32   over every other byte of the frame: [0, 4) and [8, 42 + len)
//!    8  epoch           u64   of the file's present life; a stale frame of an earlier one differs
//!   16  group           u64   counts groups from 1, through all files
//!   24  sequence        u64   of the transaction
//!   32  kind            u8    see FrameKind
//!   33  flags           u8    bit 0: last frame of its group
//!   34  table           u32
//!   38  schema version  u32
//!   42  payload
//!
//! payload of a Commit frame, the last of its transaction
//!    0  frames  u32   the transaction's frames before this one
//!    4  bytes   u64   their total length
//!   12  crc32   u32   over their first 42 bytes each (which hold the payloads' checksums)
//! ```
//!
//! The checksum covers the length too, so that no flipped length finds a match by luck of a shorter
//! body. A frame knows nothing of its neighbours; what may follow what is the reader's business.

use bytes::Bytes;

use crate::{Error, Result, TableId};

/// Bytes of a frame before its payload.
pub(super) const FRAME_HEADER: usize = 42;
/// The longest payload. A batch of rows is a thousandth of it.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 30;
/// The flag on the last frame of a group.
pub(super) const FLAG_LAST: u8 = 1;

/// What a frame says; the number is the byte on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Rows of a table, encoded as columns.
    Block = 1,
    /// Rows of a table that are no more.
    Delete = 2,
    /// Segments that join or leave a table.
    Segments = 3,
    /// A table is created, changed or dropped.
    Table = 5,
    /// A record of the caller's own.
    Record = 6,
    /// The end of a transaction. The log writes it itself.
    Commit = 7,
}

/// One record of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it says.
    pub kind: FrameKind,
    /// The table it is about; 0 where there is none.
    pub table: TableId,
    /// The version of the table's schema that the payload is encoded with.
    pub schema_version: u32,
    /// The record itself; the log does not look inside.
    pub payload: Bytes,
}

/// A frame as it was found in a file, its checksum verified.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) group: u64,
    pub(super) sequence: u64,
    pub(super) last: bool,
    /// Where the next frame begins.
    pub(super) end: usize,
    pub(super) frame: Frame,
}

/// Why there is no frame at an offset.
#[derive(Debug)]
pub(super) enum Absent {
    /// Nothing that a write of this epoch put there in full: zeros, stale bytes, torn bytes.
    Invalid(String),
    /// Its checksum matches, yet its contents make no sense; no tear leaves that behind.
    Nonsense(String),
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<FrameKind> {
        Some(match byte {
            1 => FrameKind::Block,
            2 => FrameKind::Delete,
            3 => FrameKind::Segments,
            5 => FrameKind::Table,
            6 => FrameKind::Record,
            7 => FrameKind::Commit,
            _ => return None,
        })
    }
}

impl Frame {
    /// The bytes it takes in the log.
    pub(super) fn size(&self) -> usize {
        FRAME_HEADER + self.payload.len()
    }

    /// Refuses what the format cannot hold.
    pub(super) fn check(&self) -> Result<()> {
        assert!(
            self.kind != FrameKind::Commit,
            "the log writes commit frames itself"
        );
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "a write-ahead log frame of {} bytes exceeds the limit of {PAYLOAD_BYTES_MAX} bytes",
                self.payload.len()
            )));
        }
        Ok(())
    }

    /// Appends the frame to `out`; [`stamp`] completes it once epoch and group are known.
    pub(super) fn write(&self, sequence: u64, out: &mut Vec<u8>) {
        let len = u32::try_from(self.payload.len()).expect("checked against the limit");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&[0; 20]);
        out.extend_from_slice(&sequence.to_le_bytes());
        out.push(self.kind as u8);
        out.push(0);
        out.extend_from_slice(&self.table.0.to_le_bytes());
        out.extend_from_slice(&self.schema_version.to_le_bytes());
        out.extend_from_slice(&self.payload);
    }
}

/// The cross-check of a transaction: that its frames are all there, and no others.
#[derive(Debug, Default)]
pub(super) struct Tally {
    frames: u32,
    bytes: u64,
    crc: crc32fast::Hasher,
}

/// Bytes of a Commit frame's payload.
pub(super) const TALLY_BYTES: usize = 16;

impl Tally {
    /// Counts a stamped frame.
    pub(super) fn add(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        self.crc.update(&frame[..FRAME_HEADER]);
    }

    /// The payload of the Commit frame; starts over.
    pub(super) fn finish(&mut self) -> [u8; TALLY_BYTES] {
        let Tally { frames, bytes, crc } = std::mem::take(self);
        let mut out = [0; TALLY_BYTES];
        out[..4].copy_from_slice(&frames.to_le_bytes());
        out[4..12].copy_from_slice(&bytes.to_le_bytes());
        out[12..].copy_from_slice(&crc.finalize().to_le_bytes());
        out
    }
}

/// Writes epoch, group, flags and checksum into a frame (header and payload, nothing else).
pub(super) fn stamp(frame: &mut [u8], epoch: u64, group: u64, flags: u8) {
    frame[8..16].copy_from_slice(&epoch.to_le_bytes());
    frame[16..24].copy_from_slice(&group.to_le_bytes());
    frame[33] = flags;
    let crc = checksum(frame);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// The length of the frame at the start of `bytes`, which [`Frame::write`] wrote.
pub(super) fn size_at(bytes: &[u8]) -> usize {
    FRAME_HEADER + u32_at(bytes, 0) as usize
}

/// Whether the frame at the start of `bytes`, which [`Frame::write`] wrote, ends a transaction.
pub(super) fn is_commit(bytes: &[u8]) -> bool {
    bytes[32] == FrameKind::Commit as u8
}

/// The frame of `epoch` at `offset`.
pub(super) fn find(file: &Bytes, offset: usize, epoch: u64) -> std::result::Result<Found, Absent> {
    let Some(rest) = file.get(offset..).filter(|rest| rest.len() >= FRAME_HEADER) else {
        return Err(Absent::Invalid("the file ends within a frame".into()));
    };
    let len = u32_at(rest, 0) as usize;
    let found = u64_at(rest, 8);
    if found != epoch {
        return Err(Absent::Invalid(format!(
            "no frame of epoch {epoch} (found {found})"
        )));
    }
    if len > PAYLOAD_BYTES_MAX || len > rest.len() - FRAME_HEADER {
        return Err(Absent::Invalid(format!(
            "a frame of {len} bytes reaches past the end of the file"
        )));
    }
    let bytes = &rest[..FRAME_HEADER + len];
    let (stored, computed) = (u32_at(bytes, 4), checksum(bytes));
    if stored != computed {
        return Err(Absent::Invalid(format!(
            "frame checksum is {computed:08x}, {stored:08x} was expected"
        )));
    }
    let Some(kind) = FrameKind::from_byte(bytes[32]) else {
        return Err(Absent::Nonsense(format!(
            "unknown frame kind {}",
            bytes[32]
        )));
    };
    Ok(Found {
        group: u64_at(bytes, 16),
        sequence: u64_at(bytes, 24),
        last: bytes[33] & FLAG_LAST != 0,
        end: offset + bytes.len(),
        frame: Frame {
            kind,
            table: TableId(u32_at(bytes, 34)),
            schema_version: u32_at(bytes, 38),
            payload: file.slice(offset + FRAME_HEADER..offset + bytes.len()),
        },
    })
}

fn checksum(frame: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&frame[..4]);
    crc.update(&frame[8..]);
    crc.finalize()
}

/// The integer at `at`; the caller has checked the length.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The integer at `at`; the caller has checked the length.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
