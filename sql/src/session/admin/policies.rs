//! Policies that have nothing to do here: aggregates are never behind, rows are compressed when they
//! are sealed and always in order. They are not kept; a notice says so.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, StringArray};

use super::super::{Outcome, Session};
use super::arguments::Arguments;
use super::{answer, called, not_a_hypertable};
use crate::catalog::{Catalog, PUBLIC, undefined};
use crate::dialect::{AdminCall, AdminFunction};
use crate::error::{Result, SqlError, SqlState};

/// What TimescaleDB answers where it adds no policy.
const NO_JOB: i32 = -1;

const ADD_REFRESH: &[&str] = &[
    "continuous_aggregate",
    "start_offset",
    "end_offset",
    "schedule_interval",
    "if_not_exists",
    "initial_start",
    "timezone",
    "include_tiered_data",
    "buckets_per_batch",
    "max_batches_per_execution",
    "refresh_newest_first",
];
const REMOVE_REFRESH: &[&str] = &["continuous_aggregate", "if_not_exists", "if_exists"];
const ADD_COMPRESSION: &[&str] = &[
    "hypertable",
    "compress_after",
    "if_not_exists",
    "schedule_interval",
    "initial_start",
    "timezone",
    "compress_created_before",
    "hypercore_use_access_method",
];
const ADD_COLUMNSTORE: &[&str] = &[
    "hypertable",
    "after",
    "if_not_exists",
    "schedule_interval",
    "initial_start",
    "timezone",
    "created_before",
    "hypercore_use_access_method",
];
const ADD_REORDER: &[&str] = &[
    "hypertable",
    "index_name",
    "if_not_exists",
    "initial_start",
    "timezone",
];
const REMOVE: &[&str] = &["hypertable", "if_exists"];

impl Session {
    /// Adds or removes a policy that does nothing.
    pub(super) fn needless_policy(&mut self, call: &AdminCall) -> Result<Outcome> {
        let (names, kind) = match call.function {
            AdminFunction::AddContinuousAggregatePolicy => (ADD_REFRESH, "continuous aggregate"),
            AdminFunction::RemoveContinuousAggregatePolicy => {
                (REMOVE_REFRESH, "continuous aggregate")
            }
            AdminFunction::AddCompressionPolicy => (ADD_COMPRESSION, "compression"),
            AdminFunction::AddColumnstorePolicy => (ADD_COLUMNSTORE, "columnstore"),
            AdminFunction::AddReorderPolicy => (ADD_REORDER, "reorder"),
            AdminFunction::RemoveColumnstorePolicy => (REMOVE, "columnstore"),
            AdminFunction::RemoveReorderPolicy => (REMOVE, "reorder"),
            _ => (REMOVE, "compression"),
        };
        let arguments = Arguments::of(call, names)?;
        let view = self.view()?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let name = check_relation(&catalog, &arguments)?;
        let reason = match kind {
            "continuous aggregate" => {
                format!("continuous aggregate \"{name}\" is never behind its table")
            }
            "reorder" => format!("the rows of \"{name}\" are always in order"),
            _ => format!("the rows of \"{name}\" are compressed when they are sealed"),
        };
        let value: ArrayRef = match call.function {
            AdminFunction::AddContinuousAggregatePolicy
            | AdminFunction::AddCompressionPolicy
            | AdminFunction::AddReorderPolicy => {
                self.notice(nothing_to_do(&reason));
                Arc::new(Int32Array::from(vec![NO_JOB]))
            }
            AdminFunction::AddColumnstorePolicy => {
                self.notice(nothing_to_do(&reason));
                return Ok(called());
            }
            _ => {
                self.notice(format!("{kind} policy not found for \"{name}\", skipping"));
                match call.function {
                    AdminFunction::RemoveColumnstorePolicy => return Ok(called()),
                    AdminFunction::RemoveCompressionPolicy => {
                        Arc::new(BooleanArray::from(vec![false]))
                    }
                    _ => Arc::new(StringArray::from(vec![""])),
                }
            }
        };
        answer(call, vec![value])
    }
}

fn nothing_to_do(reason: &str) -> String {
    format!("{reason}: the policy has nothing to do and is not kept")
}

/// The relation that a policy is about: an aggregate, or a table of time series.
fn check_relation(catalog: &Catalog, arguments: &Arguments<'_>) -> Result<String> {
    let name = arguments.table()?;
    let schema = name.schema.as_deref().unwrap_or(PUBLIC);
    let aggregate = catalog.aggregate(schema, &name.name);
    let table = catalog.get(schema, &name.name);
    let wants_aggregate = matches!(
        arguments.call.function,
        AdminFunction::AddContinuousAggregatePolicy
            | AdminFunction::RemoveContinuousAggregatePolicy
    );
    match (aggregate, table) {
        (Some(aggregate), _) => Ok(aggregate.table.name.clone()),
        (None, None) => Err(undefined(&name)),
        (None, Some(_)) if wants_aggregate => {
            let message = format!("\"{}\" is not a continuous aggregate", name.name);
            Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
        (None, Some(table)) if !table.is_time_series() => Err(not_a_hypertable(table)),
        (None, Some(table)) => Ok(table.name.clone()),
    }
}
