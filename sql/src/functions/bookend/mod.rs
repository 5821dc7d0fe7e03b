//! The aggregates `first(value, time)` and `last(value, time)`: the value at the smallest and at the
//! largest time.
//!
//! As in TimescaleDB (`src/agg_bookend.c`): rows whose time is NULL do not count; a NULL value does,
//! so that the answer is NULL where the row of that time has none; among rows of one time any may be
//! answered. The state is the value and its time, so that partial states merge in any order.

mod accumulator;
mod groups;
mod values;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};

use super::fault;
use crate::error::SqlState;

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    First,
    Last,
}

impl End {
    /// Whether a time is nearer to this end than the one so far.
    #[inline]
    pub(super) fn is_better<T: PartialOrd>(self, time: T, best: T) -> bool {
        match self {
            End::First => time < best,
            End::Last => time > best,
        }
    }
}

/// One of the two aggregates.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bookend {
    end: End,
    signature: Signature,
}

impl Bookend {
    pub(super) fn first() -> Self {
        Bookend {
            end: End::First,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    pub(super) fn last() -> Self {
        Bookend {
            end: End::Last,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for Bookend {
    fn name(&self) -> &str {
        match self.end {
            End::First => "first",
            End::Last => "last",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [value, time] = types else {
            let message = format!("function {} takes a value and a time", self.name());
            return Err(fault(SqlState::UNDEFINED_FUNCTION, message));
        };
        // A column of views is read as one of text: a group keeps one value, not a buffer.
        let value = match value {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other.clone(),
        };
        let time = match time {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other.clone(),
        };
        Ok(vec![value, time])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(value) => Ok(value.clone()),
            None => plan_err!("{} takes a value and a time", self.name()),
        }
    }

    /// The value's own field, so that it keeps its PostgreSQL type.
    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        match fields.first() {
            Some(value) => Ok(Arc::new(
                value
                    .as_ref()
                    .clone()
                    .with_name(self.name())
                    .with_nullable(true),
            )),
            None => plan_err!("{} takes a value and a time", self.name()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = args
            .return_field
            .as_ref()
            .clone()
            .with_name(format_state_name(args.name, "value"));
        let time = args.input_fields[1]
            .as_ref()
            .clone()
            .with_name(format_state_name(args.name, "time"));
        Ok(vec![
            Arc::new(value.with_nullable(true)),
            Arc::new(time.with_nullable(true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (value, time) = types_of(&args);
        Ok(Box::new(accumulator::One::new(self.end, &value, &time)?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        let (value, time) = types_of(&args);
        values::Values::supports(&value) && groups::supports_time(&time)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let (value, time) = types_of(&args);
        Ok(Box::new(groups::Groups::new(self.end, &value, time)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The types of value and time.
fn types_of(args: &AccumulatorArgs<'_>) -> (DataType, DataType) {
    let of = |index: usize| {
        args.expr_fields
            .get(index)
            .map_or(DataType::Null, |f| f.data_type().clone())
    };
    (of(0), of(1))
}
