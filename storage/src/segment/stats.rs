//! Zone maps: what is known of the values of a range of rows without reading them, so that a scan
//! can leave the range out.
//!
//! A bound is either right or unknown, never a guess: whatever is unknown may match everything.

use std::cmp::Ordering;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, GenericByteArray, PrimitiveArray};
use arrow::compute;
use arrow::datatypes::{
    ByteArrayType, DataType, Decimal128Type, Float32Type, Float64Type, TimeUnit,
};
use serde::{Deserialize, Serialize};

use super::codec::integers::match_integer_type;
use super::codec::words::Word;

/// Texts and binaries longer than this are no bounds.
const BOUND_BYTES_MAX: usize = 64;

/// One value of a column, as bounds and predicates compare it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Value {
    /// An integer, date, time or timestamp in the units of its column; a decimal unscaled.
    Int(i128),
    /// A float. A bound is never NaN.
    Float(f64),
    /// A text, compared by its bytes.
    Text(String),
    /// A binary or uuid.
    Bytes(Vec<u8>),
    /// A boolean.
    Bool(bool),
}

/// Values of one kind have an order; values of different kinds have none. Floats are ordered as
/// Arrow orders them: -0.0 before 0.0.
impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => Some(a.total_cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

/// A comparison of a column with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `=`
    Eq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

/// What is known of the values of a range of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZoneMap {
    /// How many are null.
    pub nulls: u64,
    /// No value is less. None: unknown, or there are only nulls.
    pub min: Option<Value>,
    /// No value is greater. None: unknown, or there are only nulls.
    pub max: Option<Value>,
}

impl ZoneMap {
    /// Of the values of an array.
    pub fn of(array: &dyn Array) -> ZoneMap {
        let nulls = array.logical_null_count();
        let bounds = if nulls == array.len() {
            None
        } else {
            bounds(array)
        };
        let (min, max) = bounds.unwrap_or((None, None));
        ZoneMap {
            nulls: nulls as u64,
            min,
            max,
        }
    }

    /// Takes in the values of another range of the same column. What one of both does not know
    /// stays unknown.
    pub fn merge(&mut self, other: &ZoneMap) {
        self.nulls += other.nulls;
        self.min = merge(self.min.take(), other.min.as_ref(), Ordering::Greater);
        self.max = merge(self.max.take(), other.max.as_ref(), Ordering::Less);
    }

    /// Whether one of the `rows` that this describes may compare so with `value`. `value` has the
    /// kind of the column (a decimal its scale), or nothing is known; it is not looked at by
    /// [`Compare::IsNull`] and [`Compare::IsNotNull`].
    pub fn may_contain(&self, rows: u64, op: Compare, value: &Value) -> bool {
        if op == Compare::IsNull {
            return self.nulls > 0;
        }
        if self.nulls >= rows {
            return false;
        }
        // There are different NaNs, and SQL holds them equal.
        if matches!(value, Value::Float(float) if float.is_nan()) {
            return true;
        }
        // Unknown bounds and values of another kind have no order, and rule nothing out.
        let min = self.min.as_ref().and_then(|min| min.partial_cmp(value));
        let max = self.max.as_ref().and_then(|max| max.partial_cmp(value));
        match op {
            Compare::Eq => min != Some(Ordering::Greater) && max != Some(Ordering::Less),
            Compare::Lt => min.is_none_or(Ordering::is_lt),
            Compare::LtEq => min.is_none_or(Ordering::is_le),
            Compare::Gt => max.is_none_or(Ordering::is_gt),
            Compare::GtEq => max.is_none_or(Ordering::is_ge),
            Compare::IsNull | Compare::IsNotNull => true,
        }
    }
}

/// The one of two bounds that holds for both.
fn merge(mine: Option<Value>, other: Option<&Value>, worse: Ordering) -> Option<Value> {
    let (mine, other) = (mine?, other?);
    match mine.partial_cmp(other)? {
        order if order == worse => Some(other.clone()),
        _ => Some(mine),
    }
}

type Bounds = (Option<Value>, Option<Value>);

/// The bounds of an array that holds at least one value; None for types without any.
fn bounds(array: &dyn Array) -> Option<Bounds> {
    match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            let bound = |value: Option<bool>| value.map(Value::Bool);
            Some((
                bound(compute::min_boolean(array)),
                bound(compute::max_boolean(array)),
            ))
        }
        DataType::Float32 => Some(float_bounds(array.as_primitive::<Float32Type>())),
        DataType::Float64 => Some(float_bounds(array.as_primitive::<Float64Type>())),
        DataType::Decimal128(..) => Some(int_bounds(array.as_primitive::<Decimal128Type>())),
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            let bound = |value: &str| Value::Text(value.to_owned());
            Some(word_bounds(array, |bytes| {
                str::from_utf8(bytes).ok().map(bound)
            }))
        }
        DataType::Binary => Some(word_bounds(array.as_binary::<i32>(), |bytes| {
            Some(Value::Bytes(bytes.to_vec()))
        })),
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            let (min, max) = (
                compute::min_fixed_size_binary(array),
                compute::max_fixed_size_binary(array),
            );
            Some((bytes(min), bytes(max)))
        }
        data_type => match_integer_type!(
            data_type,
            T => Some(int_bounds(array.as_primitive::<T>())),
            _ => None
        ),
    }
}

fn int_bounds<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &PrimitiveArray<T>) -> Bounds {
    let bound = |value: Option<T::Native>| value.map(|value| Value::Int(value.into()));
    (bound(compute::min(array)), bound(compute::max(array)))
}

/// One pass over texts or binaries; Arrow's own kernels make two and call `memcmp` for each value.
fn word_bounds<T: ByteArrayType<Offset = i32>>(
    array: &GenericByteArray<T>,
    bound: impl Fn(&[u8]) -> Option<Value>,
) -> Bounds {
    let (offsets, buffer) = (array.value_offsets(), array.value_data());
    let mut found: Option<(Word<'_>, Word<'_>)> = None;
    for (row, pair) in offsets.windows(2).enumerate() {
        if array.is_null(row) {
            continue;
        }
        let word = Word::of(buffer, pair[0] as usize, pair[1] as usize);
        let (min, max) = found.get_or_insert((word, word));
        if word < *min {
            *min = word;
        } else if word > *max {
            *max = word;
        }
    }
    let bound =
        |word: Word<'_>| bound(word.bytes()).filter(|_| word.bytes().len() <= BOUND_BYTES_MAX);
    found.map_or((None, None), |(min, max)| (bound(min), bound(max)))
}

fn bytes(value: Option<&[u8]>) -> Option<Value> {
    let value = value.filter(|value| value.len() <= BOUND_BYTES_MAX)?;
    Some(Value::Bytes(value.to_vec()))
}

/// NaN is the greatest float in SQL: where one is, the maximum is unknown. Zeros widen to
/// -0.0 ..= 0.0, because SQL holds both equal.
fn float_bounds<T: ArrowPrimitiveType<Native: Into<f64>>>(array: &PrimitiveArray<T>) -> Bounds {
    let (mut min, mut max, mut nan) = (f64::INFINITY, f64::NEG_INFINITY, false);
    let mut take = |value: T::Native| {
        let value: f64 = value.into();
        // Comparisons with NaN are false: it never becomes a bound.
        min = if value < min { value } else { min };
        max = if value > max { value } else { max };
        nan |= value.is_nan();
    };
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => array.values().iter().for_each(|value| take(*value)),
        Some(_) => array.iter().flatten().for_each(take),
    }
    if min > max {
        // Infinities of the wrong side: there were only NaNs.
        return (None, None);
    }
    let widen = |bound: f64, zero: f64| if bound == 0.0 { zero } else { bound };
    let max = (!nan).then(|| Value::Float(widen(max, 0.0)));
    (Some(Value::Float(widen(min, -0.0))), max)
}

#[cfg(test)]
mod tests;
