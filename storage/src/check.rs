//! Reads everything in a data directory and says what does not hold. Nothing is changed.
//!
//! Checked are every frame of the log, every record of the manifest, and of every segment that a
//! column of every pack opens (checksum), decodes, has the rows and stays within the bounds that
//! the manifest gives, and that rows ascend within and across packs.

use std::path::Path;
use std::sync::Arc;

use crate::change::Change;
use crate::compaction::read_pack;
use crate::engine::lock;
use crate::manifest;
use crate::rocks::Store;
use crate::segment::SegmentHome;
use crate::segment::cache::ColumnCache;
use crate::segment::stats::ZoneMap;
use crate::sort::RowOrder;
use crate::state::{SegmentRun, State, TableState};
use crate::vfs::Vfs;
use crate::wal::Wal;
use crate::{Error, Result};

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Tables in the manifest.
    pub tables: usize,
    /// Segments read.
    pub segments: usize,
    /// Column values read.
    pub values: u64,
    /// Rows in segments, deleted ones included.
    pub rows: u64,
    /// Commits in the log that are not sealed.
    pub commits: u64,
    /// Segment files that nothing names; the next start removes them.
    pub orphans: usize,
    /// What does not hold.
    pub damage: Vec<Error>,
}

/// Checks a data directory that no server uses. `progress` hears of each segment: done, all.
///
/// # Errors
/// Only when the check itself cannot go on; damage is in the report.
pub fn check(
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Report> {
    if !dir.join("rocks").is_dir() {
        return Err(Error::Invalid(format!(
            "{} is no data directory",
            dir.display()
        )));
    }
    let _lock = lock(dir)?;
    let mut report = Report::default();
    let (reaper, _reaped) = std::sync::mpsc::channel();
    let store = Arc::new(Store::open(&dir.join("rocks"), &dir.join("staging"))?);
    let home = Arc::new(SegmentHome {
        store,
        cache: ColumnCache::new(0),
        reaper,
    });
    let (checkpoint, state) = match manifest::load(&home.store, &home) {
        Ok(loaded) => loaded,
        Err(e) => {
            report.damage.push(e);
            return Ok(report);
        }
    };
    report.tables = state.tables.len();
    let logged = check_log(vfs, dir, &checkpoint, &state, &home, &mut report);
    let all: usize = state.tables.values().map(|t| t.segments.len()).sum();
    let mut done = 0;
    for table in state.tables.values() {
        for run in &table.segments {
            check_segment(table, run, &mut report);
            done += 1;
            progress(done, all);
        }
    }
    let named = |key: &crate::rocks::keys::SegmentKey| {
        let table = state.tables.get(&key.table);
        logged.contains(&key.segment)
            || table.is_some_and(|t| t.segments.iter().any(|r| r.segment.meta.id == key.segment))
    };
    report.orphans = home
        .store
        .segments()?
        .iter()
        .filter(|key| !named(key))
        .count();
    Ok(report)
}

/// Reads the log; returns the segments that it names.
fn check_log(
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    checkpoint: &manifest::Checkpoint,
    state: &State,
    home: &Arc<SegmentHome>,
    report: &mut Report,
) -> Vec<crate::SegmentId> {
    let wal_dir = dir.join("wal");
    let mut commits = 0;
    let mut named = Vec::new();
    let mut state = state.clone();
    let mut last = crate::Sequence(0);
    let sealed = checkpoint.sealed;
    let fit = crate::change::Fit::Replay {
        applied: checkpoint.applied,
        sealed,
    };
    let damage = Wal::check(vfs.as_ref(), &wal_dir, sealed, &mut |sequence, frames| {
        let damaged =
            |reason: String| Error::corrupt(&wal_dir, 0, format!("commit {sequence}: {reason}"));
        let change =
            Change::from_frames(frames, &state, home, sequence <= sealed).map_err(damaged)?;
        named.extend(
            change
                .rows
                .values()
                .flat_map(|r| &r.segments)
                .map(|s| s.meta.id),
        );
        state = change
            .apply(&state, sequence, fit)
            .map_err(|e| damaged(e.to_string()))?;
        commits += 1;
        last = sequence;
        Ok(())
    });
    report.commits = commits;
    report.damage.extend(damage);
    if last.max(sealed) < checkpoint.applied {
        let reason = format!(
            "the log ends at commit {last} but the manifest has {}",
            checkpoint.applied
        );
        report.damage.push(Error::corrupt(wal_dir, 0, reason));
    }
    named
}

fn check_segment(table: &TableState, run: &SegmentRun, report: &mut Report) {
    let meta = &run.segment.meta;
    report.segments += 1;
    report.rows += u64::from(meta.rows());
    let whole = SegmentRun {
        deleted: None,
        ..run.clone()
    };
    let order = RowOrder::new(&table.def, table.def.sort_columns());
    let mut last_key = None;
    for (number, pack) in (0u32..).zip(&meta.packs) {
        report.values += meta.column_ids.len() as u64;
        let rows = match read_pack(&table.def, &whole, number) {
            Ok(rows) => rows,
            Err(e) => {
                report.damage.push(e);
                last_key = None;
                continue;
            }
        };
        for (column, id) in rows.columns().iter().zip(&table.def.column_ids) {
            let Some(index) = meta.column_index(*id) else {
                continue;
            };
            if ZoneMap::of(column.as_ref()) != pack.zones[index] {
                let path = meta.key().path(*id, number);
                report.damage.push(Error::corrupt(
                    path,
                    0,
                    "values lie outside what the manifest says",
                ));
            }
        }
        let Ok(order) = &order else { continue };
        let Ok(keys) = order.keys(&rows) else {
            continue;
        };
        if table.def.sort_columns().is_empty() {
            continue;
        }
        let ascends = (1..keys.num_rows()).all(|row| keys.row(row - 1) <= keys.row(row));
        let follows = last_key
            .as_ref()
            .is_none_or(|last: &arrow::row::OwnedRow| last.row() <= keys.row(0));
        if !ascends || !follows {
            report.damage.push(Error::corrupt(
                meta.key().path(0, number),
                0,
                "rows are out of order",
            ));
        }
        last_key = keys
            .num_rows()
            .checked_sub(1)
            .map(|row| keys.row(row).owned());
    }
}
