//! What INSERT, UPDATE and COPY share: rows made to fit a table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::util::display::FormatOptions;
use datafusion::error::DataFusionError;

use crate::catalog::TableEntry;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::types::{ColumnBuilder, Encoder, Format, FormatSettings, PgType};

/// The columns as a batch of the table: each converted to its column's type, none null that must
/// not be.
pub(super) fn conform(
    entry: &TableEntry,
    columns: Vec<ArrayRef>,
    rows: usize,
    settings: &FormatSettings,
) -> Result<RecordBatch> {
    let mut converted = Vec::with_capacity(columns.len());
    for (values, column) in columns.iter().zip(&entry.columns) {
        let values = convert(values, &column.ty, settings)?;
        converted.push(values);
    }
    for (values, column) in converted.iter().zip(&entry.columns) {
        if column.not_null
            && let Some(row) = (0..values.len()).find(|&row| values.is_null(row))
        {
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                column.name, entry.name
            );
            let failing = failing_row(&converted, row, settings);
            let detail = format!("Failing row contains ({failing}).");
            return Err(SqlError::new(SqlState::NOT_NULL_VIOLATION, message).with_detail(detail));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(entry.def.schema.clone(), converted, &options)
        .map_err(|e| SqlError::internal(format!("rows do not fit their table: {e}")))
}

fn failing_row(columns: &[ArrayRef], row: usize, settings: &FormatSettings) -> String {
    let text = |values: &ArrayRef| -> String {
        if values.is_null(row) {
            return "null".into();
        }
        let field = arrow::datatypes::Field::new("", values.data_type().clone(), true);
        let mut out = Vec::new();
        if let Ok(encoder) = Encoder::new(&field, values, Format::Text, settings) {
            encoder.write(row, &mut out);
        }
        String::from_utf8_lossy(&out).chars().take(64).collect()
    };
    columns.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Values as the type: text is read as PostgreSQL reads it, the rest is cast.
pub(super) fn convert(
    values: &ArrayRef,
    ty: &PgType,
    settings: &FormatSettings,
) -> Result<ArrayRef> {
    let wanted = ty.arrow();
    let is_text = matches!(
        values.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let has_limit = matches!(
        ty,
        PgType::Varchar(Some(_)) | PgType::Char(_) | PgType::Json | PgType::Jsonb
    );
    if *values.data_type() == wanted && !has_limit {
        return Ok(values.clone());
    }
    if is_text && (wanted != DataType::Utf8 || has_limit) {
        let texts = arrow::compute::cast(values, &DataType::Utf8).map_err(cannot_cast)?;
        let texts = texts.as_string::<i32>();
        let mut builder = ColumnBuilder::new(ty, texts.len(), settings);
        for text in texts {
            match text {
                Some(text) => builder.append_text(text.as_bytes())?,
                None => builder.append_null(),
            }
        }
        return Ok(builder.finish());
    }
    let options = CastOptions {
        safe: false,
        format_options: FormatOptions::default(),
    };
    let cast = cast_with_options(values, &wanted, &options).map_err(cannot_cast)?;
    if has_limit && *cast.data_type() == DataType::Utf8 && !is_text {
        return convert(&(Arc::clone(&cast)), ty, settings);
    }
    Ok(cast)
}

fn cannot_cast(error: arrow::error::ArrowError) -> SqlError {
    from_datafusion(DataFusionError::from(error), "")
}
