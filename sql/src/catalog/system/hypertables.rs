//! `timescaledb_information`: tables of time series, in the words of TimescaleDB's users.
//!
//! A chunk is the table's interval of time; it is there while a row is in it. Rows in segments are
//! compressed, by key and in the order of time; those in memory are not yet.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use slicedb_storage::table::chunk_start;
use slicedb_storage::{Layout, TableState};

use super::Context;
use super::overviews::definition_of;
use super::relation::OWNER_NAME;
use super::rows::{Cell, Rows, time_cell};
use crate::catalog::{ColumnEntry, TableEntry, interval_text};

/// A table of time series.
struct Hypertable<'a> {
    entry: &'a TableEntry,
    time: &'a ColumnEntry,
    key: Option<&'a ColumnEntry>,
    chunk_us: i64,
}

impl Context {
    fn hypertables(&self) -> impl Iterator<Item = Hypertable<'_>> {
        self.catalog.tables().filter_map(|entry| {
            let Layout::TimeSeries {
                time,
                key,
                chunk_us,
                ..
            } = entry.def.layout
            else {
                return None;
            };
            Some(Hypertable {
                entry,
                time: entry.columns.get(time)?,
                key: key.and_then(|key| entry.columns.get(key)),
                chunk_us,
            })
        })
    }

    /// The chunks of a table by their first microsecond, and whether all their rows are compressed.
    fn chunks(&self, table: &Hypertable<'_>) -> BTreeMap<i64, bool> {
        let state = self.state.table(table.entry.def.id);
        state.map_or_else(BTreeMap::new, |state| chunks_of(state, table.chunk_us))
    }
}

fn chunks_of(state: &TableState, width: i64) -> BTreeMap<i64, bool> {
    let segments = state.segments.iter().filter(|run| run.rows() > 0);
    let mut chunks: BTreeMap<i64, bool> = segments
        .flat_map(|run| &run.segment.meta.chunk_rows)
        .map(|(start, _)| (*start, true))
        .collect();
    for run in state.memory.iter().filter(|run| run.rows() > 0) {
        let (Some((first, last)), Some(time)) = (run.chunk.time, state.def.time_column()) else {
            continue;
        };
        if chunk_start(first, width) == chunk_start(last, width) {
            chunks.insert(chunk_start(first, width), false);
            continue;
        }
        let times = run.chunk.batch.column(time);
        let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
            continue;
        };
        // Rows are sorted by key and time: the chunk changes seldom from one to the next.
        let mut last = None;
        for start in times.values().iter().map(|time| chunk_start(*time, width)) {
            if last != Some(start) {
                chunks.insert(start, false);
                last = Some(start);
            }
        }
    }
    chunks
}

/// The tables.
pub(super) fn hypertables(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "hypertable_schema",
        "hypertable_name",
        "owner",
        "num_dimensions",
        "num_chunks",
        "compression_enabled",
        "primary_dimension",
        "primary_dimension_type",
    ]);
    for table in context.hypertables() {
        rows.push([
            table.entry.schema.as_str().into(),
            table.entry.name.as_str().into(),
            OWNER_NAME.into(),
            1.into(),
            context.chunks(&table).len().into(),
            true.into(),
            table.time.name.as_str().into(),
            table.time.ty.name().into(),
        ]);
    }
}

/// The continuous aggregates.
pub(super) fn continuous_aggregates(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "hypertable_schema",
        "hypertable_name",
        "view_schema",
        "view_name",
        "view_owner",
        "materialized_only",
        "compression_enabled",
        "view_definition",
        "finalized",
    ]);
    for aggregate in context.catalog.aggregates() {
        let source = context
            .catalog
            .tables()
            .find(|t| t.def.id == aggregate.source);
        let Some(source) = source else {
            continue;
        };
        rows.push([
            source.schema.as_str().into(),
            source.name.as_str().into(),
            aggregate.table.schema.as_str().into(),
            aggregate.table.name.as_str().into(),
            OWNER_NAME.into(),
            false.into(),
            true.into(),
            definition_of(aggregate).into(),
            true.into(),
        ]);
    }
}

/// What divides the tables: time alone.
pub(super) fn dimensions(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "hypertable_schema",
        "hypertable_name",
        "dimension_number",
        "column_name",
        "column_type",
        "dimension_type",
        "time_interval",
    ]);
    for table in context.hypertables() {
        rows.push([
            table.entry.schema.as_str().into(),
            table.entry.name.as_str().into(),
            1.into(),
            table.time.name.as_str().into(),
            table.time.ty.name().into(),
            "Time".into(),
            interval_text(table.chunk_us).into(),
        ]);
    }
}

/// The chunks that hold rows.
pub(super) fn chunks(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "hypertable_schema",
        "hypertable_name",
        "chunk_schema",
        "chunk_name",
        "primary_dimension",
        "primary_dimension_type",
        "range_start",
        "range_end",
        "is_compressed",
    ]);
    for table in context.hypertables() {
        for (start, is_compressed) in context.chunks(&table) {
            let number = start.div_euclid(table.chunk_us);
            rows.push([
                table.entry.schema.as_str().into(),
                table.entry.name.as_str().into(),
                "_timescaledb_internal".into(),
                format!("_hyper_{}_{number}_chunk", table.entry.def.id).into(),
                table.time.name.as_str().into(),
                table.time.ty.name().into(),
                time_cell(start),
                time_cell(start.saturating_add(table.chunk_us)),
                is_compressed.into(),
            ]);
        }
    }
}

/// How the rows of segments are sorted.
pub(super) fn compression_settings(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "hypertable_schema",
        "hypertable_name",
        "attname",
        "segmentby_column_index",
        "orderby_column_index",
        "orderby_asc",
        "orderby_nullsfirst",
    ]);
    for table in context.hypertables() {
        let of = |column: &ColumnEntry| {
            [&table.entry.schema, &table.entry.name, &column.name].map(|name| name.as_str().into())
        };
        if let Some(key) = table.key {
            let [schema, name, column] = of(key);
            let none = || Cell(None);
            rows.push([schema, name, column, 1.into(), none(), none(), none()]);
        }
        let [schema, name, column] = of(table.time);
        rows.push([
            schema,
            name,
            column,
            Cell(None),
            1.into(),
            true.into(),
            false.into(),
        ]);
    }
}

/// What is done by itself: chunks that have left the window go.
pub(super) fn jobs(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "job_id",
        "application_name",
        "schedule_interval",
        "proc_schema",
        "proc_name",
        "owner",
        "scheduled",
        "fixed_schedule",
        "config",
        "hypertable_schema",
        "hypertable_name",
    ]);
    let settings = &context.session.settings;
    let pause_ms = settings.get("maintenance_interval_ms").ok();
    for table in context.hypertables() {
        let Some((window_us, is_scheduled)) = table.entry.retention() else {
            continue;
        };
        let number = table.entry.job_number();
        rows.push([
            number.into(),
            format!("Retention Policy [{number}]").into(),
            pause_ms.as_ref().map(|ms| format!("{ms} ms")).into(),
            "_timescaledb_functions".into(),
            "policy_retention".into(),
            OWNER_NAME.into(),
            is_scheduled.into(),
            false.into(),
            table.entry.retention_config(window_us).into(),
            table.entry.schema.as_str().into(),
            table.entry.name.as_str().into(),
        ]);
    }
}

/// How jobs fare. Their runs are not counted: they look for work several times a second.
pub(super) fn job_stats(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "hypertable_schema",
        "hypertable_name",
        "job_id",
        "job_status",
    ]);
    for table in context.hypertables() {
        if let Some((_, is_scheduled)) = table.entry.retention() {
            rows.push([
                table.entry.schema.as_str().into(),
                table.entry.name.as_str().into(),
                table.entry.job_number().into(),
                if is_scheduled { "Scheduled" } else { "Paused" }.into(),
            ]);
        }
    }
}
