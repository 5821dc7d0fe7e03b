//! What functions do with their arguments before and after they compute: constants as columns of
//! one row, and back.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::type_coercion::functions::{UDFCoercionExt, fields_with_udf};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// Computes over columns. Of constants alone one row is computed, and the result is a constant.
pub(super) fn evaluate(
    args: &ScalarFunctionArgs,
    compute: impl FnOnce(&[ArrayRef], usize) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let is_constant = args
        .args
        .iter()
        .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if is_constant { 1 } else { args.number_rows };
    let columns = args
        .args
        .iter()
        .map(|arg| arg.clone().into_array(rows))
        .collect::<Result<Vec<_>>>()?;
    let out = compute(&columns, rows)?;
    Ok(if is_constant {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?)
    } else {
        ColumnarValue::Array(out)
    })
}

/// Whether a row is NULL in any of the columns.
pub(super) fn any_null(columns: &[ArrayRef], row: usize) -> bool {
    columns.iter().any(|column| column.is_null(row))
}

/// The types that a function of DataFusion's would take for arguments of these types.
pub(super) fn coerced_as(
    types: &[DataType],
    function: &impl UDFCoercionExt,
) -> Result<Vec<DataType>> {
    let fields: Vec<FieldRef> = types
        .iter()
        .map(|ty| Arc::new(Field::new("", ty.clone(), true)))
        .collect();
    let fields = fields_with_udf(&fields, function)?;
    Ok(fields
        .iter()
        .map(|field| field.data_type().clone())
        .collect())
}
