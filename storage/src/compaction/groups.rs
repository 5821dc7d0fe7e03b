//! Merged rows of a derived table, one for each group.
//!
//! A group's rows have one key and one time, and so stand together. The last ones of a batch wait
//! for the next, which may go on with the same key and time.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::cannot_merge;
use crate::Result;
use crate::sort::RowOrder;
use crate::table::TableDef;

/// Makes one row of those of each group, see [`crate::Derive::combine`].
pub(crate) type Combine<'a> = dyn Fn(RecordBatch) -> Result<RecordBatch> + 'a;

/// Rows on their way from a merge to a segment.
pub(super) struct Groups<'a> {
    def: &'a TableDef,
    order: RowOrder,
    combine: &'a Combine<'a>,
    /// The rows of the last key and time.
    last: Option<RecordBatch>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(def: &'a TableDef, combine: &'a Combine<'a>) -> Result<Self> {
        Ok(Groups {
            def,
            order: RowOrder::new(def, def.sort_columns())?,
            combine,
            last: None,
        })
    }

    /// The groups that are complete with these rows.
    pub(super) fn next(&mut self, rows: RecordBatch) -> Result<RecordBatch> {
        let rows = match self.last.take() {
            Some(last) => concat_batches(&self.def.schema, [&last, &rows]).map_err(cannot_merge)?,
            None => rows,
        };
        let keys = self.order.keys(&rows)?;
        let mut first = rows.num_rows() - 1;
        while first > 0 && keys.row(first - 1) == keys.row(first) {
            first -= 1;
        }
        self.last = Some(rows.slice(first, rows.num_rows() - first));
        if first == 0 {
            return Ok(rows.slice(0, 0));
        }
        (self.combine)(rows.slice(0, first))
    }

    /// The groups that are complete when no more rows come.
    pub(super) fn rest(&mut self) -> Result<Option<RecordBatch>> {
        self.last
            .take()
            .map(|rows| (self.combine)(rows))
            .transpose()
    }
}
