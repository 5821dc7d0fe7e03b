//! What a transaction tells of tables that are derived from those it changes: where they are stale,
//! and where rows are gone that they stand for.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::{RowId, Transaction, View, no_table, touched};
use crate::derived::{self, Ranges};
use crate::state::State;
use crate::table::TableDef;
use crate::{Error, Result, TableId};

/// Why rows cannot change.
const GONE: &str = "rows of this age are kept by continuous aggregates only";

impl Transaction {
    /// From here on rows of these times that [`Transaction::expire`] removes are gone: what is derived
    /// from them stays. Times in microseconds, both ends included.
    ///
    /// # Errors
    /// [`Error::Conflict`] when part of what is derived from them is stale, and has to be computed
    /// from them first.
    pub fn expire_times(
        &mut self,
        view: &View,
        table: TableId,
        times: &[(i64, i64)],
    ) -> Result<()> {
        self.know_partials(&view.state, table);
        let gone = derived::gone(&view.state, &*self.shared.derive, table, times)?;
        for (stale, rows) in gone {
            let marks = derived::times(&view.state, stale, false)?;
            let meets = |mark: &(i64, i64)| times.iter().any(|t| mark.0 <= t.1 && mark.1 >= t.0);
            if marks.iter().any(meets) {
                return Err(Error::Conflict(
                    "aggregates have to be computed first".into(),
                ));
            }
            self.require_unchanged(view, stale);
            self.append(stale, rows)?;
        }
        Ok(())
    }

    /// Removes rows in segments that a scan of `view` returned, of times that are told to be gone.
    ///
    /// # Errors
    /// As [`Transaction::delete`].
    pub fn expire(&mut self, view: &View, table: TableId, rows: &[RowId]) -> Result<()> {
        self.remove(view, table, rows)
    }

    /// Notes what is derived from rows about to be deleted.
    pub(super) fn mark_around(
        &mut self,
        view: &View,
        table: TableId,
        rows: &[RowId],
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if view.state.stale_of(table).is_empty() {
            self.know_partials(&view.state, table);
            return Ok(());
        }
        let seen = view.state.table(table).ok_or_else(no_table)?;
        let (keys, times) = touched::keys_and_times(seen, rows)?;
        for stale in view.state.stale_of(table) {
            let gone = derived::times(&view.state, stale.def.id, true)?;
            let is_gone = |time: &i64| gone.iter().any(|(from, to)| (from..=to).contains(&time));
            if times.iter().any(is_gone) {
                return Err(Error::Expired(GONE.into()));
            }
        }
        self.mark(&view.state, table, &Ranges::around(keys.as_ref(), &times)?)
    }

    /// Notes that what is derived from a table is stale in these ranges.
    ///
    /// # Errors
    /// As [`Transaction::append`].
    pub fn mark(&mut self, state: &State, table: TableId, ranges: &Ranges) -> Result<()> {
        self.know_partials(state, table);
        let stale = state.stale_of(table).into_iter();
        let stale: Vec<Arc<TableDef>> = stale.map(|table| table.def.clone()).collect();
        for def in stale {
            self.append(def.id, ranges.rows(&def.schema)?)?;
        }
        Ok(())
    }

    /// The tables to which it adds rows.
    pub fn added(&self) -> Vec<TableId> {
        let rows = self.change.rows.iter();
        let adds = rows.filter(|(_, rows)| !rows.blocks.is_empty() || !rows.segments.is_empty());
        adds.map(|(&table, _)| table).collect()
    }

    /// Remembers which partials there are: those that come later have no mark of this change.
    pub(super) fn know_partials(&mut self, state: &State, table: TableId) {
        let known = || state.partials_of(table).iter().map(|t| t.def.id).collect();
        self.change.partials.entry(table).or_insert_with(known);
    }

    /// Adds rows to a derived table, in segments: nothing waits for memory.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a batch does not fit the table, [`Error::Io`] when it cannot be
    /// written.
    pub fn attach(&mut self, table: TableId, batches: Vec<RecordBatch>) -> Result<()> {
        let state = self.shared.state();
        let def = self.def(&state, table)?;
        let runs = derived::runs(&def, batches)?;
        let built = self.shared.builder().build(&def, &runs, &mut |_| {})?;
        let rows = self.change.rows.entry(table).or_default();
        rows.segments.extend(built.into_iter().map(|b| b.segment));
        Ok(())
    }
}
