//! The mark of an `ASOF JOIN`'s right side: a condition that holds, which the plan takes away again.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// Its name, which cannot be typed.
pub(crate) const MARK: &str = "asof\u{1}";

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    signature: Signature,
}

impl Mark {
    pub(super) fn new() -> Self {
        Mark {
            signature: Signature::nullary(Volatility::Stable),
        }
    }
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        MARK
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    }
}
