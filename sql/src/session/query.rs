//! Queries: a parsed query → a plan over the tables of one state → rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::catalog::{MemoryCatalogProviderList, TableProvider};
use datafusion::common::{ParamValues, Result as PlanResult, ScalarValue};
use datafusion::execution::{
    FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder,
};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as PlanStatement;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use slicedb_storage::{TableId, View};

use super::outcome::{Interrupt, unless};
use super::{Outcome, OutputColumn, Param, RowStream, Rows, RowsTag, Session};
use super::{clock, placeholders, sleep};
use crate::catalog::{CatalogView, schemas, system};
use crate::database::DATABASE;
use crate::dialect::{self, CopyDirection, CopySource, OutputNames, PgTypePlanner, Statement};
use crate::error::{Result, SqlError, SqlState};
use crate::functions;
use crate::plan::analyzer_rules;
use crate::plan::errors::from_datafusion;
use crate::plan::pressure::{admit, go_on};
use crate::types::PgType;

/// What a plan is made against: a state, its catalog, and the session's settings.
#[derive(Clone)]
pub(super) struct Planner {
    pub(super) state: SessionState,
    pub(super) view: View,
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
        let zone = self.settings.time_zone();
        let time_zone: Arc<str> = zone.to_string().into();
        let info = self.info();
        let of_catalog = system::functions(&catalog, &view.state, &info);
        let catalog_view = CatalogView {
            state: view.state.clone(),
            catalog,
            time_zone: time_zone.clone(),
            row_ids_of,
            session: info,
            extra,
        };
        let template = database.template();
        let mut config = template.config().clone();
        config.options_mut().execution.time_zone = Some(time_zone.to_string());
        let list = MemoryCatalogProviderList::new();
        let internal = |e| from_datafusion(e, "");
        for (name, provider) in schemas(DATABASE, catalog_view).map_err(internal)? {
            use datafusion::catalog::CatalogProviderList;
            list.register_catalog(name, provider);
        }
        let settings = self.format_settings();
        let mut state = SessionStateBuilder::new_from_existing(template.clone())
            .with_config(config)
            .with_runtime_env(database.environment())
            .with_execution_props(execution_props(database.engine().now()))
            .with_catalog_list(Arc::new(list))
            .with_type_planner(Arc::new(ZonedTypes(time_zone.clone())))
            .with_analyzer_rules(analyzer_rules(&settings))
            .build();
        for function in of_catalog
            .into_iter()
            .chain(clock::functions(database.engine().now(), &time_zone))
            .chain([sleep::function()])
            .chain(functions::session_functions(&settings))
        {
            state.register_udf(function).map_err(internal)?;
        }
        state.register_udtf("generate_series", Arc::new(functions::Series(settings)));
        Ok(Planner { state, view })
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
        let (query, owned) = (query.clone(), text.to_owned());
        let work = self.database.runtime().run(async move {
            let planned = planner.plan_query(query, &owned).await?;
            let plan = bind(planned.plan, &params, &owned)?;
            let (schema, stream) = planner.start(&plan, &owned).await?;
            let columns = output_columns(schema.iter().cloned(), planned.names);
            Ok((columns, stream, owned))
        });
        let (columns, stream, text) = unless(interrupt, work).await?;
        let stream = stream.map(move |batch| {
            go_on(&pressure)?;
            batch.map_err(|e| from_datafusion(e, &text))
        });
        let receiver = self.database.runtime().stream(stream, ());
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
                    let planned = planner.plan_query(query, &text).await?;
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
                    let work = async move { planner.plan_query(query, "").await.map(drop) };
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
                let planned = planner.plan_query(query, "").await?;
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
    pub(super) async fn plan_query(&self, mut query: ast::Query, text: &str) -> Result<Planned> {
        let names = dialect::rewrite_query(&mut query)?;
        system::rewrite_system_query(&mut query);
        let statement = ast::Statement::Query(Box::new(query));
        let plan = self.plan_statement(statement, text).await?;
        Ok(Planned { plan, names })
    }

    /// Plans a statement that has been rewritten.
    pub(super) async fn plan_statement(
        &self,
        statement: ast::Statement,
        text: &str,
    ) -> Result<LogicalPlan> {
        let statement = PlanStatement::Statement(Box::new(statement));
        self.state
            .statement_to_plan(statement)
            .await
            .map_err(|e| from_datafusion(e, text))
    }

    /// The physical plan.
    pub(super) async fn physical(
        &self,
        plan: &LogicalPlan,
        text: &str,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.state
            .create_physical_plan(plan)
            .await
            .map_err(|e| from_datafusion(e, text))
    }

    /// Starts a plan: the fields of its rows, and the rows.
    pub(super) async fn start(
        &self,
        plan: &LogicalPlan,
        text: &str,
    ) -> Result<(Vec<FieldRef>, SendableRecordBatchStream)> {
        let physical = self.physical(plan, text).await?;
        let context = SessionContext::new_with_state(self.state.clone()).task_ctx();
        let stream = execute_stream(physical, context).map_err(|e| from_datafusion(e, text))?;
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

/// `current_date` and its like ask for the moment at which the statement began.
fn execution_props(now_us: i64) -> ExecutionProps {
    let now = chrono::DateTime::from_timestamp_micros(now_us).unwrap_or_default();
    ExecutionProps::new().with_query_execution_start_time(now)
}

/// Types of casts: timestamptz in the session's zone.
#[derive(Debug)]
struct ZonedTypes(Arc<str>);

impl TypePlanner for ZonedTypes {
    fn plan_type_field(&self, ty: &ast::DataType) -> PlanResult<Option<FieldRef>> {
        let planned = PgTypePlanner.plan_type_field(ty)?;
        Ok(planned.map(|field| match field.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some(self.0.clone()));
                Arc::new(field.as_ref().clone().with_data_type(zoned))
            }
            _ => field,
        }))
    }
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
