//! Reads the whole log: replays it, or checks it.
//!
//! ```text
//!            file 1             file 2           newest file
//! groups   | 1 2 3 |          | 4 5 |          | 6 7 8 (torn) |
//!          first group 1      first group 4    first group 6
//! ```
//!
//! Every file but the newest must end exactly where the next one's header says that it begins; the
//! newest may end in a torn group. Transactions up to `after` are verified and not handed on.
//! Neither may the log begin later than `after + 1` nor end before `after`: what is sealed was once
//! synced here.

use std::path::{Path, PathBuf};

use super::files::log_path;
use super::header::{HEADER_BYTES, Header};
use super::reader::{LogFile, Position, Stop, Visit, read_header};
use crate::vfs::Vfs;
use crate::{Error, Result, Sequence};

/// A file that was read to its end.
pub(super) struct Past {
    pub(super) path: PathBuf,
    pub(super) file_bytes: u64,
    /// The last transaction in it, or before it.
    pub(super) last: Sequence,
}

/// The log as it was found.
pub(super) struct Recovered {
    pub(super) past: Vec<Past>,
    pub(super) newest: LogFile,
    pub(super) stop: Stop,
}

/// What to do about damage: fail with it, or note it and go on.
type Damage<'a> = &'a mut dyn FnMut(Error) -> Result<()>;

/// Reads the files `ordinals` (ascending, at least one) of the log in `dir`. Answers `None` only if
/// the newest file cannot be read and `damage` lets that pass.
pub(super) fn recover(
    vfs: &dyn Vfs,
    dir: &Path,
    ordinals: &[u64],
    after: Sequence,
    visit: Visit<'_>,
    damage: Damage<'_>,
) -> Result<Option<Recovered>> {
    let headers = read_headers(vfs, dir, ordinals, damage)?;
    let mut past = Vec::new();
    let mut expected: Option<Position> = None;
    for (index, (path, header)) in headers.iter().enumerate() {
        let Some(header) = header else {
            expected = None;
            continue;
        };
        let first = Position {
            group: header.first_group,
            sequence: header.first_sequence,
        };
        if index == 0 && first.sequence > after.next() {
            damage(missing(path, after.next(), first.sequence))?;
        }
        if let Some(expected) = expected.filter(|expected| *expected != first) {
            damage(if expected.sequence < first.sequence {
                missing(path, expected.sequence, first.sequence)
            } else {
                let reason = format!(
                    "the file begins with sequence {}, and the one before it ends before {}",
                    first.sequence, expected.sequence
                );
                Error::corrupt(path, 0, reason)
            })?;
        }
        let file = match LogFile::read(vfs, path.clone(), *header) {
            Ok(file) => file,
            Err(error) => {
                damage(error)?;
                expected = None;
                continue;
            }
        };
        let following = headers.get(index + 1);
        // A file that is missing in between has been reported, and takes the blame.
        let adjacent = |follows: &Header| follows.ordinal == header.ordinal + 1;
        let follows = following.and_then(|(_, header)| *header).filter(adjacent);
        let newest = following.is_none();
        let stop = read_groups(&file, first, follows, newest, after, visit, damage)?;
        // A file that stopped short has been reported; the next one is not blamed for it.
        let whole = stop.between_groups && !stop.damaged;
        expected = whole.then_some(stop.next);
        let last = Sequence(stop.next.sequence.0 - 1);
        if newest {
            if last < after {
                let reason = format!(
                    "the log ends with sequence {last}, and {after} is sealed: {}",
                    stop.reason
                );
                damage(Error::corrupt(path, stop.offset as u64, reason))?;
            }
            return Ok(Some(Recovered {
                past,
                newest: file,
                stop,
            }));
        }
        past.push(Past {
            path: path.clone(),
            file_bytes: file.bytes.len() as u64,
            last,
        });
    }
    Ok(None)
}

/// Reads all headers first: each tells how far the file before it must reach.
fn read_headers(
    vfs: &dyn Vfs,
    dir: &Path,
    ordinals: &[u64],
    damage: Damage<'_>,
) -> Result<Vec<(PathBuf, Option<Header>)>> {
    let mut headers = Vec::new();
    let mut before: Option<(u64, u64)> = None;
    for &ordinal in ordinals {
        let path = log_path(dir, ordinal);
        let header = match read_header(vfs, &path, ordinal) {
            Ok(header) => Some(header),
            Err(error) => {
                damage(error)?;
                None
            }
        };
        if let Some((before, epoch)) = before {
            if ordinal != before + 1 {
                let gone = log_path(dir, before + 1);
                damage(Error::corrupt(gone, 0, "this file of the log is missing"))?;
            }
            if header.is_some_and(|header| header.epoch <= epoch) {
                let reason = format!("the epoch is not later than {epoch}, the one before it");
                damage(Error::corrupt(&path, 0, reason))?;
            }
        }
        let epoch = header.map_or(before.map_or(0, |(_, epoch)| epoch), |h| h.epoch);
        before = Some((ordinal, epoch));
        headers.push((path, header));
    }
    Ok(headers)
}

/// Walks one file, and past damage if `damage` lets it pass.
fn read_groups(
    file: &LogFile,
    first: Position,
    follows: Option<Header>,
    newest: bool,
    after: Sequence,
    visit: Visit<'_>,
    damage: Damage<'_>,
) -> Result<Stop> {
    let mut stop = file.walk(HEADER_BYTES as usize, first, after, visit)?;
    while let Some((offset, next)) = stop.later {
        damage(stop.error(&file.path))?;
        stop = file.walk(offset, next, after, visit)?;
    }
    // In an older file every transaction up to the next file's first was synced.
    let short = follows.is_some_and(|header| stop.next.sequence < header.first_sequence);
    if stop.damaged || short || !newest && !stop.between_groups {
        damage(stop.error(&file.path))?;
        stop.damaged = true;
    }
    Ok(stop)
}

fn missing(path: &Path, from: Sequence, until: Sequence) -> Error {
    let last = until.0 - 1;
    Error::corrupt(
        path,
        0,
        format!("sequences {from} to {last} are missing before this file"),
    )
}
