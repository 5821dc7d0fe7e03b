//! The schema `slicedb`: how fresh tables and continuous aggregates are, and how far these are built.

use std::sync::Arc;

use slicedb_storage::TableId;

use super::Context;
use super::rows::{Cell, Rows, time_cell};
use crate::catalog::{Progress, TableEntry, interval_text};

/// A relation whose newest rows have times.
struct Timed<'a> {
    entry: &'a Arc<TableEntry>,
    /// The table that its rows come from.
    source: TableId,
    kind: &'static str,
}

impl Context {
    fn timed(&self) -> impl Iterator<Item = Timed<'_>> {
        let tables = self.catalog.tables().filter(|t| t.is_time_series());
        let tables = tables.map(|entry| Timed {
            entry,
            source: entry.def.id,
            kind: "table",
        });
        let aggregates = self.catalog.aggregates().map(|aggregate| Timed {
            entry: &aggregate.table,
            source: aggregate.source,
            kind: "continuous aggregate",
        });
        tables.chain(aggregates)
    }
}

/// How fresh each is. An aggregate is as fresh as its table: it is never behind.
pub(super) fn freshness(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "schema_name",
        "relation_name",
        "kind",
        "newest_event",
        "newest_ingest",
        "lag",
        "target_lag",
        "is_breached",
        "breaches",
        "breached_since",
        "last_breach_ended",
        "observed_since",
    ]);
    let (watch, now_us) = (&context.session.watch, context.session.now_us);
    for timed in context.timed() {
        let source = context.state.table(timed.source);
        let newest = source.and_then(|table| table.newest_time());
        let lag_us = newest.map(|newest| now_us.saturating_sub(newest));
        let target_us = timed.entry.properties.target_lag_us;
        let seen = watch.lag(timed.entry.def.id);
        let last = seen.history.back();
        let open = last.filter(|breach| breach.ended_us.is_none());
        let is_breached = target_us.and_then(|target| Some(lag_us? > target));
        let ended = seen.history.iter().rev().find_map(|breach| breach.ended_us);
        rows.push([
            timed.entry.schema.as_str().into(),
            timed.entry.name.as_str().into(),
            timed.kind.into(),
            optional_time(newest),
            optional_time(watch.added_us(timed.source)),
            lag_us.map(interval_text).into(),
            target_us.map(interval_text).into(),
            is_breached.into(),
            target_us.map(|_| seen.breaches).into(),
            optional_time(open.map(|breach| breach.began_us)),
            optional_time(ended),
            time_cell(watch.since_us()),
        ]);
    }
}

/// The times in which targets were missed, oldest first, as far as they are remembered.
pub(super) fn breaches(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "schema_name",
        "relation_name",
        "target_lag",
        "began",
        "ended",
        "worst_lag",
    ]);
    for timed in context.timed() {
        for breach in context.session.watch.lag(timed.entry.def.id).history {
            rows.push([
                timed.entry.schema.as_str().into(),
                timed.entry.name.as_str().into(),
                interval_text(breach.target_us).into(),
                time_cell(breach.began_us),
                optional_time(breach.ended_us),
                interval_text(breach.worst_us).into(),
            ]);
        }
    }
}

/// How far continuous aggregates are built, and what they take.
pub(super) fn aggregates(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "view_schema",
        "view_name",
        "stale_ranges",
        "stale_from",
        "stale_to",
        "gone_until",
        "partial_rows",
        "bytes",
        "source_rows",
        "rows_left",
        "percent_built",
        "rows_per_second",
        "time_left",
    ]);
    for aggregate in context.catalog.aggregates() {
        // What is damaged is told by the query that needs it.
        let Ok(progress) = Progress::of(&context.state, aggregate) else {
            continue;
        };
        let tables = [aggregate.partials, aggregate.stale].map(|id| context.state.table(id));
        let bytes: u64 = tables.iter().flatten().map(|t| t.segment_bytes()).sum();
        let percent = match progress.rows {
            0 => 100.0,
            all => 100.0 * (all - progress.rows_left.min(all)) as f64 / all as f64,
        };
        let rate = context.session.watch.rate(aggregate.partials);
        let left_us = match (progress.rows_left, rate) {
            (0, _) => Some(0),
            (left, Some(rate)) if rate > 0.0 => Some((left as f64 / rate) as i64 * 1_000_000),
            _ => None,
        };
        rows.push([
            aggregate.table.schema.as_str().into(),
            aggregate.table.name.as_str().into(),
            progress.marks.into(),
            optional_time(progress.stale.map(|times| times.0)),
            optional_time(progress.stale.map(|times| times.1)),
            optional_time(progress.gone_until),
            tables[0].map(|table| table.rows()).into(),
            bytes.into(),
            progress.rows.into(),
            progress.rows_left.into(),
            format!("{percent:.1}").into(),
            rate.map(|rate| format!("{rate:.0}")).into(),
            left_us.map(interval_text).into(),
        ]);
    }
}

fn optional_time(us: Option<i64>) -> Cell {
    us.map_or(Cell(None), time_cell)
}
