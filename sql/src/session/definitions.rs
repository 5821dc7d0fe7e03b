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
use crate::catalog::{AggregateEntry, Catalog, CatalogCache, CatalogView};
use crate::continuous::{Definition, Phase, combine};
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
    /// By the table of their partials, with the source that they were compiled for.
    known: Mutex<HashMap<TableId, Compiled>>,
}

type Compiled = (Arc<TableDef>, Arc<Definition>);

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
        let source = state.table(entry.source);
        let source = source.ok_or_else(|| SqlError::internal("the aggregated table is gone"))?;
        if let Some((compiled_for, known)) = self.0.known.lock().get(&entry.partials)
            && Arc::ptr_eq(compiled_for, &source.def)
        {
            return Ok(known.clone());
        }
        let query = parse(&entry.query)?;
        let (plan, _) = self.plan(query, &entry.query, &entry.time_zone, state, catalog)?;
        let compiled = Arc::new(Definition::compile(name_of(entry.partials), plan)?);
        let known = (source.def.clone(), compiled.clone());
        self.0.known.lock().insert(entry.partials, known);
        Ok(compiled)
    }

    /// Compiles the query of a new aggregate; answers its columns too.
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
    ) -> Result<(Definition, Vec<OutputColumn>)> {
        let catalog = self.0.catalogs.of(state)?;
        let (plan, columns) = self.plan(query.clone(), text, time_zone, state, &catalog)?;
        Ok((Definition::compile(name_of(partials), plan)?, columns))
    }

    /// The analyzed plan of a query in a time zone, without a session.
    fn plan(
        &self,
        mut query: ast::Query,
        text: &str,
        time_zone: &str,
        state: &Arc<State>,
        catalog: &Arc<Catalog>,
    ) -> Result<(LogicalPlan, Vec<OutputColumn>)> {
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
        let names = Names::new(
            self.0.functions.clone(),
            view,
            settings.clone(),
            0,
            self.clone(),
        );
        let outputs = dialect::rewrite_query(&mut query)?;
        let statement = ast::Statement::Query(Box::new(query));
        let failed = |e| from_datafusion(e, text);
        let plan = names.plan(&session, statement).map_err(failed)?;
        let analyzer = Analyzer::with_rules(analyzer_rules(&settings));
        let analyzed = analyzer.execute_and_check(plan, session.config_options(), |_, _| {});
        let analyzed = analyzed.map_err(failed)?;
        let fields = analyzed.schema().fields().iter().cloned();
        let columns = output_columns(fields, outputs);
        Ok((analyzed, columns))
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
