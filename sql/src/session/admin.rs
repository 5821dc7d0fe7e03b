//! TimescaleDB's administrative functions, by the names and arguments that its users know.

mod hypertable;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use slicedb_storage::scan::Place;
use slicedb_storage::table::chunk_start;
use slicedb_storage::{Layout, RowId, Scan, ScanRequest, State, TableDef};

use super::ddl::interval_us;
use super::outcome::{Interrupt, unless};
use super::{Outcome, OutputColumn, RowStream, Rows, RowsTag, Session};
use crate::catalog::TableEntry;
use crate::dialect::{AdminCall, AdminFunction, AdminValue, TableName};
use crate::error::{Result, SqlError, SqlState};
use crate::types::PgType;

/// The columns that a call answers with.
pub(super) fn columns(call: &AdminCall) -> Vec<OutputColumn> {
    let column = |name: &str, ty: DataType| OutputColumn::new(Arc::new(Field::new(name, ty, true)));
    if let Some(name) = &call.column {
        let ty = match call.function {
            AdminFunction::AddRetentionPolicy => DataType::Int32,
            _ => DataType::Utf8,
        };
        return vec![column(name, ty)];
    }
    match call.function {
        AdminFunction::CreateHypertable => vec![
            column("hypertable_id", DataType::Int32),
            column("schema_name", DataType::Utf8),
            column("table_name", DataType::Utf8),
            column("created", DataType::Boolean),
        ],
        AdminFunction::AddRetentionPolicy => vec![column("add_retention_policy", DataType::Int32)],
        AdminFunction::RemoveRetentionPolicy => {
            vec![column("remove_retention_policy", DataType::Utf8)]
        }
        AdminFunction::DropChunks => vec![column("drop_chunks", DataType::Utf8)],
        AdminFunction::ShowChunks => vec![column("show_chunks", DataType::Utf8)],
    }
}

/// The arguments of a call, by position and name.
struct Arguments<'a> {
    call: &'a AdminCall,
    names: &'static [&'static str],
}

impl<'a> Arguments<'a> {
    fn of(call: &'a AdminCall, names: &'static [&'static str]) -> Result<Self> {
        for (position, argument) in call.arguments.iter().enumerate() {
            let is_known = match &argument.name {
                Some(name) => names.contains(&name.as_str()),
                None => position < names.len(),
            };
            if !is_known {
                let message = format!(
                    "function {} does not take these arguments",
                    call.function.name()
                );
                return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
                    .with_hint(format!("Its arguments are {}.", names.join(", "))));
            }
        }
        Ok(Arguments { call, names })
    }

    fn get(&self, name: &str) -> Option<&'a AdminValue> {
        let position = self.names.iter().position(|n| *n == name)?;
        let mut arguments = self.call.arguments.iter().enumerate();
        let found = arguments.find(|(i, argument)| match &argument.name {
            Some(given) => given == name,
            None => *i == position,
        });
        found
            .map(|(_, argument)| &argument.value)
            .filter(|value| !matches!(value, AdminValue::Null))
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(AdminValue::Boolean(true)))
    }

    fn table(&self) -> Result<TableName> {
        match self.get("relation") {
            Some(AdminValue::Text(text)) => {
                let (schema, name) = match text.split_once('.') {
                    Some((schema, name)) => (Some(schema.to_owned()), name.to_owned()),
                    None => (None, text.clone()),
                };
                Ok(TableName {
                    schema,
                    name,
                    position: 0,
                })
            }
            _ => Err(self.invalid("the first argument must be the name of a table")),
        }
    }

    fn interval(&self, value: &AdminValue) -> Result<i64> {
        match value {
            AdminValue::Interval(text) | AdminValue::Text(text) => interval_us(text),
            AdminValue::Integer(us) => Ok(*us),
            _ => Err(self.invalid("an interval is wanted")),
        }
    }

    fn invalid(&self, message: &str) -> SqlError {
        SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{}: {message}", self.call.function.name()),
        )
    }
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
            AdminFunction::AddRetentionPolicy => return self.add_retention_policy(call).await,
            AdminFunction::RemoveRetentionPolicy => self.remove_retention_policy(call).await?,
            AdminFunction::DropChunks => self.drop_chunks(call, interrupt).await?,
            AdminFunction::ShowChunks => self.show_chunks(call, interrupt).await?,
        };
        let values: ArrayRef = Arc::new(StringArray::from(texts));
        answer(call, vec![values])
    }

    async fn add_retention_policy(&mut self, call: &AdminCall) -> Result<Outcome> {
        const NAMES: &[&str] = &[
            "relation",
            "drop_after",
            "if_not_exists",
            "schedule_interval",
            "initial_start",
            "timezone",
        ];
        let arguments = Arguments::of(call, NAMES)?;
        let window = match arguments.get("drop_after") {
            Some(value) => arguments.interval(value)?,
            None => return Err(arguments.invalid("drop_after is missing")),
        };
        if window <= 0 {
            return Err(arguments.invalid("drop_after must be positive"));
        }
        let entry = self.set_retention(&arguments, Some(window)).await?;
        answer(
            call,
            vec![Arc::new(Int32Array::from(vec![
                1000 + entry.def.id.0 as i32,
            ]))],
        )
    }

    async fn remove_retention_policy(&mut self, call: &AdminCall) -> Result<Vec<Option<String>>> {
        let arguments = Arguments::of(call, &["relation", "if_exists"])?;
        self.set_retention(&arguments, None).await?;
        Ok(vec![Some(String::new())])
    }

    async fn set_retention(
        &mut self,
        arguments: &Arguments<'_>,
        window: Option<i64>,
    ) -> Result<Arc<TableEntry>> {
        let mut writes = self.start_write(arguments.call.function.name())?;
        let view = self.view_for(&mut writes)?;
        let entry = self
            .database
            .catalogs()
            .of(&view.state)?
            .find(&arguments.table()?)?
            .clone();
        let def = &view
            .state
            .table(entry.def.id)
            .ok_or_else(|| SqlError::internal("the table is gone"))?
            .def;
        let Layout::TimeSeries {
            time,
            key,
            chunk_us,
            retention_us,
        } = def.layout
        else {
            return Err(not_a_hypertable(&entry));
        };
        let refused = match (retention_us, window) {
            (Some(_), Some(_)) => Some((
                SqlState::DUPLICATE_OBJECT,
                "already exists",
                "if_not_exists",
            )),
            (None, None) => Some((SqlState::UNDEFINED_OBJECT, "not found", "if_exists")),
            _ => None,
        };
        if let Some((state, what, unless)) = refused {
            self.give_back(writes);
            let error = SqlError::new(
                state,
                format!("retention policy {what} for hypertable \"{}\"", entry.name),
            );
            if !arguments.flag(unless) {
                return Err(error);
            }
            self.notify(SqlError {
                message: format!("{}, skipping", error.message),
                ..error
            });
            return Ok(entry);
        }
        let layout = Layout::TimeSeries {
            time,
            key,
            chunk_us,
            retention_us: window,
        };
        writes.put_table(TableDef {
            layout,
            ..(**def).clone()
        });
        // The same record again: a table that is dropped meanwhile is a conflict.
        writes.put_record(&view, &entry.record_name(), Some(entry.record()));
        self.finish_write(writes).await?;
        Ok(entry)
    }

    async fn show_chunks(
        &mut self,
        call: &AdminCall,
        interrupt: &mut Interrupt,
    ) -> Result<Vec<Option<String>>> {
        let arguments = Arguments::of(call, &["relation", "older_than", "newer_than"])?;
        let view = self.view()?;
        let entry = self
            .database
            .catalogs()
            .of(&view.state)?
            .find(&arguments.table()?)?
            .clone();
        let (older, newer) = self.bounds(&arguments).await?;
        let state = view.state.clone();
        let work = async move { chunks(&state, &entry, older, newer) };
        let chunks = unless(interrupt, self.database.runtime().run(work)).await?;
        Ok(chunks.into_values().map(Some).collect())
    }

    async fn drop_chunks(
        &mut self,
        call: &AdminCall,
        interrupt: &mut Interrupt,
    ) -> Result<Vec<Option<String>>> {
        let arguments = Arguments::of(call, &["relation", "older_than", "newer_than", "verbose"])?;
        let (older, newer) = self.bounds(&arguments).await?;
        if older.is_none() && newer.is_none() {
            return Err(arguments
                .invalid("invalid time range for dropping chunks")
                .with_hint("At least one of older_than and newer_than must be provided."));
        }
        self.settle_aggregates(&arguments, interrupt).await?;
        let mut writes = self.start_write("drop_chunks")?;
        let view = self.view_for(&mut writes)?;
        let entry = self
            .database
            .catalogs()
            .of(&view.state)?
            .find(&arguments.table()?)?
            .clone();
        let is_kept = !view.state.partials_of(entry.def.id).is_empty();
        let work = async move {
            let dropped = chunks(&view.state, &entry, older, newer)?;
            let Some(width) = entry.def.chunk_us() else {
                return Err(not_a_hypertable(&entry));
            };
            if let (Some(&first), Some(&last)) = (dropped.keys().next(), dropped.keys().next_back())
            {
                let range = (first, last.saturating_add(width - 1));
                let request = ScanRequest {
                    time: Some(range),
                    row_ids: true,
                    // What came since then is not aggregated yet.
                    place: if is_kept {
                        Place::Segments
                    } else {
                        Place::Anywhere
                    },
                    ..ScanRequest::default()
                };
                if is_kept {
                    let ranges = dropped
                        .keys()
                        .map(|&start| (start, start.saturating_add(width - 1)));
                    writes.expire_times(&view, entry.def.id, &ranges.collect::<Vec<_>>())?;
                }
                let scan = Scan::new(&view.state, entry.def.id, request)?;
                for unit in scan.units() {
                    if let Some(batch) = scan.read(unit)? {
                        let rows = batch
                            .column(0)
                            .as_primitive::<arrow::datatypes::UInt64Type>();
                        let rows: Vec<RowId> =
                            rows.values().iter().map(|&row| RowId(row)).collect();
                        if is_kept {
                            writes.expire(&view, entry.def.id, &rows)?;
                        } else {
                            writes.delete(&view, entry.def.id, &rows)?;
                        }
                    }
                    // Where an interrupt ends it.
                    tokio::task::yield_now().await;
                }
            }
            Ok((writes, dropped))
        };
        let work = self.database.runtime().run(work);
        let (writes, dropped) = unless(interrupt, work).await?;
        self.finish_write(writes).await?;
        Ok(dropped.into_values().map(Some).collect())
    }

    /// Before rows go that continuous aggregates stand for: all of them are sealed and aggregated.
    async fn settle_aggregates(
        &mut self,
        arguments: &Arguments<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<()> {
        let state = self.database.engine().state();
        let catalog = self.database.catalogs().of(&state)?;
        let source = catalog.find(&arguments.table()?)?.def.id;
        if state.partials_of(source).is_empty() {
            return Ok(());
        }
        let database = self.database.clone();
        let work = async move {
            let engine = database.engine().clone();
            let sealed = tokio::task::spawn_blocking(move || engine.seal()).await;
            sealed.map_err(|e| SqlError::internal(e.to_string()))??;
            database.repairer().settle(source, database.engine()).await
        };
        unless(interrupt, self.database.runtime().run(work)).await
    }

    /// `older_than` and `newer_than` in microseconds: an interval counts back from now.
    async fn bounds(&mut self, arguments: &Arguments<'_>) -> Result<(Option<i64>, Option<i64>)> {
        let now = self.database.engine().now();
        let mut bounds = [None, None];
        for (bound, name) in bounds.iter_mut().zip(["older_than", "newer_than"]) {
            *bound = match arguments.get(name) {
                None => None,
                Some(AdminValue::Interval(text)) => Some(now.saturating_sub(interval_us(text)?)),
                Some(AdminValue::Text(text)) => {
                    let mut builder = crate::types::ColumnBuilder::new(
                        &PgType::Timestamptz,
                        1,
                        &self.format_settings(),
                    );
                    builder.append_text(text.as_bytes())?;
                    Some(time_of(&builder.finish()))
                }
                Some(AdminValue::Expression(expr)) => {
                    Some(time_of(&self.constant(expr, &PgType::Timestamptz).await?))
                }
                Some(_) => return Err(arguments.invalid("a time or an interval is wanted")),
            };
        }
        Ok((bounds[0], bounds[1]))
    }
}

fn time_of(value: &ArrayRef) -> i64 {
    value.as_primitive::<TimestampMicrosecondType>().value(0)
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

/// The chunks that hold rows and lie whole within the bounds, by their first microsecond, with the
/// names that TimescaleDB's users expect of them.
fn chunks(
    state: &State,
    entry: &TableEntry,
    older: Option<i64>,
    newer: Option<i64>,
) -> Result<BTreeMap<i64, String>> {
    let (Some(time), Some(width)) = (entry.def.time_column(), entry.def.chunk_us()) else {
        return Err(not_a_hypertable(entry));
    };
    let request = ScanRequest {
        columns: vec![time],
        ..ScanRequest::default()
    };
    let scan = Scan::new(state, entry.def.id, request)?;
    let mut chunks = BTreeMap::new();
    for unit in scan.units() {
        let Some(batch) = scan.read(unit)? else {
            continue;
        };
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        for same in times
            .values()
            .chunk_by(|a, b| chunk_start(*a, width) == chunk_start(*b, width))
        {
            let start = chunk_start(same[0], width);
            let is_older = older.is_none_or(|bound| start.saturating_add(width) <= bound);
            let is_newer = newer.is_none_or(|bound| start >= bound);
            if is_older && is_newer && !chunks.contains_key(&start) {
                let number = start.div_euclid(width);
                let name = format!(
                    "_timescaledb_internal._hyper_{}_{number}_chunk",
                    entry.def.id
                );
                chunks.insert(start, name);
            }
        }
    }
    Ok(chunks)
}

fn answer(call: &AdminCall, values: Vec<ArrayRef>) -> Result<Outcome> {
    let columns = columns(call);
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
