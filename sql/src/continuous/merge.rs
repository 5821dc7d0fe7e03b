//! The second half of an aggregation, as an aggregate function of its own: its arguments are the
//! columns of states that the first half kept.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

/// Merges the states of a function.
#[derive(Debug)]
pub(super) struct Merge {
    /// Names the function within all aggregates: two of one name are the same.
    name: String,
    /// Whether some partials of a group may not count.
    is_filtered: bool,
    function: Arc<AggregateFunctionExpr>,
    signature: Signature,
}

impl Merge {
    pub(super) fn new(
        name: String,
        function: Arc<AggregateFunctionExpr>,
        is_filtered: bool,
    ) -> Self {
        Merge {
            name,
            is_filtered,
            function,
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }

    /// The function whose states it merges.
    pub(super) fn function(&self) -> &AggregateFunctionExpr {
        &self.function
    }

    /// The same, of all partials or of some.
    pub(super) fn with_filter(&self, is_filtered: bool) -> Self {
        Merge::new(self.name.clone(), self.function.clone(), is_filtered)
    }
}

impl PartialEq for Merge {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Merge {}

impl Hash for Merge {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Merge {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.function.field().data_type().clone())
    }

    /// The function's own field, so that it keeps its PostgreSQL type.
    fn return_field(&self, _: &[FieldRef]) -> Result<FieldRef> {
        Ok(self.function.field())
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.function.state_fields()
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One(self.function.create_accumulator()?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        // States of many groups are merged without a filter, and know of no group without any.
        !self.is_filtered && self.function.groups_accumulator_supported()
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Many(self.function.create_groups_accumulator()?)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.function.default_value(data_type)
    }
}

/// The state of one group.
#[derive(Debug)]
struct One(Box<dyn Accumulator>);

impl Accumulator for One {
    fn update_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// The states of many groups.
struct Many(Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for Many {
    fn update_batch(
        &mut self,
        states: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        match filter {
            Some(_) => not_impl_err!("a filter of partial aggregates"),
            None => self.0.merge_batch(states, groups, total),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.0.merge_batch(states, groups, total)
    }

    fn convert_to_state(
        &self,
        states: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        match filter {
            Some(_) => not_impl_err!("a filter of partial aggregates"),
            None => Ok(states.to_vec()),
        }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.0.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
