//! Round trips of every type over kind and unkind values, whole and in parts.

mod columns;
mod damage;
mod golden;
mod random;
mod round_trip;
mod speed;

use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use bytes::Bytes;

use super::{Codec, Column, encode};

/// The column value of `array`, opened.
fn column(array: &ArrayRef) -> Column {
    Column::open(encode(array).into(), array.data_type()).unwrap()
}

/// The codec that was chosen for `array`.
fn codec_of(array: &ArrayRef) -> Codec {
    column(array).header.codec
}

/// Asserts that `column` holds `array`, as a whole and in `ranges` one by one and together.
fn assert_holds(column: &Column, array: &ArrayRef, ranges: &[Range<usize>]) {
    assert_eq!(column.rows(), array.len());
    assert_eq!(column.null_count(), array.logical_null_count());
    let whole = column.decode(0..array.len()).unwrap();
    whole.to_data().validate_full().unwrap();
    assert_eq!(whole.data_type(), array.data_type());
    assert_eq!(&whole, array);
    for range in ranges {
        let part = column.decode(range.clone()).unwrap();
        part.to_data().validate_full().unwrap();
        assert_eq!(
            &part,
            &array.slice(range.start, range.len()),
            "rows {range:?}"
        );
    }
    let parts: Vec<ArrayRef> = ranges
        .iter()
        .map(|r| array.slice(r.start, r.len()))
        .collect();
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    if !parts.is_empty() {
        assert_eq!(
            &column.decode_ranges(ranges).unwrap(),
            &concat(&parts).unwrap()
        );
    }
}

/// Encodes and decodes `array`.
fn round_trip(array: &ArrayRef, ranges: &[Range<usize>]) {
    assert_holds(&column(array), array, ranges);
}

/// Replaces the checksum of a column value by that of its bytes.
fn seal(value: &mut [u8]) {
    if let Some((covered, crc)) = value.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(covered).to_le_bytes();
    }
}

/// Opens and reads `value` in every way there is; damage is fine, a panic is not.
fn read_all(value: &[u8], like: &ArrayRef) -> Result<(), super::Damage> {
    let column = Column::open(Bytes::copy_from_slice(value), like.data_type())?;
    let rows = column.rows();
    let third = rows / 3;
    let parts = [0..third / 2, third..third * 2, rows.saturating_sub(1)..rows];
    let searched = column
        .lower_bound(7, 0..rows)
        .into_iter()
        .chain(column.upper_bound(7, third..rows));
    assert!(searched.into_iter().all(|row| row <= rows));
    let decoded = column
        .decode_ranges(&parts)
        .map(|array| array.to_data().validate_full().unwrap());
    let whole = column.decode(0..rows)?;
    whole.to_data().validate_full().unwrap();
    assert_eq!((whole.len(), whole.data_type()), (rows, like.data_type()));
    decoded
}
