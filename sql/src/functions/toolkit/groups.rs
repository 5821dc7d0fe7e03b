//! The summaries of many groups, side by side: a row costs no call and no slice of its own.

use std::fmt::Debug;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BinaryBuilder, BooleanArray};
use datafusion::arrow::compute::filter;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::summary::{Sink, Summary, Update, answer, encode, rollup};
use crate::error::SqlState;
use crate::functions::fault;

/// What is kept of a group.
pub(super) trait State: Debug + Send + Sized + 'static {
    /// Adds rows of states.
    ///
    /// # Errors
    /// When they do not fit together.
    fn merge_rows(sink: &mut Sink<'_, Self>, states: &[ArrayRef]) -> Result<()>;

    /// The column of states.
    ///
    /// # Errors
    /// 54000 when they are too long.
    fn states(groups: Vec<Option<Self>>) -> Result<ArrayRef>;

    /// The column of answers.
    ///
    /// # Errors
    /// 54000 when they are too long.
    fn answers(groups: Vec<Option<Self>>) -> Result<ArrayRef>;

    /// Memory beyond the struct, in bytes.
    fn size(&self) -> usize;
}

impl<S: Summary> State for S {
    fn merge_rows(sink: &mut Sink<'_, Self>, states: &[ArrayRef]) -> Result<()> {
        rollup(sink, states)
    }

    fn states(groups: Vec<Option<Self>>) -> Result<ArrayRef> {
        column(groups, encode)
    }

    fn answers(groups: Vec<Option<Self>>) -> Result<ArrayRef> {
        column(groups, answer)
    }

    fn size(&self) -> usize {
        Summary::size(self)
    }
}

fn column<S>(groups: Vec<Option<S>>, bytes: fn(&mut S) -> Result<Vec<u8>>) -> Result<ArrayRef> {
    let mut values = BinaryBuilder::with_capacity(groups.len(), 0);
    let mut length = 0;
    // A summary that is written goes at once.
    for group in groups {
        let Some(mut summary) = group else {
            values.append_null();
            continue;
        };
        let value = bytes(&mut summary)?;
        length += value.len();
        if i32::try_from(length).is_err() {
            let message = "the summaries of all groups are longer than 2 GiB";
            return Err(fault(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        values.append_value(value);
    }
    Ok(Arc::new(values.finish()))
}

/// An aggregation under way, of many groups.
#[derive(Debug)]
pub(super) struct Groups<S> {
    /// Nothing in a group before the first row that counts.
    summaries: Vec<Option<S>>,
    /// Memory of each beyond the struct, in bytes, when it was last changed.
    sizes: Vec<usize>,
    /// Their sum.
    held: usize,
    update: Update<S>,
}

impl<S: State> Groups<S> {
    pub(super) fn new(update: Update<S>) -> Self {
        Groups {
            summaries: Vec::new(),
            sizes: Vec::new(),
            held: 0,
            update,
        }
    }

    fn take_in(
        &mut self,
        update: Update<S>,
        columns: &[ArrayRef],
        groups: &[usize],
        total: usize,
    ) -> Result<()> {
        self.summaries.resize_with(total, || None);
        self.sizes.resize(total, 0);
        update(&mut Sink::Groups(&mut self.summaries, groups), columns)?;
        for &group in groups {
            let size = self.summaries[group].as_ref().map_or(0, State::size);
            self.held = self.held - self.sizes[group] + size;
            self.sizes[group] = size;
        }
        Ok(())
    }

    /// The first groups, which are then forgotten.
    fn take(&mut self, emit: EmitTo) -> Vec<Option<S>> {
        self.held -= emit.take_needed(&mut self.sizes).iter().sum::<usize>();
        emit.take_needed(&mut self.summaries)
    }
}

/// The rows for which a filter is true.
fn chosen(
    columns: &[ArrayRef],
    groups: &[usize],
    wanted: &BooleanArray,
) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
    let columns = columns.iter().map(|column| filter(column, wanted));
    let columns = columns.collect::<std::result::Result<_, _>>()?;
    let groups = groups.iter().zip(wanted);
    let groups = groups.filter(|(_, wanted)| *wanted == Some(true));
    Ok((columns, groups.map(|(group, _)| *group).collect()))
}

impl<S: State> GroupsAccumulator for Groups<S> {
    fn update_batch(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        match filter {
            None => self.take_in(self.update, columns, groups, total),
            Some(wanted) => {
                let (columns, groups) = chosen(columns, groups, wanted)?;
                self.take_in(self.update, &columns, &groups, total)
            }
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.take_in(S::merge_rows, states, groups, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        S::answers(self.take(emit))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![S::states(self.take(emit))?])
    }

    /// Each row is a group.
    fn convert_to_state(
        &self,
        columns: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = columns.first().map_or(0, |column| column.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut each = Groups::new(self.update);
        each.update_batch(columns, &groups, filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.summaries.capacity() * size_of::<Option<S>>()
            + self.sizes.capacity() * size_of::<usize>()
            + self.held
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{AsArray, Int64Array};
    use datafusion::common::ScalarValue;

    use super::*;
    use crate::functions::toolkit::hyperloglog;

    fn column(values: impl IntoIterator<Item = i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    }

    /// The bytes of one group with these values.
    fn alone(values: &[i64]) -> Vec<u8> {
        let mut fold = hyperloglog::AGGREGATES[1].fold.one();
        fold.update_batch(&[column(values.iter().copied())])
            .expect("integers");
        match fold.evaluate().expect("a summary") {
            ScalarValue::Binary(Some(bytes)) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_group_is_what_it_would_be_alone() {
        let mut groups = hyperloglog::AGGREGATES[1].fold.groups();
        let rows = column(0..9);
        let of_rows = [0, 1, 2, 0, 1, 2, 0, 1, 2];
        let wanted: BooleanArray = (0..9).map(|row| (row != 4).then_some(row != 8)).collect();
        groups
            .update_batch(&[rows], &of_rows, Some(&wanted), 4)
            .expect("integers");
        assert!(groups.size() > 0);
        let first = groups.evaluate(EmitTo::First(1)).expect("a summary");
        assert_eq!(first.as_binary::<i32>().value(0), alone(&[0, 3, 6]));

        // What is left moves to the front.
        let state = groups.state(EmitTo::All).expect("a state").remove(0);
        let mut merged = hyperloglog::AGGREGATES[1].fold.groups();
        merged
            .merge_batch(&[state], &[0, 1, 1], 2)
            .expect("summaries");
        let all = merged.evaluate(EmitTo::All).expect("summaries");
        assert_eq!(all.as_binary::<i32>().value(0), alone(&[1, 7]));
        assert_eq!(all.as_binary::<i32>().value(1), alone(&[2, 5]));
    }

    #[test]
    fn a_row_alone_is_a_state() {
        let groups = hyperloglog::AGGREGATES[1].fold.groups();
        let wanted = BooleanArray::from(vec![true, false]);
        let states = groups
            .convert_to_state(&[column([5, 6])], Some(&wanted))
            .expect("a state");
        let states = states[0].as_binary::<i32>();
        assert_eq!(states.value(0), alone(&[5]));
        assert!(states.is_null(1));
    }
}
