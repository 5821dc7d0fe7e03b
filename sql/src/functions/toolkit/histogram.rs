//! `histogram(value, min, max, nbuckets)`: how many values are in each of some buckets of equal width.
//!
//! As in TimescaleDB (`src/histogram.c`): the first element counts what is below `min`, the last what
//! is `max` or above; buckets are those of PostgreSQL's `width_bucket`. NULL values do not count.
//! The state is the list of counts.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::aggregate::refuse_distinct;
use super::args::{Arg, coerce, complete_rows, floats, ints, no_such_call};
use crate::error::SqlState;
use crate::functions::fault;

const TAKES: &[Arg] = &[Arg::Float, Arg::Share, Arg::Share, Arg::Size];
/// The most buckets: counts of so many are a megabyte a group.
const BUCKETS_MAX: i64 = 100_000;
/// `invalid_argument_for_width_bucket_function`
const INVALID_ARGUMENT: SqlState = SqlState(*b"2201G");

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Histogram {
    signature: Signature,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Histogram {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

impl AggregateUDFImpl for Histogram {
    fn name(&self) -> &str {
        "histogram"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(TAKES, types).ok_or_else(|| no_such_call("histogram", types))
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(list_of(DataType::Int32))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "counts");
        let counts = Field::new(name, list_of(DataType::Int64), true);
        Ok(vec![Arc::new(counts)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        refuse_distinct("histogram", &args)?;
        Ok(Box::new(Counts(Vec::new())))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

fn invalid(message: &str) -> DataFusionError {
    fault(INVALID_ARGUMENT, message)
}

fn changed() -> DataFusionError {
    fault(
        SqlState::INVALID_PARAMETER_VALUE,
        "number of buckets must not change between calls",
    )
}

/// Which of `count` buckets between two bounds a value is in, from 1; 0 is below, `count` + 1 above.
fn bucket(value: f64, min: f64, max: f64, count: usize) -> Result<usize> {
    if value.is_nan() || min.is_nan() || max.is_nan() {
        let message = "operand, lower bound, and upper bound cannot be NaN";
        return Err(invalid(message));
    }
    if min.is_infinite() || max.is_infinite() {
        return Err(invalid("lower and upper bounds must be finite"));
    }
    if min > max {
        return Err(invalid("lower bound cannot exceed upper bound"));
    }
    if min == max {
        return Err(invalid("lower bound cannot equal upper bound"));
    }
    if value < min {
        return Ok(0);
    }
    if value >= max {
        return Ok(count + 1);
    }
    // Halves do not overflow where the bounds are far apart.
    let share = match (max - min).is_finite() {
        true => (value - min) / (max - min),
        false => (value / 2.0 - min / 2.0) / (max / 2.0 - min / 2.0),
    };
    Ok(((share * count as f64) as usize).min(count - 1) + 1)
}

/// Counts of a group; empty before the first value.
#[derive(Debug)]
struct Counts(Vec<i64>);

impl Accumulator for Counts {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (values, mins, maxs) = (
            floats(columns, 0)?,
            floats(columns, 1)?,
            floats(columns, 2)?,
        );
        let counts = ints(columns, 3)?;
        for row in complete_rows(columns, &[0, 1, 2, 3]) {
            let wanted = counts.value(row);
            if wanted <= 0 {
                return Err(invalid("count must be greater than zero"));
            }
            if wanted > BUCKETS_MAX {
                let message = format!("a histogram has at most {BUCKETS_MAX} buckets");
                return Err(fault(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
            }
            let wanted = wanted as usize;
            if self.0.is_empty() {
                self.0.resize(wanted + 2, 0);
            } else if self.0.len() != wanted + 2 {
                return Err(changed());
            }
            self.0[bucket(values.value(row), mins.value(row), maxs.value(row), wanted)?] += 1;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in (0..lists.len()).filter(|&row| lists.is_valid(row)) {
            let counts = lists.value(row);
            let counts = counts.as_primitive::<Int64Type>().values();
            if self.0.is_empty() {
                self.0.extend_from_slice(counts);
                continue;
            }
            if self.0.len() != counts.len() {
                return Err(changed());
            }
            for (sum, count) in self.0.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if self.0.is_empty() {
            return Ok(vec![ScalarValue::try_new_null(&list_of(DataType::Int64))?]);
        }
        let counts = self.0.iter().map(|count| ScalarValue::Int64(Some(*count)));
        let counts: Vec<ScalarValue> = counts.collect();
        let list = ScalarValue::new_list(&counts, &DataType::Int64, true);
        Ok(vec![ScalarValue::List(list)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.0.is_empty() {
            return ScalarValue::try_new_null(&list_of(DataType::Int32));
        }
        let counts = self.0.iter().map(|count| match i32::try_from(*count) {
            Ok(count) => Ok(ScalarValue::Int32(Some(count))),
            Err(_) => Err(fault(
                SqlState::NUMERIC_OUT_OF_RANGE,
                "overflow in histogram",
            )),
        });
        let counts = counts.collect::<Result<Vec<_>>>()?;
        let list = ScalarValue::new_list(&counts, &DataType::Int32, true);
        Ok(ScalarValue::List(list))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.capacity() * size_of::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_width_bucket() {
        let of = |value| bucket(value, 0.0, 10.0, 5).expect("a bucket");
        assert_eq!(of(-0.1), 0);
        assert_eq!(of(0.0), 1);
        assert_eq!(of(1.999), 1);
        assert_eq!(of(2.0), 2);
        assert_eq!(of(9.999), 5);
        assert_eq!(of(10.0), 6);
        assert_eq!(of(f64::INFINITY), 6);
        assert_eq!(of(f64::NEG_INFINITY), 0);
        let wide = bucket(0.0, -f64::MAX, f64::MAX, 4).expect("a bucket");
        assert_eq!(wide, 3);
        assert!(bucket(f64::NAN, 0.0, 1.0, 1).is_err());
        assert!(bucket(0.0, 1.0, 0.0, 1).is_err());
        assert!(bucket(0.0, 1.0, 1.0, 1).is_err());
        assert!(bucket(0.0, f64::NEG_INFINITY, 1.0, 1).is_err());
    }
}
