//! TimescaleDB's administrative functions, by the names and arguments that its users know.

mod arguments;
mod chunks;
mod hypertable;
mod jobs;
mod policies;
mod refresh;
mod retention;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use slicedb_storage::{ScanRequest, TableDef};

use super::outcome::Interrupt;
use super::{Outcome, OutputColumn, RowStream, Rows, RowsTag, Session};
use crate::catalog::TableEntry;
use crate::dialect::{AdminCall, AdminFunction};
use crate::error::{Result, SqlError, SqlState};
use arguments::Arguments;

/// The columns that a call answers with; `None` when it is a procedure's.
pub(super) fn columns(call: &AdminCall) -> Option<Vec<OutputColumn>> {
    let column = |name: &str, ty: DataType| OutputColumn::new(Arc::new(Field::new(name, ty, true)));
    let function = call.function;
    let ty = match function {
        _ if function.is_procedure() => return None,
        AdminFunction::AddRetentionPolicy
        | AdminFunction::AddContinuousAggregatePolicy
        | AdminFunction::AddCompressionPolicy
        | AdminFunction::AddReorderPolicy
        | AdminFunction::AddJob => DataType::Int32,
        AdminFunction::RemoveCompressionPolicy => DataType::Boolean,
        AdminFunction::CreateHypertable if call.column.is_none() => {
            return Some(vec![
                column("hypertable_id", DataType::Int32),
                column("schema_name", DataType::Utf8),
                column("table_name", DataType::Utf8),
                column("created", DataType::Boolean),
            ]);
        }
        AdminFunction::AlterJob if call.column.is_none() => return Some(jobs::columns()),
        _ => DataType::Utf8,
    };
    let name = call.column.as_deref().unwrap_or(function.name());
    Some(vec![column(name, ty)])
}

impl Session {
    pub(super) async fn admin(
        &mut self,
        call: &AdminCall,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let texts = match call.function {
            AdminFunction::CreateHypertable => {
                return self.create_hypertable(call, interrupt).await;
            }
            AdminFunction::AddRetentionPolicy => {
                let id = self.add_retention_policy(call).await?;
                return answer(call, vec![Arc::new(Int32Array::from(vec![id]))]);
            }
            AdminFunction::RemoveRetentionPolicy => {
                self.remove_retention_policy(call).await?;
                vec![Some(String::new())]
            }
            AdminFunction::DropChunks => self.drop_chunks(call, interrupt).await?,
            AdminFunction::ShowChunks => self.show_chunks(call, interrupt).await?,
            AdminFunction::RefreshContinuousAggregate => {
                self.refresh_continuous_aggregate(call, interrupt).await?;
                return Ok(called());
            }
            AdminFunction::AddContinuousAggregatePolicy
            | AdminFunction::AddCompressionPolicy
            | AdminFunction::AddColumnstorePolicy
            | AdminFunction::AddReorderPolicy
            | AdminFunction::RemoveContinuousAggregatePolicy
            | AdminFunction::RemoveCompressionPolicy
            | AdminFunction::RemoveColumnstorePolicy
            | AdminFunction::RemoveReorderPolicy => return self.needless_policy(call),
            AdminFunction::CompressChunk | AdminFunction::DecompressChunk => {
                vec![Some(self.convert_chunk(call, interrupt).await?)]
            }
            AdminFunction::ConvertToColumnstore | AdminFunction::ConvertToRowstore => {
                self.convert_chunk(call, interrupt).await?;
                return Ok(called());
            }
            AdminFunction::AddJob => return Err(jobs::no_procedure(call)?),
            AdminFunction::AlterJob => return self.alter_job(call).await,
            AdminFunction::DeleteJob => {
                self.delete_job(call).await?;
                vec![Some(String::new())]
            }
            AdminFunction::RunJob => {
                self.run_job(call, interrupt).await?;
                return Ok(called());
            }
        };
        let values: ArrayRef = Arc::new(StringArray::from(texts));
        answer(call, vec![values])
    }

    /// Tells the client something harmless.
    pub(super) fn notice(&mut self, message: impl Into<String>) {
        self.notify(SqlError::new(SqlState::SUCCESSFUL_COMPLETION, message));
    }
}

/// What a procedure answers.
fn called() -> Outcome {
    Outcome::Command("CALL".into())
}

fn all_columns(def: &TableDef) -> ScanRequest {
    ScanRequest {
        columns: (0..def.schema.fields().len()).collect(),
        ..ScanRequest::default()
    }
}

fn not_a_hypertable(entry: &TableEntry) -> SqlError {
    let message = format!("table \"{}\" is not a hypertable", entry.name);
    SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)
}

fn answer(call: &AdminCall, values: Vec<ArrayRef>) -> Result<Outcome> {
    let columns = columns(call).unwrap_or_default();
    let schema = Arc::new(Schema::new(
        columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>(),
    ));
    let values = values.into_iter().zip(&columns).map(|(value, column)| {
        // A function that answers void or a record prints as text.
        match value.data_type() == column.field.data_type() {
            true => Ok(value),
            false => arrow::compute::cast(&value, column.field.data_type()),
        }
    });
    let values = values
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| SqlError::internal(e.to_string()))?;
    let batch =
        RecordBatch::try_new(schema, values).map_err(|e| SqlError::internal(e.to_string()))?;
    let stream = RowStream::ready(vec![batch]);
    Ok(Outcome::Rows(Rows {
        columns: Arc::new(columns),
        stream,
        tag: RowsTag::Select,
    }))
}
