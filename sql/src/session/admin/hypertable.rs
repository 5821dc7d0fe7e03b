//! `create_hypertable`: a table becomes one of time series.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int32Array, StringArray};
use slicedb_storage::{Layout, Scan};

use super::super::ddl::{Hypertable, entry_of};
use super::super::outcome::{Interrupt, unless};
use super::super::write::conform;
use super::super::{Outcome, Session};
use super::{Arguments, all_columns, answer};
use crate::catalog::ColumnEntry;
use crate::dialect::{AdminCall, AdminValue, DimensionKind};
use crate::error::{Result, SqlError, SqlState};

impl Session {
    pub(super) async fn create_hypertable(
        &mut self,
        call: &AdminCall,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        const NAMES: &[&str] = &[
            "relation",
            "time_column_name",
            "partitioning_column",
            "number_partitions",
            "associated_schema_name",
            "associated_table_prefix",
            "chunk_time_interval",
            "create_default_indexes",
            "if_not_exists",
            "partitioning_func",
            "migrate_data",
            "dimension",
        ];
        let arguments = Arguments::of(call, NAMES)?;
        let name = arguments.table()?;
        let mut writes = self.start_write("create_hypertable")?;
        let view = self.view_for(&mut writes)?;
        let entry = self
            .database
            .catalogs()
            .of(&view.state)?
            .find(&name)?
            .clone();
        let result = |created| {
            let text = format!(
                "({},{},{},{})",
                entry.def.id,
                entry.schema,
                entry.name,
                if created { "t" } else { "f" }
            );
            match call.column {
                Some(_) => answer(call, vec![Arc::new(StringArray::from(vec![text]))]),
                None => answer(
                    call,
                    vec![
                        Arc::new(Int32Array::from(vec![entry.def.id.0 as i32])),
                        Arc::new(StringArray::from(vec![entry.schema.clone()])),
                        Arc::new(StringArray::from(vec![entry.name.clone()])),
                        Arc::new(BooleanArray::from(vec![created])),
                    ],
                ),
            }
        };
        if entry.is_time_series() {
            self.give_back(writes);
            let message = format!("table \"{}\" is already a hypertable", entry.name);
            let error = SqlError::new(SqlState::DUPLICATE_OBJECT, message);
            if !arguments.flag("if_not_exists") {
                return Err(error);
            }
            self.notify(SqlError {
                message: format!("{}, skipping", error.message),
                ..error.clone()
            });
            return result(false);
        }
        let mut wanted = Hypertable::default();
        // The general form has the dimension in the place of the column's name.
        let dimension = arguments
            .get("dimension")
            .or_else(|| arguments.get("time_column_name"));
        match dimension {
            Some(AdminValue::Text(column)) => wanted.time = Some(column.clone()),
            Some(AdminValue::Dimension {
                kind: DimensionKind::Range,
                column,
                size,
            }) => {
                wanted.time = Some(column.clone());
                if let Some(size) = size {
                    wanted.chunk_us = arguments.interval(size)?;
                }
            }
            _ => {
                return Err(
                    arguments.invalid("the second argument must be the time column or by_range(…)")
                );
            }
        }
        match arguments.get("partitioning_column") {
            Some(AdminValue::Text(column)) => wanted.key = Some(column.clone()),
            Some(_) => return Err(arguments.invalid("the partitioning column must be a name")),
            None => {}
        }
        if let Some(interval) = arguments.get("chunk_time_interval") {
            wanted.chunk_us = arguments.interval(interval)?;
        }
        if !entry.def.primary_key().is_empty() {
            return Err(SqlError::unsupported(
                "a primary key on a time-series table",
            ));
        }
        let time = wanted.time_column(&entry.columns)?;
        let key = wanted
            .key
            .as_deref()
            .map(|key| entry.require_column(key))
            .transpose()?;
        let table = view
            .state
            .table(entry.def.id)
            .ok_or_else(|| SqlError::internal("the table is gone"))?;
        let rows = Scan::new(&view.state, entry.def.id, all_columns(&entry.def))?;
        if table.rows() > 0 && !arguments.flag("migrate_data") {
            let message = format!("table \"{}\" is not empty", entry.name);
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .with_hint("You can migrate data by specifying 'migrate_data => true' when calling this function."));
        }
        // The rows of the new table are ordered otherwise: it is a new table under the old name.
        let columns = entry
            .columns
            .iter()
            .enumerate()
            .map(|(i, column)| ColumnEntry {
                name: column.name.clone(),
                ty: column.ty.clone(),
                not_null: column.not_null || i == time,
                default: column.default.clone(),
            });
        let layout = Layout::TimeSeries {
            time,
            key,
            chunk_us: wanted.chunk_us,
            retention_us: None,
        };
        let id = self.database.engine().new_table_id();
        let mut changed = entry_of(id, &entry.schema, &entry.name, columns.collect(), layout)?;
        changed.oid = entry.oid;
        changed.properties = entry.properties.clone();
        writes.put_table((*changed.def).clone());
        let settings = self.format_settings();
        let work = async move {
            for unit in rows.units() {
                if let Some(batch) = rows.read(unit)? {
                    let (columns, count) = (batch.columns().to_vec(), batch.num_rows());
                    writes.append(id, conform(&changed, columns, count, &settings)?)?;
                }
                // Where an interrupt ends it.
                tokio::task::yield_now().await;
            }
            Ok((writes, changed))
        };
        let work = self.database.runtime().run(work);
        let (mut writes, changed) = unless(interrupt, work).await?;
        // Rows that others add meanwhile would go with the old table.
        writes.require_unchanged(&view, entry.def.id);
        writes.drop_table(entry.def.id);
        writes.put_record(&view, &changed.record_name(), Some(changed.record()));
        self.finish_write(writes).await?;
        result(true)
    }
}
