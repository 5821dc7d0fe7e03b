//! `now()` and its like, to the microsecond and in the session's zone.
//!
//! DataFusion's own count nanoseconds, and a comparison with them would turn every stored time
//! into nanoseconds before it compares, so that no pack could be left out.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Clock {
    name: &'static str,
    now_us: i64,
    zone: Arc<str>,
    signature: Signature,
}

/// The functions at one moment.
pub(super) fn functions(now_us: i64, zone: &Arc<str>) -> Vec<Arc<ScalarUDF>> {
    let names = [
        "now",
        "current_timestamp",
        "transaction_timestamp",
        "statement_timestamp",
        "clock_timestamp",
    ];
    let function = |name| {
        let signature = Signature::nullary(Volatility::Stable);
        Arc::new(ScalarUDF::new_from_impl(Clock {
            name,
            now_us,
            zone: zone.clone(),
            signature,
        }))
    };
    names.into_iter().map(function).collect()
}

impl Clock {
    fn value(&self) -> ScalarValue {
        ScalarValue::TimestampMicrosecond(Some(self.now_us), Some(self.zone.clone()))
    }
}

impl ScalarUDFImpl for Clock {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some(self.zone.clone()),
        ))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value()))
    }

    fn simplify(&self, _: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(Expr::Literal(
            self.value(),
            None,
        )))
    }
}
