//! A scalar function of a few lines: name, types and a closure over one row.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// What computes one row: the arguments as text, `None` for NULL.
pub(super) type Row = fn(&[Option<&str>]) -> Result<Option<String>>;

/// A function that returns text. Its arguments reach the closure as text too: it is for the
/// functions that describe or spell something, not for hot loops.
#[derive(Debug)]
pub(super) struct Simple {
    name: &'static str,
    signature: Signature,
    row: Row,
}

impl Simple {
    /// A function with these argument lists.
    pub(super) fn new(name: &'static str, arguments: Vec<Vec<DataType>>, row: Row) -> Self {
        let exact = arguments.into_iter().map(|types| match types.is_empty() {
            true => TypeSignature::Nullary,
            false => TypeSignature::Coercible(types.iter().map(coercion).collect()),
        });
        let signature = Signature::one_of(exact.collect(), Volatility::Immutable);
        Simple {
            name,
            signature,
            row,
        }
    }
}

/// Anything that is an integer for an integer, anything that is text for text.
fn coercion(ty: &DataType) -> datafusion::logical_expr::Coercion {
    use datafusion::common::types::{NativeType, logical_int64, logical_string};
    use datafusion::logical_expr::{Coercion, TypeSignatureClass};
    if *ty == DataType::Utf8 {
        return Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
    }
    Coercion::new_implicit(
        TypeSignatureClass::Native(logical_int64()),
        vec![TypeSignatureClass::Integer],
        NativeType::Int64,
    )
}

// The name tells the function.
impl PartialEq for Simple {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Simple {}

impl std::hash::Hash for Simple {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Simple {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let columns = args
            .args
            .iter()
            .map(|arg| Ok(cast(&arg.clone().into_array(rows)?, &DataType::Utf8)?))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let columns: Vec<&StringArray> = columns
            .iter()
            .filter_map(|column| column.as_any().downcast_ref())
            .collect();
        let mut out = StringBuilder::new();
        let mut row = Vec::with_capacity(columns.len());
        for index in 0..rows {
            row.clear();
            row.extend(
                columns
                    .iter()
                    .map(|c| c.is_valid(index).then(|| c.value(index))),
            );
            out.append_option((self.row)(&row)?);
        }
        let out: ArrayRef = Arc::new(out.finish());
        if all_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}
