//! Queries: a parsed query → a plan over the tables of one state → rows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{ParamValues, Result as PlanResult, ScalarValue};
use datafusion::execution::{
    SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext,
};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use slicedb_storage::{TableId, View};

use super::names::Names;
use super::outcome::{Interrupt, unless};
use super::placeholders;
use super::{Outcome, OutputColumn, Param, RowStream, Rows, RowsTag, Session};
use crate::catalog::{CatalogView, system};
use crate::database::{Configs, DATABASE};
use crate::dialect::{self, CopyDirection, CopySource, OutputNames, Statement};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::plan::pressure::{admit, go_on};
use crate::plan::{analyzer_rules, is_small};
use crate::types::PgType;

/// What a plan is made against: a state, its catalog, and the session's settings.
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
    context: Arc<TaskContext>,
}

/// A planned query.
pub(super) struct Planned {
    pub(super) plan: LogicalPlan,
    pub(super) names: OutputNames,
}

impl Session {
    /// A planner against what a statement that begins now sees.
    pub(super) fn planner(&mut self, row_ids_of: Option<TableId>) -> Result<Planner> {
        let view = self.view()?;
        self.planner_of(view, row_ids_of)
    }

    /// A planner against a view.
    pub(super) fn planner_of(&self, view: View, row_ids_of: Option<TableId>) -> Result<Planner> {
        self.planner_with(view, row_ids_of, Vec::new())
    }

    /// A planner against a view and tables of the statement's own.
    pub(super) fn planner_with(
        &self,
        view: View,
        row_ids_of: Option<TableId>,
        extra: Vec<(String, Arc<dyn TableProvider>)>,
    ) -> Result<Planner> {
        let database = &self.database;
        let catalog = database.catalogs().of(&view.state)?;
        let time_zone: Arc<str> = self.settings.time_zone().to_string().into();
        let settings = self.format_settings();
        let now_us = database.engine().now();
        let Configs { config, serial } = database.configs(&time_zone);
        let state = SessionStateBuilder::new_from_existing(database.template().clone())
            .with_session_id(DATABASE.to_owned())
            .with_config(config)
            .with_runtime_env(database.environment())
            .with_execution_props(execution_props(now_us))
            .with_analyzer_rules(analyzer_rules(&settings))
            .build();
        let catalog_view = CatalogView {
            state: view.state.clone(),
            catalog,
            time_zone,
            row_ids_of,
            session: self.info(),
            extra,
        };
        let names = Names::new(database.functions().clone(), catalog_view, settings, now_us);
        Ok(Planner {
            state,
            names,
            view,
            serial,
        })
    }

    pub(super) async fn query(
        &mut self,
        query: &ast::Query,
        text: &str,
        params: Vec<Param>,
        mut interrupt: Interrupt,
    ) -> Result<Outcome> {
        let rows = self
            .rows_of(query, text, params, RowsTag::Select, &mut interrupt)
            .await?;
        Ok(Outcome::Rows(rows(interrupt)))
    }

    /// Plans and starts a query. The result waits for what may interrupt it.
    pub(super) async fn rows_of(
        &mut self,
        query: &ast::Query,
        text: &str,
        params: Vec<Param>,
        tag: RowsTag,
        interrupt: &mut Interrupt,
    ) -> Result<impl FnOnce(Interrupt) -> Rows + use<>> {
        let pressure = self.database.engine().pressure().clone();
        admit(&pressure)?;
        let planner = self.planner(None)?;
        let (query, text) = (query.clone(), text.to_owned());
        let work = self.database.runtime().start(async move {
            let planned = planner.plan_query(query, &text)?;
            let plan = bind(planned.plan, &params, &text)?;
            let (schema, stream) = planner.start(&plan, &text).await?;
            let columns = output_columns(schema.iter().cloned(), planned.names);
            let stream = stream.map(move |batch| {
                go_on(&pressure)?;
                batch.map_err(|e| from_datafusion(e, &text))
            });
            Ok((columns, stream))
        });
        let (columns, receiver) = unless(interrupt, work).await?;
        Ok(move |interrupt| Rows {
            columns: Arc::new(columns),
            stream: RowStream::of_query(receiver, interrupt),
            tag,
        })
    }

    /// Types of the parameters and columns of the result, without running anything.
    pub(super) async fn describe(
        &mut self,
        statement: &Statement,
        text: &str,
        mut given: Vec<Option<PgType>>,
    ) -> Result<(Vec<PgType>, Option<Vec<OutputColumn>>)> {
        match statement {
            Statement::Query(query) => placeholders::fill(&**query, &mut given),
            Statement::Insert(insert) => placeholders::fill(&**insert, &mut given),
            Statement::Update(update) => placeholders::fill(&**update, &mut given),
            Statement::Delete(delete) => placeholders::fill(&**delete, &mut given),
            _ => {}
        }
        match statement {
            Statement::Query(query) => {
                let planner = self.planner(None)?;
                let (query, text) = ((**query).clone(), text.to_owned());
                let work = async move {
                    let planned = planner.plan_query(query, &text)?;
                    let params = parameters(&planned.plan, given)?;
                    let nulls = params
                        .iter()
                        .map(|ty| ScalarValue::try_new_null(&ty.arrow()));
                    let nulls = nulls.collect::<PlanResult<Vec<_>>>().map_err(plain)?;
                    let typed = planned
                        .plan
                        .with_param_values(values(nulls))
                        .map_err(plain)?;
                    let schema = planner
                        .state
                        .optimize(&typed)
                        .map_err(plain)?
                        .schema()
                        .clone();
                    let fields = schema.fields().iter().cloned();
                    Ok((params, Some(output_columns(fields, planned.names))))
                };
                self.database.runtime().run(work).await
            }
            Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
                self.describe_write(statement, given).await
            }
            Statement::Show(name) => Ok((Vec::new(), Some(self.show_columns(name)))),
            Statement::Explain(explain) => {
                let (params, _) = Box::pin(self.describe(&explain.statement, text, given)).await?;
                Ok((params, Some(super::show::text_columns(&["QUERY PLAN"]))))
            }
            Statement::Execute(execute) => {
                let prepared = self.named(&execute.name)?;
                Ok((
                    Vec::new(),
                    prepared.columns.as_ref().map(|columns| columns.to_vec()),
                ))
            }
            Statement::Admin(call) => Ok((Vec::new(), Some(super::admin::columns(call)))),
            Statement::Copy(copy) if copy.direction == CopyDirection::Out => {
                if let CopySource::Query(query) = &copy.source {
                    // A query that cannot be planned is told at once.
                    let planner = self.planner(None)?;
                    let query = (**query).clone();
                    let work = async move { planner.plan_query(query, "").map(drop) };
                    self.database.runtime().run(work).await?;
                }
                Ok((Vec::new(), None))
            }
            _ => Ok((Vec::new(), None)),
        }
    }

    /// The arguments of `EXECUTE`, as the statement's parameters want them.
    pub(super) async fn arguments(
        &mut self,
        prepared: &super::Prepared,
        arguments: &[ast::Expr],
    ) -> Result<Vec<Param>> {
        if arguments.len() != prepared.params.len() {
            let message = format!(
                "wrong number of parameters for prepared statement: {}",
                arguments.len()
            );
            let detail = format!(
                "Expected {} parameters but got {}.",
                prepared.params.len(),
                arguments.len()
            );
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).with_detail(detail));
        }
        let mut values = Vec::with_capacity(arguments.len());
        for (argument, ty) in arguments.iter().zip(&prepared.params) {
            values.push(self.constant(argument, ty).await?);
        }
        Ok(values)
    }

    /// The value of an expression without columns, as an array of one row of the type.
    pub(super) async fn constant(&mut self, expr: &ast::Expr, ty: &PgType) -> Result<Param> {
        let planner = self.planner(None)?;
        let query = select(vec![ast::SelectItem::UnnamedExpr(expr.clone())])?;
        let (wanted, settings) = (ty.clone(), self.format_settings());
        self.database
            .runtime()
            .run(async move {
                let planned = planner.plan_query(query, "")?;
                let (_, mut stream) = planner.start(&planned.plan, "").await?;
                let batch = stream.next().await.transpose().map_err(plain)?;
                let value = batch
                    .filter(|b| b.num_rows() == 1)
                    .map(|b| b.column(0).clone());
                let value =
                    value.ok_or_else(|| SqlError::internal("an expression had no value"))?;
                super::write::convert(&value, &wanted, &settings)
            })
            .await
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

    /// A plan that runs in one partition, which keeps its rows in order.
    pub(super) fn in_order(&mut self) {
        *self.state.config_mut() = self.serial.clone();
    }

    /// The physical plan.
    pub(super) async fn physical(&self, plan: &LogicalPlan, text: &str) -> Result<Physical> {
        let internal = |e| from_datafusion(e, text);
        let plan = self.state.optimize(plan).map_err(internal)?;
        let mut state = Cow::Borrowed(&self.state);
        if is_small(&plan).map_err(internal)? {
            // Threads that wait for each other cost more than they would win.
            *state.to_mut().config_mut() = self.serial.clone();
        }
        let planner = state.query_planner();
        let plan = planner.create_physical_plan(&plan, state.as_ref()).await;
        Ok(Physical {
            plan: plan.map_err(internal)?,
            context: task_context(&state),
        })
    }

    /// Starts a plan: the fields of its rows, and the rows.
    pub(super) async fn start(
        &self,
        plan: &LogicalPlan,
        text: &str,
    ) -> Result<(Vec<FieldRef>, SendableRecordBatchStream)> {
        let stream = self.physical(plan, text).await?.stream(text)?;
        // The logical fields know their PostgreSQL types; physical plans lose some of that.
        let schema = stream.schema();
        let fields =
            plan.schema()
                .fields()
                .iter()
                .zip(schema.fields())
                .map(|(logical, physical)| {
                    Arc::new(
                        physical
                            .as_ref()
                            .clone()
                            .with_metadata(logical.metadata().clone()),
                    )
                });
        let fields = fields.collect();
        Ok((fields, stream))
    }
}

impl Physical {
    /// Starts it.
    pub(super) fn stream(&self, text: &str) -> Result<SendableRecordBatchStream> {
        execute_stream(self.plan.clone(), self.context.clone())
            .map_err(|e| from_datafusion(e, text))
    }
}

/// What a plan runs in. Functions are for plans that come from elsewhere.
fn task_context(state: &SessionState) -> Arc<TaskContext> {
    Arc::new(TaskContext::new(
        None,
        state.session_id().to_owned(),
        state.config().clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        state.runtime_env().clone(),
    ))
}

/// `current_date` and its like ask for the moment at which the statement began.
fn execution_props(now_us: i64) -> ExecutionProps {
    let now = chrono::DateTime::from_timestamp_micros(now_us).unwrap_or_default();
    ExecutionProps::new().with_query_execution_start_time(now)
}

/// Columns of a result, under the names that PostgreSQL gives them.
pub(super) fn output_columns(
    fields: impl Iterator<Item = FieldRef>,
    names: OutputNames,
) -> Vec<OutputColumn> {
    let columns = fields.enumerate().map(|(i, field)| {
        let name = match &names {
            Some(names) => names.get(i).cloned(),
            None => None,
        };
        let name = name.unwrap_or_else(|| dialect::output_name(field.name()).to_string());
        OutputColumn::new(Arc::new(field.as_ref().clone().with_name(name)))
    });
    columns.collect()
}

/// Types of a plan's parameters: as given, or as the plan needs them.
pub(super) fn parameters(plan: &LogicalPlan, given: Vec<Option<PgType>>) -> Result<Vec<PgType>> {
    let found: HashMap<String, Option<FieldRef>> = plan.get_parameter_fields().map_err(plain)?;
    let numbers = found
        .keys()
        .filter_map(|name| name.strip_prefix('$')?.parse::<usize>().ok());
    let count = numbers.max().unwrap_or(0).max(given.len());
    let mut types = Vec::with_capacity(count);
    for number in 1..=count {
        let inferred = found
            .get(&format!("${number}"))
            .cloned()
            .flatten()
            .map(|f| PgType::of_field(&f));
        types.push(match given.get(number - 1).cloned().flatten() {
            Some(PgType::Unknown) | None => match inferred {
                Some(PgType::Unknown) | None => PgType::Text,
                Some(ty) => ty,
            },
            Some(ty) => ty,
        });
    }
    Ok(types)
}

/// A plan with its parameters' values in their places.
pub(super) fn bind(plan: LogicalPlan, params: &[Param], text: &str) -> Result<LogicalPlan> {
    let missing = plan
        .get_parameter_names()
        .map_err(|e| from_datafusion(e, text))?;
    if missing.is_empty() {
        return Ok(plan);
    }
    let scalars = params
        .iter()
        .map(|p| ScalarValue::try_from_array(p, 0))
        .collect::<PlanResult<Vec<_>>>();
    let scalars = scalars.map_err(|e| from_datafusion(e, text))?;
    for name in &missing {
        let number = name
            .strip_prefix('$')
            .and_then(|n| n.parse::<usize>().ok())
            .unwrap_or(0);
        if number == 0 || number > scalars.len() {
            return Err(SqlError::new(
                SqlState::UNDEFINED_PARAMETER,
                format!("there is no parameter {name}"),
            ));
        }
    }
    plan.with_param_values(values(scalars))
        .map_err(|e| from_datafusion(e, text))
}

fn values(scalars: Vec<ScalarValue>) -> ParamValues {
    ParamValues::from(scalars)
}

fn plain(error: datafusion::error::DataFusionError) -> SqlError {
    from_datafusion(error, "")
}

/// `SELECT items`, to be filled further.
pub(super) fn select(items: Vec<ast::SelectItem>) -> Result<ast::Query> {
    let parsed = dialect::parse("SELECT 1")?;
    let Some(Statement::Query(mut query)) = parsed.into_iter().next().map(|p| p.statement) else {
        return Err(SqlError::internal("SELECT 1 is no query"));
    };
    if let ast::SetExpr::Select(select) = &mut *query.body {
        select.projection = items;
    }
    Ok(*query)
}
