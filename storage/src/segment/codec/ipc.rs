//! Whatever has no codec of ours, as Arrow IPC streams of 16,384 rows each, so that a range of rows
//! does not decode all of a pack.
//!
//! ```text
//! | end u64 for each piece: where its stream ends, from the start of the streams | streams |
//! ```
//!
//! A stream tells its type, which must be the one asked for, and its nulls.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

use super::Request;
use super::cursor::{Cursor, Damage};

/// Rows of a piece.
const PIECE: usize = 16 * 1024;

/// Appends any array with at least one row.
pub(super) fn encode(array: &dyn Array, out: &mut Vec<u8>) {
    let starts: Vec<usize> = (0..array.len()).step_by(PIECE).collect();
    let ends_at = out.len();
    out.resize(ends_at + starts.len() * 8, 0);
    let streams_at = out.len();
    for (piece, start) in starts.into_iter().enumerate() {
        let rows = array.slice(start, PIECE.min(array.len() - start));
        let written = write_stream(rows, out);
        // Only writing to a file can fail, and only types that Arrow itself cannot store are refused.
        written.unwrap_or_else(|error| panic!("{} is not storable: {error}", array.data_type()));
        let end = (out.len() - streams_at) as u64;
        out[ends_at + piece * 8..][..8].copy_from_slice(&end.to_le_bytes());
    }
}

fn write_stream(array: ArrayRef, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let schema = Arc::new(Schema::new(vec![Field::new(
        "",
        array.data_type().clone(),
        true,
    )]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array])?;
    let mut writer = StreamWriter::try_new(out, &schema)?;
    writer.write(&batch)?;
    writer.finish()
}

/// Decodes any array; `value` is the column value, whose bytes are shared and not copied.
pub(super) fn decode(
    request: Request<'_>,
    mut body: Cursor<'_>,
    value: &Bytes,
) -> Result<ArrayRef, Damage> {
    let at = body;
    let pieces = request.rows.div_ceil(PIECE);
    let ends = body.take(pieces * 8)?.as_chunks::<8>().0;
    let end_of = |piece: usize| u64::from_le_bytes(ends[piece]);
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let mut decoded: Option<(usize, ArrayRef)> = None;
    for range in request.ranges {
        let mut row = range.start;
        while row < range.end {
            let piece = row / PIECE;
            let rows = PIECE.min(request.rows - piece * PIECE);
            let array = match decoded.take() {
                Some((same, array)) if same == piece => array,
                _ => {
                    let start = if piece == 0 { 0 } else { end_of(piece - 1) };
                    let stream = usize::try_from(start)
                        .ok()
                        .zip(usize::try_from(end_of(piece)).ok())
                        .and_then(|(start, end)| body.rest().get(start..end))
                        .ok_or_else(|| at.damage(format!("piece {piece} is beyond the end")))?;
                    read_stream(value.slice_ref(stream), request.data_type, rows)
                        .map_err(|reason| at.damage(format!("piece {piece}: {reason}")))?
                }
            };
            let first = row - piece * PIECE;
            let count = (rows - first).min(range.end - row);
            arrays.push(array.slice(first, count));
            decoded = Some((piece, array));
            row += count;
        }
    }
    if let [array] = arrays.as_slice() {
        return Ok(Arc::clone(array));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    arrow::compute::concat(&arrays).map_err(|error| at.damage(error.to_string()))
}

fn read_stream(stream: Bytes, data_type: &DataType, rows: usize) -> Result<ArrayRef, String> {
    // Arrow's reader validates arrays but asserts some of what it takes from a message. A value
    // that was damaged behind our checksum must not end the process.
    let read = catch_unwind(AssertUnwindSafe(|| {
        let mut decoder = StreamDecoder::new();
        let mut buffer = Buffer::from(stream);
        let batch = decoder
            .decode(&mut buffer)
            .map_err(|error| error.to_string())?;
        let batch = batch.ok_or("it ends too early")?;
        let array = batch.columns().first().ok_or("it has no column")?;
        Ok(Arc::clone(array))
    }));
    let array: ArrayRef = read.unwrap_or_else(|_| Err("Arrow cannot read it".to_owned()))?;
    if array.data_type() != data_type {
        return Err(format!("it holds {}", array.data_type()));
    }
    if array.len() != rows {
        return Err(format!("it holds {} rows", array.len()));
    }
    Ok(array)
}
