//! The one value of a subquery: an aggregate that keeps up to two rows, and a function that takes
//! the value out and refuses two.
//!
//! Two functions and not one, because a correlated subquery becomes a join of groups: two rows of
//! a group that nobody asks for are no error, so that only who takes the value may complain.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::fault;
use crate::error::SqlState;

static UP_TO_TWO: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
    Arc::new(AggregateUDF::from(UpToTwo {
        signature: Signature::any(1, Volatility::Immutable),
    }))
});

static ONLY_VALUE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(ScalarUDF::from(OnlyValue {
        signature: Signature::any(1, Volatility::Immutable),
    }))
});

/// The values of the first two rows, as a list; NULL without rows.
pub(crate) fn up_to_two(value: Expr) -> Expr {
    UP_TO_TWO.call(vec![value])
}

/// The value in such a list; NULL for NULL, an error for two.
pub(crate) fn only_value(list: Expr) -> Expr {
    ONLY_VALUE.call(vec![list])
}

fn list_of(value: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(value.clone(), true)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct UpToTwo {
    signature: Signature,
}

impl AggregateUDFImpl for UpToTwo {
    fn name(&self) -> &str {
        "up_to_two"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [value] => Ok(list_of(value)),
            _ => plan_err!("up_to_two takes a value"),
        }
    }

    /// The list's field tells the PostgreSQL type of its values.
    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        match fields {
            [value] => Ok(Arc::new(
                Field::new(self.name(), list_of(value.data_type()), true)
                    .with_metadata(value.metadata().clone()),
            )),
            _ => plan_err!("up_to_two takes a value"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = args
            .return_field
            .as_ref()
            .clone()
            .with_name(format_state_name(args.name, "values"));
        Ok(vec![Arc::new(list)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let ty = args.expr_fields.first();
        Ok(Box::new(Values {
            ty: ty.map_or(DataType::Null, |field| field.data_type().clone()),
            values: Vec::new(),
        }))
    }
}

/// Up to two values of a group.
#[derive(Debug)]
struct Values {
    ty: DataType,
    values: Vec<ScalarValue>,
}

impl Values {
    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        let wanted = 2 - self.values.len().min(2);
        for row in 0..values.len().min(wanted) {
            let mut value = ScalarValue::try_from_array(values, row)?;
            value.compact();
            self.values.push(value);
        }
        Ok(())
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.add(&columns[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in (0..lists.len()).filter(|&row| lists.is_valid(row)) {
            self.add(&lists.value(row))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.values.is_empty() {
            return ScalarValue::try_new_null(&list_of(&self.ty));
        }
        let list = ScalarValue::new_list(&self.values, &self.ty, true);
        Ok(ScalarValue::List(list))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(ScalarValue::size).sum::<usize>()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OnlyValue {
    signature: Signature,
}

impl ScalarUDFImpl for OnlyValue {
    fn name(&self) -> &str {
        "only_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::List(value)] => Ok(value.data_type().clone()),
            _ => plan_err!("only_value takes a list"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        let metadata = args.arg_fields.first().map(|f| f.metadata().clone());
        Ok(Arc::new(field.with_metadata(metadata.unwrap_or_default())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(lists) = lists.first().and_then(|lists| lists.as_list_opt::<i32>()) else {
            return plan_err!("only_value takes a list");
        };
        let mut rows = Vec::with_capacity(lists.len());
        for row in 0..lists.len() {
            let count = if lists.is_null(row) {
                0
            } else {
                lists.value_length(row)
            };
            rows.push(match count {
                0 => None,
                1 => Some(lists.value_offsets()[row] as u32),
                _ => {
                    let message = "more than one row returned by a subquery used as an expression";
                    return Err(fault(SqlState::CARDINALITY_VIOLATION, message));
                }
            });
        }
        let values = take(lists.values(), &UInt32Array::from(rows), None)?;
        match args.args.first() {
            Some(ColumnarValue::Scalar(_)) => Ok(ColumnarValue::Scalar(
                ScalarValue::try_from_array(&values, 0)?,
            )),
            _ => Ok(ColumnarValue::Array(values)),
        }
    }
}
