//! The state of one group, for values and times of any type.

use std::cmp::Ordering;

use datafusion::arrow::array::{Array, ArrayRef, make_comparator};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::End;

/// The best row so far.
#[derive(Debug)]
pub(super) struct One {
    end: End,
    value: ScalarValue,
    /// NULL before the first row.
    time: ScalarValue,
}

impl One {
    pub(super) fn new(end: End, value: &DataType, time: &DataType) -> Result<Self> {
        Ok(One {
            end,
            value: ScalarValue::try_from(value)?,
            time: ScalarValue::try_from(time)?,
        })
    }

    /// The row of a batch that is nearest to the end, if one has a time.
    fn best_row(&self, times: &ArrayRef) -> Result<Option<usize>> {
        let compare = make_comparator(times, times, SortOptions::default())?;
        let better = match self.end {
            End::First => Ordering::Less,
            End::Last => Ordering::Greater,
        };
        let rows = (0..times.len()).filter(|row| times.is_valid(*row));
        Ok(rows.reduce(|best, row| {
            if compare(row, best) == better {
                row
            } else {
                best
            }
        }))
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (values, times) = (&columns[0], &columns[1]);
        let Some(row) = self.best_row(times)? else {
            return Ok(());
        };
        let time = ScalarValue::try_from_array(times, row)?;
        if self.time.is_null() || self.end.is_better(&time, &self.time) {
            self.value = ScalarValue::try_from_array(values, row)?;
            self.value.compact();
            self.time = time;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        // A state is a row; one without rows has no time.
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.time.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() + self.time.size() - 2 * size_of::<ScalarValue>()
    }
}
