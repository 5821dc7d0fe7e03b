//! The states of many groups in columns, for times that are integers inside.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::End;
use super::values::Values;

/// Whether times of a type can be compared as `i64`.
pub(super) fn supports_time(time: &DataType) -> bool {
    matches!(
        time,
        DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Date64
            | DataType::Time64(_)
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
    )
}

/// The best row of each group.
pub(super) struct Groups {
    end: End,
    values: Values,
    time_type: DataType,
    /// The best time of each group; meaningless where the group has none.
    times: Vec<i64>,
    /// Whether the group has seen a row.
    seen: Vec<bool>,
    /// Rows of the current batch that were the best so far, with their groups, in order.
    winners: Vec<(usize, usize)>,
}

impl Groups {
    pub(super) fn new(end: End, value: &DataType, time_type: DataType) -> Result<Self> {
        Ok(Groups {
            end,
            values: Values::new(value)?,
            time_type,
            times: Vec::new(),
            seen: Vec::new(),
            winners: Vec::new(),
        })
    }

    /// Takes rows in; where a filter is, those for which it is true.
    fn take_in(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.times.resize(total, 0);
        self.seen.resize(total, false);
        self.values.resize(total);
        let times = to_i64(&columns[1])?;
        let times = times.as_primitive::<Int64Type>();
        let nulls = merge(times.nulls(), filter);
        self.winners.clear();
        for (row, (&group, &time)) in groups.iter().zip(times.values()).enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            if !self.seen[group] || self.end.is_better(time, self.times[group]) {
                self.seen[group] = true;
                self.times[group] = time;
                self.winners.push((group, row));
            }
        }
        self.values.set(&columns[0], &self.winners)
    }

    fn take_times(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let times = emit.take_needed(&mut self.times);
        let seen = emit.take_needed(&mut self.seen);
        let times: ArrayRef = Arc::new(Int64Array::new(times.into(), Some(NullBuffer::from(seen))));
        from_i64(&times, &self.time_type)
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.take_in(columns, groups, filter, total)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.take_in(states, groups, None, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        emit.take_needed(&mut self.times);
        emit.take_needed(&mut self.seen);
        self.values.take(emit)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let times = self.take_times(emit)?;
        Ok(vec![self.values.take(emit)?, times])
    }

    fn convert_to_state(
        &self,
        columns: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        // Each row is the state of itself, and has no time where it does not count.
        let times = to_i64(&columns[1])?;
        let times = times.as_primitive::<Int64Type>();
        let nulls = merge(times.nulls(), filter);
        let times: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::new(
            times.values().clone(),
            nulls,
        ));
        Ok(vec![columns[0].clone(), from_i64(&times, &self.time_type)?])
    }

    fn size(&self) -> usize {
        self.values.size()
            + self.times.capacity() * size_of::<i64>()
            + self.seen.capacity()
            + self.winners.capacity() * size_of::<(usize, usize)>()
    }
}

/// Rows that do not count: those without a time and those that the filter leaves out.
fn merge(times: Option<&NullBuffer>, filter: Option<&BooleanArray>) -> Option<NullBuffer> {
    let filter = filter.map(|filter| match filter.nulls() {
        Some(nulls) => NullBuffer::new(filter.values() & nulls.inner()),
        None => NullBuffer::new(filter.values().clone()),
    });
    NullBuffer::union(times, filter.as_ref())
}

/// Times as `i64`; nothing is copied where they are.
fn to_i64(times: &ArrayRef) -> Result<ArrayRef> {
    match times.data_type() {
        DataType::Date32 => Ok(cast(&cast(times, &DataType::Int32)?, &DataType::Int64)?),
        _ => Ok(cast(times, &DataType::Int64)?),
    }
}

fn from_i64(times: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    match ty {
        DataType::Date32 => Ok(cast(&cast(times, &DataType::Int32)?, ty)?),
        _ => Ok(cast(times, ty)?),
    }
}
