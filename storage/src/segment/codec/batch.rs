//! A whole record batch in one buffer: what a block of the write-ahead log carries.
//!
//! ```text
//! | rows u32 | columns u16 | len u32 of each column value | column values (see `header`) |
//! ```
//!
//! Little-endian. Each column value carries its own checksum and its rows, which must be those of
//! the batch; the lengths must add up to the buffer.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::cursor::{Cursor, Damage};
use super::header::{HEADER_LEN, ROWS_MAX};
use super::{Column, encode_into};

const HEAD_LEN: usize = 6;

/// Encodes all columns of a batch of up to 2^20 rows.
pub fn encode_batch(batch: &RecordBatch) -> Vec<u8> {
    let columns = batch.columns();
    assert!(batch.num_rows() <= ROWS_MAX && columns.len() <= usize::from(u16::MAX));
    // Room for a row of numbers; more comes with the values.
    let mut out = Vec::with_capacity(HEAD_LEN + columns.len() * (HEADER_LEN + 16));
    out.extend_from_slice(&(batch.num_rows() as u32).to_le_bytes());
    out.extend_from_slice(&(columns.len() as u16).to_le_bytes());
    out.resize(HEAD_LEN + columns.len() * 4, 0);
    for (index, column) in columns.iter().enumerate() {
        let start = out.len();
        encode_into(column, &mut out);
        let len = u32::try_from(out.len() - start).expect("a column value is below 4 GiB");
        out[HEAD_LEN + index * 4..][..4].copy_from_slice(&len.to_le_bytes());
    }
    out
}

/// Decodes a batch of `schema`.
pub fn decode_batch(bytes: &Bytes, schema: &SchemaRef) -> Result<RecordBatch, Damage> {
    let mut cursor = Cursor::new(bytes, 0);
    let rows = cursor.u32()? as usize;
    let columns = usize::from(cursor.u16()?);
    let fields = schema.fields();
    if rows > ROWS_MAX || columns != fields.len() {
        let reason = format!(
            "{rows} rows of {columns} columns; {} are expected",
            fields.len()
        );
        return Err(Damage::new(0, reason));
    }
    let mut lengths = cursor.section(columns * 4)?;
    let mut arrays = Vec::with_capacity(columns);
    for field in fields {
        let at = cursor;
        let value = cursor.take(lengths.u32()? as usize)?;
        let column = Column::open(bytes.slice_ref(value), field.data_type());
        let column = column.map_err(|damage| damage.within(at.offset()))?;
        if column.rows() != rows {
            return Err(at.damage(format!("{} rows in a batch of {rows}", column.rows())));
        }
        arrays.push(
            column
                .decode(0..rows)
                .map_err(|damage| damage.within(at.offset()))?,
        );
    }
    cursor.end()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(SchemaRef::clone(schema), arrays, &options);
    batch.map_err(|error| Damage::new(0, error.to_string()))
}
