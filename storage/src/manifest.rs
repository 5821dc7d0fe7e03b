//! The state as records of the family `meta`, and back.
//!
//! The checkpoint says how far the log is contained: `applied` is the newest commit whose effects
//! stand in the manifest, all but the rows of blocks after `sealed`, which are in the log alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::deletes::{bitmap, bitmap_bytes};
use crate::rocks::keys::MetaKey;
use crate::rocks::{MetaBatch, Store};
use crate::segment::meta::SegmentMeta;
use crate::segment::{Segment, SegmentHome};
use crate::state::{SegmentRun, State, TableState};
use crate::table::TableDef;
use crate::{Error, Result, SegmentId, Sequence, TableId};

/// Format of the data directory. Another number is refused.
pub const FORMAT_VERSION: u32 = 1;

/// How far the manifest contains the log, and which numbers are used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Format of the data directory.
    pub format: u32,
    /// Every row of commits up to here is in a segment.
    pub sealed: Sequence,
    /// Every other effect of commits up to here is in the manifest.
    pub applied: Sequence,
    /// The next free segment number.
    pub next_segment: u64,
    /// The next free table number.
    pub next_table: u32,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Checkpoint {
            format: FORMAT_VERSION,
            sealed: Sequence(0),
            applied: Sequence(0),
            next_segment: 1,
            next_table: 1,
        }
    }
}

impl Checkpoint {
    /// Its record.
    pub fn encode(&self) -> Vec<u8> {
        // Plain numbers cannot fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The records that differ between what the manifest holds and what it shall hold.
pub fn difference(old: &State, new: &State) -> MetaBatch {
    let mut batch = MetaBatch::default();
    if !Arc::ptr_eq(&old.records, &new.records) {
        for (name, value) in new
            .records
            .iter()
            .filter(|(name, value)| old.records.get(*name) != Some(value))
        {
            batch.put(MetaKey::Record(name.clone()), value.to_vec());
        }
        for name in old
            .records
            .keys()
            .filter(|name| !new.records.contains_key(*name))
        {
            batch.delete(MetaKey::Record(name.clone()));
        }
    }
    for (&id, table) in new.tables.iter() {
        let before = old.tables.get(&id);
        if before.is_none_or(|before| before.def != table.def) {
            batch.put(MetaKey::Table(id), table.def.encode());
        }
        table_difference(
            before.map_or(&[], |t| &t.segments),
            &table.segments,
            id,
            &mut batch,
        );
    }
    for (&id, table) in old
        .tables
        .iter()
        .filter(|(id, _)| !new.tables.contains_key(*id))
    {
        batch.delete(MetaKey::Table(id));
        table_difference(&table.segments, &[], id, &mut batch);
    }
    batch
}

fn table_difference(old: &[SegmentRun], new: &[SegmentRun], table: TableId, batch: &mut MetaBatch) {
    let before: HashMap<SegmentId, &SegmentRun> =
        old.iter().map(|r| (r.segment.meta.id, r)).collect();
    let mut after = std::collections::HashSet::with_capacity(new.len());
    for run in new {
        let id = run.segment.meta.id;
        after.insert(id);
        let known = before.get(&id);
        if known.is_none() {
            batch.put(MetaKey::Segment(table, id), run.segment.meta.encode());
        }
        if let Some(deleted) = &run.deleted
            && known
                .and_then(|k| k.deleted.as_ref())
                .is_none_or(|d| !Arc::ptr_eq(d, deleted))
        {
            batch.put(MetaKey::Deleted(table, id), bitmap_bytes(deleted));
        }
    }
    for (id, run) in before.into_iter().filter(|(id, _)| !after.contains(id)) {
        batch.delete(MetaKey::Segment(table, id));
        if run.deleted.is_some() {
            batch.delete(MetaKey::Deleted(table, id));
        }
    }
}

/// Segments that stand in `old` and no more in `new`.
pub fn gone<'a>(old: &'a State, new: &'a State) -> impl Iterator<Item = &'a Arc<Segment>> {
    old.tables.iter().flat_map(move |(id, table)| {
        let still: std::collections::HashSet<SegmentId> = new
            .tables
            .get(id)
            .into_iter()
            .flat_map(|t| &t.segments)
            .map(|r| r.segment.meta.id)
            .collect();
        let segments = table.segments.iter().map(|run| &run.segment);
        segments.filter(move |segment| !still.contains(&segment.meta.id))
    })
}

/// What the manifest holds.
pub struct Manifest {
    /// How far it contains the log.
    pub checkpoint: Checkpoint,
    /// The database at the checkpoint, without the rows that are in the log alone.
    pub state: State,
    /// The newest file of the log that has had a group; 0 before there was one.
    pub log_file: u64,
}

/// Reads the manifest. A directory without one is an empty database.
pub fn load(store: &Store, home: &Arc<SegmentHome>) -> Result<Manifest> {
    let mut checkpoint = None;
    let mut log_file = 0;
    let mut defs: BTreeMap<TableId, Arc<TableDef>> = BTreeMap::new();
    let mut segments: BTreeMap<(TableId, SegmentId), SegmentMeta> = BTreeMap::new();
    let mut deleted: BTreeMap<(TableId, SegmentId), RoaringBitmap> = BTreeMap::new();
    let mut records: BTreeMap<String, Bytes> = BTreeMap::new();
    store.read_meta(&mut |key, value| {
        let name = format!("{key:?}");
        let damaged = |reason: String| Error::corrupt(std::path::Path::new("meta").join(&name), 0, reason);
        match key {
            MetaKey::Checkpoint => {
                let found: Checkpoint = serde_json::from_slice(value).map_err(|e| damaged(e.to_string()))?;
                if found.format != FORMAT_VERSION {
                    return Err(Error::Invalid(format!(
                        "the data directory has format {}, this program reads format {FORMAT_VERSION}",
                        found.format
                    )));
                }
                checkpoint = Some(found);
            }
            MetaKey::Table(id) => {
                defs.insert(id, Arc::new(TableDef::decode(value).map_err(damaged)?));
            }
            MetaKey::Segment(table, id) => {
                segments.insert((table, id), SegmentMeta::decode(value).map_err(damaged)?);
            }
            MetaKey::Deleted(table, id) => {
                deleted.insert((table, id), bitmap(value).map_err(damaged)?);
            }
            MetaKey::Record(name) => {
                records.insert(name, Bytes::copy_from_slice(value));
            }
            MetaKey::LogFile => {
                let number = value.try_into().map_err(|_| damaged("no number of eight bytes".into()))?;
                log_file = u64::from_le_bytes(number);
            }
        }
        Ok(())
    })?;

    let checkpoint = checkpoint.unwrap_or_default();
    let applied = checkpoint.applied;
    let mut tables: HashMap<TableId, TableState> = defs
        .into_iter()
        .map(|(id, def)| (id, TableState::new(def, applied)))
        .collect();
    for ((table, id), meta) in segments {
        let Some(state) = tables.get_mut(&table) else {
            return Err(Error::corrupt(
                "meta",
                0,
                format!("segment {id} of table {table}, which does not exist"),
            ));
        };
        let dead = deleted.remove(&(table, id));
        if dead.as_ref().and_then(RoaringBitmap::max) >= Some(meta.rows()) {
            let record = format!("{:?}", MetaKey::Deleted(table, id));
            let reason = format!("deleted rows beyond the {} of the segment", meta.rows());
            return Err(Error::corrupt(
                std::path::Path::new("meta").join(record),
                0,
                reason,
            ));
        }
        state.segments.push(SegmentRun {
            segment: Arc::new(Segment::kept(meta, home.clone())),
            deleted: dead.map(Arc::new),
            added: applied,
        });
    }
    let tables = tables
        .into_iter()
        .map(|(id, table)| (id, Arc::new(table)))
        .collect();
    let state = State {
        sequence: applied,
        generation: 0,
        tables: Arc::new(tables),
        records: Arc::new(records),
    };
    Ok(Manifest {
        checkpoint,
        state,
        log_file,
    })
}

/// The change that notes the newest file of the log.
pub fn log_file(ordinal: u64) -> MetaBatch {
    let mut batch = MetaBatch::default();
    batch.put(MetaKey::LogFile, ordinal.to_le_bytes().to_vec());
    batch
}
