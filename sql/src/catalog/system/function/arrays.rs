//! `array_subscripts(array)`: the numbers of an array's elements. The rows of `generate_subscripts`
//! are made of it.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function.
pub(super) fn array_subscripts() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::from(Subscripts { signature }))
    });
    FUNCTION.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Subscripts {
    signature: Signature,
}

fn number() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Int32, true))
}

impl ScalarUDFImpl for Subscripts {
    fn name(&self) -> &str {
        "array_subscripts"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            DataType::List(_) => Ok(DataType::List(number())),
            other => plan_err!("array_subscripts wants an array, not {other}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = matches!(args.args[0], ColumnarValue::Scalar(_));
        let rows = if is_constant { 1 } else { args.number_rows };
        let array = args.args[0].clone().into_array(rows)?;
        let lists = array.as_list::<i32>();
        let lengths: Vec<i32> = lists
            .value_offsets()
            .windows(2)
            .map(|ends| ends[1] - ends[0])
            .collect();
        let numbers: Int32Array = lengths.iter().flat_map(|&length| 1..=length).collect();
        let out: ArrayRef = Arc::new(ListArray::try_new(
            number(),
            OffsetBuffer::from_lengths(lengths.into_iter().map(|length| length as usize)),
            Arc::new(numbers),
            lists.nulls().cloned(),
        )?);
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}
