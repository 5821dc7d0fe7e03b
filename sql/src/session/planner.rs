//! What a statement sees, and the planner over it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{
    SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext,
};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;
use slicedb_storage::{TableId, View};

use super::names::Names;
use super::use_aggregates::UseAggregates;
use super::{Param, Session};
use crate::catalog::{Catalog, CatalogView, system};
use crate::database::{Configs, DATABASE, Database};
use crate::dialect::{self, OutputNames};
use crate::error::Result;
use crate::plan::errors::from_datafusion;
use crate::plan::generic::Parameters;
use crate::plan::{analyzer_rules, is_small};
use crate::types::{FormatSettings, PgType};

/// What a statement sees: a state, its catalog, and its session as it is set now.
#[derive(Clone)]
pub(super) struct Sight {
    pub(super) database: Database,
    pub(super) view: View,
    pub(super) catalog: Arc<Catalog>,
    pub(super) settings: FormatSettings,
    time_zone: Arc<str>,
    session: Arc<system::SessionInfo>,
    pub(super) uses_aggregates: bool,
}

/// What one plan has beside what its statement sees.
#[derive(Default)]
pub(super) struct Own {
    /// The table that shows its row numbers.
    pub(super) row_ids_of: Option<TableId>,
    /// Tables by name.
    pub(super) tables: Vec<(String, Arc<dyn TableProvider>)>,
    /// Parameters whose values change, of a generic plan.
    pub(super) parameters: Option<Arc<Parameters>>,
}

/// What a plan is made against.
#[derive(Clone)]
pub(super) struct Planner {
    pub(super) state: SessionState,
    pub(super) names: Names,
    pub(super) view: View,
    /// The configuration of plans of one partition.
    serial: SessionConfig,
}

/// A plan that can run, and what it runs in.
pub(super) struct Physical {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    pub(super) is_small: bool,
    context: Arc<TaskContext>,
}

/// A planned query.
pub(super) struct Planned {
    pub(super) plan: LogicalPlan,
    pub(super) names: OutputNames,
}

impl Session {
    /// What a statement that begins now sees.
    pub(super) fn sight(&mut self) -> Result<Sight> {
        let view = self.view()?;
        self.sight_of(view)
    }

    fn sight_of(&self, view: View) -> Result<Sight> {
        Ok(Sight {
            database: self.database.clone(),
            catalog: self.database.catalogs().of(&view.state)?,
            view,
            settings: self.format_settings(),
            time_zone: self.settings.time_zone().to_string().into(),
            session: self.info(),
            uses_aggregates: self.uses_aggregates()?,
        })
    }

    /// Whether queries over tables may be answered from their aggregates.
    pub(super) fn uses_aggregates(&self) -> Result<bool> {
        Ok(self.settings.get("slicedb.use_aggregates")? == "on")
    }

    /// A planner against what a statement that begins now sees.
    pub(super) fn planner(&mut self) -> Result<Planner> {
        Ok(self.sight()?.planner(Own::default()))
    }

    /// A planner against a view.
    pub(super) fn planner_of(&self, view: View, own: Own) -> Result<Planner> {
        Ok(self.sight_of(view)?.planner(own))
    }
}

impl Sight {
    /// A planner.
    pub(super) fn planner(&self, own: Own) -> Planner {
        let database = &self.database;
        let mut settings = self.settings.clone();
        let now_us = database.engine().now();
        let Configs {
            mut config,
            mut serial,
        } = self.configs();
        if own.parameters.is_some() {
            // It is made for other moments too, and its filters are put in place for each run.
            settings.now_us = None;
            for config in [&mut config, &mut serial] {
                let optimizer = &mut config.options_mut().optimizer;
                optimizer.enable_topk_dynamic_filter_pushdown = false;
                optimizer.enable_join_dynamic_filter_pushdown = false;
                optimizer.enable_aggregate_dynamic_filter_pushdown = false;
                optimizer.enable_dynamic_filter_pushdown = false;
            }
        }
        let mut rules = analyzer_rules(&settings);
        if self.uses_aggregates && own.row_ids_of.is_none() {
            rules.push(Arc::new(UseAggregates {
                definitions: database.definitions().clone(),
                state: self.view.state.clone(),
                catalog: self.catalog.clone(),
                time_zone: self.time_zone.clone(),
                parameters: own.parameters.clone(),
            }));
        }
        let state = SessionStateBuilder::new_from_existing(database.template().clone())
            .with_session_id(DATABASE.to_owned())
            .with_config(config)
            .with_runtime_env(database.environment())
            .with_execution_props(execution_props(now_us))
            .with_analyzer_rules(rules)
            .build();
        let catalog_view = CatalogView {
            state: self.view.state.clone(),
            catalog: self.catalog.clone(),
            time_zone: self.time_zone.clone(),
            row_ids_of: own.row_ids_of,
            session: self.session.clone(),
            extra: own.tables,
            parameters: own.parameters,
        };
        let names = Names::new(
            database.functions().clone(),
            catalog_view,
            settings,
            now_us,
            database.definitions().clone(),
        );
        Planner {
            state,
            names,
            view: self.view.clone(),
            serial,
        }
    }

    /// The configurations of plans.
    pub(super) fn configs(&self) -> Configs {
        self.database.configs(&self.time_zone)
    }
}

impl Planner {
    /// Plans a query as PostgreSQL means it.
    pub(super) fn plan_query(&self, mut query: ast::Query, text: &str) -> Result<Planned> {
        let names = dialect::rewrite_query(&mut query)?;
        system::rewrite_system_query(&mut query);
        let statement = ast::Statement::Query(Box::new(query));
        let plan = self.names.plan(&self.state, statement);
        let plan = plan.map_err(|e| from_datafusion(e, text))?;
        Ok(Planned { plan, names })
    }

    /// Tells the parameters with which a statement will run.
    pub(super) fn expect(&mut self, params: &[Param]) {
        let types = params.iter().map(|param| Some(param.data_type().clone()));
        self.names.expect(types);
    }

    /// Tells the types that are known of a statement's parameters.
    pub(super) fn expect_types(&mut self, types: &[Option<PgType>]) {
        let known = |ty: &Option<PgType>| match ty {
            None | Some(PgType::Unknown) => None,
            Some(ty) => Some(ty.arrow()),
        };
        self.names.expect(types.iter().map(known));
    }

    /// A plan that runs in one partition, which keeps its rows in order.
    pub(super) fn in_order(&mut self) {
        *self.state.config_mut() = self.serial.clone();
    }

    /// The physical plan.
    pub(super) async fn physical(&self, plan: &LogicalPlan, text: &str) -> Result<Physical> {
        let internal = |e| from_datafusion(e, text);
        let plan = self.state.optimize(plan).map_err(internal)?;
        let is_small = is_small(&plan).map_err(internal)?;
        let mut state = Cow::Borrowed(&self.state);
        if is_small {
            // Threads that wait for each other cost more than they would win.
            *state.to_mut().config_mut() = self.serial.clone();
        }
        let planner = state.query_planner();
        let plan = planner.create_physical_plan(&plan, state.as_ref()).await;
        Ok(Physical {
            plan: plan.map_err(internal)?,
            is_small,
            context: task_context(state.config(), state.runtime_env()),
        })
    }

    /// Starts a plan: the fields of its rows, and the rows.
    pub(super) async fn start(
        &self,
        plan: &LogicalPlan,
        text: &str,
    ) -> Result<(Vec<FieldRef>, SendableRecordBatchStream)> {
        let stream = self.physical(plan, text).await?.stream(text)?;
        Ok((fields(plan, &stream.schema()), stream))
    }
}

/// The fields of a plan's rows: the logical ones know their PostgreSQL types; physical plans lose
/// some of that.
pub(super) fn fields(plan: &LogicalPlan, physical: &SchemaRef) -> Vec<FieldRef> {
    let fields = plan.schema().fields().iter().zip(physical.fields());
    let field = |(logical, physical): (&FieldRef, &FieldRef)| {
        let field = physical.as_ref().clone();
        Arc::new(field.with_metadata(logical.metadata().clone()))
    };
    fields.map(field).collect()
}

impl Physical {
    /// Starts it.
    pub(super) fn stream(&self, text: &str) -> Result<SendableRecordBatchStream> {
        execute_stream(self.plan.clone(), self.context.clone())
            .map_err(|e| from_datafusion(e, text))
    }
}

/// What a plan runs in. Functions are for plans that come from elsewhere.
pub(super) fn task_context(
    config: &SessionConfig,
    environment: &Arc<RuntimeEnv>,
) -> Arc<TaskContext> {
    Arc::new(TaskContext::new(
        None,
        DATABASE.to_owned(),
        config.clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        environment.clone(),
    ))
}

/// `current_date` and its like ask for the moment at which the statement began.
pub(super) fn execution_props(now_us: i64) -> ExecutionProps {
    let now = chrono::DateTime::from_timestamp_micros(now_us).unwrap_or_default();
    ExecutionProps::new().with_query_execution_start_time(now)
}
