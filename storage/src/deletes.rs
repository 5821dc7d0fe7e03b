//! Which rows a transaction deletes, by addresses that hold until the rows move.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::memtable::BlockRef;
use crate::{SegmentId, Sequence};

/// Rows of one table to delete.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deletes {
    /// Rows of blocks of the log.
    pub blocks: BTreeMap<BlockRef, RoaringBitmap>,
    /// Rows of segments.
    pub rows: BTreeMap<SegmentId, RoaringBitmap>,
    /// Segments that go whole.
    pub segments: BTreeSet<SegmentId>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    blocks: Vec<(u64, u32, Vec<u8>)>,
    rows: Vec<(u64, Vec<u8>)>,
    segments: Vec<u64>,
}

impl Deletes {
    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.rows.is_empty() && self.segments.is_empty()
    }

    /// Adds rows of a segment.
    pub(crate) fn add_rows(&mut self, segment: SegmentId, rows: RoaringBitmap) {
        if !rows.is_empty() {
            *self.rows.entry(segment).or_default() |= rows;
        }
    }

    /// Adds what others hold.
    pub(crate) fn extend(&mut self, other: Deletes) {
        for (block, rows) in other.blocks {
            *self.blocks.entry(block).or_default() |= rows;
        }
        for (segment, rows) in other.rows {
            self.add_rows(segment, rows);
        }
        self.segments.extend(other.segments);
    }

    /// As the payload of a log frame: postcard of the three lists, bitmaps in Roaring's
    /// [portable format](https://github.com/RoaringBitmap/RoaringFormatSpec).
    pub fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            blocks: self
                .blocks
                .iter()
                .map(|(b, r)| (b.sequence.0, b.ordinal, bitmap_bytes(r)))
                .collect(),
            rows: self
                .rows
                .iter()
                .map(|(s, r)| (s.0, bitmap_bytes(r)))
                .collect(),
            segments: self.segments.iter().map(|s| s.0).collect(),
        };
        // Plain structs cannot fail to serialise into a growing vector.
        postcard::to_allocvec(&stored).unwrap_or_default()
    }

    /// Reads what [`Deletes::encode`] wrote. The error says what does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = postcard::from_bytes(bytes).map_err(|e| e.to_string())?;
        let mut deletes = Deletes::default();
        for (sequence, ordinal, rows) in stored.blocks {
            let block = BlockRef {
                sequence: Sequence(sequence),
                ordinal,
            };
            deletes.blocks.insert(block, bitmap(&rows)?);
        }
        for (segment, rows) in stored.rows {
            deletes.rows.insert(SegmentId(segment), bitmap(&rows)?);
        }
        deletes.segments = stored.segments.into_iter().map(SegmentId).collect();
        Ok(deletes)
    }
}

/// A bitmap in Roaring's portable format.
pub(crate) fn bitmap_bytes(rows: &RoaringBitmap) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.serialized_size());
    // Writing to a vector cannot fail.
    let _ = rows.serialize_into(&mut out);
    out
}

/// Reads a bitmap, checking that it is one.
pub(crate) fn bitmap(bytes: &[u8]) -> Result<RoaringBitmap, String> {
    RoaringBitmap::deserialize_from(bytes).map_err(|e| format!("set of rows: {e}"))
}
