//! Materialized views: tables that a query fills, in one transaction each time. Whoever reads sees the
//! old rows or the new ones.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use slicedb_storage::{Layout, TableDef, Transaction, View};

use super::aggregate::columns;
use super::ddl::{entry_of, unrecognized};
use super::outcome::{Interrupt, unless};
use super::planner::{Own, Planned, Planner};
use super::query::output_columns;
use super::write::conform;
use super::{Outcome, Session};
use crate::catalog::{Catalog, RelationKind, StoredQuery, TableEntry};
use crate::dialect::{self, CreateAggregate, RefreshView, Statement};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::plan::pressure::{admit, go_on};
use crate::types::FormatSettings;

impl Session {
    /// `CREATE MATERIALIZED VIEW` of a query that is run once.
    pub(super) async fn create_view(
        &mut self,
        create: &CreateAggregate,
        text: &str,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        for (name, _) in &create.options {
            if name != "tsdb.continuous" {
                return Err(unrecognized(name));
            }
        }
        let mut writes = self.start_write("CREATE MATERIALIZED VIEW")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let schema = self.schema_of(&create.name)?.to_owned();
        let name = create.name.name.clone();
        if catalog.relation(&schema, &name).is_some() {
            self.give_back(writes);
            self.refuse_existing(&name, create.if_not_exists)?;
            return Ok(Outcome::Command("CREATE MATERIALIZED VIEW".into()));
        }
        admit(self.database.engine().pressure())?;
        let filling = self.filling(view.clone(), text)?;
        let id = self.database.engine().new_table_id();
        let (asked, state) = (create.clone(), view.clone());
        let work = async move {
            let planned = filling.plan(*asked.query)?;
            let fields = planned.plan.schema().fields().iter().cloned();
            let outputs = output_columns(fields, planned.names.clone());
            let columns = columns(outputs, &asked.columns)?;
            let layout = Layout::Reference {
                primary_key: Vec::new(),
            };
            let mut entry = entry_of(id, &schema, &name, columns, layout)?;
            let read = filling.planner.names.read();
            entry.kind = RelationKind::MaterializedView;
            entry.properties.view = Some(StoredQuery {
                text: asked.text,
                reads: read.iter().map(|relation| relation.oid).collect(),
                is_populated: asked.with_data,
            });
            writes.put_table((*entry.def).clone());
            writes.put_record(&state, &entry.record_name(), Some(entry.record()));
            // An aggregate of the same name that is created meanwhile is a conflict.
            writes.put_record(&state, &format!("aggregate/{schema}/{name}"), None);
            for relation in &read {
                keep(&mut writes, &state, &catalog, relation);
            }
            let mut rows = 0;
            if asked.with_data {
                rows = filling.run(&planned, &entry, &mut writes).await?;
            }
            Ok((writes, rows))
        };
        let work = self.database.runtime().run(work);
        let (writes, rows) = unless(interrupt, work).await?;
        self.finish_write(writes).await?;
        Ok(Outcome::Command(match create.with_data {
            true => format!("SELECT {rows}"),
            false => "CREATE MATERIALIZED VIEW".into(),
        }))
    }

    /// `REFRESH MATERIALIZED VIEW` of a view that [`Session::create_view`] made.
    pub(super) async fn refresh_view(
        &mut self,
        refresh: &RefreshView,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        for attempt in 1.. {
            let result = self.refresh_once(refresh, interrupt).await;
            if !self.runs_again(&result, attempt) {
                return result.map(|()| Outcome::Command("REFRESH MATERIALIZED VIEW".into()));
            }
        }
        Err(SqlError::internal("REFRESH ended without a result"))
    }

    async fn refresh_once(
        &mut self,
        refresh: &RefreshView,
        interrupt: &mut Interrupt,
    ) -> Result<()> {
        let mut writes = self.start_write("REFRESH MATERIALIZED VIEW")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let schema = self.schema_of(&refresh.name)?;
        let found = catalog.get(schema, &refresh.name.name).cloned();
        let stored = found.and_then(|entry| Some((entry.properties.view.clone()?, entry)));
        let Some((stored, entry)) = stored else {
            self.give_back(writes);
            return Err(super::aggregate::no_view(&refresh.name));
        };
        if refresh.concurrently && !stored.is_populated {
            self.give_back(writes);
            let message = "CONCURRENTLY cannot be used when the materialized view is not populated";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        if refresh.concurrently && !refresh.with_data {
            self.give_back(writes);
            let message = "CONCURRENTLY and WITH NO DATA options cannot be used together";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        admit(self.database.engine().pressure())?;
        // New rows are a new table under the old name.
        let id = self.database.engine().new_table_id();
        let (schema, layout) = (entry.def.schema.clone(), entry.def.layout.clone());
        let mut changed = (*entry).clone();
        changed.def = Arc::new(TableDef::new(id, schema, layout)?);
        changed.properties.view = Some(StoredQuery {
            is_populated: refresh.with_data,
            ..stored.clone()
        });
        writes.put_table((*changed.def).clone());
        let filling = self.filling(view.clone(), &stored.text)?;
        let with_data = refresh.with_data;
        let work = async move {
            if with_data {
                let planned = filling.plan(query_of(&stored.text)?)?;
                check_width(&planned, &changed)?;
                filling.run(&planned, &changed, &mut writes).await?;
            }
            Ok((writes, changed))
        };
        let work = self.database.runtime().run(work);
        let (mut writes, changed) = unless(interrupt, work).await?;
        writes.drop_table(entry.def.id);
        writes.put_record(&view, &changed.record_name(), Some(changed.record()));
        self.finish_write(writes).await
    }

    fn filling(&self, view: View, text: &str) -> Result<Filling> {
        Ok(Filling {
            planner: self.planner_of(view, Own::default())?,
            settings: self.format_settings(),
            pressure: self.database.engine().pressure().clone(),
            text: text.to_owned(),
        })
    }
}

/// A query on its way into a table.
struct Filling {
    planner: Planner,
    settings: FormatSettings,
    pressure: slicedb_storage::Pressure,
    text: String,
}

impl Filling {
    fn plan(&self, query: ast::Query) -> Result<Planned> {
        let planned = self.planner.plan_query(query, &self.text)?;
        match planned.plan.get_parameter_names() {
            Ok(names) if names.is_empty() => Ok(planned),
            _ => Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "materialized views may not be defined using bound parameters",
            )),
        }
    }

    /// Adds the query's rows to a table; answers how many.
    async fn run(
        &self,
        planned: &Planned,
        entry: &TableEntry,
        writes: &mut Transaction,
    ) -> Result<u64> {
        let (_, mut stream) = self.planner.start(&planned.plan, &self.text).await?;
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            go_on(&self.pressure)?;
            let batch = batch.map_err(|e| from_datafusion(e, &self.text))?;
            let (columns, count) = (batch.columns().to_vec(), batch.num_rows());
            rows += count as u64;
            writes.append(
                entry.def.id,
                conform(entry, columns, count, &self.settings)?,
            )?;
        }
        Ok(rows)
    }
}

/// A `*` may mean more columns than it did.
fn check_width(planned: &Planned, entry: &TableEntry) -> Result<()> {
    if planned.plan.schema().fields().len() == entry.columns.len() {
        return Ok(());
    }
    let message = format!(
        "the query of materialized view \"{}\" has other columns than the view",
        entry.name
    );
    let state = SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
    Err(SqlError::new(state, message).with_hint("Drop the view and create it again."))
}

/// A view's query, from its text.
pub(super) fn query_of(text: &str) -> Result<ast::Query> {
    let parsed = dialect::parse(text)?.into_iter().next();
    match parsed.map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) => Ok(*query),
        _ => Err(SqlError::internal("the query of a view is none")),
    }
}

/// Puts a relation's record again: if the relation is dropped meanwhile, that is a conflict.
pub(super) fn keep(
    writes: &mut Transaction,
    view: &View,
    catalog: &Catalog,
    relation: &TableEntry,
) {
    let aggregate = catalog.aggregate(&relation.schema, &relation.name);
    let (name, record) = match aggregate {
        Some(aggregate) => (aggregate.record_name(), aggregate.record()),
        None => (relation.record_name(), relation.record()),
    };
    writes.put_record(view, &name, Some(record));
}

/// Takes a view out of the catalog, with its rows.
pub(super) fn remove(writes: &mut Transaction, view: &View, entry: &TableEntry) {
    writes.drop_table(entry.def.id);
    writes.put_record(view, &entry.record_name(), None);
}
