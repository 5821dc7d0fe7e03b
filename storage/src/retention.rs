//! Which segments are older than their table's retention window.
//!
//! A segment goes when its whole chunk has left the window, never earlier; later rows of the same
//! age go when they are sealed and this is asked again.

use crate::SegmentId;
use crate::change::{Change, RowChange};
use crate::state::TableState;
use crate::table::Layout;

/// The segments to drop at `now`, in microseconds since 1970 UTC.
pub fn choose(table: &TableState, now: i64) -> Vec<SegmentId> {
    let Layout::TimeSeries {
        retention_us: Some(window),
        ..
    } = table.def.layout
    else {
        return Vec::new();
    };
    let oldest_kept = now.saturating_sub(window);
    let metas = table.segments.iter().map(|run| &run.segment.meta);
    metas
        .filter(|meta| meta.chunk.1 <= oldest_kept)
        .map(|meta| meta.id)
        .collect()
}

/// The change that drops them.
pub fn change(table: &TableState, segments: &[SegmentId]) -> Change {
    let mut rows = RowChange::default();
    rows.deletes.segments.extend(segments);
    Change {
        rows: [(table.def.id, rows)].into(),
        ..Change::default()
    }
}
