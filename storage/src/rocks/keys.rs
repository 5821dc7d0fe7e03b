//! The bytes of RocksDB's keys. All integers big-endian, so that byte order is numeric order.
//!
//! ```text
//! family segments   | table u32 | chunk u64 | segment u64 | column u16 | pack u32 |  = 26 bytes
//!                   chunk = start of the segment's chunk in microseconds, sign bit flipped
//! family meta       | 't' | table u32 |                 the table's definition
//!                   | 's' | table u32 | segment u64 |   a segment's description
//!                   | 'd' | table u32 | segment u64 |   its deleted rows
//!                   | 'r' | name |                      a catalog record
//!                   | 'c' |                             the checkpoint
//!                   | 'l' |                             the newest file of the log: ordinal u64 le
//! ```

use std::path::PathBuf;

use crate::{SegmentId, TableId};

/// Length of a key in the family `segments`.
pub const SEGMENT_KEY_LEN: usize = 26;
const SEGMENT_PREFIX_LEN: usize = 20;

/// Where a segment's values stand: everything of the key that all of them share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey {
    /// The table.
    pub table: TableId,
    /// Start of the chunk in microseconds; 0 for reference tables.
    pub chunk: i64,
    /// The segment.
    pub segment: SegmentId,
}

impl SegmentKey {
    fn prefix(&self) -> [u8; SEGMENT_PREFIX_LEN] {
        let mut key = [0; SEGMENT_PREFIX_LEN];
        key[..4].copy_from_slice(&self.table.0.to_be_bytes());
        key[4..12].copy_from_slice(&((self.chunk as u64) ^ (1 << 63)).to_be_bytes());
        key[12..].copy_from_slice(&self.segment.0.to_be_bytes());
        key
    }

    /// The key of one column of one pack.
    pub fn value(&self, column: u16, pack: u32) -> [u8; SEGMENT_KEY_LEN] {
        let mut key = [0; SEGMENT_KEY_LEN];
        key[..SEGMENT_PREFIX_LEN].copy_from_slice(&self.prefix());
        key[20..22].copy_from_slice(&column.to_be_bytes());
        key[22..].copy_from_slice(&pack.to_be_bytes());
        key
    }

    /// First and last key that the segment can have.
    pub fn range(&self) -> ([u8; SEGMENT_KEY_LEN], [u8; SEGMENT_KEY_LEN]) {
        (self.value(0, 0), self.value(u16::MAX, u32::MAX))
    }

    /// The segment a key belongs to; `None` when the bytes are no key of ours.
    pub fn parse(key: &[u8]) -> Option<SegmentKey> {
        let key: &[u8; SEGMENT_KEY_LEN] = key.try_into().ok()?;
        let (table, rest) = key.split_first_chunk::<4>()?;
        let (chunk, rest) = rest.split_first_chunk::<8>()?;
        let (segment, _) = rest.split_first_chunk::<8>()?;
        Some(SegmentKey {
            table: TableId(u32::from_be_bytes(*table)),
            chunk: (u64::from_be_bytes(*chunk) ^ (1 << 63)) as i64,
            segment: SegmentId(u64::from_be_bytes(*segment)),
        })
    }

    /// The key spelled as a path, for messages.
    pub fn path(&self, column: u16, pack: u32) -> PathBuf {
        PathBuf::from(format!(
            "segments/table-{}/segment-{}/column-{column}/pack-{pack}",
            self.table, self.segment
        ))
    }
}

/// A key of the family `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaKey {
    /// A table's definition.
    Table(TableId),
    /// A segment's description.
    Segment(TableId, SegmentId),
    /// A segment's deleted rows.
    Deleted(TableId, SegmentId),
    /// A catalog record.
    Record(String),
    /// The checkpoint.
    Checkpoint,
    /// The number of the log's newest file that holds a group.
    LogFile,
}

impl MetaKey {
    /// The key's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let with_segment = |tag: u8, table: &TableId, segment: &SegmentId| {
            let mut key = vec![tag];
            key.extend_from_slice(&table.0.to_be_bytes());
            key.extend_from_slice(&segment.0.to_be_bytes());
            key
        };
        match self {
            MetaKey::Table(table) => [&b"t"[..], &table.0.to_be_bytes()].concat(),
            MetaKey::Segment(table, segment) => with_segment(b's', table, segment),
            MetaKey::Deleted(table, segment) => with_segment(b'd', table, segment),
            MetaKey::Record(name) => [b"r", name.as_bytes()].concat(),
            MetaKey::Checkpoint => b"c".to_vec(),
            MetaKey::LogFile => b"l".to_vec(),
        }
    }

    /// Reads a key; `None` when the bytes are no key of ours.
    pub fn decode(key: &[u8]) -> Option<MetaKey> {
        let (tag, rest) = key.split_first()?;
        let with_segment = || {
            let (table, segment) = rest.split_first_chunk::<4>()?;
            let segment: [u8; 8] = segment.try_into().ok()?;
            Some((
                TableId(u32::from_be_bytes(*table)),
                SegmentId(u64::from_be_bytes(segment)),
            ))
        };
        Some(match tag {
            b't' => MetaKey::Table(TableId(u32::from_be_bytes(rest.try_into().ok()?))),
            b's' => {
                let (table, segment) = with_segment()?;
                MetaKey::Segment(table, segment)
            }
            b'd' => {
                let (table, segment) = with_segment()?;
                MetaKey::Deleted(table, segment)
            }
            b'r' => MetaKey::Record(String::from_utf8(rest.to_vec()).ok()?),
            b'c' if rest.is_empty() => MetaKey::Checkpoint,
            b'l' if rest.is_empty() => MetaKey::LogFile,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_keys_sort_as_their_numbers_also_before_1970() {
        let key = |chunk, segment, column, pack| {
            SegmentKey {
                table: TableId(7),
                chunk,
                segment: SegmentId(segment),
            }
            .value(column, pack)
        };
        let ascending = [
            key(-3_600_000_000, 9, 0, 0),
            key(0, 1, 0, 5),
            key(0, 1, 1, 0),
            key(0, 2, 0, 0),
            key(1, 0, 0, 0),
        ];
        assert!(ascending.is_sorted());
        let parsed = SegmentKey::parse(&ascending[0]).expect("a key");
        assert_eq!(
            (parsed.table, parsed.chunk, parsed.segment),
            (TableId(7), -3_600_000_000, SegmentId(9))
        );
        assert_eq!(SegmentKey::parse(b"short"), None);
    }

    #[test]
    fn meta_keys_round_trip_and_strangers_are_refused() {
        for key in [
            MetaKey::Table(TableId(1)),
            MetaKey::Segment(TableId(1), SegmentId(2)),
            MetaKey::Deleted(TableId(1), SegmentId(2)),
            MetaKey::Record("table/public/orders".into()),
            MetaKey::Checkpoint,
            MetaKey::LogFile,
        ] {
            assert_eq!(MetaKey::decode(&key.encode()), Some(key));
        }
        for bytes in [&b""[..], b"x", b"t12", b"s1234", b"cc", b"ll"] {
            assert_eq!(MetaKey::decode(bytes), None);
        }
    }
}
