//! CREATE, DROP and REFRESH MATERIALIZED VIEW: continuous aggregates. Plain views are in
//! `materialized`.

use std::sync::Arc;

use slicedb_storage::Transaction;
use slicedb_storage::derived::{self, Ranges};

use super::ddl::{target_lag, unrecognized};
use super::dependents::Removal;
use super::outcome::{Interrupt, unless};
use super::{Outcome, OutputColumn, Session, materialized};
use crate::catalog::{
    AggregateEntry, AggregateQuery, Catalog, ColumnEntry, PUBLIC, RelationKind, TableEntry,
    record_name, undefined,
};
use crate::dialect::{CreateAggregate, DropAggregate, OptionValue, RefreshView, TableName};
use crate::error::{Result, SqlError, SqlState};

impl Session {
    pub(super) async fn create_aggregate(
        &mut self,
        create: &CreateAggregate,
        text: &str,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        if !is_continuous(&create.options)? {
            return self.create_view(create, text, interrupt).await;
        }
        let done = Outcome::Command("CREATE MATERIALIZED VIEW".into());
        let target_lag_us = self.check_options(&create.options)?;
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
        let compiled = compiled.and_then(|new| {
            refuse_gone(&catalog, &view, name, &new.reads)?;
            Ok(new)
        });
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
            reads: new.reads.iter().map(|relation| relation.oid).collect(),
        };
        let mut entry = AggregateEntry::new(schema, name, columns, query)?;
        Arc::make_mut(&mut entry.table).properties.target_lag_us = target_lag_us;
        writes.put_table(definition.table(partials)?);
        let stale_def = derived::stale_def(stale, partials, &source.def)?;
        writes.put_table(stale_def.clone());
        writes.put_record(&view, &entry.record_name(), Some(entry.record()));
        // A table of the same name that is created meanwhile is a conflict.
        writes.put_record(&view, &record_name(schema, name), None);
        // The same records again: what it reads from and is dropped meanwhile is a conflict.
        for relation in &new.reads {
            materialized::keep(&mut writes, &view, &catalog, relation);
        }
        // All of its history is yet to be aggregated. Others over the table stay as they are.
        let all = Ranges::of(None, vec![(i64::MIN, i64::MAX)]);
        writes.append(stale, all.rows(&stale_def.schema)?)?;
        self.finish_write(writes).await?;
        self.database.repairer().ring();
        Ok(done)
    }

    /// The options of a continuous aggregate: its target lag in microseconds. What has no meaning here
    /// gets a notice.
    fn check_options(&mut self, options: &[(String, OptionValue)]) -> Result<Option<i64>> {
        let mut target_lag_us = None;
        for (name, value) in options {
            match name.as_str() {
                "tsdb.continuous" => {}
                "tsdb.target_lag" => target_lag_us = Some(target_lag(value)?),
                _ => self.check_meaningless(name, value)?,
            }
        }
        Ok(target_lag_us)
    }

    /// An option of TimescaleDB's that changes nothing here.
    ///
    /// # Errors
    /// 22023 when it is none.
    pub(super) fn check_meaningless(&mut self, name: &str, value: &OptionValue) -> Result<()> {
        match name {
            "tsdb.materialized_only" | "tsdb.create_group_indexes" | "tsdb.finalized" => {
                if value.as_bool().is_none() {
                    let message = format!("invalid value for {name} '{}'", value.as_str());
                    return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
                }
                if name == "tsdb.materialized_only" && value.as_bool() == Some(true) {
                    self.notice(
                        "continuous aggregates are always exact: materialized_only has no effect",
                    );
                }
                Ok(())
            }
            _ => Err(unrecognized(name)),
        }
    }

    pub(super) async fn drop_aggregate(&mut self, drop: &DropAggregate) -> Result<Outcome> {
        let mut writes = self.start_write("DROP MATERIALIZED VIEW")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let mut removal = Removal::new(drop.cascade, &catalog, &drop.names);
        for name in &drop.names {
            let found = match find(&catalog, name) {
                Ok(entry) => Ok((entry.table.clone(), Some(entry.clone()))),
                Err(e) => plain(&catalog, name).map(|table| (table, None)).ok_or(e),
            };
            match found {
                Ok((table, aggregate)) => {
                    let removed =
                        self.remove_readers(&mut writes, &view, &catalog, &table, &mut removal);
                    if let Err(e) = removed {
                        self.give_back(writes);
                        return Err(e);
                    }
                    match aggregate {
                        Some(entry) => remove(&mut writes, &view, &entry),
                        None => materialized::remove(&mut writes, &view, &table),
                    }
                }
                Err(e) if drop.if_exists && e.state == SqlState::UNDEFINED_TABLE => {
                    self.notice(format!(
                        "materialized view \"{name}\" does not exist, skipping"
                    ));
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

    /// Waits until everything that is stale now has been aggregated anew; a plain view is filled anew.
    pub(super) async fn refresh_aggregate(
        &mut self,
        refresh: &RefreshView,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let seen = self.view()?;
        let catalog = self.database.catalogs().of(&seen.state)?;
        if plain(&catalog, &refresh.name).is_some() {
            return self.refresh_view(refresh, interrupt).await;
        }
        if !refresh.with_data {
            return Err(SqlError::unsupported(
                "REFRESH MATERIALIZED VIEW WITH NO DATA of a continuous aggregate",
            ));
        }
        self.refuse_in_block("REFRESH MATERIALIZED VIEW")?;
        let database = self.database.clone();
        let name = refresh.name.clone();
        let work = async move {
            let state = database.engine().state();
            let catalog = database.catalogs().of(&state)?;
            let entry = find(&catalog, &name).map_err(|e| match e.state {
                SqlState::UNDEFINED_TABLE => undefined(&name),
                _ => SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, e.message),
            })?;
            database
                .repairer()
                .settle(entry.source, database.engine())
                .await
        };
        unless(interrupt, self.database.runtime().run(work)).await?;
        Ok(Outcome::Command("REFRESH MATERIALIZED VIEW".into()))
    }
}

/// An aggregate is kept from the rows, also where its query reads another one. That one must not stand
/// for rows that are gone.
///
/// # Errors
/// 55000 when it does.
fn refuse_gone(
    catalog: &Catalog,
    view: &slicedb_storage::View,
    name: &str,
    reads: &[Arc<TableEntry>],
) -> Result<()> {
    let aggregates = reads
        .iter()
        .filter_map(|relation| catalog.aggregate(&relation.schema, &relation.name));
    for entry in aggregates {
        if derived::times(&view.state, entry.stale, true)?.is_empty() {
            continue;
        }
        let message = format!(
            "cannot create continuous aggregate \"{name}\" over \"{}\"",
            entry.table.name
        );
        let state = SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
        return Err(SqlError::new(state, message)
            .with_detail("Rows of its table have been dropped, for which only it stands.")
            .with_hint("Create a continuous aggregate over the table."));
    }
    Ok(())
}

/// Whether options ask for a continuous aggregate.
fn is_continuous(options: &[(String, OptionValue)]) -> Result<bool> {
    let Some((_, value)) = options.iter().find(|(name, _)| name == "tsdb.continuous") else {
        return Ok(false);
    };
    value.as_bool().ok_or_else(|| {
        let message = format!("invalid value for tsdb.continuous: \"{}\"", value.as_str());
        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
    })
}

/// An aggregate that a procedure names.
///
/// # Errors
/// 42P01 when there is nothing of that name, 42809 when it is no aggregate.
pub(super) fn require<'a>(
    catalog: &'a Catalog,
    name: &TableName,
) -> Result<&'a Arc<AggregateEntry>> {
    let schema = name.schema.as_deref().unwrap_or(PUBLIC);
    if let Some(entry) = catalog.aggregate(schema, &name.name) {
        return Ok(entry);
    }
    Err(match catalog.get(schema, &name.name) {
        Some(_) => {
            let message = format!("relation \"{}\" is not a continuous aggregate", name.name);
            SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)
        }
        None => undefined(name),
    })
}

/// A plain materialized view as a statement names it.
fn plain(catalog: &Catalog, name: &TableName) -> Option<Arc<TableEntry>> {
    let entry = catalog.get(name.schema.as_deref().unwrap_or(PUBLIC), &name.name)?;
    (entry.kind == RelationKind::MaterializedView).then(|| entry.clone())
}

/// 42P01 for a view.
pub(super) fn no_view(name: impl std::fmt::Display) -> SqlError {
    let message = format!("materialized view \"{name}\" does not exist");
    SqlError::new(SqlState::UNDEFINED_TABLE, message)
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
        None => no_view(name),
    })
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

/// The columns of a view, under the names that its statement gives them.
pub(super) fn columns(outputs: Vec<OutputColumn>, names: &[String]) -> Result<Vec<ColumnEntry>> {
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
