//! Damaged values: with a checksum that tells, and with one that does not.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use proptest::prelude::*;

use super::columns::examples;
use super::{Column, encode, read_all, seal};
use crate::segment::codec::{decode_batch, encode_batch};

#[test]
fn every_flipped_bit_is_damage() {
    for (name, _, array) in examples() {
        let value = encode(&array);
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let opened = Column::open(damaged.into(), array.data_type());
            assert!(opened.is_err(), "{name}: bit {bit}");
        }
    }
}

#[test]
fn every_cut_is_damage() {
    for (name, _, array) in examples() {
        let value = encode(&array);
        for len in 0..value.len() {
            let mut cut = value[..len].to_vec();
            assert!(
                Column::open(cut.clone().into(), array.data_type()).is_err(),
                "{name}: {len}"
            );
            seal(&mut cut);
            let _ = read_all(&cut, &array);
        }
    }
}

/// Each byte of each example takes each of some telling values.
#[test]
fn every_wrong_byte_under_a_right_checksum_is_survived() {
    for (_, _, array) in examples() {
        let value = encode(&array);
        // Arrow's own format is long; its reader asserts, which is slow and loud.
        let step = if value.len() > 1000 { 37 } else { 1 };
        for at in (0..value.len() - 4).step_by(step) {
            for byte in [
                0,
                1,
                0x3f,
                0x41,
                0x7f,
                0x80,
                0xff,
                value[at].wrapping_add(1),
            ] {
                let mut damaged = value.clone();
                damaged[at] = byte;
                seal(&mut damaged);
                let _ = read_all(&damaged, &array);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_mutations_under_a_right_checksum_are_survived(
        example in 0..examples().len(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (_, _, array) = examples().swap_remove(example);
        let mut value = encode(&array);
        let inner = value.len() - 4;
        for (at, byte) in mutations {
            value[at.index(inner)] = byte;
        }
        seal(&mut value);
        let _ = read_all(&value, &array);
    }

    #[test]
    fn any_bytes_behind_a_header_are_survived(
        example in 0..examples().len(),
        body in prop::collection::vec(any::<u8>(), 0..400),
        codec in 0u8..11,
        rows in 0u32..3000,
    ) {
        let (_, _, array) = examples().swap_remove(example);
        let mut value = encode(&array)[..16].to_vec();
        value[3] = codec;
        value[5] = 0;
        value[8..12].copy_from_slice(&rows.to_le_bytes());
        value[12..16].fill(0);
        value.extend(body);
        value.extend([0; 4]);
        seal(&mut value);
        let _ = read_all(&value, &array);
    }

    #[test]
    fn any_batch_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let _ = decode_batch(&bytes.into(), &schema);
    }
}

#[test]
fn unknown_kinds_are_named() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    for (at, byte, reason) in [
        (0, b'X', "not a column value at byte 0"),
        (2, 2, "unknown format version 2 at byte 2"),
        (3, 99, "unknown codec 99 at byte 3"),
        (4, 99, "type 99 is not that of Int64 at byte 4"),
        (5, 99, "unknown validity 99 at byte 5"),
        (10, 0xff, "16711683 rows with 0 nulls at byte 8"),
    ] {
        let mut value = encode(&array);
        value[at] = byte;
        seal(&mut value);
        let damage = Column::open(value.into(), array.data_type()).unwrap_err();
        assert_eq!(damage.to_string(), reason);
    }
}

#[test]
fn another_type_is_damage() {
    let all = examples();
    for (name, _, array) in &all {
        for (other_name, _, other) in &all {
            let (mine, wanted) = (array.data_type(), other.data_type());
            let column = Column::open(encode(array).into(), wanted);
            let read = column.and_then(|column| column.decode(0..array.len()));
            let equal = mine == wanted;
            assert_eq!(read.is_ok(), equal, "{name} as {other_name}");
        }
    }
}

#[test]
fn a_range_beyond_the_rows_is_damage() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let column = super::column(&array);
    assert!(column.decode(2..4).is_err());
    assert!(column.decode_ranges(&[1..2, 0..1]).is_err());
    assert!(column.decode_ranges(&[0..2, 1..3]).is_err());
    assert_eq!(column.lower_bound(1, 0..4), None);
}

#[test]
fn a_damaged_batch_tells_where() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let batch = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap();
    let bytes = encode_batch(&batch);
    assert_eq!(
        decode_batch(&bytes.clone().into(), batch.schema_ref()).unwrap(),
        batch
    );
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let damage = decode_batch(&damaged.into(), batch.schema_ref()).unwrap_err();
        assert!(damage.offset <= bytes.len() as u64);
    }
    let cut = Bytes::from(bytes).slice(..40);
    assert!(decode_batch(&cut, batch.schema_ref()).is_err());
}
