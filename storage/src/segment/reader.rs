//! A segment that readers hold: its description and the way to its values.
//!
//! Holding an `Arc<Segment>` pins its files. When the last holder lets go of one that the manifest
//! no longer names, its key goes to the reaper, which removes the files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use arrow::datatypes::DataType;

use super::cache::ColumnCache;
use super::codec::Column;
use super::meta::SegmentMeta;
use crate::rocks::Store;
use crate::rocks::keys::SegmentKey;
use crate::{Error, Result};

/// What all segments of a data directory share.
pub struct SegmentHome {
    /// The values.
    pub store: Arc<Store>,
    /// Values read lately.
    pub cache: ColumnCache,
    /// Takes the keys of segments that nobody holds and no manifest names.
    pub reaper: Sender<SegmentKey>,
}

/// A segment.
pub struct Segment {
    /// What the manifest holds of it.
    pub meta: SegmentMeta,
    home: Arc<SegmentHome>,
    /// Whether a manifest or a durable commit frame names it. Only then its files stay.
    named: AtomicBool,
}

impl Segment {
    /// A segment that is not named yet: dropped without [`Segment::keep`], its files go.
    pub fn new(meta: SegmentMeta, home: Arc<SegmentHome>) -> Self {
        Segment {
            meta,
            home,
            named: AtomicBool::new(false),
        }
    }

    /// A segment that the manifest or a durable commit frame names.
    pub fn kept(meta: SegmentMeta, home: Arc<SegmentHome>) -> Self {
        Segment {
            meta,
            home,
            named: AtomicBool::new(true),
        }
    }

    /// From now on the files outlive this value.
    pub fn keep(&self) {
        self.named.store(true, Ordering::Release);
    }

    /// From now on the files go with the last holder of this value.
    pub fn forget(&self) {
        self.named.store(false, Ordering::Release);
    }

    /// One column of one pack, verified. `None` when the segment was written before the table
    /// had the column. The flag tells whether it came from the cache.
    pub fn column(
        &self,
        pack: u32,
        column_id: u16,
        data_type: &DataType,
    ) -> Result<Option<(Column, bool)>> {
        if self.meta.column_index(column_id).is_none() {
            return Ok(None);
        }
        let cache_key = (self.meta.id, column_id, pack);
        if let Some(column) = self.home.cache.get(&cache_key) {
            return Ok(Some((column, true)));
        }
        let column = self.read(pack, column_id, data_type)?;
        self.home.cache.insert(cache_key, column.clone());
        Ok(Some((column, false)))
    }

    /// One column of one pack from disk, beside the cache: for merges and for checks, which read
    /// everything once.
    pub fn read(&self, pack: u32, column_id: u16, data_type: &DataType) -> Result<Column> {
        let key = self.meta.key();
        let damaged =
            |offset, reason: String| Error::corrupt(key.path(column_id, pack), offset, reason);
        let bytes = self.home.store.value(key, column_id, pack)?;
        let column = Column::open(bytes, data_type).map_err(|d| damaged(d.offset, d.reason))?;
        let rows = self
            .meta
            .packs
            .get(pack as usize)
            .map_or(0, |p| p.rows as usize);
        if column.rows() != rows {
            return Err(damaged(
                0,
                format!("{} rows instead of {rows}", column.rows()),
            ));
        }
        Ok(column)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if !*self.named.get_mut() {
            // Without a reaper the engine is shutting down; the next start removes the files.
            let _ = self.home.reaper.send(self.meta.key());
        }
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "segment {} of table {}, {} rows",
            self.meta.id,
            self.meta.table,
            self.meta.rows()
        )
    }
}
