//! `array_or_empty(array)`: the array, or an empty one of its type in the place of null.
//!
//! `ARRAY(SELECT …)` is planned as an aggregate, and those are null without rows.

use std::sync::{Arc, LazyLock};

use arrow::array::{ListArray, Scalar, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::is_not_null;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// The function.
pub(super) fn array_or_empty() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::from(ArrayOrEmpty { signature }))
    });
    FUNCTION.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOrEmpty {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOrEmpty {
    fn name(&self) -> &str {
        "array_or_empty"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(args.arg_fields[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let DataType::List(item) = args.arg_fields[0].data_type() else {
            return Ok(args.args[0].clone());
        };
        let constant = matches!(args.args[0], ColumnarValue::Scalar(_));
        let array = args.args[0]
            .clone()
            .into_array(if constant { 1 } else { args.number_rows })?;
        let none = new_empty_array(item.data_type());
        let empty = ListArray::try_new(item.clone(), OffsetBuffer::from_lengths([0]), none, None)?;
        let out = zip(&is_not_null(&array)?, &array, &Scalar::new(empty))?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}
