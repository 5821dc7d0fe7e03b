//! What INSERT, UPDATE and COPY share: rows made to fit a table.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Field;

use crate::catalog::TableEntry;
use crate::error::{Result, SqlError, SqlState};
use crate::functions;
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
        let field = Field::new("", values.data_type().clone(), true);
        let mut out = Vec::new();
        if let Ok(encoder) = Encoder::new(&field, values, Format::Text, settings) {
            encoder.write(row, &mut out);
        }
        String::from_utf8_lossy(&out).chars().take(64).collect()
    };
    columns.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Values as the type: as an assignment casts them, `character varying(n)` and its like checked.
pub(super) fn convert(
    values: &ArrayRef,
    ty: &PgType,
    settings: &FormatSettings,
) -> Result<ArrayRef> {
    let has_limit = matches!(
        ty,
        PgType::Varchar(Some(_)) | PgType::Char(_) | PgType::Json | PgType::Jsonb
    );
    let from = Field::new("", values.data_type().clone(), true);
    let converted = functions::convert(values, &from, &ty.field("", true), settings)?;
    if !has_limit {
        return Ok(converted);
    }
    let texts = converted.as_string::<i32>();
    let mut builder = ColumnBuilder::new(ty, texts.len(), settings);
    for text in texts {
        match text {
            Some(text) => builder.append_text(text.as_bytes())?,
            None => builder.append_null(),
        }
    }
    Ok(builder.finish())
}
