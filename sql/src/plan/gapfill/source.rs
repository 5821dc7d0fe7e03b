//! Rows that made rows are put together of: batches that are still needed, and places in them.

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, SchemaRef,
};
use arrow::error::ArrowError;
use datafusion::common::Result;

/// A row of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: usize,
    pub(super) row: usize,
}

/// The row that is NULL in all columns.
pub(super) const NULL: Place = Place { source: 0, row: 0 };

/// Batches by number. The first one is [`NULL`].
#[derive(Debug)]
pub(super) struct Sources(Vec<Vec<ArrayRef>>);

impl Sources {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let fields = schema.fields().iter();
        let nulls = fields.map(|field| new_null_array(field.data_type(), 1));
        Sources(vec![nulls.collect()])
    }

    /// Takes a batch, and tells its number.
    pub(super) fn add(&mut self, columns: Vec<ArrayRef>) -> usize {
        self.0.push(columns);
        self.0.len() - 1
    }

    pub(super) fn column(&self, source: usize, column: usize) -> &ArrayRef {
        &self.0[source][column]
    }

    pub(super) fn is_null(&self, place: Place, column: usize) -> bool {
        self.column(place.source, column).is_null(place.row)
    }

    /// A column of the rows at these places.
    pub(super) fn gather(
        &self,
        column: usize,
        places: impl Iterator<Item = Place>,
    ) -> Result<ArrayRef, ArrowError> {
        let arrays: Vec<&dyn Array> = self.0.iter().map(|c| c[column].as_ref()).collect();
        let places: Vec<(usize, usize)> = places.map(|p| (p.source, p.row)).collect();
        interleave(&arrays, &places)
    }

    /// As [`Sources::gather`], where each row says which column it is taken from.
    pub(super) fn gather_from(
        &self,
        columns: &[usize],
        places: impl Iterator<Item = (Place, usize)>,
    ) -> Result<ArrayRef, ArrowError> {
        let count = self.0.len();
        let of = |&column: &usize| self.0.iter().map(move |c| c[column].as_ref());
        let arrays: Vec<&dyn Array> = columns.iter().flat_map(of).collect();
        let at = |column| columns.iter().position(|&c| c == column).unwrap_or(0);
        let places: Vec<(usize, usize)> = places
            .map(|(place, column)| (at(column) * count + place.source, place.row))
            .collect();
        interleave(&arrays, &places)
    }

    /// Forgets all batches but those that some places are in, which are told where they are now.
    pub(super) fn keep<'a>(&mut self, places: impl Iterator<Item = &'a mut Place>) {
        let mut moved: Vec<Option<usize>> = vec![None; self.0.len()];
        let mut kept = vec![std::mem::take(&mut self.0[0])];
        moved[0] = Some(0);
        for place in places {
            let old = place.source;
            let new = *moved[old].get_or_insert_with(|| {
                kept.push(std::mem::take(&mut self.0[old]));
                kept.len() - 1
            });
            place.source = new;
        }
        self.0 = kept;
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let arrays = self.0.iter().flatten();
        arrays.map(|array| array.get_array_memory_size()).sum()
    }
}

/// The times of a column, in ticks.
pub(super) fn ticks_of(times: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast(times, &DataType::Int64)
}

/// A number that lies on lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Real(f32),
    Double(f64),
}

/// The number in a row; none for NULL.
pub(super) fn number(values: &ArrayRef, row: usize) -> Option<Number> {
    if values.is_null(row) {
        return None;
    }
    Some(match values.data_type() {
        DataType::Int16 => Number::Int(values.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Number::Int(values.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Number::Int(values.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Number::Real(values.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Number::Double(values.as_primitive::<Float64Type>().value(row)),
        _ => return None,
    })
}

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) time: i64,
    pub(super) value: Number,
}

/// The sample in a row of records `(time, value)`; none where either is NULL.
pub(super) fn sample(records: &ArrayRef, row: usize) -> Result<Option<Sample>, ArrowError> {
    if records.is_null(row) {
        return Ok(None);
    }
    let Some(records) = records.as_struct_opt() else {
        return Ok(None);
    };
    let times = ticks_of(&records.column(0).slice(row, 1))?;
    let times = times.as_primitive::<Int64Type>();
    let value = number(records.column(1), row);
    Ok(match value {
        Some(value) if times.is_valid(0) => Some(Sample {
            time: times.value(0),
            value,
        }),
        _ => None,
    })
}

/// The number at a time on the line between two samples. Integers are rounded.
pub(super) fn between(before: Sample, after: Sample, time: i64) -> Number {
    let (left, right) = (
        i128::from(after.time) - i128::from(time),
        i128::from(time) - i128::from(before.time),
    );
    let whole = left + right;
    if whole == 0 {
        return before.value;
    }
    match (before.value, after.value) {
        (Number::Int(a), Number::Int(b)) => {
            let sum = i128::from(a) * left + i128::from(b) * right;
            let (quotient, rest) = (sum / whole, sum % whole);
            let is_half = rest.unsigned_abs() * 2 >= whole.unsigned_abs();
            let up = i128::from(is_half) * rest.signum() * whole.signum();
            Number::Int(i64::try_from(quotient + up).unwrap_or(b))
        }
        // What is level stays so, whatever the rounding of products.
        (a, b) if a == b => a,
        (Number::Real(a), Number::Real(b)) => {
            Number::Real((a * left as f32 + b * right as f32) / whole as f32)
        }
        (Number::Double(a), Number::Double(b)) => {
            Number::Double((a * left as f64 + b * right as f64) / whole as f64)
        }
        (a, _) => a,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(a: Number, b: Number, at: i64) -> Number {
        let sample = |time, value| Sample { time, value };
        between(sample(0, a), sample(10, b), at)
    }

    #[test]
    fn integers_are_rounded_away_from_zero() {
        let int = |a, b, at| line(Number::Int(a), Number::Int(b), at);
        assert_eq!(int(0, 5, 1), Number::Int(1));
        assert_eq!(int(0, -5, 1), Number::Int(-1));
        assert_eq!(int(0, 4, 1), Number::Int(0));
        assert_eq!(int(10, 0, 9), Number::Int(1));
        assert_eq!(int(i64::MIN, i64::MAX, 10), Number::Int(i64::MAX));
        assert_eq!(int(i64::MIN, i64::MAX, 0), Number::Int(i64::MIN));
        assert_eq!(int(i64::MIN, i64::MIN, 5), Number::Int(i64::MIN));
    }

    #[test]
    fn doubles_lie_on_the_line() {
        let double = |a, b, at| line(Number::Double(a), Number::Double(b), at);
        assert_eq!(double(0.0, 5.0, 3), Number::Double(1.5));
        assert_eq!(double(0.1, 0.1, 3), Number::Double(0.1));
        assert_eq!(
            line(Number::Real(1.0), Number::Real(2.0), 5),
            Number::Real(1.5)
        );
    }
}
