//! Retention policies: whole chunks that have left a window go. Each is a job, which `alter_job`
//! pauses.

use std::sync::Arc;

use slicedb_storage::{Layout, TableDef, Transaction, View};

use super::super::Session;
use super::arguments::Arguments;
use super::not_a_hypertable;
use crate::catalog::TableEntry;
use crate::dialect::AdminCall;
use crate::error::{Result, SqlError, SqlState};

impl Session {
    /// `add_retention_policy`. Answers the job's number.
    pub(super) async fn add_retention_policy(&mut self, call: &AdminCall) -> Result<i32> {
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
        Ok(entry.job_number())
    }

    /// `remove_retention_policy`.
    pub(super) async fn remove_retention_policy(&mut self, call: &AdminCall) -> Result<()> {
        let arguments = Arguments::of(call, &["relation", "if_exists"])?;
        self.set_retention(&arguments, None).await?;
        Ok(())
    }

    async fn set_retention(
        &mut self,
        arguments: &Arguments<'_>,
        window: Option<i64>,
    ) -> Result<Arc<TableEntry>> {
        let mut writes = self.start_write(arguments.call.function.name())?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let entry = catalog.find(&arguments.table()?)?.clone();
        if !entry.is_time_series() {
            self.give_back(writes);
            return Err(not_a_hypertable(&entry));
        }
        let refused = match (entry.retention(), window) {
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
            self.notice(format!("{}, skipping", error.message));
            return Ok(entry);
        }
        let policy = window.map(|window| (window, true));
        put_retention(&mut writes, &view, &entry, policy)?;
        self.finish_write(writes).await?;
        Ok(entry)
    }
}

/// Changes the policy of a time-series table: its window in microseconds, and whether it runs.
pub(super) fn put_retention(
    writes: &mut Transaction,
    view: &View,
    entry: &TableEntry,
    policy: Option<(i64, bool)>,
) -> Result<()> {
    let table = view.state.table(entry.def.id);
    let table = table.ok_or_else(|| SqlError::internal("the table is gone"))?;
    let Layout::TimeSeries {
        time,
        key,
        chunk_us,
        ..
    } = table.def.layout
    else {
        return Err(not_a_hypertable(entry));
    };
    let layout = Layout::TimeSeries {
        time,
        key,
        chunk_us,
        retention_us: policy.filter(|policy| policy.1).map(|policy| policy.0),
    };
    writes.put_table(TableDef {
        layout,
        ..(*table.def).clone()
    });
    let mut changed = entry.clone();
    changed.properties.paused_retention_us =
        policy.filter(|policy| !policy.1).map(|policy| policy.0);
    // Even if it is the same record again: a table that is dropped meanwhile is a conflict.
    writes.put_record(view, &entry.record_name(), Some(changed.record()));
    Ok(())
}
