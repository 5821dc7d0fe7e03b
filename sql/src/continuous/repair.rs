//! Computing stale partials anew, piece by piece, newest first.
//!
//! A piece is what is stale from the start of the newest chunk of rows on. It is one transaction:
//! new partials come, the old ones and the marks go, in one commit. Seals and merges wait meanwhile
//! ([`slicedb_storage::Engine::hold_still`]), so that the sealed rows at hand are just those that the
//! partials shall stand for; clients' commits go on, and what they delete is marked anew.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::UInt64Type;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, col};
use slicedb_storage::derived::Ranges;
use slicedb_storage::scan::Place;
use slicedb_storage::{Engine, Error, RowId, Scan, ScanRequest, State, TableDef, TableId};
use tracing::info;

use super::Definition;
use super::phase::Phase;
use super::stale::{Entries, Entry, Stale, external};
use crate::catalog::AggregateEntry;
use crate::plan::pushdown;

/// Partials computed before they are written.
const ROWS_MAX: usize = 1 << 20;
/// Stale ranges of so many keys are looked up; of more, all rows are read.
const KEYS_MAX: usize = 1000;

/// What came of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was nothing to do, or nothing that can be done.
    Nothing,
    /// A piece is done.
    Done,
    /// Somebody changed the same meanwhile: it is to be tried again.
    Again,
}

/// Computes one piece anew. Gives up when `is_stopping`.
///
/// # Errors
/// When rows cannot be read or aggregated, or partials not be written.
pub(crate) fn piece(
    engine: &Engine,
    entry: &AggregateEntry,
    definition: &Arc<Definition>,
    is_stopping: &dyn Fn() -> bool,
) -> Result<Outcome> {
    let started = Instant::now();
    let _still = engine.hold_still();
    let mut writes = engine.begin();
    let view = writes.view(None).map_err(external)?;
    let state = &view.state;
    let (Some(kept), Some(stale_table)) = (state.table(entry.partials), state.table(entry.stale))
    else {
        return Ok(Outcome::Nothing);
    };
    let all = Entries::read(state, entry.stale)?;
    let Some(piece) = choose(&all, state, entry, definition)? else {
        return Ok(Outcome::Nothing);
    };
    let stale = Stale::of(&all, piece.entries.iter(), definition)?;
    let mut keys: Vec<ArrayRef> = Vec::new();
    if stale.is_keyed() && stale.keys() <= KEYS_MAX {
        keys.extend(piece.entries.iter().filter_map(|entry| all.key(entry)));
    }
    let times = definition.reach(stale.times.unwrap_or_default())?;

    let request = request(
        &definition.source.def,
        definition.reads.clone(),
        &keys,
        times,
    )?;
    let request = ScanRequest {
        place: Place::Segments,
        ..request
    };
    let scan = Scan::new(state, definition.source.def.id, request).map_err(external)?;
    let mut phase = Phase::of_all(definition.clone())?;
    let mut ready: Vec<RecordBatch> = Vec::new();
    let (mut rows, mut partials) = (0, 0);
    for unit in scan.units() {
        if is_stopping() {
            return Ok(Outcome::Nothing);
        }
        if let Some(batch) = scan.read(unit).map_err(external)? {
            let batch = definition.fit(&batch)?;
            let batch = filter_record_batch(&batch, &definition.is_stale(&stale, &batch)?)?;
            rows += batch.num_rows();
            phase.push(&batch)?;
            ready.extend(phase.take_full());
        }
        let count: usize = ready.iter().map(RecordBatch::num_rows).sum();
        if count >= ROWS_MAX {
            partials += count;
            attach(&mut writes, entry.partials, definition, &mut ready)?;
        }
    }
    ready.extend(phase.finish()?);
    partials += ready.iter().map(RecordBatch::num_rows).sum::<usize>();
    attach(&mut writes, entry.partials, definition, &mut ready)?;

    fail::fail_point!("repair.after_attach");

    // Before any of the new ones can be seen: those that stood there.
    let columns: Vec<usize> = definition
        .key
        .into_iter()
        .chain([definition.slot])
        .collect();
    let count = columns.len();
    let old = self::request(&kept.def, columns, &keys, times)?;
    let old = ScanRequest {
        row_ids: true,
        ..old
    };
    let scan = Scan::new(state, entry.partials, old).map_err(external)?;
    for unit in scan.units() {
        if is_stopping() {
            return Ok(Outcome::Nothing);
        }
        let Some(batch) = scan.read(unit).map_err(external)? else {
            continue;
        };
        let key = definition.key.map(|_| batch.column(0));
        let dead = stale.has(key, batch.column(count - 1))?;
        let dead = filter_record_batch(&batch, &dead)?;
        let ids = dead.column(count).as_primitive::<UInt64Type>().values();
        let ids: Vec<RowId> = ids.iter().map(|id| RowId(*id)).collect();
        writes
            .delete(&view, entry.partials, &ids)
            .map_err(external)?;
    }
    let marks: Vec<RowId> = piece.entries.iter().map(|entry| entry.row).collect();
    writes
        .delete(&view, entry.stale, &marks)
        .map_err(external)?;
    for (key, times) in &piece.left {
        let left = Ranges::of(key.clone(), vec![*times]);
        let left = left.rows(&stale_table.def.schema).map_err(external)?;
        writes.append(entry.stale, left).map_err(external)?;
    }
    fail::fail_point!("repair.before_commit");
    match writes.commit_wait() {
        Ok(_) => {
            fail::fail_point!("repair.after_commit");
            let ms = started.elapsed().as_millis() as u64;
            info!(aggregate = %entry.table.name, ranges = marks.len(), rows, partials, ms, "aggregated anew");
            Ok(Outcome::Done)
        }
        Err(Error::Conflict(_)) => Ok(Outcome::Again),
        Err(e) => Err(external(e)),
    }
}

/// What is to be computed anew at once.
struct Piece {
    /// The marks, cut to the piece's times.
    entries: Vec<Entry>,
    /// What of them is left for later: whose and when.
    left: Vec<(Option<ArrayRef>, (i64, i64))>,
}

fn choose(
    all: &Entries,
    state: &State,
    entry: &AggregateEntry,
    definition: &Definition,
) -> Result<Option<Piece>> {
    let gone: Vec<(i64, i64)> = all
        .entries
        .iter()
        .filter(|e| e.gone)
        .map(|e| e.times)
        .collect();
    let mut open: Vec<&Entry> = Vec::new();
    let marks: Vec<&Entry> = all.entries.iter().filter(|entry| !entry.gone).collect();
    let times: Vec<(i64, i64)> = marks.iter().map(|entry| entry.times).collect();
    let slots = definition.slots.of_ranges(&times)?;
    for (entry, (first_slot, last_slot)) in marks.into_iter().zip(slots) {
        // What cannot be computed any more stays as it is. Gone are whole slots.
        if !gone
            .iter()
            .any(|(first, last)| first_slot <= *last && last_slot >= *first)
        {
            open.push(entry);
        }
    }
    let Some(to) = open.iter().map(|entry| entry.times.1).max() else {
        return Ok(None);
    };
    let tables = [entry.source, entry.partials]
        .into_iter()
        .filter_map(|id| state.table(id));
    let starts = tables.flat_map(|table| table.segments.iter().map(|run| run.segment.meta.chunk.0));
    // A start whose slot cannot be told is one at the end of all times.
    let slot = |start: i64| Some(definition.slots.of_ranges(&[(start, start)]).ok()?[0].0);
    let from = starts.filter(|start| *start <= to).filter_map(slot).max();
    let from = from.unwrap_or(i64::MIN);
    let mut piece = Piece {
        entries: Vec::new(),
        left: Vec::new(),
    };
    for entry in open.into_iter().filter(|entry| entry.times.1 >= from) {
        let mut cut = entry.clone();
        if cut.times.0 < from {
            piece.left.push((all.key(entry), (cut.times.0, from - 1)));
            cut.times.0 = from;
        }
        piece.entries.push(cut);
    }
    Ok(Some(piece))
}

/// A scan of some keys, or all, within times.
fn request(
    def: &TableDef,
    columns: Vec<usize>,
    keys: &[ArrayRef],
    times: (i64, i64),
) -> Result<ScanRequest> {
    let mut request = ScanRequest {
        columns,
        ..ScanRequest::default()
    };
    if let (Some(key), false) = (def.key_column(), keys.is_empty()) {
        let literal =
            |key: &ArrayRef| Ok(Expr::Literal(ScalarValue::try_from_array(key, 0)?, None));
        let list = keys.iter().map(literal).collect::<Result<Vec<_>>>()?;
        let wanted = col(quoted(def.schema.field(key).name())).in_list(list, false);
        pushdown::apply(def, std::iter::once(&wanted), &mut request);
    }
    request.time = Some(times);
    Ok(request)
}

/// A column's name as it is.
fn quoted(name: &str) -> datafusion::common::Column {
    datafusion::common::Column::new_unqualified(name)
}

fn attach(
    writes: &mut slicedb_storage::Transaction,
    partials: TableId,
    definition: &Definition,
    ready: &mut Vec<RecordBatch>,
) -> Result<()> {
    if ready.is_empty() {
        return Ok(());
    }
    let ready = std::mem::take(ready)
        .into_iter()
        .map(|rows| definition.kept(rows));
    let ready = ready.collect::<Result<Vec<_>>>()?;
    writes.attach(partials, ready).map_err(external)
}
