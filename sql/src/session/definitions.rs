//! Compiled definitions of continuous aggregates, and what storage asks of them while it seals and
//! merges.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::Analyzer;
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;
use slicedb_storage::{Derive, Deriving, State, TableDef, TableId};

use super::names::{Functions, Names};
use super::query::output_columns;
use super::{OutputColumn, planner};
use crate::catalog::system::SessionInfo;
use crate::catalog::{AggregateEntry, Catalog, CatalogCache, CatalogView, TableEntry};
use crate::continuous::{Definition, Phase, combine, over_rows};
use crate::dialect::{self, Statement};
use crate::error::{Result, SqlError};
use crate::plan::analyzer_rules;
use crate::plan::errors::from_datafusion;
use crate::types::{FormatSettings, Zone};

/// All definitions that are in use. Clones share them.
#[derive(Clone)]
pub(crate) struct Definitions(Arc<Inner>);

struct Inner {
    functions: Arc<Functions>,
    template: SessionState,
    catalogs: Arc<CatalogCache>,
    /// By the table of their partials.
    known: Mutex<HashMap<TableId, Compiled>>,
}

/// A definition with the tables that it was compiled for.
struct Compiled {
    tables: Vec<Arc<TableDef>>,
    definition: Arc<Definition>,
}

/// A definition of a new aggregate.
pub(crate) struct New {
    pub(super) definition: Definition,
    /// Its columns.
    pub(super) columns: Vec<OutputColumn>,
    /// What its query names.
    pub(super) reads: Vec<Arc<TableEntry>>,
}

/// A query in the words of a statement, without a session.
struct Query<'a> {
    query: ast::Query,
    text: &'a str,
    time_zone: &'a str,
}

impl std::fmt::Debug for Definitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("definitions of continuous aggregates")
    }
}

impl Definitions {
    pub(crate) fn new(
        functions: Arc<Functions>,
        template: SessionState,
        catalogs: Arc<CatalogCache>,
    ) -> Self {
        Definitions(Arc::new(Inner {
            functions,
            template,
            catalogs,
            known: Mutex::default(),
        }))
    }

    /// The compiled definition of an aggregate.
    ///
    /// # Errors
    /// When its query cannot be compiled any more.
    pub(crate) fn of(
        &self,
        entry: &AggregateEntry,
        state: &Arc<State>,
        catalog: &Arc<Catalog>,
    ) -> Result<Arc<Definition>> {
        let is_now = |def: &Arc<TableDef>| {
            let now = state.table(def.id);
            now.is_some_and(|now| Arc::ptr_eq(&now.def, def))
        };
        if let Some(known) = self.0.known.lock().get(&entry.partials)
            && known.tables.iter().all(is_now)
        {
            return Ok(known.definition.clone());
        }
        let query = Query {
            query: parse(&entry.query)?,
            text: &entry.query,
            time_zone: &entry.time_zone,
        };
        let (plan, ..) = self.plan(query, state, catalog)?;
        let definition = Arc::new(Definition::compile(name_of(entry.partials), plan)?);
        let read = definition.references.iter().chain([&definition.source]);
        let compiled = Compiled {
            tables: read.map(|table| table.def.clone()).collect(),
            definition: definition.clone(),
        };
        let mut known = self.0.known.lock();
        known.retain(|partials, _| state.table(*partials).is_some());
        known.insert(entry.partials, compiled);
        Ok(definition)
    }

    /// Compiles the query of a new aggregate.
    ///
    /// # Errors
    /// When it is no query, or cannot be kept.
    pub(crate) fn compile(
        &self,
        query: &ast::Query,
        text: &str,
        time_zone: &str,
        state: &Arc<State>,
        partials: TableId,
    ) -> Result<New> {
        let catalog = self.0.catalogs.of(state)?;
        let query = Query {
            query: query.clone(),
            text,
            time_zone,
        };
        let (plan, columns, reads) = self.plan(query, state, &catalog)?;
        Ok(New {
            definition: Definition::compile(name_of(partials), plan)?,
            columns,
            reads,
        })
    }

    /// The query of an aggregate that another one reads from, as it was written, and the names
    /// that it reads.
    ///
    /// # Errors
    /// 0A000 when its time zone is another one.
    pub(super) fn query_of(&self, entry: &AggregateEntry, time_zone: &str) -> Result<ast::Query> {
        if entry.time_zone != time_zone {
            let message = format!(
                "continuous aggregate \"{}\" was created in another time zone",
                entry.table.name
            );
            let hint = format!("SET TIME ZONE '{}' first.", entry.time_zone);
            return Err(SqlError::unsupported(message).with_hint(hint));
        }
        let mut query = parse(&entry.query)?;
        dialect::rewrite_query(&mut query)?;
        Ok(query)
    }

    /// The analyzed plan of a query in a time zone, without a session: over rows, whatever it reads.
    fn plan(
        &self,
        asked: Query<'_>,
        state: &Arc<State>,
        catalog: &Arc<Catalog>,
    ) -> Result<(LogicalPlan, Vec<OutputColumn>, Vec<Arc<TableEntry>>)> {
        let Query {
            mut query,
            text,
            time_zone,
        } = asked;
        let settings = FormatSettings {
            time_zone: Zone::parse(time_zone)
                .ok_or_else(|| SqlError::internal("the time zone of an aggregate is unknown"))?,
            ..FormatSettings::default()
        };
        let mut config = self.0.template.config().clone();
        config.options_mut().execution.time_zone = Some(time_zone.to_owned());
        let session = SessionStateBuilder::new_from_existing(self.0.template.clone())
            .with_config(config)
            .with_execution_props(planner::execution_props(0))
            .build();
        let view = CatalogView {
            state: state.clone(),
            catalog: catalog.clone(),
            time_zone: time_zone.into(),
            row_ids_of: None,
            session: Arc::new(SessionInfo::default()),
            extra: Vec::new(),
            parameters: None,
        };
        let mut names = Names::new(
            self.0.functions.clone(),
            view,
            settings.clone(),
            0,
            self.clone(),
        );
        names.expand_aggregates();
        let outputs = dialect::rewrite_query(&mut query)?;
        let statement = ast::Statement::Query(Box::new(query));
        let failed = |e| from_datafusion(e, text);
        let plan = names.plan(&session, statement).map_err(failed)?;
        let analyzer = Analyzer::with_rules(analyzer_rules(&settings));
        let analyzed = analyzer.execute_and_check(plan, session.config_options(), |_, _| {});
        let analyzed = analyzed.map_err(failed)?;
        let fields = analyzed.schema().fields().iter().cloned();
        let columns = output_columns(fields, outputs);
        Ok((over_rows(analyzed)?, columns, names.read()))
    }

    /// The aggregates of a state.
    ///
    /// # Errors
    /// XX001 when the catalog is damaged.
    pub(crate) fn entries(&self, state: &State) -> Result<Vec<Arc<AggregateEntry>>> {
        Ok(self.0.catalogs.of(state)?.aggregates().cloned().collect())
    }

    /// The compiled definition of an aggregate at a state.
    ///
    /// # Errors
    /// As [`Definitions::of`].
    pub(crate) fn of_state(
        &self,
        entry: &AggregateEntry,
        state: &Arc<State>,
    ) -> Result<Arc<Definition>> {
        self.of(entry, state, &self.0.catalogs.of(state)?)
    }

    /// What storage asks about an aggregate.
    fn kept(&self, state: &State, partials: TableId) -> slicedb_storage::Result<Arc<Definition>> {
        let failed = |e: SqlError| slicedb_storage::Error::Invalid(e.to_string());
        let catalog = self.0.catalogs.of(state).map_err(failed)?;
        let entry = catalog
            .aggregates()
            .find(|entry| entry.partials == partials);
        let entry = entry.ok_or_else(|| failed(SqlError::internal("an aggregate has no entry")))?;
        self.of(entry, &Arc::new(state.clone()), &catalog)
            .map_err(failed)
    }
}

/// What tells definitions from each other in plans.
fn name_of(partials: TableId) -> String {
    format!("partials_{partials}")
}

fn parse(text: &str) -> Result<ast::Query> {
    match dialect::parse(text)?
        .into_iter()
        .next()
        .map(|parsed| parsed.statement)
    {
        Some(Statement::Query(query)) => Ok(*query),
        _ => Err(SqlError::internal("the query of an aggregate is none")),
    }
}

/// Rows of the source on their way to partials.
struct Computing {
    definition: Arc<Definition>,
    phase: Phase,
}

impl Derive for Definitions {
    fn begin(
        &self,
        state: &State,
        partials: TableId,
    ) -> slicedb_storage::Result<Box<dyn Deriving>> {
        let definition = self.kept(state, partials)?;
        let phase = Phase::of_all(definition.clone()).map_err(invalid)?;
        Ok(Box::new(Computing { definition, phase }))
    }

    fn reach(
        &self,
        state: &State,
        partials: TableId,
        times: (i64, i64),
    ) -> slicedb_storage::Result<(i64, i64)> {
        self.kept(state, partials)?.reach(times).map_err(invalid)
    }

    fn combine(
        &self,
        state: &State,
        partials: TableId,
        rows: RecordBatch,
    ) -> slicedb_storage::Result<RecordBatch> {
        let definition = self.kept(state, partials)?;
        combine(&definition, &rows).map_err(invalid)
    }
}

impl Deriving for Computing {
    fn push(&mut self, rows: &RecordBatch) -> slicedb_storage::Result<()> {
        let rows = rows.project(&self.definition.reads);
        let rows = rows.map_err(|e| invalid(e.into()))?;
        let rows = self.definition.fit(&rows).map_err(invalid)?;
        self.phase.push(&rows).map_err(invalid)
    }

    fn finish(self: Box<Self>) -> slicedb_storage::Result<Vec<RecordBatch>> {
        let partials = self.phase.finish().map_err(invalid)?;
        let kept = partials.into_iter().map(|rows| self.definition.kept(rows));
        kept.collect::<datafusion::error::Result<_>>()
            .map_err(invalid)
    }
}

fn invalid(error: datafusion::error::DataFusionError) -> slicedb_storage::Error {
    slicedb_storage::Error::Invalid(from_datafusion(error, "").to_string())
}
