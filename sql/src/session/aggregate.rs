//! CREATE, DROP and REFRESH MATERIALIZED VIEW.

use std::collections::BTreeSet;
use std::sync::Arc;

use slicedb_storage::derived::{self, Ranges};
use slicedb_storage::{TableId, Transaction};

use super::outcome::{Interrupt, unless};
use super::{Outcome, OutputColumn, Session};
use crate::catalog::{AggregateEntry, AggregateQuery, Catalog, ColumnEntry, PUBLIC, record_name};
use crate::dialect::{CreateAggregate, DropAggregate, OptionValue, TableName};
use crate::error::{Result, SqlError, SqlState};

impl Session {
    pub(super) async fn create_aggregate(
        &mut self,
        create: &CreateAggregate,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let done = Outcome::Command("CREATE MATERIALIZED VIEW".into());
        self.check_options(&create.options)?;
        let mut writes = self.start_write("CREATE MATERIALIZED VIEW")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let schema = self.schema_of(&create.name)?;
        let name = &create.name.name;
        if catalog.get(schema, name).is_some() || catalog.aggregate(schema, name).is_some() {
            self.give_back(writes);
            self.refuse_existing(name, create.if_not_exists)?;
            return Ok(done);
        }
        let engine = self.database.engine();
        let (partials, stale) = (engine.new_table_id(), engine.new_table_id());
        let time_zone = self.settings.time_zone().to_string();
        let definitions = self.database.definitions().clone();
        let (state, asked, zone) = (view.state.clone(), create.clone(), time_zone.clone());
        let work =
            async move { definitions.compile(&asked.query, &asked.text, &zone, &state, partials) };
        let compiled = unless(interrupt, self.database.runtime().run(work)).await;
        let new = match compiled {
            Ok(compiled) => compiled,
            Err(e) => {
                self.give_back(writes);
                return Err(e);
            }
        };
        let columns = columns(new.columns, &create.columns)?;
        let definition = new.definition;
        let source = definition.source.clone();
        let query = AggregateQuery {
            text: create.text.clone(),
            time_zone,
            source: source.def.id,
            partials,
            stale,
            reads: new.reads,
        };
        let entry = AggregateEntry::new(schema, name, columns, query)?;
        writes.put_table(definition.table(partials)?);
        writes.put_table(derived::stale_def(stale, partials, &source.def)?);
        writes.put_record(&view, &entry.record_name(), Some(entry.record()));
        // A table of the same name that is created meanwhile is a conflict.
        writes.put_record(&view, &record_name(schema, name), None);
        for read in &entry.reads {
            let of = |a: &&Arc<AggregateEntry>| a.partials == read.table;
            if let Some(below) = catalog.aggregates().find(of) {
                writes.put_record(&view, &below.record_name(), Some(below.record()));
            }
        }
        // The same records again: a table that is dropped meanwhile is a conflict.
        for table in definition.references.iter().chain([&source]) {
            writes.put_record(&view, &table.record_name(), Some(table.record()));
        }
        let view = self.view_for(&mut writes)?;
        // All of its history is yet to be aggregated.
        let all = Ranges::of(None, vec![(i64::MIN, i64::MAX)]);
        writes.mark(&view.state, source.def.id, &all)?;
        self.finish_write(writes).await?;
        self.database.repairer().ring();
        Ok(done)
    }

    /// The options of a continuous aggregate. What has no meaning here gets a notice.
    fn check_options(&mut self, options: &[(String, OptionValue)]) -> Result<()> {
        let continuous = options.iter().find(|(name, _)| name == "tsdb.continuous");
        if continuous.is_none_or(|(_, value)| value.as_bool() != Some(true)) {
            return Err(
                SqlError::unsupported("a materialized view that is not continuous")
                    .with_hint("Create it WITH (timescaledb.continuous): it is never behind."),
            );
        }
        for (name, value) in options {
            match name.as_str() {
                "tsdb.continuous" => {}
                "tsdb.materialized_only" | "tsdb.create_group_indexes" | "tsdb.finalized" => {
                    if value.as_bool().is_none() {
                        let message = format!("invalid value for {name} '{}'", value.as_str());
                        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
                    }
                    if name == "tsdb.materialized_only" && value.as_bool() == Some(true) {
                        let message = "continuous aggregates are always exact: \
                                       materialized_only has no effect";
                        self.notify(SqlError::new(SqlState([b'0'; 5]), message));
                    }
                }
                _ => {
                    let message = format!("unrecognized parameter \"{name}\"");
                    return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
                }
            }
        }
        Ok(())
    }

    pub(super) async fn drop_aggregate(&mut self, drop: &DropAggregate) -> Result<Outcome> {
        let mut writes = self.start_write("DROP MATERIALIZED VIEW")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let named = drop.names.iter();
        let named = named.filter_map(|name| Some(find(&catalog, name).ok()?.partials));
        let named: BTreeSet<TableId> = named.collect();
        let mut gone = BTreeSet::new();
        for name in &drop.names {
            match find(&catalog, name) {
                Ok(entry) => {
                    if gone.insert(entry.partials) {
                        remove(&mut writes, &view, entry);
                    }
                    for aggregate in catalog.dependents(entry.partials) {
                        if named.contains(&aggregate.partials) {
                            continue;
                        }
                        if !drop.cascade {
                            self.give_back(writes);
                            let what = format!("materialized view {}", entry.table.name);
                            return Err(has_dependents(&what, aggregate));
                        }
                        if gone.insert(aggregate.partials) {
                            self.notify(drops_too(aggregate));
                            remove(&mut writes, &view, aggregate);
                        }
                    }
                }
                Err(_) if drop.if_exists => {
                    let message = format!("materialized view \"{name}\" does not exist, skipping");
                    self.notify(SqlError::new(SqlState([b'0'; 5]), message));
                }
                Err(e) => {
                    self.give_back(writes);
                    return Err(e);
                }
            }
        }
        self.finish_write(writes).await?;
        Ok(Outcome::Command("DROP MATERIALIZED VIEW".into()))
    }

    /// Waits until everything that is stale now has been aggregated anew.
    pub(super) async fn refresh_aggregate(
        &mut self,
        name: &TableName,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        if !self.is_autocommit() {
            let message = "REFRESH MATERIALIZED VIEW cannot run inside a transaction block";
            return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        let database = self.database.clone();
        let name = name.clone();
        let work = async move {
            let state = database.engine().state();
            let entry = find(&*database.catalogs().of(&state)?, &name)?.clone();
            database
                .repairer()
                .settle(entry.source, database.engine())
                .await
        };
        unless(interrupt, self.database.runtime().run(work)).await?;
        Ok(Outcome::Command("REFRESH MATERIALIZED VIEW".into()))
    }
}

/// An aggregate as a statement names it.
fn find<'a>(catalog: &'a Catalog, name: &TableName) -> Result<&'a Arc<AggregateEntry>> {
    let schema = name.schema.as_deref().unwrap_or(PUBLIC);
    if let Some(entry) = catalog.aggregate(schema, &name.name) {
        return Ok(entry);
    }
    Err(match catalog.get(schema, &name.name) {
        Some(_) => {
            let message = format!("\"{}\" is not a materialized view", name.name);
            SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)
        }
        None => {
            let message = format!("materialized view \"{name}\" does not exist");
            SqlError::new(SqlState::UNDEFINED_TABLE, message)
        }
    })
}

/// 2BP01: an aggregate reads from what is to be dropped.
pub(super) fn has_dependents(what: &str, aggregate: &AggregateEntry) -> SqlError {
    let message = format!("cannot drop {what} because other objects depend on it");
    let detail = format!(
        "materialized view {} depends on {what}",
        aggregate.table.name
    );
    SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_detail(detail)
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// The notice that an aggregate is dropped with what it reads from.
pub(super) fn drops_too(aggregate: &AggregateEntry) -> SqlError {
    let message = format!(
        "drop cascades to materialized view {}",
        aggregate.table.name
    );
    SqlError::new(SqlState([b'0'; 5]), message)
}

/// Takes an aggregate out of the catalog, with what it keeps.
pub(super) fn remove(
    writes: &mut Transaction,
    view: &slicedb_storage::View,
    entry: &AggregateEntry,
) {
    writes.drop_table(entry.partials);
    writes.drop_table(entry.stale);
    writes.put_record(view, &entry.record_name(), None);
}

/// The columns of an aggregate, under the names that its statement gives them.
fn columns(outputs: Vec<OutputColumn>, names: &[String]) -> Result<Vec<ColumnEntry>> {
    if names.len() > outputs.len() {
        let message = "too many column names were specified";
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
    }
    let mut columns: Vec<ColumnEntry> = Vec::with_capacity(outputs.len());
    for (at, output) in outputs.into_iter().enumerate() {
        let name = names.get(at).unwrap_or(output.field.name()).clone();
        if columns.iter().any(|column| column.name == name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        columns.push(ColumnEntry {
            name,
            ty: output.ty,
            not_null: false,
            default: None,
        });
    }
    Ok(columns)
}
