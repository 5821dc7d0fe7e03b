//! `refresh_continuous_aggregate`: what is stale in a window is computed anew, and waited for.

use std::sync::Arc;

use slicedb_storage::derived::{self, Ranges};

use super::super::outcome::{Interrupt, unless};
use super::super::transaction::commit;
use super::super::{Session, aggregate};
use super::arguments::Arguments;
use crate::catalog::AggregateEntry;
use crate::database::Database;
use crate::dialect::AdminCall;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::types::PgType;

const NAMES: &[&str] = &[
    "continuous_aggregate",
    "window_start",
    "window_end",
    "force",
    "options",
];
/// How often a range is marked again when repairs go on beside it.
const ATTEMPTS_MAX: usize = 100;

impl Session {
    pub(super) async fn refresh_continuous_aggregate(
        &mut self,
        call: &AdminCall,
        interrupt: &mut Interrupt,
    ) -> Result<()> {
        let arguments = Arguments::of(call, NAMES)?;
        self.refuse_in_block("refresh_continuous_aggregate()")?;
        let state = self.database.engine().state();
        let catalog = self.database.catalogs().of(&state)?;
        let entry = aggregate::require(&catalog, &arguments.table()?)?.clone();
        let is_naive = state.table(entry.source).is_some_and(|source| {
            let time = source.def.time_column().map(|c| source.def.schema.field(c));
            time.is_some_and(|field| PgType::of_field(field) == PgType::Timestamp)
        });
        let ty = match is_naive {
            true => PgType::Timestamp,
            false => PgType::Timestamptz,
        };
        let start = self.moment(&arguments, "window_start", &ty).await?;
        let end = self.moment(&arguments, "window_end", &ty).await?;
        let (start, end) = (start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX));
        if start >= end {
            let message = "refresh window too small";
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .with_detail("The start of the window must be before its end."));
        }
        // The end is not in the window, but for that of all times.
        let times = (start, if end == i64::MAX { end } else { end - 1 });
        let database = self.database.clone();
        let is_forced = arguments.flag("force");
        let work = async move {
            if is_forced {
                mark(&database, &entry, times).await?;
            }
            let repairer = database.repairer();
            let has_waited = repairer
                .settle_times(&entry, times, database.engine())
                .await?;
            Ok((entry, has_waited))
        };
        let (entry, has_waited) = unless(interrupt, self.database.runtime().run(work)).await?;
        if !has_waited && !is_forced {
            let name = &entry.table.name;
            self.notice(format!(
                "continuous aggregate \"{name}\" is already up-to-date"
            ));
        }
        Ok(())
    }
}

/// Tells that an aggregate is stale at these times, both ends included.
///
/// # Errors
/// 55000 when rows of these times are gone: it could not be computed any more.
async fn mark(database: &Database, entry: &Arc<AggregateEntry>, times: (i64, i64)) -> Result<()> {
    for _ in 0..ATTEMPTS_MAX {
        let mut writes = database.engine().begin();
        let view = writes.view(None)?;
        let state = &view.state;
        let Some(stale) = state.table(entry.stale) else {
            return Err(aggregate::no_view(&entry.table.name));
        };
        let definition = database.definitions().of_state(entry, state)?;
        let reached = definition
            .reach(times)
            .map_err(|e| from_datafusion(e, ""))?;
        let gone = derived::times(state, entry.stale, true)?;
        let lost = gone.iter().filter(|g| g.0 <= reached.1 && g.1 >= reached.0);
        if let Some(until) = lost.map(|gone| gone.1).max() {
            return Err(rows_are_gone(entry, until));
        }
        let rows = Ranges::of(None, vec![times]).rows(&stale.def.schema)?;
        // Nor may any rows go meanwhile.
        writes.require_unchanged(&view, entry.stale);
        writes.append(entry.stale, rows)?;
        match commit(writes).await {
            Err(e) if e.state == SqlState::SERIALIZATION_FAILURE => {}
            done => return done.map(drop),
        }
    }
    let message = "the continuous aggregate is being computed anew by others";
    Err(SqlError::new(SqlState::SERIALIZATION_FAILURE, message))
}

fn rows_are_gone(entry: &AggregateEntry, until: i64) -> SqlError {
    let message = format!(
        "cannot compute continuous aggregate \"{}\" anew in this window",
        entry.table.name
    );
    let error = SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        .with_detail("Rows of its table in this window have been dropped.");
    match chrono::DateTime::from_timestamp_micros(until.saturating_add(1)) {
        Some(from) => error.with_hint(format!(
            "Begin the window at {} or later.",
            from.format("%Y-%m-%d %H:%M:%S+00")
        )),
        None => error,
    }
}
