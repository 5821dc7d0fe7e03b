//! Small columns, at least one for each codec and type.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{Int32Type, IntervalMonthDayNano, i256};

use super::Codec;

/// A name, the codec that must be chosen, and the column.
pub(super) type Example = (&'static str, Codec, ArrayRef);

fn array(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

/// The examples of the golden files and fixtures. Never change one: add another.
pub(super) fn examples() -> Vec<Example> {
    let mut all = numbers();
    all.extend(floats());
    all.extend(others());
    all
}

fn numbers() -> Vec<Example> {
    let runs = (0..64).map(|row| (row / 16) * 1_000_000_007);
    let sparse = (0..100).map(|row| if row == 40 { -70_000_000_000 } else { 5 });
    let wide = [i64::MIN, i64::MAX, 0, -1, 1];
    let nulls = [Some(3), None, Some(1), None, None, Some(2)];
    let spread = (0..70).map(|row| row * row % 71 * 1_000_003);
    let timestamps = spread.clone().map(|value| 1_700_000_000_000_000 + value);
    vec![
        (
            "int64-empty",
            Codec::Constant,
            array(Int64Array::from(Vec::<i64>::new())),
        ),
        (
            "int64-one",
            Codec::Constant,
            array(Int64Array::from(vec![42])),
        ),
        (
            "int64-all-null",
            Codec::Constant,
            array(Int64Array::from(vec![None, None, None])),
        ),
        (
            "int64-packed",
            Codec::Packed,
            array(Int64Array::from(vec![100, 103, 101, 107])),
        ),
        (
            "int64-extremes",
            Codec::Packed,
            array(Int64Array::from(wide.to_vec())),
        ),
        (
            "int64-nulls",
            Codec::Packed,
            array(Int64Array::from(nulls.to_vec())),
        ),
        (
            "int64-runs",
            Codec::Runs,
            array(Int64Array::from_iter_values(runs)),
        ),
        (
            "int64-sparse",
            Codec::Sparse,
            array(Int64Array::from_iter_values(sparse)),
        ),
        (
            "int16-packed",
            Codec::Packed,
            array(Int16Array::from(vec![i16::MIN, -1, i16::MAX])),
        ),
        (
            "int32-packed",
            Codec::Packed,
            array(Int32Array::from(vec![i32::MIN, 0, i32::MAX])),
        ),
        (
            "uint32-packed",
            Codec::Packed,
            array(UInt32Array::from(vec![0, 7, u32::MAX])),
        ),
        (
            "uint64-packed",
            Codec::Packed,
            array(UInt64Array::from(vec![0, 7, u64::MAX])),
        ),
        (
            "date32-packed",
            Codec::Packed,
            array(Date32Array::from(vec![19_000, 19_001, -5])),
        ),
        (
            "time64-packed",
            Codec::Packed,
            array(Time64MicrosecondArray::from(vec![1, 86_399_999_999])),
        ),
        (
            "timestamptz-packed",
            Codec::Packed,
            array(TimestampMicrosecondArray::from_iter_values(timestamps).with_timezone("UTC")),
        ),
        (
            "decimal128-packed",
            Codec::Packed,
            decimal(&[Some(-12_345), None, Some(99_999_999)]),
        ),
        (
            "decimal128-fixed",
            Codec::Fixed,
            decimal(&[Some(i128::from(i64::MAX) + 1), None, Some(-1)]),
        ),
    ]
}

fn decimal(values: &[Option<i128>]) -> ArrayRef {
    let values = Decimal128Array::from(values.to_vec());
    array(values.with_precision_and_scale(38, 9).unwrap())
}

fn floats() -> Vec<Example> {
    let mut odd: Vec<Option<f64>> = (0..64)
        .map(|row| Some(f64::from(row * 25) / 100.0))
        .collect();
    odd[3] = Some(-0.0);
    odd[5] = Some(f64::INFINITY);
    odd[6] = None;
    odd[7] = Some(f64::from_bits(0x7ff8_0000_0000_1234));
    let roots = (1..20).map(|value| f64::from(value * value * value).cbrt().sin());
    vec![
        (
            "float64-one",
            Codec::Constant,
            array(Float64Array::from(vec![0.1])),
        ),
        (
            "float64-cents",
            Codec::Decimal,
            array(Float64Array::from(vec![
                19.99, 0.01, -5.25, 7.0, 0.99, 12.5,
            ])),
        ),
        (
            "float64-exceptions",
            Codec::Decimal,
            array(Float64Array::from(odd)),
        ),
        (
            "float64-fixed",
            Codec::Fixed,
            array(Float64Array::from_iter_values(roots)),
        ),
        (
            "float32-packed",
            Codec::Packed,
            array(Float32Array::from(vec![1.5, f32::NAN, -0.0])),
        ),
    ]
}

fn others() -> Vec<Example> {
    let words = ["card", "cash", "card", "voucher"];
    let words = (0..60).map(|row| (row % 7 != 3).then_some(words[row % 4]));
    let texts = vec![Some("ä"), None, Some(""), Some("line\nbreak")];
    let uuids = [Some([1u8; 16]), None, Some([2; 16])];
    let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids.into_iter(), 16);
    let intervals = vec![
        Some(IntervalMonthDayNano::new(1, -2, 3)),
        None,
        Some(IntervalMonthDayNano::new(-4, 5, i64::MIN)),
    ];
    let bits = BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]);
    let lists = vec![Some(vec![Some(1), None]), None, Some(vec![])];
    let big = Decimal256Array::from(vec![Some(i256::MAX), None]);
    let mut flips = vec![Some("x"); 200];
    flips[120..160].fill(None);
    vec![
        (
            "text-constant",
            Codec::Constant,
            array(StringArray::from(vec![Some("EUR"), None, Some("EUR")])),
        ),
        (
            "text-flips",
            Codec::Constant,
            array(StringArray::from(flips)),
        ),
        (
            "text-strings",
            Codec::Strings,
            array(StringArray::from(texts)),
        ),
        (
            "text-dictionary",
            Codec::Dictionary,
            array(words.collect::<StringArray>()),
        ),
        (
            "binary-strings",
            Codec::Strings,
            array(BinaryArray::from(vec![&b"\x00\xff"[..], b"abc"])),
        ),
        ("boolean-bits", Codec::Bits, array(bits)),
        (
            "boolean-constant",
            Codec::Constant,
            array(BooleanArray::from(vec![Some(true), None])),
        ),
        ("uuid-fixed", Codec::Fixed, array(uuids.unwrap())),
        (
            "interval-fixed",
            Codec::Fixed,
            array(IntervalMonthDayNanoArray::from(intervals)),
        ),
        ("null-constant", Codec::Constant, array(NullArray::new(5))),
        (
            "list-ipc",
            Codec::Ipc,
            array(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
        ),
        (
            "decimal256-ipc",
            Codec::Ipc,
            array(big.with_precision_and_scale(76, 2).unwrap()),
        ),
    ]
}
