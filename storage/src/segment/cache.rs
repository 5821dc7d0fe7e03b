//! Column values that were read and verified, kept while there is room.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::codec::Column;
use crate::SegmentId;

/// Which value: segment, column number, pack.
pub(crate) type CacheKey = (SegmentId, u16, u32);

#[derive(Clone)]
struct ByBytes;

impl Weighter<CacheKey, Column> for ByBytes {
    fn weight(&self, _: &CacheKey, column: &Column) -> u64 {
        column.byte_len() as u64 + 128
    }
}

/// A cache bounded in bytes. Values are immutable and never stale: a segment's id is used once.
pub struct ColumnCache {
    cache: Cache<CacheKey, Column, ByBytes>,
}

impl ColumnCache {
    /// A cache of at most `bytes`.
    pub fn new(bytes: usize) -> Self {
        let expected = (bytes / (32 << 10)).max(16);
        ColumnCache {
            cache: Cache::with_weighter(expected, bytes as u64, ByBytes),
        }
    }

    pub(crate) fn get(&self, key: &CacheKey) -> Option<Column> {
        self.cache.get(key)
    }

    pub(crate) fn insert(&self, key: CacheKey, column: Column) {
        self.cache.insert(key, column);
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        self.cache.clear();
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}
