//! INSERT, UPDATE, DELETE, TRUNCATE.
//!
//! UPDATE and DELETE are queries for the numbers of the rows they change; the numbers hold as long
//! as the view that was read. A statement that commits by itself and finds at its commit that the
//! rows were changed meanwhile is run again.
//!
//! New rows go to the transaction as they are found, which writes them to disk when they are many.
//! Only where an UPDATE changes a primary key all old rows go first, since keys may move from row to
//! row; the new ones wait in bounded memory.

mod change;
mod conflict;
mod describe;
mod gather;
mod insert;
mod returning;
mod tree;
mod truncate;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::UInt64Type;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use slicedb_storage::{RowId, TableId, Transaction, View};

use super::outcome::{Interrupt, unless};
use super::planner::{Own, Planner};
use super::query::bind;
use super::write::conform;
use super::{Outcome, Param, RowStream, Rows, RowsTag, Session, assign};
use crate::catalog::TableEntry;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::plan::pressure::admit;
use change::Change;
use conflict::Conflict;
use gather::Gathered;
use returning::{Returned, Returning};
pub(super) use tree::{default_of, table_factor};
use tree::{quoted, table_name};

/// How often a statement that commits by itself is run when others are faster.
const ATTEMPTS_MAX: usize = 20;
/// Memory of the new rows of an UPDATE that changes primary keys.
const MOVED_BYTES_MAX: usize = 64 << 20;

/// What a write has done.
struct Written {
    rows: u64,
    returned: Option<Returned>,
}

impl Session {
    pub(super) async fn insert(
        &mut self,
        insert: &ast::Insert,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        for attempt in 1.. {
            let result = self.insert_once(insert, text, params, interrupt).await;
            // Somebody else was first to insert the key, which now is there to be found.
            let lost = insert.on.is_some() && is(&result, SqlState::UNIQUE_VIOLATION);
            let again = lost && self.is_autocommit() && attempt < ATTEMPTS_MAX;
            if !again && !self.runs_again(&result, attempt) {
                return result.map(|written| outcome(RowsTag::Insert, written));
            }
        }
        Err(SqlError::internal("INSERT ended without a result"))
    }

    async fn insert_once(
        &mut self,
        insert: &ast::Insert,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
    ) -> Result<Written> {
        let mut writes = self.start_write("INSERT")?;
        let view = self.view_for(&mut writes)?;
        let (entry, name) = self.target_of_insert(&view, insert)?;
        let source = insert::source(&entry, insert)?;
        let conflict = Conflict::of(self, &view, &entry, &name, insert.on.as_ref(), Some(params))?;
        let mut returning = Returning::of(self, &entry, &name, insert.returning.as_ref())?;
        let (mut planner, functions) = self.assigning(view.clone(), &entry, None)?;
        planner.expect(params);
        let (owned, settings) = (text.to_owned(), self.format_settings());
        let bound = params.to_vec();
        let work = async move {
            let plan = source.plan(&planner, &entry, &functions, &owned).await?;
            let plan = bind(plan, &bound, &owned)?;
            let (_, mut stream) = planner.start(&plan, &owned).await?;
            let mut rows = 0;
            let mut conflict = conflict;
            let mut gathered = Gathered::default();
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(|e| from_datafusion(e, &owned))?;
                let count = batch.num_rows();
                let batch = conform(&entry, batch.columns().to_vec(), count, &settings)?;
                let written = match &mut conflict {
                    Some(conflict) => conflict.write(&mut writes, batch, &owned).await?,
                    None => {
                        gathered.add(&mut writes, &entry, batch.clone())?;
                        vec![batch]
                    }
                };
                for batch in written {
                    rows += batch.num_rows() as u64;
                    if let Some(returning) = &mut returning {
                        returning.keep(batch.columns(), batch.num_rows())?;
                    }
                }
            }
            gathered.hand_on(&mut writes, &entry)?;
            Ok((writes, rows, returning))
        };
        // The commit is not interrupted: whoever hears of a cancel knows that nothing was changed.
        let (writes, rows, returning) =
            unless(interrupt, self.database.runtime().run(work)).await?;
        let returned = self
            .returned(returning, view, params, text, interrupt)
            .await?;
        self.finish_write(writes).await?;
        Ok(Written { rows, returned })
    }

    pub(super) async fn update(
        &mut self,
        update: &ast::Update,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let change = |catalog: &_| change::of_update(catalog, update);
        let written = self.change("UPDATE", text, params, interrupt, change);
        Ok(outcome(RowsTag::Update, written.await?))
    }

    pub(super) async fn delete(
        &mut self,
        delete: &ast::Delete,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let change = |catalog: &_| change::of_delete(catalog, delete);
        let written = self.change("DELETE", text, params, interrupt, change);
        Ok(outcome(RowsTag::Delete, written.await?))
    }

    async fn change(
        &mut self,
        statement: &str,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
        change: impl Fn(&crate::catalog::Catalog) -> Result<Change>,
    ) -> Result<Written> {
        for attempt in 1.. {
            let result = self
                .change_once(statement, text, params, interrupt, &change)
                .await;
            if !self.runs_again(&result, attempt) {
                return result;
            }
        }
        Err(SqlError::internal(format!(
            "{statement} ended without a result"
        )))
    }

    async fn change_once(
        &mut self,
        statement: &str,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
        change: impl Fn(&crate::catalog::Catalog) -> Result<Change>,
    ) -> Result<Written> {
        admit(self.database.engine().pressure())?;
        let mut writes = self.start_write(statement)?;
        let view = self.view_for(&mut writes)?;
        let change = change(&*self.database.catalogs().of(&view.state)?)?;
        let (entry, name) = (change.entry.clone(), &change.qualifier);
        let mut returning = Returning::of(self, &entry, name, change.returning.as_ref())?;
        let (mut planner, _) = self.assigning(view.clone(), &entry, Some(entry.def.id))?;
        planner.expect(params);
        let (owned, settings) = (text.to_owned(), self.format_settings());
        let bound = params.to_vec();
        let work = async move {
            let plan = planner.plan_query(change.query, &owned)?.plan;
            let plan = bind(plan, &bound, &owned)?;
            let (_, mut stream) = planner.start(&plan, &owned).await?;
            let mut rows = 0;
            let mut seen = HashSet::new();
            let mut moved = Moved::default();
            let mut gathered = Gathered::default();
            while let Some(batch) = stream.next().await {
                let mut batch = batch.map_err(|e| from_datafusion(e, &owned))?;
                if change.is_joined {
                    batch = first_of_each(&mut seen, &batch)?;
                }
                let numbers = row_numbers(batch.column(0));
                writes.delete(&planner.view, entry.def.id, &numbers)?;
                rows += numbers.len() as u64;
                let (columns, count) = (&batch.columns()[1..], batch.num_rows());
                if change.is_update {
                    let batch = conform(&entry, columns.to_vec(), count, &settings)?;
                    if let Some(returning) = &mut returning {
                        returning.keep(batch.columns(), count)?;
                    }
                    match change.moves_keys {
                        true => moved.keep(batch)?,
                        false => gathered.add(&mut writes, &entry, batch)?,
                    }
                } else if let Some(returning) = &mut returning {
                    returning.keep(columns, count)?;
                }
            }
            for batch in moved.rows {
                gathered.add(&mut writes, &entry, batch)?;
            }
            gathered.hand_on(&mut writes, &entry)?;
            Ok((writes, rows, returning))
        };
        // The commit is not interrupted: whoever hears of a cancel knows that nothing was changed.
        let (writes, rows, returning) =
            unless(interrupt, self.database.runtime().run(work)).await?;
        let returned = self
            .returned(returning, view, params, text, interrupt)
            .await?;
        self.finish_write(writes).await?;
        Ok(Written { rows, returned })
    }

    async fn returned(
        &self,
        returning: Option<Returning>,
        view: View,
        params: &[Param],
        text: &str,
        interrupt: &mut Interrupt,
    ) -> Result<Option<Returned>> {
        match returning {
            Some(returning) => {
                let rows = returning.rows(self, view, params, text);
                Ok(Some(unless(interrupt, rows).await?))
            }
            None => Ok(None),
        }
    }

    /// What a write that begins now reads: the transaction has been taken out of the session.
    pub(super) fn view_for(&mut self, writes: &mut Transaction) -> Result<View> {
        if writes.is_empty() {
            return self.view();
        }
        let base = self.view()?;
        Ok(writes.view(Some(&base.state))?)
    }

    /// A planner that can assign to the columns of a table.
    fn assigning(
        &self,
        view: View,
        entry: &TableEntry,
        row_ids_of: Option<TableId>,
    ) -> Result<(Planner, Vec<Arc<ScalarUDF>>)> {
        let own = Own {
            row_ids_of,
            ..Own::default()
        };
        let planner = self.planner_of(view, own)?;
        self.with_assignments(planner, entry)
    }

    fn with_assignments(
        &self,
        mut planner: Planner,
        entry: &TableEntry,
    ) -> Result<(Planner, Vec<Arc<ScalarUDF>>)> {
        let zone: Arc<str> = self.settings.time_zone().to_string().into();
        let functions = assign::functions(entry, &zone, &self.format_settings());
        for function in &functions {
            planner.names.add(function.clone());
        }
        Ok((planner, functions))
    }

    /// Whether a statement is run again: it commits by itself, and others were faster.
    pub(super) fn runs_again<T>(&self, result: &Result<T>, attempt: usize) -> bool {
        let lost = is(result, SqlState::SERIALIZATION_FAILURE);
        lost && self.is_autocommit() && attempt < ATTEMPTS_MAX
    }

    /// The table of an INSERT, and the name that its columns go by.
    fn target_of_insert(
        &self,
        view: &View,
        insert: &ast::Insert,
    ) -> Result<(Arc<TableEntry>, ast::Ident)> {
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::unsupported("INSERT into a function"));
        };
        let name = table_name(name)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let entry = catalog.find(&name)?.clone();
        let alias = insert.table_alias.as_ref();
        let alias = alias.map_or(name.name, |alias| alias.alias.value.clone());
        Ok((entry, quoted(alias)))
    }
}

fn is<T>(result: &Result<T>, state: SqlState) -> bool {
    result.as_ref().is_err_and(|e| e.state == state)
}

fn outcome(tag: RowsTag, written: Written) -> Outcome {
    match written.returned {
        Some(returned) => Outcome::Rows(Rows {
            columns: Arc::new(returned.columns),
            stream: RowStream::ready(returned.batches),
            tag,
        }),
        None => Outcome::Command(tag.finish(written.rows)),
    }
}

/// New rows that wait until all old ones are gone.
#[derive(Default)]
struct Moved {
    rows: Vec<RecordBatch>,
    bytes: usize,
}

impl Moved {
    fn keep(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += batch.get_array_memory_size();
        if self.bytes > MOVED_BYTES_MAX {
            let message = format!(
                "an UPDATE of primary keys holds more than {} MiB of rows",
                MOVED_BYTES_MAX >> 20
            );
            return Err(SqlError::new(SqlState::OUT_OF_MEMORY, message)
                .with_hint("Change fewer rows at a time."));
        }
        self.rows.push(batch);
        Ok(())
    }
}

/// Rows whose number was not seen before.
fn first_of_each(seen: &mut HashSet<u64>, batch: &RecordBatch) -> Result<RecordBatch> {
    let numbers = batch.column(0).as_primitive::<UInt64Type>().values();
    let is_first: BooleanArray = numbers.iter().map(|&n| Some(seen.insert(n))).collect();
    filter_record_batch(batch, &is_first).map_err(|e| SqlError::internal(e.to_string()))
}

fn row_numbers(column: &ArrayRef) -> Vec<RowId> {
    column
        .as_primitive::<UInt64Type>()
        .values()
        .iter()
        .map(|&row| RowId(row))
        .collect()
}

fn append(writes: &mut Transaction, entry: &TableEntry, batch: RecordBatch) -> Result<()> {
    writes
        .append(entry.def.id, batch)
        .map_err(|e| named(e, entry))
}

/// Duplicate keys name the table and its columns.
pub(super) fn named(error: slicedb_storage::Error, entry: &TableEntry) -> SqlError {
    match error {
        slicedb_storage::Error::Duplicate { key, .. } => {
            let columns: Vec<&str> = entry
                .def
                .primary_key()
                .iter()
                .map(|&c| entry.columns[c].name.as_str())
                .collect();
            let message = format!(
                "duplicate key value violates unique constraint \"{}_pkey\"",
                entry.name
            );
            let detail = format!(
                "Key ({})=({}) already exists.",
                columns.join(", "),
                key.join(", ")
            );
            SqlError::new(SqlState::UNIQUE_VIOLATION, message).with_detail(detail)
        }
        other => other.into(),
    }
}
