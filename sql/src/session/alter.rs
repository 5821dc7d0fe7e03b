//! ALTER MATERIALIZED VIEW and ALTER VIEW: names and options; of ALTER TABLE the options. A new column
//! is in `add_column`.

use std::sync::Arc;

use arrow::datatypes::Schema;
use slicedb_storage::{Scan, ScanRequest, TableDef, Transaction, View};

use super::ddl::{target_lag, unrecognized};
use super::dependents::readers;
use super::outcome::{Interrupt, unless};
use super::write::conform;
use super::{Outcome, Session};
use crate::catalog::{
    AggregateEntry, Catalog, PUBLIC, RelationKind, TableEntry, record_name, undefined,
};
use crate::dialect::{AlterAction, AlterKind, AlterView, OptionValue};
use crate::error::{Result, SqlError, SqlState};

/// What is altered.
enum Target {
    Aggregate(Arc<AggregateEntry>),
    Relation(Arc<TableEntry>),
}

impl Session {
    pub(super) async fn alter_view(
        &mut self,
        alter: &AlterView,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let done = Outcome::Command(alter.kind.statement().into());
        let mut writes = self.start_write(alter.kind.statement())?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let target = match target(&catalog, alter) {
            Ok(Some(target)) => target,
            Ok(None) => {
                self.give_back(writes);
                let name = &alter.name;
                self.notice(format!("relation \"{name}\" does not exist, skipping"));
                return Ok(done);
            }
            Err(e) => {
                self.give_back(writes);
                return Err(e);
            }
        };
        match &alter.action {
            AlterAction::Rename(name) => {
                let of = target.relation();
                if catalog.relation(&of.schema, name).is_some() {
                    let message = format!("relation \"{name}\" already exists");
                    return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
                }
                let reader = readers(&catalog, of).into_iter().next();
                refuse_read(reader, of, "renaming")?;
                target.rename(&mut writes, &view, name);
            }
            AlterAction::RenameColumn { from, to } => {
                let of = target.relation().clone();
                let renamed = rename_column(&of, from, to)?;
                let reader = readers(&catalog, &of).into_iter().next();
                refuse_read(reader, &of, "renaming a column of")?;
                match target {
                    Target::Aggregate(entry) => {
                        let mut entry = (*entry).clone();
                        entry.table = Arc::new(renamed);
                        writes.put_record(&view, &entry.record_name(), Some(entry.record()));
                    }
                    Target::Relation(_) => {
                        writes = self
                            .move_rows(writes, &view, &of, renamed, interrupt)
                            .await?;
                    }
                }
            }
            AlterAction::AddColumn(column) => {
                // A `*` of theirs would be another one. Aggregates name what they read.
                let readers = readers(&catalog, target.relation()).into_iter();
                let mut views = readers.filter(|r| r.kind == RelationKind::MaterializedView);
                refuse_read(views.next(), target.relation(), "adding a column to")?;
                let Target::Aggregate(entry) = &target else {
                    return Err(SqlError::unsupported(
                        "adding a column to a materialized view that is not continuous",
                    ));
                };
                let added = self
                    .add_column(writes, &view, entry, column, interrupt)
                    .await?;
                let Some(added) = added else {
                    return Ok(done);
                };
                writes = added;
            }
            AlterAction::Set(options) => {
                let mut changed = (**target.relation()).clone();
                for (name, value) in options {
                    self.set_option(&mut changed, name, Some(value))?;
                }
                target.put(&mut writes, &view, changed);
            }
            AlterAction::Reset(names) => {
                let mut changed = (**target.relation()).clone();
                for name in names {
                    self.set_option(&mut changed, name, None)?;
                }
                target.put(&mut writes, &view, changed);
            }
            AlterAction::SetSchema(schema) => {
                // There is but one to which a relation can go.
                let mut name = alter.name.clone();
                name.schema = Some(schema.clone());
                self.schema_of(&name)?;
                self.give_back(writes);
                return Ok(done);
            }
            AlterAction::Owner(role) => {
                let is_owner = matches!(
                    role.as_str(),
                    "slicedb" | "current_user" | "current_role" | "session_user"
                );
                if !is_owner {
                    let message = format!("role \"{role}\" does not exist");
                    return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
                }
                self.give_back(writes);
                return Ok(done);
            }
        }
        self.finish_write(writes).await?;
        if matches!(alter.action, AlterAction::AddColumn(_)) {
            self.database.repairer().ring();
        }
        Ok(done)
    }

    /// Sets an option, or takes it back without a value.
    fn set_option(
        &mut self,
        changed: &mut TableEntry,
        name: &str,
        value: Option<&OptionValue>,
    ) -> Result<()> {
        match name {
            "tsdb.target_lag" if changed.kind != RelationKind::MaterializedView => {
                if changed.kind == RelationKind::Table && !changed.is_time_series() {
                    let message = format!("table \"{}\" is not a hypertable", changed.name);
                    return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                changed.properties.target_lag_us = value.map(target_lag).transpose()?;
                Ok(())
            }
            "tsdb.compress"
            | "tsdb.columnstore"
            | "tsdb.enable_columnstore"
            | "tsdb.compress_segmentby"
            | "tsdb.compress_orderby"
            | "tsdb.compress_chunk_time_interval"
            | "tsdb.segmentby"
            | "tsdb.orderby"
                if changed.kind != RelationKind::MaterializedView =>
            {
                let name = name.trim_start_matches("tsdb.");
                self.notice(format!(
                    "rows are compressed when they are sealed, by key and in the order of time: \
                     {name} has no effect"
                ));
                Ok(())
            }
            _ if changed.kind != RelationKind::View => Err(unrecognized(name)),
            _ => self.check_meaningless(name, value.unwrap_or(&OptionValue::Bare)),
        }
    }

    /// The rows of a view under a changed definition.
    async fn move_rows(
        &self,
        mut writes: Transaction,
        view: &View,
        of: &TableEntry,
        mut renamed: TableEntry,
        interrupt: &mut Interrupt,
    ) -> Result<Transaction> {
        let id = self.database.engine().new_table_id();
        let schema = renamed.def.schema.clone();
        renamed.def = Arc::new(TableDef::new(id, schema, of.def.layout.clone())?);
        writes.put_table((*renamed.def).clone());
        let request = ScanRequest {
            columns: (0..of.columns.len()).collect(),
            ..ScanRequest::default()
        };
        let rows = Scan::new(&view.state, of.def.id, request)?;
        let settings = self.format_settings();
        let work = async move {
            for unit in rows.units() {
                if let Some(batch) = rows.read(unit)? {
                    let (columns, count) = (batch.columns().to_vec(), batch.num_rows());
                    writes.append(id, conform(&renamed, columns, count, &settings)?)?;
                }
                // Where an interrupt ends it.
                tokio::task::yield_now().await;
            }
            Ok((writes, renamed))
        };
        let work = self.database.runtime().run(work);
        let (mut writes, renamed) = unless(interrupt, work).await?;
        writes.drop_table(of.def.id);
        writes.put_record(view, &renamed.record_name(), Some(renamed.record()));
        Ok(writes)
    }
}

impl Target {
    fn relation(&self) -> &Arc<TableEntry> {
        match self {
            Target::Aggregate(entry) => &entry.table,
            Target::Relation(entry) => entry,
        }
    }

    /// Puts what changed of it, under the same name.
    fn put(&self, writes: &mut Transaction, view: &View, changed: TableEntry) {
        match self {
            Target::Aggregate(entry) => {
                let mut entry = (**entry).clone();
                entry.table = Arc::new(changed);
                writes.put_record(view, &entry.record_name(), Some(entry.record()));
            }
            Target::Relation(_) => {
                writes.put_record(view, &changed.record_name(), Some(changed.record()));
            }
        }
    }

    fn rename(&self, writes: &mut Transaction, view: &View, name: &str) {
        let mut changed = (**self.relation()).clone();
        name.clone_into(&mut changed.name);
        let schema = changed.schema.clone();
        // Another relation of that name that is created meanwhile is a conflict.
        let other = match self {
            Target::Aggregate(entry) => {
                writes.put_record(view, &entry.record_name(), None);
                record_name(&schema, name)
            }
            Target::Relation(entry) => {
                writes.put_record(view, &entry.record_name(), None);
                format!("aggregate/{schema}/{name}")
            }
        };
        writes.put_record(view, &other, None);
        self.put(writes, view, changed);
    }
}

/// What a statement alters; `None` when it is not there and need not be.
///
/// # Errors
/// 42P01 when it is not there, 42809 when it is of another kind.
fn target(catalog: &Catalog, alter: &AlterView) -> Result<Option<Target>> {
    let name = &alter.name;
    let schema = name.schema.as_deref().unwrap_or(PUBLIC);
    if let Some(entry) = catalog.aggregate(schema, &name.name) {
        // It is a view to clients, so that they may call it one.
        return match alter.kind {
            AlterKind::Table => Err(wrong(&name.name, "table")),
            _ => Ok(Some(Target::Aggregate(entry.clone()))),
        };
    }
    let Some(entry) = catalog.get(schema, &name.name) else {
        return match alter.if_exists {
            true => Ok(None),
            false => Err(undefined(name)),
        };
    };
    match (alter.kind, entry.kind) {
        (AlterKind::Table, RelationKind::Table)
        | (AlterKind::MaterializedView, RelationKind::MaterializedView) => {
            Ok(Some(Target::Relation(entry.clone())))
        }
        (AlterKind::Table, _) => Err(wrong(&name.name, "table")),
        (AlterKind::View, _) => Err(wrong(&name.name, "view")),
        (AlterKind::MaterializedView, _) => Err(wrong(&name.name, "materialized view")),
    }
}

fn wrong(name: &str, kind: &str) -> SqlError {
    let message = format!("\"{name}\" is not a {kind}");
    SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)
}

/// Views and aggregates keep their queries as they were written, so that names in them have to stay.
fn refuse_read(reader: Option<Arc<TableEntry>>, of: &TableEntry, what: &str) -> Result<()> {
    let Some(reader) = reader else {
        return Ok(());
    };
    Err(SqlError::unsupported(format!(
        "{what} \"{}\", which materialized view \"{}\" reads,",
        of.name, reader.name
    )))
}

/// A relation with another name of a column.
///
/// # Errors
/// 42703 when there is none, 42701 when the new name is taken.
fn rename_column(of: &TableEntry, from: &str, to: &str) -> Result<TableEntry> {
    let Some(at) = of.column(from) else {
        let message = format!("column \"{from}\" does not exist");
        return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
    };
    if of.column(to).is_some() {
        let message = format!("column \"{to}\" of relation \"{}\" already exists", of.name);
        return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
    }
    let mut renamed = of.clone();
    to.clone_into(&mut renamed.columns[at].name);
    let fields = of.def.schema.fields().iter().enumerate();
    let fields = fields.map(|(position, field)| match position == at {
        true => Arc::new(field.as_ref().clone().with_name(to)),
        false => field.clone(),
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    renamed.def = Arc::new(TableDef {
        schema: Arc::new(schema),
        ..(*of.def).clone()
    });
    Ok(renamed)
}
