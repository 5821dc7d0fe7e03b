//! [`Progress`]: how much of a continuous aggregate is stale, and from how many rows it has yet to be
//! computed.

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use slicedb_storage::{Result, Scan, ScanRequest, State};

use super::AggregateEntry;

/// What a state tells of an aggregate. Times in microseconds, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Ranges that are stale, of one key or of all.
    pub marks: u64,
    /// The first and the last stale time.
    pub stale: Option<(i64, i64)>,
    /// The last time of which rows are gone: those before are not all there.
    pub gone_until: Option<i64>,
    /// Rows of the table in segments.
    pub rows: u64,
    /// Those among them that lie in chunks which are stale for all keys.
    pub rows_left: u64,
}

impl Progress {
    /// Reads the marks of an aggregate.
    ///
    /// # Errors
    /// When a value is damaged.
    pub fn of(state: &State, entry: &AggregateEntry) -> Result<Progress> {
        let mut progress = Progress::default();
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        let stale = state.table(entry.stale);
        if let Some(table) = stale.filter(|table| table.rows() > 0) {
            let columns = table.def.schema.fields().len();
            let request = ScanRequest {
                columns: (0..columns).collect(),
                ..ScanRequest::default()
            };
            let scan = Scan::new(state, entry.stale, request)?;
            for unit in scan.units() {
                let Some(rows) = scan.read(unit)? else {
                    continue;
                };
                // | key, if the source has one | from | to | gone |
                let times = |c: usize| rows.column(c).as_primitive::<TimestampMicrosecondType>();
                let (from, to) = (times(columns - 3), times(columns - 2));
                let gone = rows.column(columns - 1).as_boolean();
                let keys = (columns == 4).then(|| rows.column(0));
                for row in 0..rows.num_rows() {
                    let range = (from.value(row), to.value(row));
                    if gone.value(row) {
                        progress.gone_until = progress.gone_until.max(Some(range.1));
                        continue;
                    }
                    progress.marks += 1;
                    progress.stale = Some(match progress.stale {
                        Some((first, last)) => (first.min(range.0), last.max(range.1)),
                        None => range,
                    });
                    if keys.is_none_or(|keys| keys.is_null(row)) {
                        ranges.push(range);
                    }
                }
            }
        }
        let Some(source) = state.table(entry.source) else {
            return Ok(progress);
        };
        let width = source.def.chunk_us().unwrap_or(1);
        let is_stale = |start: i64| {
            let end = start.saturating_add(width);
            ranges.iter().any(|&(from, to)| from < end && to >= start)
        };
        for run in &source.segments {
            progress.rows += u64::from(run.segment.meta.rows());
            for &(start, rows) in &run.segment.meta.chunk_rows {
                if !ranges.is_empty() && is_stale(start) {
                    progress.rows_left += u64::from(rows);
                }
            }
        }
        Ok(progress)
    }
}
