//! `show_chunks`, `drop_chunks`, and what there is to compressing a chunk.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use slicedb_storage::scan::Place;
use slicedb_storage::table::chunk_start;
use slicedb_storage::{RowId, Scan, ScanRequest, State, TableId};

use super::super::Session;
use super::super::outcome::{Interrupt, unless};
use super::arguments::Arguments;
use super::not_a_hypertable;
use crate::catalog::TableEntry;
use crate::dialect::{AdminCall, AdminFunction, AdminValue};
use crate::error::{Result, SqlError, SqlState};
use crate::types::PgType;

impl Session {
    pub(super) async fn show_chunks(
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

    pub(super) async fn drop_chunks(
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
        let state = self.database.engine().state();
        let source = self.database.catalogs().of(&state)?;
        let source = source.find(&arguments.table()?)?.def.id;
        self.settle_aggregates(source, interrupt).await?;
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
    pub(super) async fn settle_aggregates(
        &mut self,
        source: TableId,
        interrupt: &mut Interrupt,
    ) -> Result<()> {
        let state = self.database.engine().state();
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

    /// `older_than` and `newer_than` in microseconds.
    async fn bounds(&mut self, arguments: &Arguments<'_>) -> Result<(Option<i64>, Option<i64>)> {
        let ty = PgType::Timestamptz;
        let older = self.moment(arguments, "older_than", &ty).await?;
        Ok((older, self.moment(arguments, "newer_than", &ty).await?))
    }

    /// `compress_chunk`, `decompress_chunk` and their newer names. Rows are compressed when they are
    /// sealed, and stay so. Answers the chunk's name.
    pub(super) async fn convert_chunk(
        &mut self,
        call: &AdminCall,
        interrupt: &mut Interrupt,
    ) -> Result<String> {
        let (names, is_back): (&[_], _) = match call.function {
            AdminFunction::CompressChunk => (
                &["uncompressed_chunk", "if_not_compressed", "recompress"],
                false,
            ),
            AdminFunction::ConvertToColumnstore => {
                (&["chunk", "if_not_columnstore", "recompress"], false)
            }
            AdminFunction::ConvertToRowstore => (&["chunk", "if_columnstore"], true),
            _ => (&["uncompressed_chunk", "if_compressed"], true),
        };
        let arguments = Arguments::of(call, names)?;
        let asked = arguments.table()?;
        let view = self.view()?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let found = catalog.tables().find_map(|entry| {
            let prefix = format!("_hyper_{}_", entry.def.id);
            let number = asked.name.strip_prefix(&prefix)?.strip_suffix("_chunk")?;
            Some((entry.clone(), number.parse::<i64>().ok()?))
        });
        let state = view.state.clone();
        let work = async move {
            let Some((entry, number)) = found else {
                return Ok(None);
            };
            let start = number.saturating_mul(entry.def.chunk_us().unwrap_or(1));
            let end = start.saturating_add(entry.def.chunk_us().unwrap_or(1));
            let chunk = chunks(&state, &entry, Some(end), Some(start))?.remove(&start);
            let memory = state
                .table(entry.def.id)
                .into_iter()
                .flat_map(|t| &t.memory);
            let mut times = memory
                .filter(|run| run.rows() > 0)
                .map(|run| run.chunk.time);
            let is_in = |time: Option<(i64, i64)>| time.is_none_or(|t| t.0 < end && t.1 >= start);
            Ok(chunk.map(|name| (name, times.any(is_in))))
        };
        let found = unless(interrupt, self.database.runtime().run(work)).await?;
        let Some((name, is_in_memory)) = found else {
            return Err(crate::catalog::undefined(&asked));
        };
        let short = asked.name;
        if is_back {
            self.notice(format!(
                "chunk \"{short}\" stays compressed: its rows can be changed as they are"
            ));
        } else if is_in_memory {
            let engine = self.database.engine().clone();
            let sealed = tokio::task::spawn_blocking(move || engine.seal()).await;
            sealed.map_err(|e| SqlError::internal(e.to_string()))??;
        } else {
            let message = format!("chunk \"{short}\" is already compressed");
            if let Some(AdminValue::Boolean(false)) = arguments.get(names[1]) {
                return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
            }
            self.notice(message);
        }
        Ok(name)
    }
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
