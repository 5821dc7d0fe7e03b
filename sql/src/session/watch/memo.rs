//! [`Memo`]: a file of what a [`Watch`] has seen and no state tells again.
//!
//! It is written anew as a whole beside the old one and moved over it, so that a crash leaves one or
//! the other. It is told about the past, and nothing else depends on it: where it cannot be read the
//! past begins anew, and where it cannot be written that is tried again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use slicedb_storage::vfs::Vfs;
use slicedb_storage::{Error, Result, TableId};
use tracing::warn;

use super::{Breach, Lag, Seen};

const NAME: &str = "freshness.json";
const FORMAT: u32 = 1;
/// A longer file is none of ours: 100 breaches of each of 100,000 relations are less.
const BYTES_MAX: u64 = 1 << 30;

/// The file.
pub(super) struct Memo {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
}

/// What is in it.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    relations: Vec<Relation>,
    /// Tables, and when a commit last added rows to each.
    added: Vec<(u32, i64)>,
}

#[derive(Serialize, Deserialize)]
struct Relation {
    table: u32,
    breaches: u64,
    history: VecDeque<Breach>,
}

impl Memo {
    /// That of a data directory.
    pub(super) fn of(vfs: Arc<dyn Vfs>, data_dir: &Path) -> Memo {
        Memo {
            vfs,
            dir: data_dir.to_owned(),
        }
    }

    /// What was written last, into `seen`.
    pub(super) fn read(&self, seen: &mut Seen) {
        let written = match self.written() {
            Ok(Some(written)) => written,
            Ok(None) => return,
            Err(why) => {
                let path = self.dir.join(NAME);
                warn!(path = %path.display(), why, "what was remembered of freshness cannot be read, and is forgotten");
                return;
            }
        };
        for Relation {
            table,
            breaches,
            history,
        } in written.relations
        {
            seen.lags.insert(TableId(table), Lag { breaches, history });
        }
        let added = written.added.into_iter();
        seen.added_us
            .extend(added.map(|(table, at_us)| (TableId(table), at_us)));
    }

    fn written(&self) -> std::result::Result<Option<Written>, String> {
        let said = |e: Error| e.to_string();
        let names = self.vfs.list(&self.dir).map_err(said)?;
        if !names.iter().any(|name| name == NAME) {
            return Ok(None);
        }
        let file = self.vfs.open(&self.dir.join(NAME)).map_err(said)?;
        let len = file.len().map_err(said)?;
        if len > BYTES_MAX {
            return Err(format!("it has {len} bytes"));
        }
        let mut bytes = vec![0; len as usize];
        let read = file.read_at(0, &mut bytes).map_err(said)?;
        let written: Written = serde_json::from_slice(&bytes[..read]).map_err(|e| e.to_string())?;
        match written.format {
            FORMAT => Ok(Some(written)),
            other => Err(format!(
                "its format is {other}; this version reads format {FORMAT}"
            )),
        }
    }

    /// Writes what was seen.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(&self, seen: &Seen) -> Result<()> {
        let mut relations: Vec<Relation> = seen
            .lags
            .iter()
            .map(|(table, lag)| Relation {
                table: table.0,
                breaches: lag.breaches,
                history: lag.history.clone(),
            })
            .collect();
        relations.sort_by_key(|relation| relation.table);
        let mut added: Vec<(u32, i64)> = seen
            .added_us
            .iter()
            .map(|(table, at_us)| (table.0, *at_us))
            .collect();
        added.sort_unstable();
        let written = Written {
            format: FORMAT,
            relations,
            added,
        };
        let bytes = serde_json::to_vec(&written).unwrap_or_default();
        let (path, new) = (self.dir.join(NAME), self.dir.join(format!("{NAME}.new")));
        // One that a crash has left behind.
        let _ = self.vfs.remove(&new);
        let file = self.vfs.create(&new)?;
        file.write_at(0, &bytes)?;
        file.sync()?;
        self.vfs.rename(&new, &path)?;
        self.vfs.sync_dir(&self.dir)
    }
}
