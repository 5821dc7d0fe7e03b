//! ALTER MATERIALIZED VIEW … ADD COLUMN: a continuous aggregate of one more value.
//!
//! It is the aggregate of another query under the same name: all of its partials are computed anew in
//! the background, and until then queries read the rows. History is filled from its first moment on.

use std::sync::Arc;

use slicedb_storage::derived::{self, Ranges};
use slicedb_storage::{Transaction, View};

use super::materialized::{keep, query_of};
use super::outcome::{Interrupt, unless};
use super::{Session, aggregate};
use crate::catalog::{AggregateEntry, AggregateQuery, ColumnEntry};
use crate::dialect::{self, NewColumn};
use crate::error::{Result, SqlError, SqlState};

impl Session {
    /// Adds a column to an aggregate; `None` when it is there already and may be.
    ///
    /// # Errors
    /// 42701 for a name that is taken, 55000 when rows have gone from which it had to be computed, and
    /// those of a query that cannot be kept.
    pub(super) async fn add_column(
        &mut self,
        mut writes: Transaction,
        view: &View,
        entry: &Arc<AggregateEntry>,
        column: &NewColumn,
        interrupt: &mut Interrupt,
    ) -> Result<Option<Transaction>> {
        let (table, name) = (&entry.table, &column.name);
        if table.column(name).is_some() {
            let message = format!(
                "column \"{name}\" of relation \"{}\" already exists",
                table.name
            );
            if !column.if_not_exists {
                return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
            }
            self.notice(format!("{message}, skipping"));
            self.give_back(writes);
            return Ok(None);
        }
        if !derived::times(&view.state, entry.stale, true)?.is_empty() {
            let message = format!(
                "cannot add a column to continuous aggregate \"{}\"",
                table.name
            );
            let state = SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
            return Err(SqlError::new(state, message)
                .with_detail(
                    "Rows of its table have been dropped, of which it could not be computed.",
                )
                .with_hint("Create another continuous aggregate beside it."));
        }
        let engine = self.database.engine();
        let (partials, stale) = (engine.new_table_id(), engine.new_table_id());
        let definitions = self.database.definitions().clone();
        let (asked, state) = (column.clone(), view.state.clone());
        let (query, zone) = (entry.query.clone(), entry.time_zone.clone());
        let work = async move {
            let compile = |item: String| {
                let item = format!("{item} AS \"{}\"", asked.name.replace('"', "\"\""));
                let text = dialect::with_item(&query, &item)?;
                let parsed = query_of(&text)?;
                let compiled = definitions.compile(&parsed, &text, &zone, &state, partials);
                // A position would be one in the whole query.
                let new = compiled.map_err(|e| SqlError {
                    position: None,
                    ..e
                })?;
                Ok::<_, SqlError>((text, new))
            };
            let (text, new) = compile(asked.value.clone())?;
            let is_wanted = new.columns.last().is_some_and(|output| {
                let is_free = asked.ty.typmod() < 0 || output.ty == asked.ty;
                output.ty.oid() == asked.ty.oid() && is_free
            });
            match is_wanted {
                true => Ok((text, new)),
                false => {
                    let cast = format!("CAST({} AS {})", asked.value, asked.ty_text);
                    compile(cast)
                }
            }
        };
        let work = self.database.runtime().run(work);
        let (text, new) = unless(interrupt, work).await?;
        let definition = new.definition;
        let mut columns: Vec<ColumnEntry> = table.columns.clone();
        columns.extend(
            new.columns
                .into_iter()
                .skip(columns.len())
                .map(|output| ColumnEntry {
                    name: name.clone(),
                    ty: output.ty,
                    not_null: false,
                    default: None,
                }),
        );
        let query = AggregateQuery {
            text,
            time_zone: entry.time_zone.clone(),
            source: entry.source,
            partials,
            stale,
            reads: new.reads.iter().map(|relation| relation.oid).collect(),
        };
        let mut changed = AggregateEntry::new(&table.schema, &table.name, columns, query)?;
        let relation = Arc::make_mut(&mut changed.table);
        relation.oid = table.oid;
        relation.properties = table.properties.clone();
        let source = definition.source.clone();
        let stale_def = derived::stale_def(stale, partials, &source.def)?;
        writes.put_table(definition.table(partials)?);
        writes.put_table(stale_def.clone());
        aggregate::remove(&mut writes, view, entry);
        writes.put_record(view, &changed.record_name(), Some(changed.record()));
        // The same records again: what it reads from and is dropped meanwhile is a conflict.
        let catalog = self.database.catalogs().of(&view.state)?;
        for relation in &new.reads {
            keep(&mut writes, view, &catalog, relation);
        }
        let all = Ranges::of(None, vec![(i64::MIN, i64::MAX)]);
        writes.append(stale, all.rows(&stale_def.schema)?)?;
        Ok(Some(writes))
    }
}
