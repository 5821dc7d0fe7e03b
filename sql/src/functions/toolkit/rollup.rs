//! `rollup(summary)`: summaries of one type merged.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};

use super::aggregate::{field, refuse_distinct};
use super::args::{Arg, coerce, no_such_call, no_such_function};
use super::candlestick::Candlestick;
use super::counter::Counter;
use super::frequent::Frequent;
use super::hyperloglog::HyperLogLog;
use super::lttb::TimeVector;
use super::most::Most;
use super::stats::{Stats1, Stats2};
use super::summary::{Folding, Of, binary, invalid, kind_of, rollup};
use super::tdigest::Digest;
use super::time_weight::TimeWeight;
use super::uddsketch::UddSketch;
use crate::types::{PgType, SummaryKind};

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Rollup {
    signature: Signature,
}

impl Rollup {
    pub(super) fn new() -> Self {
        Rollup {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

/// Merges summaries of a kind.
fn folding(kind: SummaryKind) -> &'static dyn Folding {
    use SummaryKind::*;
    match kind {
        Stats1 => &Of::<self::Stats1>(rollup),
        Stats2 => &Of::<self::Stats2>(rollup),
        UddSketch => &Of::<self::UddSketch>(rollup),
        TDigest => &Of::<Digest>(rollup),
        HyperLogLog => &Of::<self::HyperLogLog>(rollup),
        Candlestick => &Of::<self::Candlestick>(rollup),
        Counter | Gauge => &Of::<self::Counter>(rollup),
        TimeWeight => &Of::<self::TimeWeight>(rollup),
        Frequent | FrequentInts | FrequentTexts => &Of::<self::Frequent>(rollup),
        MinInts | MinFloats | MinTimes | MaxInts | MaxFloats | MaxTimes | MinByInts
        | MinByFloats | MinByTimes | MaxByInts | MaxByFloats | MaxByTimes => &Of::<Most>(rollup),
        TimeVector => &Of::<self::TimeVector>(rollup),
    }
}

/// The kind that the type of the argument tells, if it does.
fn kind_of_argument(args: &AccumulatorArgs<'_>) -> Option<SummaryKind> {
    match PgType::of_field(args.expr_fields.first()?) {
        PgType::Summary(kind) => Some(kind),
        _ => None,
    }
}

impl AggregateUDFImpl for Rollup {
    fn name(&self) -> &str {
        "rollup"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(&[Arg::Summary], types).ok_or_else(|| no_such_call("rollup", types))
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    /// The argument's own field, which names its type.
    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        match fields {
            [one] => match PgType::of_field(one) {
                PgType::Summary(kind) => Ok(field(kind, "rollup")),
                // Some expressions lose the name; the values have it.
                PgType::Bytea => Ok(Arc::new(Field::new("rollup", DataType::Binary, true))),
                _ => Err(no_such_function("rollup", fields.iter().map(Arc::as_ref))),
            },
            _ => Err(no_such_function("rollup", fields.iter().map(Arc::as_ref))),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "summary");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        refuse_distinct("rollup", &args)?;
        Ok(Box::new(One { fold: None }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct && kind_of_argument(&args).is_some()
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match kind_of_argument(&args) {
            Some(kind) => Ok(folding(kind).groups()),
            None => internal_err!("rollup of summaries of no known type"),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A group; the first value tells its kind.
#[derive(Debug)]
struct One {
    fold: Option<Box<dyn Accumulator>>,
}

impl One {
    fn fold(&mut self, columns: &[ArrayRef]) -> Result<Option<&mut Box<dyn Accumulator>>> {
        if self.fold.is_none() {
            let values = binary(&columns[0])?;
            let Some(row) = (0..values.len()).find(|&row| values.is_valid(row)) else {
                return Ok(None);
            };
            let first = values.value(row);
            let kind = kind_of(first).ok_or_else(|| invalid(first))?;
            self.fold = Some(folding(kind).one());
        }
        Ok(self.fold.as_mut())
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        match self.fold(columns)? {
            Some(fold) => fold.update_batch(columns),
            None => Ok(()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        match &mut self.fold {
            Some(fold) => fold.state(),
            None => Ok(vec![ScalarValue::Binary(None)]),
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match &mut self.fold {
            Some(fold) => fold.evaluate(),
            None => Ok(ScalarValue::Binary(None)),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.fold.as_ref().map_or(0, |fold| fold.size())
    }
}
