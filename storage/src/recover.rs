//! The start: from the manifest and the log to the newest state.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use tracing::info;

use crate::change::{Change, Fit};
use crate::manifest::{self, Checkpoint, Manifest};
use crate::rocks::keys::SegmentKey;
use crate::segment::SegmentHome;
use crate::state::State;
use crate::vfs::Vfs;
use crate::wal::{Register, Wal, WalOptions};
use crate::{Error, Options, Result};

/// What a start found.
pub(crate) struct Recovered {
    /// How far the manifest goes, and the numbers that are used up.
    pub(crate) checkpoint: Checkpoint,
    /// What the manifest holds.
    pub(crate) persisted: State,
    /// The same with the log on top.
    pub(crate) state: State,
    /// The log, ready to be appended to.
    pub(crate) wal: Wal,
}

/// Reads the manifest, replays the log, and removes what neither names.
pub(crate) fn recover(
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    options: &Options,
    home: &Arc<SegmentHome>,
) -> Result<Recovered> {
    let Manifest {
        mut checkpoint,
        state: persisted,
        log_file,
    } = manifest::load(&home.store, home)?;
    let store = home.store.clone();
    let register = Register {
        newest: log_file,
        note: Box::new(move |ordinal| store.commit_meta(manifest::log_file(ordinal))),
    };
    let mut state = persisted.clone();
    let wal_dir = dir.join("wal");
    let wal_options = WalOptions {
        file_bytes: options.wal_file_bytes,
        ..WalOptions::default()
    };
    let (sealed, applied) = (checkpoint.sealed, checkpoint.applied);
    let mut commits = 0u64;
    let mut used = (checkpoint.next_segment, checkpoint.next_table);
    let wal = Wal::open(
        vfs,
        &wal_dir,
        wal_options,
        sealed,
        register,
        &mut |sequence, frames| {
            let damaged = |reason: String| {
                Error::corrupt(&wal_dir, 0, format!("commit {sequence}: {reason}"))
            };
            let change = Change::from_frames(frames, &state, home).map_err(damaged)?;
            for segment in change.rows.values().flat_map(|rows| &rows.segments) {
                used.0 = used.0.max(segment.meta.id.0 + 1);
            }
            used.1 = used.1.max(
                change
                    .tables
                    .keys()
                    .map(|id| id.0 + 1)
                    .max()
                    .unwrap_or_default(),
            );
            let mut next = change
                .apply(&state, sequence, Fit::Replay { applied, sealed })
                .map_err(|e| damaged(e.to_string()))?;
            for id in change.rows.keys() {
                if let Some(table) = Arc::make_mut(&mut next.tables).get_mut(id) {
                    Arc::make_mut(table).merge_chunks(None)?;
                }
            }
            state = next;
            commits += 1;
            Ok(())
        },
    )?;
    if wal.last_sequence() < applied {
        return Err(Error::corrupt(
            &wal_dir,
            0,
            format!(
                "the log ends at commit {} but the manifest has commit {applied}",
                wal.last_sequence()
            ),
        ));
    }
    state.sequence = wal.last_sequence();
    remove_orphans(home, &persisted, &state)?;
    (checkpoint.next_segment, checkpoint.next_table) = used;
    let largest = home
        .store
        .segments()?
        .iter()
        .map(|key| key.segment.0 + 1)
        .max()
        .unwrap_or_default();
    checkpoint.next_segment = checkpoint.next_segment.max(largest);
    info!(commits, sequence = %state.sequence, "recovered the write-ahead log");
    Ok(Recovered {
        checkpoint,
        persisted,
        state,
        wal,
    })
}

/// Removes segments that neither the manifest nor the log names: their transaction did not commit,
/// or their removal was cut short.
fn remove_orphans(home: &SegmentHome, persisted: &State, state: &State) -> Result<()> {
    let keys = |state: &State| -> Vec<SegmentKey> {
        state
            .tables
            .values()
            .flat_map(|t| &t.segments)
            .map(|run| run.segment.meta.key())
            .collect()
    };
    let named: HashSet<SegmentKey> = keys(persisted).into_iter().chain(keys(state)).collect();
    let orphans: Vec<SegmentKey> = home
        .store
        .segments()?
        .into_iter()
        .filter(|key| !named.contains(key))
        .collect();
    for &key in &orphans {
        home.store.drop_segment(key)?;
    }
    if !orphans.is_empty() {
        info!(
            segments = orphans.len(),
            "removed segments of transactions that did not commit"
        );
    }
    Ok(())
}
