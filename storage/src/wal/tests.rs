//! The log against a disk that misbehaves. Every transaction's frames follow from its sequence and a
//! salt, so that a replay can be compared with what was appended, and two attempts at the same
//! sequence told apart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;

use super::*;
use crate::TableId;
use crate::vfs::FaultVfs;

mod crash;
mod damage;
mod faults;
mod forged;
mod format;
mod replay;

const DIR: &str = "/data/wal";

/// A transaction as it is replayed.
type Transaction = (Sequence, Vec<Frame>);

fn options() -> WalOptions {
    WalOptions {
        file_bytes: 16 << 10,
        files_kept_max: 2,
    }
}

/// No frames at all, one small one, several, one of a few blocks: by turns.
fn frames(sequence: u64, salt: u64) -> Vec<Frame> {
    const KINDS: [FrameKind; 5] = [
        FrameKind::Block,
        FrameKind::Delete,
        FrameKind::Segments,
        FrameKind::Table,
        FrameKind::Record,
    ];
    let lengths: &[usize] = match sequence % 6 {
        0 => &[],
        1 => &[5],
        2 => &[0, 300, 80],
        3 => &[700],
        4 => &[1500, 1, 1500],
        _ => &[5000],
    };
    let frame = |(index, length): (usize, &usize)| Frame {
        kind: KINDS[(sequence as usize + index) % KINDS.len()],
        table: TableId(index as u32),
        schema_version: salt as u32,
        payload: payload(sequence * 7 + salt * 13, *length),
    };
    lengths.iter().enumerate().map(frame).collect()
}

/// A pattern whose length is no part of a sector's.
fn payload(seed: u64, length: usize) -> Bytes {
    let pattern = [0, 1, 2, 3, 4, 5, 6].map(|at| (seed + at) as u8);
    let mut bytes = pattern.repeat(length / pattern.len() + 1);
    bytes.truncate(length);
    Bytes::from(bytes)
}

fn transaction(sequence: u64, salt: u64) -> Transaction {
    (Sequence(sequence), frames(sequence, salt))
}

/// Transactions `range` with salt 0.
fn transactions(range: std::ops::RangeInclusive<u64>) -> Vec<Transaction> {
    range.map(|sequence| transaction(sequence, 0)).collect()
}

fn open(vfs: &FaultVfs, after: u64) -> Result<(Wal, Vec<Transaction>)> {
    open_with(vfs, options(), after)
}

fn open_with(vfs: &FaultVfs, options: WalOptions, after: u64) -> Result<(Wal, Vec<Transaction>)> {
    open_noting(vfs, options, after, &Noted::default())
}

/// The number of the newest file, as it survives any crash.
type Noted = Arc<AtomicU64>;

fn register(noted: &Noted) -> Register {
    let note = noted.clone();
    Register {
        newest: noted.load(Relaxed),
        note: Box::new(move |ordinal| {
            note.store(ordinal, Relaxed);
            Ok(())
        }),
    }
}

fn open_noting(
    vfs: &FaultVfs,
    options: WalOptions,
    after: u64,
    noted: &Noted,
) -> Result<(Wal, Vec<Transaction>)> {
    let mut replayed = Vec::new();
    let wal = Wal::open(
        Arc::new(vfs.clone()),
        Path::new(DIR),
        options,
        Sequence(after),
        register(noted),
        &mut |sequence, frames| {
            replayed.push((sequence, frames));
            Ok(())
        },
    )?;
    Ok((wal, replayed))
}

fn check(vfs: &FaultVfs, after: u64) -> (Vec<Error>, Vec<Transaction>) {
    let mut visited = Vec::new();
    let damage = Wal::check(
        vfs,
        Path::new(DIR),
        Sequence(after),
        0,
        &mut |sequence, frames| {
            visited.push((sequence, frames));
            Ok(())
        },
    );
    (damage, visited)
}

/// Appends the next `count` transactions and syncs them as one group.
fn commit(wal: &mut Wal, count: u64, salt: u64) -> Result<()> {
    for _ in 0..count {
        let sequence = wal.last_sequence().next();
        wal.append(sequence, &frames(sequence.0, salt))?;
    }
    wal.sync()
}

fn log_file(ordinal: u64) -> PathBuf {
    files::log_path(Path::new(DIR), ordinal)
}

fn names(vfs: &FaultVfs) -> Vec<String> {
    vfs.list(Path::new(DIR)).unwrap_or_default()
}

/// A log of these groups, all of salt 0, and its transactions.
fn log_of(groups: &[u64], file_bytes: u64) -> (FaultVfs, Vec<Transaction>) {
    let vfs = FaultVfs::new(1);
    let options = WalOptions {
        file_bytes,
        files_kept_max: 0,
    };
    let (mut wal, _) = open_with(&vfs, options, 0).unwrap();
    for count in groups {
        commit(&mut wal, *count, 0).unwrap();
    }
    let last = wal.last_sequence().0;
    (vfs, transactions(1..=last))
}

/// Five groups in three files: 1 to 3 and 4, 5 to 6, 7 and 8 to 9.
fn three_files() -> (FaultVfs, Vec<Transaction>) {
    let log = log_of(&[3, 1, 2, 1, 2], 12 << 10);
    let three = [1, 2, 3].map(|ordinal| format!("wal-{ordinal:010}.log"));
    assert_eq!(names(&log.0), three);
    log
}
