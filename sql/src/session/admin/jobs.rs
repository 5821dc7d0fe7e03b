//! Jobs: retention policies are the only ones. There are no procedures that others could run.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use super::super::outcome::{Interrupt, unless};
use super::super::{Outcome, OutputColumn, Session};
use super::answer;
use super::arguments::Arguments;
use super::retention::put_retention;
use crate::catalog::{Catalog, TableEntry, interval_text};
use crate::dialect::{AdminCall, AdminValue};
use crate::error::{Result, SqlError, SqlState};
use crate::session::ddl::interval_us;
use crate::types::{ColumnBuilder, PgType};

const ALTER: &[&str] = &[
    "job_id",
    "schedule_interval",
    "max_runtime",
    "max_retries",
    "retry_period",
    "scheduled",
    "config",
    "next_start",
    "if_exists",
    "check_config",
    "fixed_schedule",
    "initial_start",
    "timezone",
    "job_name",
];
/// Those of `alter_job` that can be set here; the other ones have no meaning.
const MEANT: &[&str] = &["job_id", "scheduled", "config", "if_exists"];

/// The columns that `alter_job` answers.
pub(super) fn columns() -> Vec<OutputColumn> {
    let column = |name: &str, ty: PgType| OutputColumn::new(Arc::new(ty.field(name, true)));
    vec![
        column("job_id", PgType::Int4),
        column("schedule_interval", PgType::Interval),
        column("max_runtime", PgType::Interval),
        column("max_retries", PgType::Int4),
        column("retry_period", PgType::Interval),
        column("scheduled", PgType::Bool),
        column("config", PgType::Jsonb),
        column("next_start", PgType::Timestamptz),
        column("check_config", PgType::Text),
        column("fixed_schedule", PgType::Bool),
        column("initial_start", PgType::Timestamptz),
        column("timezone", PgType::Text),
        column("application_name", PgType::Name),
    ]
}

/// Why `add_job` adds none.
///
/// # Errors
/// 42883 for arguments that it does not take.
pub(super) fn no_procedure(call: &AdminCall) -> Result<SqlError> {
    const NAMES: &[&str] = &[
        "proc",
        "schedule_interval",
        "config",
        "initial_start",
        "scheduled",
        "check_config",
        "fixed_schedule",
        "timezone",
        "job_name",
    ];
    let arguments = Arguments::of(call, NAMES)?;
    let name = match arguments.get("proc") {
        Some(AdminValue::Text(name)) => name,
        _ => return Ok(arguments.invalid("function or procedure cannot be NULL")),
    };
    let message = format!("function \"{name}\" does not exist");
    Ok(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
        .with_detail("There are no functions and procedures of users.")
        .with_hint("Let a scheduler outside the server run the statements."))
}

impl Session {
    /// `alter_job`: pauses a retention policy, or changes its window.
    pub(super) async fn alter_job(&mut self, call: &AdminCall) -> Result<Outcome> {
        let arguments = Arguments::of(call, ALTER)?;
        let mut writes = self.start_write("alter_job")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let found = job(&catalog, &arguments);
        let changed = found.and_then(|entry| Ok((entry.clone(), policy(&entry, &arguments)?)));
        let (entry, policy) = match changed {
            Ok(changed) => changed,
            Err(e) => {
                self.give_back(writes);
                if e.state != SqlState::UNDEFINED_OBJECT || !arguments.flag("if_exists") {
                    return Err(e);
                }
                self.notice(format!("{}, skipping", e.message));
                return self.answer_job(call, None);
            }
        };
        let set = |name: &&&str| arguments.get(name).is_some() && !MEANT.contains(*name);
        let needless: Vec<&str> = ALTER.iter().filter(set).copied().collect();
        if !needless.is_empty() {
            self.notice(format!(
                "retention runs all the time in the background: {} has no effect",
                needless.join(", ")
            ));
        }
        put_retention(&mut writes, &view, &entry, Some(policy))?;
        self.finish_write(writes).await?;
        self.answer_job(call, Some((&entry, policy)))
    }

    /// `delete_job`.
    pub(super) async fn delete_job(&mut self, call: &AdminCall) -> Result<()> {
        let arguments = Arguments::of(call, &["job_id"])?;
        let mut writes = self.start_write("delete_job")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        match job(&catalog, &arguments) {
            Ok(entry) => put_retention(&mut writes, &view, &entry, None)?,
            Err(e) => {
                self.give_back(writes);
                return Err(e);
            }
        }
        self.finish_write(writes).await
    }

    /// `run_job`: what has left the window goes now, with what has to be done before.
    pub(super) async fn run_job(
        &mut self,
        call: &AdminCall,
        interrupt: &mut Interrupt,
    ) -> Result<()> {
        let arguments = Arguments::of(call, &["job_id"])?;
        self.refuse_in_block("run_job")?;
        let state = self.database.engine().state();
        let entry = job(&*self.database.catalogs().of(&state)?, &arguments)?;
        if let Some((_, false)) = entry.retention() {
            let message = format!("job {} is paused", entry.job_number());
            return Err(
                SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                    .with_hint("Use alter_job(…, scheduled => true) first."),
            );
        }
        self.settle_aggregates(entry.def.id, interrupt).await?;
        let engine = self.database.engine().clone();
        let work = async move {
            let work = move || {
                engine.seal()?;
                engine.expire()
            };
            let done = tokio::task::spawn_blocking(work).await;
            Ok(done.map_err(|e| SqlError::internal(e.to_string()))??)
        };
        unless(interrupt, work).await
    }

    /// What `alter_job` answers: the job as it is now.
    fn answer_job(
        &self,
        call: &AdminCall,
        job: Option<(&TableEntry, (i64, bool))>,
    ) -> Result<Outcome> {
        let values = job.map(|(entry, (window_us, scheduled))| {
            let pause = self.settings.get("maintenance_interval_ms").ok();
            let mut values = vec![None; columns().len()];
            values[0] = Some(entry.job_number().to_string());
            let pause_ms: Option<i64> = pause.and_then(|ms| ms.parse().ok());
            values[1] = pause_ms.map(|ms| interval_text(ms.saturating_mul(1000)));
            values[5] = Some(if scheduled { "t" } else { "f" }.to_owned());
            values[6] = Some(entry.retention_config(window_us));
            values[9] = Some("f".to_owned());
            values[12] = Some(format!("Retention Policy [{}]", entry.job_number()));
            values
        });
        if call.column.is_some() {
            let record = values.map(|values| {
                let values = values.into_iter().map(Option::unwrap_or_default);
                let quoted = values.map(|value| match value.contains(['"', ',', ' ']) {
                    true => format!("\"{}\"", value.replace('"', "\"\"")),
                    false => value,
                });
                format!("({})", quoted.collect::<Vec<_>>().join(","))
            });
            let value: ArrayRef = Arc::new(StringArray::from(vec![record]));
            return answer(call, vec![value]);
        }
        let settings = self.format_settings();
        let mut arrays = Vec::new();
        for (at, column) in columns().into_iter().enumerate() {
            let mut builder = ColumnBuilder::new(&column.ty, 1, &settings);
            match values.as_ref().map(|values| &values[at]) {
                Some(Some(text)) => builder.append_text(text.as_bytes())?,
                Some(None) => builder.append_null(),
                None => {}
            }
            arrays.push(builder.finish());
        }
        answer(call, arrays)
    }
}

/// The table whose retention policy a job is.
fn job(catalog: &Catalog, arguments: &Arguments<'_>) -> Result<Arc<TableEntry>> {
    let Some(AdminValue::Integer(id)) = arguments.get("job_id") else {
        return Err(arguments.invalid("job ID cannot be NULL"));
    };
    let is_job = |entry: &&Arc<TableEntry>| {
        entry.retention().is_some() && i64::from(entry.job_number()) == *id
    };
    let entry = catalog.tables().find(is_job).cloned();
    entry.ok_or_else(|| SqlError::new(SqlState::UNDEFINED_OBJECT, format!("job {id} not found")))
}

/// The policy that `alter_job` wants: its window in microseconds, and whether it runs.
fn policy(entry: &TableEntry, arguments: &Arguments<'_>) -> Result<(i64, bool)> {
    let (mut window_us, mut scheduled) = entry.retention().unwrap_or_default();
    match arguments.get("scheduled") {
        Some(AdminValue::Boolean(wanted)) => scheduled = *wanted,
        None => {}
        Some(_) => return Err(arguments.invalid("scheduled must be true or false")),
    }
    let config = match arguments.get("config") {
        None => return Ok((window_us, scheduled)),
        Some(AdminValue::Text(config)) => serde_json::from_str::<serde_json::Value>(config).ok(),
        Some(_) => None,
    };
    let window = config.as_ref().and_then(|c| c.get("drop_after")?.as_str());
    let Some(window) = window else {
        return Err(arguments.invalid("could not find drop_after in config for job"));
    };
    window_us = interval_us(window)?;
    if window_us <= 0 {
        return Err(arguments.invalid("drop_after must be positive"));
    }
    Ok((window_us, scheduled))
}
