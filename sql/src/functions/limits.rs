//! Functions whose result can be far larger than their arguments: `repeat`, `lpad`, `replace` and
//! their like. The memory pool of a query does not count what an expression builds, so a
//! statement of some bytes could take all memory there is. What is computed stays DataFusion's.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::columns::coerced_as;
use super::fault;
use crate::error::SqlState;

/// The largest value that such a function makes.
const VALUE_BYTES_MAX: u64 = 16 << 20;
/// All values that it makes for one batch.
const BATCH_BYTES_MAX: u64 = 128 << 20;

/// How large a result is at most, for one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Size {
    /// The first argument, as often as the second says.
    Repeated,
    /// As many characters as the second argument says.
    Padded,
    /// The first argument, with the third in the place of the second, which may be in it as often
    /// as it has characters.
    Replaced,
    /// The first argument, as often as the second says, in an array.
    RepeatedElement,
    /// An array of as many elements as the second argument says.
    Resized,
}

/// One of DataFusion's functions, within limits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Limited {
    inner: Arc<ScalarUDF>,
    size: Size,
    signature: Signature,
}

/// The functions.
pub(super) fn functions() -> Vec<Limited> {
    use datafusion::functions::{regex, string, unicode};
    use datafusion::functions_nested::{repeat, resize};
    let limited = |inner, size| Limited {
        inner,
        size,
        signature: Signature::user_defined(Volatility::Immutable),
    };
    vec![
        limited(string::repeat(), Size::Repeated),
        limited(unicode::lpad(), Size::Padded),
        limited(unicode::rpad(), Size::Padded),
        limited(string::replace(), Size::Replaced),
        limited(regex::regexp_replace(), Size::Replaced),
        limited(repeat::array_repeat_udf(), Size::RepeatedElement),
        limited(resize::array_resize_udf(), Size::Resized),
    ]
}

impl ScalarUDFImpl for Limited {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerced_as(types, &*self.inner)
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

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}

impl Limited {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let is_constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let column = |index: usize| -> Result<Option<ArrayRef>> {
            let arg = args.args.get(index);
            arg.map(|arg| arg.clone().into_array(rows)).transpose()
        };
        let (Some(first), Some(second)) = (column(0)?, column(1)?) else {
            return Ok(());
        };
        let third = column(2)?;
        let lengths = match &third {
            Some(third) if self.size == Size::Replaced => Lengths::of(third)?,
            _ => Lengths::None,
        };
        let counts = match self.size {
            Size::Replaced => None,
            _ => Some(cast(&second, &DataType::Int64)?),
        };
        let counts = counts
            .as_ref()
            .map(|counts| counts.as_primitive::<Int64Type>());
        let texts = match self.size {
            Size::Repeated | Size::Replaced => Lengths::of(&first)?,
            _ => Lengths::None,
        };
        let element = match self.size {
            Size::RepeatedElement if !first.is_empty() => {
                (first.get_array_memory_size() / first.len()).max(1) as u64
            }
            _ => 16,
        };
        let mut batch = 0_u64;
        for row in 0..rows {
            let count = counts.filter(|counts| counts.is_valid(row));
            let count = count.map_or(0, |counts| counts.value(row).max(0).unsigned_abs());
            let value = match self.size {
                Size::Repeated => texts.at(row).saturating_mul(count),
                // A character is at most four bytes.
                Size::Padded => count.saturating_mul(4),
                Size::Replaced => {
                    let places = texts.at(row) + 1;
                    places
                        .saturating_mul(lengths.at(row))
                        .saturating_add(places)
                }
                Size::RepeatedElement | Size::Resized => count.saturating_mul(element),
            };
            batch = batch.saturating_add(value);
            if value > VALUE_BYTES_MAX || batch > BATCH_BYTES_MAX {
                return Err(fault(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    "requested length too large",
                ));
            }
        }
        Ok(())
    }
}

/// Lengths of texts, in bytes.
enum Lengths {
    Of(StringArray),
    None,
}

impl Lengths {
    fn of(column: &ArrayRef) -> Result<Lengths> {
        let texts = cast(column, &DataType::Utf8)?;
        Ok(Lengths::Of(texts.as_string::<i32>().clone()))
    }

    fn at(&self, row: usize) -> u64 {
        match self {
            Lengths::Of(texts) if texts.is_valid(row) => texts.value_length(row) as u64,
            _ => 0,
        }
    }
}
