//! Reads everything in a data directory and says what does not hold. Not a byte on the disk changes.
//!
//! Checked are every frame of the log, every record of the manifest, and of every segment that
//! either names that a column of every pack opens (checksum), decodes, has the rows and stays
//! within the bounds of its description, and that rows ascend within and across packs.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::change::{Change, Fit};
use crate::compaction::read_pack;
use crate::engine::in_use;
use crate::manifest::{self, Manifest};
use crate::rocks::Store;
use crate::segment::SegmentHome;
use crate::segment::cache::ColumnCache;
use crate::segment::stats::ZoneMap;
use crate::sort::RowOrder;
use crate::state::{SegmentRun, State, TableState};
use crate::vfs::Vfs;
use crate::wal::Wal;
use crate::{Error, Result, SegmentId, Sequence};

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Tables, as of the end of the log.
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
    let store = Store::open_for_reading(&dir.join("rocks"), &dir.join("staging"))?;
    let home = Arc::new(SegmentHome {
        store: Arc::new(store),
        cache: ColumnCache::new(0),
        reaper,
    });
    let manifest = match manifest::load(&home.store, &home) {
        Ok(loaded) => loaded,
        Err(e) => {
            report.damage.push(e);
            return Ok(report);
        }
    };
    let mut named = Named::default();
    named.add(&manifest.state);
    let state = check_log(vfs, dir, &manifest, &home, &mut named, &mut report);
    report.tables = state.tables.len();
    let all = named.0.len();
    for (done, (table, run)) in named.0.values().enumerate() {
        check_segment(table, run, &mut report);
        progress(done + 1, all);
    }
    let files = home.store.segments()?;
    let orphans = files
        .iter()
        .filter(|key| !named.0.contains_key(&key.segment));
    report.orphans = orphans.count();
    Ok(report)
}

/// Segments that the manifest or a commit in the log names, whether or not a later commit drops
/// them again.
#[derive(Default)]
struct Named(BTreeMap<SegmentId, (Arc<TableState>, SegmentRun)>);

impl Named {
    fn add(&mut self, state: &State) {
        for table in state.tables.values() {
            for run in &table.segments {
                let named = (table.clone(), run.clone());
                self.0.insert(run.segment.meta.id, named);
            }
        }
    }

    /// The segments that came with a commit, which `state` is the state after.
    fn add_new(&mut self, change: &Change, state: &State) {
        for (id, rows) in &change.rows {
            let Some(table) = state.table(*id) else {
                continue;
            };
            for run in &table.segments {
                if rows.segments.iter().any(|s| Arc::ptr_eq(s, &run.segment)) {
                    let named = (table.clone(), run.clone());
                    self.0.insert(run.segment.meta.id, named);
                }
            }
        }
    }
}

/// Takes the directory so that no server starts meanwhile; one that never had a server, or a copy,
/// has no file to take.
fn lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join("lock");
    let file = match File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(Error::io("open", &path))?,
    };
    file.try_lock().map_err(|e| in_use(dir, e))?;
    Ok(Some(file))
}

/// Reads the log, notes the segments that it names, and answers the state at its end.
fn check_log(
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    manifest: &Manifest,
    home: &Arc<SegmentHome>,
    named: &mut Named,
    report: &mut Report,
) -> State {
    let wal_dir = dir.join("wal");
    let mut state = manifest.state.clone();
    let mut last = Sequence(0);
    let (sealed, applied) = (manifest.checkpoint.sealed, manifest.checkpoint.applied);
    let mut visit = |sequence, frames| {
        let damaged =
            |reason: String| Error::corrupt(&wal_dir, 0, format!("commit {sequence}: {reason}"));
        let change = Change::from_frames(frames, &state, home).map_err(damaged)?;
        state = change
            .apply(&state, sequence, Fit::Replay { applied, sealed })
            .map_err(|e| damaged(e.to_string()))?;
        // Up to `applied` the manifest has them, or what they were merged into.
        if sequence > applied {
            named.add_new(&change, &state);
        }
        report.commits += 1;
        last = sequence;
        Ok(())
    };
    let newest = manifest.log_file;
    let damage = Wal::check(vfs.as_ref(), &wal_dir, sealed, newest, &mut visit);
    report.damage.extend(damage);
    if last.max(sealed) < applied {
        let reason = format!("the log ends at commit {last} but the manifest has {applied}");
        report.damage.push(Error::corrupt(wal_dir, 0, reason));
    }
    state
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
