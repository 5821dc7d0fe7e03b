//! What zone maps know and what they rule out.

use arrow::array::*;
use proptest::prelude::*;

use super::{Compare, Value, ZoneMap};

const ALL: [Compare; 5] = [
    Compare::Eq,
    Compare::Lt,
    Compare::LtEq,
    Compare::Gt,
    Compare::GtEq,
];

fn holds(op: Compare, row: &Value, value: &Value) -> bool {
    match op {
        Compare::Eq => row == value,
        Compare::Lt => row < value,
        Compare::LtEq => row <= value,
        Compare::Gt => row > value,
        Compare::GtEq => row >= value,
        Compare::IsNull | Compare::IsNotNull => false,
    }
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(0.0),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        -3.0..3.0f64
    ]
}

proptest! {
    #[test]
    fn nothing_that_matches_is_ruled_out(
        left in prop::collection::vec(prop::option::of(-9..9i64), 1..20),
        right in prop::collection::vec(prop::option::of(-9..9i64), 1..20),
        value in -12..12i64,
    ) {
        let mut zone = ZoneMap::of(&Int64Array::from(left.clone()));
        zone.merge(&ZoneMap::of(&Int64Array::from(right.clone())));
        let rows: Vec<Option<i64>> = left.into_iter().chain(right).collect();
        let value = Value::Int(value.into());
        for op in ALL {
            let matches = rows.iter().flatten().any(|row| holds(op, &Value::Int((*row).into()), &value));
            prop_assert!(zone.may_contain(rows.len() as u64, op, &value) || !matches, "{op:?}");
        }
        let nulls = rows.iter().filter(|row| row.is_none()).count();
        prop_assert_eq!(zone.may_contain(rows.len() as u64, Compare::IsNull, &value), nulls > 0);
        prop_assert_eq!(zone.may_contain(rows.len() as u64, Compare::IsNotNull, &value), nulls < rows.len());
    }

    #[test]
    fn no_float_that_matches_is_ruled_out(
        rows in prop::collection::vec(prop::option::of(float()), 1..20),
        value in float(),
    ) {
        let zone = ZoneMap::of(&Float64Array::from(rows.clone()));
        for op in ALL {
            // As Arrow orders floats, and as SQL does, which holds zeros equal and NaN the greatest.
            let sql = |float: f64| if float.is_nan() { f64::NAN } else { float + 0.0 };
            let matches = rows.iter().flatten().any(|row| {
                holds(op, &Value::Float(*row), &Value::Float(value))
                    || holds(op, &Value::Float(sql(*row)), &Value::Float(sql(value)))
            });
            let may = zone.may_contain(rows.len() as u64, op, &Value::Float(value));
            prop_assert!(may || !matches, "{op:?}");
        }
    }
}

#[test]
fn bounds_of_each_type() {
    let date: ArrayRef = std::sync::Arc::new(Date32Array::from(vec![Some(3), None, Some(-1)]));
    let decimal = Decimal128Array::from(vec![i128::MAX / 10, 5]).with_precision_and_scale(38, 2);
    let uuids = FixedSizeBinaryArray::try_from_iter([[2u8; 16], [1; 16]].into_iter()).unwrap();
    for (array, min, max) in [
        (&date as &dyn Array, Value::Int(-1), Value::Int(3)),
        (&decimal.unwrap(), Value::Int(5), Value::Int(i128::MAX / 10)),
        (
            &UInt64Array::from(vec![u64::MAX, 0]),
            Value::Int(0),
            Value::Int(u64::MAX.into()),
        ),
        (
            &StringArray::from(vec!["b", "ä", "a"]),
            Value::Text("a".into()),
            Value::Text("ä".into()),
        ),
        (
            &BooleanArray::from(vec![true, false]),
            Value::Bool(false),
            Value::Bool(true),
        ),
        (
            &Float32Array::from(vec![0.5, 0.25]),
            Value::Float(0.25),
            Value::Float(0.5),
        ),
        (&uuids, Value::Bytes(vec![1; 16]), Value::Bytes(vec![2; 16])),
    ] {
        let zone = ZoneMap::of(array);
        assert_eq!(
            (zone.min, zone.max),
            (Some(min), Some(max)),
            "{}",
            array.data_type()
        );
    }
}

#[test]
fn what_is_unknown_stays_unknown() {
    let nan = ZoneMap::of(&Float64Array::from(vec![1.0, f64::NAN]));
    assert_eq!((nan.min, nan.max), (Some(Value::Float(1.0)), None));
    let long = "x".repeat(65);
    let mut text = ZoneMap::of(&StringArray::from(vec!["a", long.as_str()]));
    assert_eq!(
        (text.min.clone(), text.max.clone()),
        (Some(Value::Text("a".into())), None)
    );
    text.merge(&ZoneMap::of(&StringArray::from(vec!["b"])));
    assert_eq!(text.max, None);
    let nulls = ZoneMap::of(&Int64Array::from(vec![None, None]));
    assert!(!nulls.may_contain(2, Compare::Eq, &Value::Int(0)));
    let other_kind = ZoneMap::of(&Int64Array::from(vec![1]));
    assert!(other_kind.may_contain(1, Compare::Eq, &Value::Text("1".into())));
}
