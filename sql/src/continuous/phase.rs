//! The first half of an aggregation: rows → partials, each a group and the states of its aggregates.
//!
//! The states are those of DataFusion's own two-phase aggregation, so that whatever it can split
//! over threads can be kept and merged later.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::definition::Definition;

/// Groups gathered before they are given away. Rows mostly come in the order of their key, so that
/// few groups are cut in two.
const GROUPS_MAX: usize = 128 * 1024;

/// An aggregation of rows under way.
pub(crate) struct Phase {
    definition: Arc<Definition>,
    /// The aggregates that are wanted, by number.
    wanted: Vec<usize>,
    groups: Groups,
    schema: SchemaRef,
    full: Vec<RecordBatch>,
}

/// Groups and the states of their aggregates.
struct Groups {
    values: Box<dyn GroupValues>,
    states: Vec<Box<dyn GroupsAccumulator>>,
    /// The group of each row of the batch under way.
    numbers: Vec<usize>,
}

impl Groups {
    fn new(definition: &Definition, wanted: &[usize]) -> Result<Self> {
        let keys = Schema::new(definition.key_fields().cloned().collect::<Vec<_>>());
        let functions = wanted.iter().map(|&n| &definition.aggregates[n].function);
        let states = functions.map(group_states);
        Ok(Groups {
            values: new_group_values(Arc::new(keys), &GroupOrdering::None)?,
            states: states.collect::<Result<_>>()?,
            numbers: Vec::new(),
        })
    }

    /// All groups with their states, as columns.
    fn emit(&mut self) -> Result<Vec<ArrayRef>> {
        let mut columns = self.values.emit(EmitTo::All)?;
        for states in &mut self.states {
            columns.extend(states.state(EmitTo::All)?);
        }
        Ok(columns)
    }
}

/// The states of a function for many groups.
///
/// # Errors
/// Those of the function.
pub(crate) fn group_states(
    function: &Arc<AggregateFunctionExpr>,
) -> Result<Box<dyn GroupsAccumulator>> {
    let function = function.clone();
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    let one = move || function.create_accumulator();
    Ok(Box::new(GroupsAccumulatorAdapter::new(one)))
}

impl Phase {
    /// Begins. `wanted` are the numbers of the aggregates to compute, ascending.
    pub(crate) fn new(definition: Arc<Definition>, wanted: Vec<usize>) -> Result<Self> {
        Ok(Phase {
            groups: Groups::new(&definition, &wanted)?,
            schema: definition.partials_schema(&wanted),
            definition,
            wanted,
            full: Vec::new(),
        })
    }

    /// Begins the aggregation for all aggregates.
    pub(crate) fn of_all(definition: Arc<Definition>) -> Result<Self> {
        let wanted = (0..definition.aggregates.len()).collect();
        Phase::new(definition, wanted)
    }

    /// Takes rows of the source, as [`Definition::fit`] makes them.
    pub(crate) fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        let kept;
        let rows = match &self.definition.filter {
            Some(filter) => {
                let mask = filter.evaluate(rows)?.into_array(rows.num_rows())?;
                kept = filter_record_batch(rows, mask.as_boolean())?;
                &kept
            }
            None => rows,
        };
        let count = rows.num_rows();
        if count == 0 {
            return Ok(());
        }
        let value = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(rows)?.into_array(count);
        let keys = self.definition.keys.iter().map(|key| value(&key.expr));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let groups = &mut self.groups;
        groups.values.intern(&keys, &mut groups.numbers)?;
        let total = groups.values.len();
        for (states, &n) in groups.states.iter_mut().zip(&self.wanted) {
            let kept = &self.definition.aggregates[n];
            let values = kept.function.expressions();
            let values = values.iter().map(value).collect::<Result<Vec<_>>>()?;
            let filter = kept.filter.as_ref().map(value).transpose()?;
            let filter = filter.map(|mask| truth(mask.as_boolean()));
            states.update_batch(&values, &groups.numbers, filter.as_ref(), total)?;
        }
        if total >= GROUPS_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.groups.values.is_empty() {
            return Ok(());
        }
        let columns = self.groups.emit()?;
        self.full.push(batch(&self.schema, columns)?);
        // States that were given away may not be asked for a second time.
        self.groups = Groups::new(&self.definition, &self.wanted)?;
        Ok(())
    }

    /// Memory held, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let states = self.groups.states.iter().map(|states| states.size());
        let full = self.full.iter().map(RecordBatch::get_array_memory_size);
        self.groups.values.size() + states.sum::<usize>() + full.sum::<usize>()
    }

    /// The partials that are complete, for whoever does not wait for the end.
    pub(crate) fn take_full(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.full)
    }

    /// The partials. A group may have several.
    pub(crate) fn finish(mut self) -> Result<Vec<RecordBatch>> {
        self.flush()?;
        Ok(self.full)
    }
}

/// One partial for each group of these, in the order in which the groups come first.
pub(crate) fn combine(definition: &Definition, partials: &RecordBatch) -> Result<RecordBatch> {
    let wanted: Vec<usize> = (0..definition.aggregates.len()).collect();
    let mut groups = Groups::new(definition, &wanted)?;
    let (keys, mut states) = partials.columns().split_at(definition.keys.len());
    groups.values.intern(keys, &mut groups.numbers)?;
    let total = groups.values.len();
    if total == partials.num_rows() {
        return Ok(partials.clone());
    }
    for (into, kept) in groups.states.iter_mut().zip(&definition.aggregates) {
        let (own, rest) = states.split_at(kept.states.len());
        into.merge_batch(own, &groups.numbers, total)?;
        states = rest;
    }
    batch(&partials.schema(), groups.emit()?)
}

/// Columns under the names and types of a schema: functions name their states as they like.
fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let columns = columns.into_iter().zip(schema.fields());
    let columns = columns.map(
        |(column, field)| match column.data_type() == field.data_type() {
            true => Ok(column),
            false => arrow::compute::cast(&column, field.data_type()),
        },
    );
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// A condition's answer with unknown as false.
fn truth(mask: &BooleanArray) -> BooleanArray {
    match mask.null_count() {
        0 => mask.clone(),
        _ => prep_null_mask_filter(mask),
    }
}
