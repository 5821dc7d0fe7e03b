//! Binary search in a sorted array for a [`Value`].

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};

use crate::segment::stats::{Value, ZoneMap};

/// Whether keys of this type can be searched for: a filter on any other type prunes nothing.
pub fn is_searchable(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Decimal128(..)
            | DataType::Utf8
            | DataType::Binary
            | DataType::FixedSizeBinary(_)
    )
}

/// The first row of `within` whose value is at least `value`. The rows ascend and are not null.
pub fn lower_bound(sorted: &ArrayRef, within: Range<usize>, value: &Value) -> usize {
    bound(sorted, within, value, Ordering::is_lt)
}

/// The first row of `within` whose value is greater than `value`. The rows ascend and are not null.
pub fn upper_bound(sorted: &ArrayRef, within: Range<usize>, value: &Value) -> usize {
    bound(sorted, within, value, Ordering::is_le)
}

fn bound(
    sorted: &ArrayRef,
    within: Range<usize>,
    value: &Value,
    is_before: fn(Ordering) -> bool,
) -> usize {
    let (mut from, mut to) = (within.start, within.end);
    while from < to {
        let middle = from + (to - from) / 2;
        match compare(sorted, middle, value) {
            Some(order) if is_before(order) => from = middle + 1,
            Some(_) => to = middle,
            // Not comparable: see `is_searchable`. Keeping every row is right, if slow.
            None => {
                return if is_before(Ordering::Equal) {
                    within.end
                } else {
                    within.start
                };
            }
        }
    }
    from
}

fn compare(array: &ArrayRef, row: usize, value: &Value) -> Option<Ordering> {
    fn int<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize, value: &i128) -> Ordering
    where
        T::Native: Into<i128>,
    {
        array.as_primitive::<T>().value(row).into().cmp(value)
    }
    Some(match (array.data_type(), value) {
        (DataType::Int16, Value::Int(v)) => int::<Int16Type>(array, row, v),
        (DataType::Int32, Value::Int(v)) => int::<Int32Type>(array, row, v),
        (DataType::Int64, Value::Int(v)) => int::<Int64Type>(array, row, v),
        (DataType::Date32, Value::Int(v)) => int::<Date32Type>(array, row, v),
        (DataType::Time64(_), Value::Int(v)) => int::<Time64MicrosecondType>(array, row, v),
        (DataType::Timestamp(..), Value::Int(v)) => int::<TimestampMicrosecondType>(array, row, v),
        (DataType::Decimal128(..), Value::Int(v)) => int::<Decimal128Type>(array, row, v),
        (DataType::Utf8, Value::Text(v)) => array.as_string::<i32>().value(row).cmp(v.as_str()),
        (DataType::Binary, Value::Bytes(v)) => {
            array.as_binary::<i32>().value(row).cmp(v.as_slice())
        }
        (DataType::FixedSizeBinary(_), Value::Bytes(v)) => {
            array.as_fixed_size_binary().value(row).cmp(v.as_slice())
        }
        _ => return None,
    })
}

impl ZoneMap {
    /// The least value of an integer-like column.
    pub fn min_int(&self) -> Option<i64> {
        int(self.min.as_ref())
    }

    /// The greatest value of an integer-like column.
    pub fn max_int(&self) -> Option<i64> {
        int(self.max.as_ref())
    }
}

fn int(bound: Option<&Value>) -> Option<i64> {
    match bound {
        Some(Value::Int(value)) => i64::try_from(*value).ok(),
        _ => None,
    }
}
