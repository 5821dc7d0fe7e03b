//! New rows on their way to the transaction, in batches that are worth its checks: each batch of a
//! table with a primary key is looked up in all that came before.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use slicedb_storage::Transaction;

use super::append;
use crate::catalog::TableEntry;
use crate::error::{Result, SqlError};

/// What a batch holds at least, but for the last.
const ROWS: usize = 65_536;
const BYTES: usize = 8 << 20;

/// Rows that have not been handed on.
#[derive(Default)]
pub(super) struct Gathered {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Gathered {
    /// Adds rows of a table, and hands on what is enough.
    pub(super) fn add(
        &mut self,
        writes: &mut Transaction,
        entry: &TableEntry,
        batch: RecordBatch,
    ) -> Result<()> {
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch);
        match self.rows >= ROWS || self.bytes >= BYTES {
            true => self.hand_on(writes, entry),
            false => Ok(()),
        }
    }

    /// Hands on what there is.
    pub(super) fn hand_on(&mut self, writes: &mut Transaction, entry: &TableEntry) -> Result<()> {
        let batches = std::mem::take(&mut self.batches);
        (self.rows, self.bytes) = (0, 0);
        let rows = match &batches[..] {
            [] => return Ok(()),
            [one] => one.clone(),
            many => concat_batches(&entry.def.schema, many)
                .map_err(|e| SqlError::internal(e.to_string()))?,
        };
        append(writes, entry, rows)
    }
}
