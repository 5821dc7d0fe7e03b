//! `histogram(value, min, max, nbuckets)`: how many values are in each of some buckets of equal width.
//!
//! As in TimescaleDB (`src/histogram.c`): the first element counts what is below `min`, the last what
//! is `max` or above; buckets are those of PostgreSQL's `width_bucket`. NULL values do not count.
//! The state is the list of counts.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, ListBuilder, PrimitiveBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};

use super::aggregate::refuse_distinct;
use super::args::{Arg, coerce, complete_rows, floats, ints, no_such_call};
use super::groups::{Groups, State};
use super::summary::Sink;
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
        Ok(Box::new(One::default()))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups::new(update)))
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

/// Counts of a group.
#[derive(Debug)]
struct Counts(Vec<i64>);

impl Counts {
    /// Adds the counts of other values.
    fn merge(&mut self, others: &[i64]) -> Result<()> {
        if self.0.len() != others.len() {
            return Err(changed());
        }
        let pairs = self.0.iter_mut().zip(others);
        pairs.for_each(|(sum, count)| *sum += count);
        Ok(())
    }

    /// The counts as they are answered.
    fn answer(&self) -> Result<Vec<i32>> {
        let counts = self.0.iter().map(|count| i32::try_from(*count));
        let counts = counts.collect::<std::result::Result<_, _>>();
        counts.map_err(|_| fault(SqlState::NUMERIC_OUT_OF_RANGE, "overflow in histogram"))
    }
}

fn update(sink: &mut Sink<'_, Counts>, columns: &[ArrayRef]) -> Result<()> {
    let (values, mins, maxs) = (
        floats(columns, 0)?,
        floats(columns, 1)?,
        floats(columns, 2)?,
    );
    let wanteds = ints(columns, 3)?;
    for row in complete_rows(columns, &[0, 1, 2, 3]) {
        let wanted = wanteds.value(row);
        if wanted <= 0 {
            return Err(invalid("count must be greater than zero"));
        }
        if wanted > BUCKETS_MAX {
            let message = format!("a histogram has at most {BUCKETS_MAX} buckets");
            return Err(fault(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let wanted = wanted as usize;
        let at = bucket(values.value(row), mins.value(row), maxs.value(row), wanted)?;
        let counts = sink.of_row(row);
        let counts = counts.get_or_insert_with(|| Counts(vec![0; wanted + 2]));
        if counts.0.len() != wanted + 2 {
            return Err(changed());
        }
        counts.0[at] += 1;
    }
    Ok(())
}

/// Lists of numbers.
fn lists<T: ArrowPrimitiveType>(
    lists: impl Iterator<Item = Result<Option<Vec<T::Native>>>>,
) -> Result<ArrayRef> {
    let mut out = ListBuilder::new(PrimitiveBuilder::<T>::new());
    for list in lists {
        match list? {
            Some(list) => {
                out.values().append_slice(&list);
                out.append(true);
            }
            None => out.append(false),
        }
    }
    Ok(Arc::new(out.finish()))
}

impl State for Counts {
    fn merge_rows(sink: &mut Sink<'_, Self>, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in (0..lists.len()).filter(|&row| lists.is_valid(row)) {
            let others = lists.value(row);
            let others = others.as_primitive::<Int64Type>().values();
            match sink.of_row(row) {
                Some(counts) => counts.merge(others)?,
                none => *none = Some(Counts(others.to_vec())),
            }
        }
        Ok(())
    }

    fn states(groups: Vec<Option<Self>>) -> Result<ArrayRef> {
        lists::<Int64Type>(
            groups
                .into_iter()
                .map(|group| Ok(group.map(|counts| counts.0))),
        )
    }

    fn answers(groups: Vec<Option<Self>>) -> Result<ArrayRef> {
        let answer = |group: Option<Counts>| group.as_ref().map(Counts::answer).transpose();
        lists::<Int32Type>(groups.into_iter().map(answer))
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<i64>()
    }
}

/// One group; nothing before the first value.
#[derive(Debug, Default)]
struct One(Option<Counts>);

impl Accumulator for One {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        update(&mut Sink::One(&mut self.0), columns)
    }

    fn merge_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        Counts::merge_rows(&mut Sink::One(&mut self.0), columns)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let counts = self.0.as_ref().map(|counts| Counts(counts.0.clone()));
        let state = Counts::states(vec![counts])?;
        Ok(vec![ScalarValue::try_from_array(&state, 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let counts = self.0.as_ref().map(|counts| Counts(counts.0.clone()));
        ScalarValue::try_from_array(&Counts::answers(vec![counts])?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.as_ref().map_or(0, State::size)
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
