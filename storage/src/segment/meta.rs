//! A segment's description: what the manifest holds of it, and what pruning reads.
//!
//! ```text
//! | magic "SLSG" | version u16 le = 1 | postcard of SegmentMeta | crc32 u32 le over all before |
//! ```
//! [postcard](https://postcard.jamesmunns.com/wire-format) is specified: integers as LEB128,
//! sequences length first, fields in order of declaration. A field is only ever added under a new
//! version.

use serde::{Deserialize, Serialize};

use super::stats::ZoneMap;
use crate::rocks::keys::SegmentKey;
use crate::{SegmentId, TableId};

const MAGIC: &[u8; 4] = b"SLSG";
const VERSION: u16 = 1;

/// Immutable columnar rows of one table and one chunk of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentMeta {
    /// Which segment.
    pub id: SegmentId,
    /// Of which table.
    pub table: TableId,
    /// The chunk of time: first microsecond, and the first one after. Both 0 for reference tables.
    pub chunk: (i64, i64),
    /// Segments written by one merge carry the same number and never overlap each other.
    pub run: u64,
    /// Numbers of the stored columns, in the order of [`PackMeta::zones`] and [`PackMeta::bytes`].
    pub column_ids: Vec<u16>,
    /// Size on disk.
    pub bytes: u64,
    /// Rows of each chunk of the table's own width, by its first microsecond.
    pub chunk_rows: Vec<(i64, u32)>,
    /// The packs, in sort order.
    pub packs: Vec<PackMeta>,
}

/// A run of rows that is read together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackMeta {
    /// Number of its first row within the segment.
    pub first_row: u32,
    /// Number of rows.
    pub rows: u32,
    /// For each stored column what is known of its values.
    pub zones: Vec<ZoneMap>,
    /// For each stored column the length of its value in bytes.
    pub bytes: Vec<u32>,
}

impl SegmentMeta {
    /// Rows, deleted ones included.
    pub fn rows(&self) -> u32 {
        self.packs.last().map_or(0, |p| p.first_row + p.rows)
    }

    /// Where its values stand.
    pub fn key(&self) -> SegmentKey {
        SegmentKey {
            table: self.table,
            chunk: self.chunk.0,
            segment: self.id,
        }
    }

    /// Index among the stored columns of the column with this number.
    pub fn column_index(&self, column_id: u16) -> Option<usize> {
        self.column_ids.iter().position(|&id| id == column_id)
    }

    /// The description as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        // Plain structs cannot fail to serialise into a growing vector.
        out.extend(postcard::to_allocvec(self).unwrap_or_default());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads what [`SegmentMeta::encode`] wrote. The error says what does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (rest, crc) = bytes.split_last_chunk::<4>().ok_or("too short")?;
        if crc32fast::hash(rest) != u32::from_le_bytes(*crc) {
            return Err("the checksum differs".into());
        }
        let rest = rest.strip_prefix(MAGIC).ok_or("no segment description")?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or("too short")?;
        if u16::from_le_bytes(*version) != VERSION {
            return Err(format!("unknown version {}", u16::from_le_bytes(*version)));
        }
        let meta: SegmentMeta = postcard::from_bytes(rest).map_err(|e| e.to_string())?;
        let mut next = 0u32;
        for pack in &meta.packs {
            if pack.first_row != next
                || pack.zones.len() != meta.column_ids.len()
                || pack.bytes.len() != meta.column_ids.len()
            {
                return Err("packs do not fit together".into());
            }
            next = next.checked_add(pack.rows).ok_or("too many rows")?;
        }
        Ok(meta)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stats::Value;
    use super::*;

    #[test]
    fn descriptions_round_trip_and_any_changed_byte_is_noticed() {
        let bounds = [
            Value::Int(i128::from(i64::MIN) * 3),
            Value::Int(7),
            Value::Float(f64::NEG_INFINITY),
            Value::Text("pizza".into()),
            Value::Bytes(vec![0, 255]),
            Value::Bool(true),
        ];
        let zone = |value: &Value| ZoneMap {
            nulls: 3,
            min: Some(value.clone()),
            max: None,
        };
        let meta = SegmentMeta {
            id: SegmentId(9),
            table: TableId(4),
            chunk: (-3_600_000_000, 0),
            run: 8,
            column_ids: (0..6).collect(),
            bytes: 1 << 40,
            chunk_rows: vec![(-3_600_000_000, 5)],
            packs: vec![PackMeta {
                first_row: 0,
                rows: 5,
                zones: bounds.iter().map(zone).collect(),
                bytes: vec![1; 6],
            }],
        };
        let bytes = meta.encode();
        assert_eq!(SegmentMeta::decode(&bytes), Ok(meta));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(SegmentMeta::decode(&changed).is_err(), "byte {at}");
        }
    }
}
