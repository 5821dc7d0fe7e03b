//! Round trips over random columns of every type.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use proptest::prelude::*;
use proptest::sample::Index;

use super::random::{as_type, cases, int64, ranges, types};
use super::{column, round_trip};
use crate::segment::codec::{decode_batch, encode_batch};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn integers_return((values, valid, cuts) in cases()) {
        let array: ArrayRef = Arc::new(int64(&values, &valid));
        round_trip(&array, &ranges(&cuts, values.len()));
    }

    #[test]
    fn every_type_returns((values, valid, cuts) in cases()) {
        let numbers = int64(&values, &valid);
        for data_type in types() {
            let array = match data_type {
                DataType::Binary | DataType::LargeUtf8 | DataType::Utf8View => {
                    cast(&as_type(&numbers, &DataType::Utf8), &data_type).unwrap()
                }
                DataType::Null => Arc::new(NullArray::new(values.len())),
                _ => as_type(&numbers, &data_type),
            };
            round_trip(&array, &ranges(&cuts, values.len()));
            // An array that is a slice of a greater one: offsets and what stands behind nulls.
            let from = array.len() / 3;
            round_trip(&array.slice(from, array.len() - from), &[]);
        }
    }

    #[test]
    fn floats_return(
        (values, valid, cuts) in cases(),
        power in 0..9,
        odd in prop::collection::vec((any::<Index>(), any::<f64>()), 0..4),
    ) {
        let power = 10f64.powi(power);
        let mut floats: Vec<f64> = values.iter().map(|v| (v % (1 << 48)) as f64 / power).collect();
        if !floats.is_empty() {
            odd.iter().for_each(|(at, value)| { let rows = floats.len(); floats[at.index(rows)] = *value });
        }
        let array: Float64Array = floats.iter().zip(&valid).map(|(f, valid)| valid.then_some(*f)).collect();
        let array: ArrayRef = Arc::new(array);
        round_trip(&array, &ranges(&cuts, values.len()));
        // Arrow holds NaNs and zeros equal or not; bits leave no doubt.
        let decoded = column(&array).decode(0..array.len()).unwrap();
        let bits = |array: &ArrayRef| -> Vec<Option<u64>> {
            array.as_primitive::<arrow::datatypes::Float64Type>().iter().map(|f| f.map(f64::to_bits)).collect()
        };
        prop_assert_eq!(bits(&decoded), bits(&array));
    }

    #[test]
    fn texts_return(
        words in prop::collection::vec("[a-zä-ü]{0,20}|\\PC{0,80}", 1..40),
        picks in prop::collection::vec(any::<Index>(), 0..2000),
        some_null in prop::bool::weighted(0.3),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let texts: StringArray = picks.iter().enumerate()
            .map(|(row, pick)| (!some_null || row % 5 != 2).then(|| words[pick.index(words.len())].as_str()))
            .collect();
        let array: ArrayRef = Arc::new(texts);
        round_trip(&array, &ranges(&cuts, picks.len()));
    }

    #[test]
    fn bounds_are_found(
        (mut values, _, cuts) in cases(),
        sought in any::<Index>(),
        step in -1..2i64,
    ) {
        for range in ranges(&cuts, values.len()) {
            values[range].sort_unstable();
        }
        for data_type in [
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ] {
            let array = as_type(&int64(&values, &vec![true; values.len()]), &data_type);
            let column = column(&array);
            let values = cast(&array, &DataType::Int64).unwrap();
            let values = values.as_primitive::<Int64Type>().values();
            for range in ranges(&cuts, values.len()) {
                let rows = &values[range.clone()];
                if !rows.is_sorted() {
                    continue; // cut to fewer bits
                }
                let value = if rows.is_empty() { 3 } else { rows[sought.index(rows.len())] };
                let value = value.saturating_add(step);
                let lower = range.start + rows.partition_point(|row| *row < value);
                let upper = range.start + rows.partition_point(|row| *row <= value);
                prop_assert_eq!(column.lower_bound(value, range.clone()), Some(lower));
                prop_assert_eq!(column.upper_bound(value, range), Some(upper));
            }
        }
    }

    #[test]
    fn batches_return((values, valid, _) in cases()) {
        let numbers = int64(&values, &valid);
        let columns = types().into_iter().take(14).map(|data_type| {
            (data_type.to_string(), as_type(&numbers, &data_type), true)
        });
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let decoded = decode_batch(&encode_batch(&batch).into(), batch.schema_ref()).unwrap();
        prop_assert_eq!(decoded, batch);
    }
}

#[test]
fn bounds_are_of_integers_only() {
    for (name, _, array) in super::columns::examples() {
        let ordered = super::super::integers::are_ordered(array.data_type());
        let found = column(&array).lower_bound(0, 0..0);
        assert_eq!(found.is_some(), ordered, "{name}");
    }
}

#[test]
fn many_rows_of_each_kind() {
    let rows = 40_000i64;
    let scattered = |row: i64| row.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
    let numbers = Int64Array::from_iter_values((0..rows).map(|row| scattered(row) >> 20));
    for data_type in types().into_iter().filter(|t| !matches!(t, DataType::Null)) {
        let array = match data_type {
            DataType::Binary | DataType::LargeUtf8 | DataType::Utf8View => {
                cast(&as_type(&numbers, &DataType::Utf8), &data_type).unwrap()
            }
            _ => as_type(&numbers, &data_type),
        };
        round_trip(&array, &[0..1, 1000..3000, 16_383..16_385, 39_999..40_000]);
    }
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let schema = Arc::new(arrow::datatypes::Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(17));
    let batch = RecordBatch::try_new_with_options(schema, vec![], &options).unwrap();
    let decoded = decode_batch(&encode_batch(&batch).into(), batch.schema_ref()).unwrap();
    assert_eq!(decoded.num_rows(), 17);
}

#[test]
fn a_single_row_is_small() {
    let numbers = int64(&[1_700_000_000_000_000], &[true]);
    for data_type in types().into_iter().take(14) {
        let len = column(&as_type(&numbers, &data_type)).byte_len();
        assert!(len < 60, "{data_type}: {len} bytes");
    }
}

proptest! {
    #[test]
    fn words_compare_as_their_bytes(
        buffer in prop::collection::vec(0..3u8, 0..40),
        cuts in prop::collection::vec(any::<Index>(), 4),
    ) {
        use crate::segment::codec::words::Word;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(buffer.len() + 1)).collect();
        cuts[..2].sort_unstable();
        cuts[2..].sort_unstable();
        let words = [(cuts[0], cuts[1]), (cuts[2], cuts[3])];
        let [a, b] = words.map(|(start, end)| Word::of(&buffer, start, end));
        prop_assert_eq!(a.cmp(&b), a.bytes().cmp(b.bytes()));
        prop_assert_eq!(a == b, a.bytes() == b.bytes());
        prop_assert!(a != b || a.hash() == b.hash());
    }
}
