//! Random columns of every type, as tables and as attackers hold them.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::{self as types, DataType, Int64Type, IntervalMonthDayNano, TimeUnit};
use proptest::prelude::*;
use proptest::sample::Index;

/// Row counts around the edges of groups and mini-blocks.
fn row_count() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(63),
        Just(64),
        Just(65),
        Just(1023),
        Just(1024),
        Just(1025),
        Just(3000),
        0..200usize,
    ]
}

/// Integers as tables hold them: of any size, small, ascending, repeated, mostly one.
fn integers(rows: usize) -> BoxedStrategy<Vec<i64>> {
    let vec = move |element: BoxedStrategy<i64>| prop::collection::vec(element, rows);
    let extreme = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>()].boxed();
    prop_oneof![
        vec(any::<i64>().boxed()),
        vec(extreme),
        (0..64u32).prop_flat_map(move |bits| vec((0..=u64::MAX >> (63 - bits))
            .prop_map(|v| v as i64)
            .boxed())),
        (any::<i64>(), vec((0..1000i64).boxed()))
            .prop_map(|(first, steps)| ascending(first / 2, steps)),
        vec(prop_oneof![20 => Just(7i64), 1 => any::<i64>()].boxed()),
        vec((0..4i64).boxed()).prop_map(|mut values| {
            repeat(&mut values, 23);
            values
        }),
        any::<i64>().prop_map(move |value| vec![value; rows]),
    ]
    .boxed()
}

fn ascending(first: i64, steps: Vec<i64>) -> Vec<i64> {
    let sum = |sum: &mut i64, step| {
        *sum += step;
        Some(*sum)
    };
    steps.into_iter().scan(first, sum).collect()
}

/// Makes runs of `len` equal values.
fn repeat<T: Clone>(values: &mut [T], len: usize) {
    for chunk in values.chunks_mut(len) {
        let first = chunk[0].clone();
        chunk.fill(first);
    }
}

/// No nulls, scattered ones, or stretches of them.
fn validity(rows: usize) -> BoxedStrategy<Vec<bool>> {
    let scattered = move |chance: f64| prop::collection::vec(prop::bool::weighted(chance), rows);
    prop_oneof![
        3 => Just(vec![true; rows]),
        1 => Just(vec![false; rows]),
        2 => scattered(0.5),
        1 => scattered(0.02),
        2 => scattered(0.5).prop_map(|mut valid| { repeat(&mut valid, 100); valid }),
    ]
    .boxed()
}

/// Values, which of them are not null, and where to cut.
pub(super) fn cases() -> impl Strategy<Value = (Vec<i64>, Vec<bool>, Vec<Index>)> {
    let cuts = prop::collection::vec(any::<Index>(), 0..8);
    row_count()
        .prop_flat_map(|rows| (integers(rows), validity(rows)))
        .prop_flat_map(move |(v, n)| (Just(v), Just(n), cuts.clone()))
}

pub(super) fn int64(values: &[i64], valid: &[bool]) -> Int64Array {
    values
        .iter()
        .zip(valid)
        .map(|(value, valid)| valid.then_some(*value))
        .collect()
}

/// Ascending, disjoint ranges of `rows` rows.
pub(super) fn ranges(cuts: &[Index], rows: usize) -> Vec<Range<usize>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(rows + 1)).collect();
    cuts.sort_unstable();
    cuts.as_chunks::<2>()
        .0
        .iter()
        .map(|[start, end]| *start..*end)
        .collect()
}

/// The same numbers as another type; those that do not fit are cut.
pub(super) fn as_type(array: &Int64Array, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Int16 => Arc::new(array.unary::<_, types::Int16Type>(|v| v as i16)),
        DataType::Int32 => Arc::new(array.unary::<_, types::Int32Type>(|v| v as i32)),
        DataType::Date32 => Arc::new(array.unary::<_, types::Date32Type>(|v| v as i32)),
        DataType::UInt8 => Arc::new(array.unary::<_, types::UInt8Type>(|v| v as u8)),
        DataType::UInt32 => Arc::new(array.unary::<_, types::UInt32Type>(|v| v as u32)),
        DataType::UInt64 => Arc::new(array.unary::<_, types::UInt64Type>(|v| v as u64)),
        DataType::Float32 => {
            Arc::new(array.unary::<_, types::Float32Type>(|v| f32::from_bits(v as u32)))
        }
        DataType::Decimal128(..) => {
            let wide = array
                .unary::<_, types::Decimal128Type>(|v| i128::from(v) * (1 + i128::from(v & 1)));
            Arc::new(wide.with_data_type(data_type.clone()))
        }
        DataType::Boolean => {
            let bits = array.iter().map(|value| value.map(|value| value & 1 == 1));
            Arc::new(bits.collect::<BooleanArray>())
        }
        DataType::Utf8 => {
            let texts = array
                .iter()
                .map(|value| value.map(|value| format!("{value:x}")));
            Arc::new(texts.collect::<StringArray>())
        }
        DataType::Interval(_) => Arc::new(array.unary::<_, types::IntervalMonthDayNanoType>(|v| {
            IntervalMonthDayNano::new(v as i32, (v >> 32) as i32, v)
        })),
        DataType::FixedSizeBinary(_) => {
            let bytes = array
                .iter()
                .map(|value| value.map(|value| i128::from(value).to_be_bytes()));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, 16).unwrap())
        }
        DataType::List(_) => {
            let lists = array
                .iter()
                .map(|value| value.map(|value| vec![Some(value); value as usize % 4]));
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))
        }
        other => cast(array, other).unwrap(),
    }
}

pub(super) fn types() -> Vec<DataType> {
    vec![
        DataType::Int16,
        DataType::Int32,
        DataType::Date32,
        DataType::UInt8,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Decimal128(38, 9),
        DataType::Boolean,
        DataType::Utf8,
        DataType::FixedSizeBinary(16),
        DataType::Interval(types::IntervalUnit::MonthDayNano),
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Duration(TimeUnit::Nanosecond),
        DataType::Binary,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::List(Arc::new(types::Field::new_list_field(
            DataType::Int64,
            true,
        ))),
        DataType::Null,
    ]
}
