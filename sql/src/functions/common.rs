//! `coalesce`, `nullif`, `greatest`, `least` of times and bare strings.
//!
//! DataFusion finds no common type of a timestamp and a string, and nanoseconds for a timestamp
//! and a date. Here the string is read as what stands beside it; all else is DataFusion's.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::columns::coerced_as;

/// One of DataFusion's functions, with PostgreSQL's common type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Common {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

/// The functions.
pub(super) fn functions() -> Vec<Common> {
    use datafusion::functions::core::{coalesce, greatest, least, nullif};
    [coalesce(), nullif(), greatest(), least()]
        .map(|inner| Common {
            inner,
            signature: Signature::user_defined(Volatility::Immutable),
        })
        .into()
}

impl ScalarUDFImpl for Common {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_text = |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::Utf8View);
        let is_time = |ty: &&DataType| matches!(ty, DataType::Timestamp(..));
        // A timestamp takes dates along, and one with a zone those without.
        let time = types
            .iter()
            .find(|ty| matches!(ty, DataType::Timestamp(_, Some(_))))
            .or_else(|| types.iter().find(is_time));
        let time = time.map(|ty| match ty {
            DataType::Timestamp(_, zone) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            other => other.clone(),
        });
        let meant = |ty: &DataType| match (&time, ty) {
            (Some(time), DataType::Timestamp(..) | DataType::Date32) => time.clone(),
            _ => ty.clone(),
        };
        let known = types.iter().find(|ty| !is_text(ty) && !ty.is_null());
        let known = known.map(meant);
        let types: Vec<DataType> = types
            .iter()
            .map(|ty| match &known {
                Some(known) if is_text(ty) => known.clone(),
                _ => meant(ty),
            })
            .collect();
        coerced_as(&types, &*self.inner)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
}
