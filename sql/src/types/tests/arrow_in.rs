//! Whatever Arrow type an expression yields can be sent.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{
    DataType, Field, Int32Type, IntervalDayTime, IntervalDayTimeType, IntervalYearMonthType, i256,
};

use super::super::*;
use crate::error::{SqlError, SqlState};

fn text(array: impl Array + 'static) -> Result<Vec<String>, SqlError> {
    let array: ArrayRef = Arc::new(array);
    let field = Field::new("c", array.data_type().clone(), true);
    let settings = FormatSettings::default();
    // Binary must not panic either.
    if let Ok(binary) = Encoder::new(&field, &array, Format::Binary, &settings) {
        let mut out = Vec::new();
        (0..array.len())
            .filter(|row| !binary.is_null(*row))
            .for_each(|row| binary.write(row, &mut out));
    }
    let encoder = Encoder::new(&field, &array, Format::Text, &settings)?;
    Ok((0..array.len())
        .map(|row| {
            let mut out = Vec::new();
            match encoder.is_null(row) {
                true => out.extend_from_slice(b"NULL"),
                false => encoder.write(row, &mut out),
            }
            String::from_utf8(out).expect("UTF-8")
        })
        .collect())
}

#[test]
fn computed_types_print_like_postgresqls() {
    type Case = (Result<Vec<String>, SqlError>, &'static [&'static str]);
    let cases: Vec<Case> = vec![
        (text(NullArray::new(2)), &["NULL", "NULL"]),
        (text(Int8Array::from(vec![-1, 127])), &["-1", "127"]),
        (text(UInt8Array::from(vec![255])), &["255"]),
        (text(UInt16Array::from(vec![65535])), &["65535"]),
        (text(UInt32Array::from(vec![u32::MAX])), &["4294967295"]),
        (text(UInt64Array::from(vec![Some(7), None])), &["7", "NULL"]),
        (
            text(StringViewArray::from(vec![Some("a"), None])),
            &["a", "NULL"],
        ),
        (text(LargeStringArray::from(vec!["a"])), &["a"]),
        (text(BinaryViewArray::from(vec![&b"a"[..]])), &["\\x61"]),
        (text(LargeBinaryArray::from(vec![&b"a"[..]])), &["\\x61"]),
        (
            text(TimestampSecondArray::from(vec![0, -1])),
            &["1970-01-01 00:00:00", "1969-12-31 23:59:59"],
        ),
        (
            text(TimestampMillisecondArray::from(vec![1]).with_timezone("UTC")),
            &["1970-01-01 00:00:00.001+00"],
        ),
        (
            text(TimestampNanosecondArray::from(vec![1999, -1, i64::MAX])),
            &[
                "1970-01-01 00:00:00.000001",
                "1969-12-31 23:59:59.999999",
                "infinity",
            ],
        ),
        (
            text(Date64Array::from(vec![86_400_000])),
            &["1970-01-02 00:00:00"],
        ),
        (text(Time32SecondArray::from(vec![61])), &["00:01:01"]),
        (
            text(Time64NanosecondArray::from(vec![1_500])),
            &["00:00:00.000001"],
        ),
        (
            text(DurationSecondArray::from(vec![90_061, -90_061])),
            &["1 day 01:01:01", "-1 days -01:01:01"],
        ),
        (
            text(PrimitiveArray::<IntervalYearMonthType>::from(vec![14])),
            &["1 year 2 mons"],
        ),
        (
            text(PrimitiveArray::<IntervalDayTimeType>::from(vec![
                IntervalDayTime::new(1, 1500),
            ])),
            &["1 day 00:00:01.5"],
        ),
        (
            text(
                Decimal256Array::from(vec![i256::from_i128(-5)])
                    .with_data_type(DataType::Decimal256(76, 3)),
            ),
            &["-0.005"],
        ),
        (
            text(Decimal128Array::from(vec![12, 0]).with_data_type(DataType::Decimal128(5, -2))),
            &["1200", "0"],
        ),
        (
            text(
                vec!["a", "b", "a"]
                    .into_iter()
                    .collect::<DictionaryArray<Int32Type>>(),
            ),
            &["a", "b", "a"],
        ),
        (
            text(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
                Some(vec![Some(1), None]),
                None,
                Some(vec![]),
            ])),
            &["{1,NULL}", "NULL", "{}"],
        ),
        (
            text(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
                vec![Some(vec![Some(1), Some(2)])],
                2,
            )),
            &["{1,2}"],
        ),
        (
            text(StructArray::from(vec![(
                Arc::new(Field::new("x", DataType::Int32, true)),
                Arc::new(Int32Array::from(vec![1])) as ArrayRef,
            )])),
            &["{x: 1}"],
        ),
        (
            text(Float32Array::from(vec![0.1, 1e6, 16_777_216.0])),
            &["0.1", "1e+06", "1.6777216e+07"],
        ),
    ];
    for (got, wanted) in cases {
        assert_eq!(got.expect("an encoder"), wanted);
    }
}

#[test]
fn lists_within_lists_are_dimensions() {
    let mut builder = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
    builder.values().append_value([Some(1), Some(2)]);
    builder.values().append_value([Some(3), None]);
    builder.append(true);
    let list = builder.finish();
    assert_eq!(PgType::of_arrow(list.data_type()).name(), "integer[]");
    assert_eq!(text(list).expect("an encoder"), ["{{1,2},{3,NULL}}"]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let fault = text(UInt64Array::from(vec![u64::MAX])).expect_err("no bigint");
    assert_eq!(
        (fault.state, fault.message.as_str()),
        (SqlState::NUMERIC_OUT_OF_RANGE, "bigint out of range")
    );
    let fault = text(TimestampSecondArray::from(vec![i64::MAX - 1])).expect_err("no timestamp");
    assert_eq!(fault.state, SqlState::DATETIME_OVERFLOW);
}

#[test]
fn a_sliced_column_is_written_from_its_start() {
    let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1)]),
        Some(vec![Some(2), Some(3)]),
    ]));
    let sliced = array.slice(1, 1);
    let field = Field::new("c", sliced.data_type().clone(), true);
    let encoder = Encoder::new(&field, &sliced, Format::Text, &FormatSettings::default())
        .expect("an encoder");
    let mut out = Vec::new();
    encoder.write(0, &mut out);
    assert_eq!(out, b"{2,3}");
}
