//! `pg_sleep(seconds)`: waits without holding a thread, so that it can be cancelled at any moment.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use async_trait::async_trait;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The longest that a row waits, in seconds: a year.
const SECONDS_MAX: f64 = 31_536_000.0;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep(Signature);

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    let sleep = Sleep(Signature::exact(
        vec![DataType::Float64],
        Volatility::Volatile,
    ));
    Arc::new(AsyncScalarUDF::new(Arc::new(sleep)).into_scalar_udf())
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("pg_sleep can stand in the select list and in WHERE only")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let seconds = args.args[0].to_array(args.number_rows)?;
        let seconds = seconds.as_primitive::<Float64Type>();
        for wait in seconds.iter().flatten().filter(|s| *s > 0.0) {
            tokio::time::sleep(Duration::from_secs_f64(wait.min(SECONDS_MAX))).await;
        }
        // Of type void, which prints as nothing.
        Ok(ColumnarValue::Array(Arc::new(StringArray::from(
            vec![""; seconds.len()],
        ))))
    }
}
