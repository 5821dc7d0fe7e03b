//! Sorted batches → the packs of one segment.
//!
//! A pack ends near `pack_rows`, where possible between two keys, so that a merchant's rows lie in
//! one pack; a key with more rows than a pack spreads over several. Rows that take much memory make
//! packs of fewer rows, so that whoever reads packs knows how much memory that takes.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::row::{RowConverter, SortField};

use super::codec;
use super::meta::{PackMeta, SegmentMeta};
use super::stats::ZoneMap;
use crate::rocks::{SegmentFile, Store};
use crate::table::{TableDef, chunk_start};
use crate::{Error, Result, SegmentId};

/// A pack's rows take about this much memory at most, beside that of one row.
const PACK_BYTES: usize = 8 << 20;

/// Collects the rows of one segment. They must come in sort order.
pub struct SegmentWriter<'a> {
    def: &'a TableDef,
    pack_rows: usize,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    pending_bytes: usize,
    packs: Vec<PackMeta>,
    /// `[column][pack]`, encoded.
    values: Vec<Vec<Vec<u8>>>,
    /// Of all values.
    bytes: usize,
    chunk_rows: BTreeMap<i64, u32>,
    rows: u32,
}

/// Which segment the collected rows become.
pub struct SegmentIdentity {
    /// Its number.
    pub id: SegmentId,
    /// Its chunk of time.
    pub chunk: (i64, i64),
    /// The merge it belongs to.
    pub run: u64,
}

impl<'a> SegmentWriter<'a> {
    /// A writer of packs of about `pack_rows` rows.
    pub fn new(def: &'a TableDef, pack_rows: usize) -> Self {
        let columns = def.schema.fields().len();
        SegmentWriter {
            def,
            pack_rows,
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
            packs: Vec::new(),
            values: vec![Vec::new(); columns],
            bytes: 0,
            chunk_rows: BTreeMap::new(),
            rows: 0,
        }
    }

    /// Rows collected.
    pub fn rows(&self) -> usize {
        self.rows as usize + self.pending_rows
    }

    /// Bytes of the packs that are encoded; all of them are held until the segment is written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds rows that sort behind all rows added before.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.pending_rows += batch.num_rows();
        self.pending_bytes += memory(&batch);
        self.pending.push(batch);
        while self.pending_rows >= 2 * self.target() {
            self.cut()?;
        }
        Ok(())
    }

    /// Rows of the next pack.
    fn target(&self) -> usize {
        let row_bytes = self.pending_bytes / self.pending_rows.max(1);
        (PACK_BYTES / row_bytes.max(1)).clamp(1, self.pack_rows)
    }

    /// Encodes what is left and writes the file.
    pub fn finish(
        mut self,
        store: &Store,
        identity: SegmentIdentity,
    ) -> Result<(SegmentMeta, SegmentFile)> {
        while self.pending_rows > 0 {
            self.cut()?;
        }
        let mut meta = SegmentMeta {
            id: identity.id,
            table: self.def.id,
            chunk: identity.chunk,
            run: identity.run,
            column_ids: self.def.column_ids.clone(),
            bytes: 0,
            chunk_rows: self.chunk_rows.into_iter().collect(),
            packs: self.packs,
        };
        let mut order: Vec<usize> = (0..meta.column_ids.len()).collect();
        order.sort_unstable_by_key(|&c| meta.column_ids[c]);
        let values = order.iter().flat_map(|&c| {
            let id = meta.column_ids[c];
            self.values[c]
                .iter()
                .enumerate()
                .map(move |(pack, value)| (id, pack as u32, value.as_slice()))
        });
        let file = store.write_segment(meta.key(), values)?;
        meta.bytes = file.bytes();
        Ok((meta, file))
    }

    fn cut(&mut self) -> Result<()> {
        let all = match self.pending.len() {
            1 => self.pending.remove(0),
            _ => concat_batches(&self.def.schema, self.pending.drain(..).as_slice())
                .map_err(|e| Error::Invalid(format!("rows cannot be joined: {e}")))?,
        };
        let target = self.target();
        let rows = if all.num_rows() < target + target.div_ceil(2) {
            all.num_rows()
        } else {
            self.boundary(&all, target)?
        };
        self.add_pack(&all.slice(0, rows))?;
        let left = all.num_rows() - rows;
        self.pending_bytes =
            (self.pending_bytes as u128 * left as u128 / all.num_rows().max(1) as u128) as usize;
        self.pending_rows = left;
        if self.pending_rows > 0 {
            self.pending.push(all.slice(rows, self.pending_rows));
        }
        Ok(())
    }

    /// The row before which the next pack begins: the last change of key at or before `target`,
    /// unless that makes the pack less than half as large.
    fn boundary(&self, rows: &RecordBatch, target: usize) -> Result<usize> {
        let Some(key) = self.def.key_column() else {
            return Ok(target);
        };
        let least = (target / 2).max(1);
        let window = rows.column(key).slice(least, target + 1 - least);
        let converter = RowConverter::new(vec![SortField::new(window.data_type().clone())]);
        let rows = converter
            .and_then(|c| c.convert_columns(&[window]))
            .map_err(|e| Error::Invalid(format!("the key column cannot be sorted: {e}")))?;
        let change = (1..rows.num_rows())
            .rev()
            .find(|&i| rows.row(i) != rows.row(i - 1));
        Ok(change.map_or(target, |i| least + i))
    }

    fn add_pack(&mut self, rows: &RecordBatch) -> Result<()> {
        let count = rows.num_rows() as u32;
        let mut pack = PackMeta {
            first_row: self.rows,
            rows: count,
            zones: Vec::with_capacity(rows.num_columns()),
            bytes: Vec::with_capacity(rows.num_columns()),
        };
        for (column, values) in rows.columns().iter().zip(&mut self.values) {
            let value = codec::encode(column.as_ref());
            pack.zones.push(ZoneMap::of(column.as_ref()));
            self.bytes += value.len();
            pack.bytes.push(value.len() as u32);
            values.push(value);
        }
        self.packs.push(pack);
        self.rows = self
            .rows
            .checked_add(count)
            .ok_or_else(|| Error::Invalid("a segment cannot hold so many rows".into()))?;

        if let (Some(time), Some(width)) = (self.def.time_column(), self.def.chunk_us()) {
            let times = rows
                .column(time)
                .as_primitive::<TimestampMicrosecondType>()
                .values();
            // Neighbours mostly share their chunk: look a chunk up once a stretch, not once a row.
            let mut stretch =
                times.chunk_by(|a, b| chunk_start(*a, width) == chunk_start(*b, width));
            for same in &mut stretch {
                *self
                    .chunk_rows
                    .entry(chunk_start(same[0], width))
                    .or_default() += same.len() as u32;
            }
        }
        Ok(())
    }
}

/// Memory of the rows of a batch, which may be a slice of a larger one.
fn memory(batch: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| {
        // What it cannot tell counts as what holds it.
        let bytes = column.to_data().get_slice_memory_size();
        bytes.unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(bytes).sum()
}
