//! What the names in a statement mean: tables, functions and types, while it is planned.
//!
//! Most functions need nothing but their arguments; all sessions share them ([`Functions`]). Those
//! that are bound to a session or to what the statement sees are made when it names a function, and
//! those of the system catalogs only when it names none of the others.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef, TimeUnit};
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{
    DFSchema, DataFusionError, ExprSchema, Result, TableReference, plan_datafusion_err,
};
use datafusion::config::ConfigOptions;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Cast, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF,
    TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;

use super::definitions::Definitions;
use super::{clock, sleep};
use crate::catalog::{AggregateEntry, CatalogView, PG_CATALOG, PUBLIC, TableEntry};
use crate::continuous::{Partials, Placed};
use crate::database::DATABASE;
use crate::dialect::{self, PgTypePlanner};
use crate::error::SqlError;
use crate::functions;
use crate::plan::{SliceTable, complexity, in_zone};
use crate::types::{FormatSettings, PgType};

type Scalars = HashMap<String, Arc<ScalarUDF>>;

/// The functions that all sessions share, by name.
pub(crate) struct Functions {
    scalar: Scalars,
    higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
}

impl Functions {
    /// Those that are registered in `state`.
    pub(crate) fn of(state: &SessionState) -> Self {
        Functions {
            scalar: state.scalar_functions().clone(),
            higher_order: state.higher_order_functions().clone(),
            aggregate: state.aggregate_functions().clone(),
            window: state.window_functions().clone(),
        }
    }
}

/// What the names in one statement mean.
#[derive(Clone)]
pub(super) struct Names {
    shared: Arc<Functions>,
    view: Arc<CatalogView>,
    settings: FormatSettings,
    now_us: i64,
    definitions: Definitions,
    /// Functions that the statement brings itself.
    own: Scalars,
    /// Types of its parameters, where they are known.
    parameters: Vec<Option<FieldRef>>,
    of_session: Arc<OnceLock<Scalars>>,
    of_catalog: Arc<OnceLock<Scalars>>,
    has_used_catalog: Arc<AtomicBool>,
    /// The relations that plans name, by schema and name.
    read: Arc<Mutex<BTreeSet<(String, String)>>>,
    /// Whether aggregates are their queries over rows.
    expands: bool,
}

impl Names {
    pub(super) fn new(
        shared: Arc<Functions>,
        view: CatalogView,
        settings: FormatSettings,
        now_us: i64,
        definitions: Definitions,
    ) -> Self {
        Names {
            definitions,
            shared,
            view: Arc::new(view),
            settings,
            now_us,
            own: Scalars::new(),
            parameters: Vec::new(),
            of_session: Arc::default(),
            of_catalog: Arc::default(),
            has_used_catalog: Arc::default(),
            read: Arc::default(),
            expands: false,
        }
    }

    /// Takes aggregates for their queries over rows from now on.
    pub(super) fn expand_aggregates(&mut self) {
        self.expands = true;
    }

    /// The query of an aggregate over rows.
    fn expanded(&self, entry: &AggregateEntry, state: &SessionState) -> Result<LogicalPlan> {
        let told = |e: SqlError| DataFusionError::External(Box::new(e));
        let query = self.definitions.query_of(entry, &self.view.time_zone);
        let statement = ast::Statement::Query(Box::new(query.map_err(told)?));
        let mut names = self.clone();
        names.read = Arc::default();
        let plan = names.plan(state, statement)?;
        let columns = plan.schema().columns().into_iter();
        let named = columns.zip(&entry.table.columns);
        let named = named.map(|(column, named)| Expr::Column(column).alias(&named.name));
        let named: Vec<Expr> = named.collect();
        LogicalPlanBuilder::from(plan).project(named)?.build()
    }

    /// Adds a function of the statement's own.
    pub(super) fn add(&mut self, function: Arc<ScalarUDF>) {
        self.own.insert(function.name().to_owned(), function);
    }

    /// Tells the types of the statement's parameters, as far as they are known.
    pub(super) fn expect(&mut self, types: impl IntoIterator<Item = Option<DataType>>) {
        let field = |ty: Option<DataType>| ty.map(|ty| Arc::new(Field::new("", ty, true)));
        self.parameters = types.into_iter().map(field).collect();
    }

    /// Plans a statement over these names.
    pub(super) fn plan(&self, state: &SessionState, query: ast::Statement) -> Result<LogicalPlan> {
        let options = &state.config_options().sql_parser;
        let options = ParserOptions {
            parse_float_as_decimal: options.parse_float_as_decimal,
            enable_ident_normalization: options.enable_ident_normalization,
            enable_options_value_normalization: options.enable_options_value_normalization,
            support_varchar_with_length: options.support_varchar_with_length,
            map_string_types_to_utf8view: options.map_string_types_to_utf8view,
            collect_spans: options.collect_spans,
            default_null_ordering: options.default_null_ordering.as_str().into(),
        };
        let resolver = Resolver {
            names: self,
            state,
            types: Arc::new(ZonedTypes(self.view.time_zone.clone())),
            tables: RefCell::default(),
        };
        let planned = |query| {
            let mut context =
                PlannerContext::new().with_prepare_param_data_types(self.parameters.clone());
            SqlToRel::new_with_options(&resolver, options)
                .sql_statement_to_plan_with_context(query, &mut context)
        };
        // What `sum` means is settled by the type of a column, which only a plan tells.
        let again = dialect::may_ask_columns(&query).then(|| query.clone());
        let mut plan = planned(query);
        if let (Err(_), Some(mut again)) = (&plan, again)
            && dialect::ask_columns(&mut again, resolver.summaries())
        {
            plan = planned(again);
        }
        let plan = plan?;
        let read = resolver.tables.borrow();
        self.read.lock().extend(read.keys().cloned());
        complexity::check(&plan)?;
        Ok(plan)
    }

    /// A continuous aggregate as its query over what is kept.
    fn aggregate(&self, entry: &Arc<AggregateEntry>) -> Result<Arc<dyn TableProvider>> {
        let (state, catalog) = (&self.view.state, &self.view.catalog);
        let told = |e: SqlError| DataFusionError::External(Box::new(e));
        let definition = self.definitions.of(entry, state, catalog).map_err(told)?;
        let table = |place| -> Result<Arc<dyn TableProvider>> {
            Ok(match place {
                Placed::Partials => Arc::new(Partials::new(
                    entry.clone(),
                    definition.clone(),
                    state.clone(),
                    self.view.parameters.clone(),
                )),
                Placed::Reference(id) => {
                    let found = catalog.tables().find(|table| table.def.id == id);
                    let found = found.ok_or_else(|| {
                        told(SqlError::internal("a table of an aggregate is gone"))
                    })?;
                    let mut view = self.view.as_ref().clone();
                    view.time_zone = entry.time_zone.as_str().into();
                    Arc::new(SliceTable::new(found.clone(), &view))
                }
            })
        };
        let answer = definition.answer(&table).map_err(told)?;
        let columns = answer
            .schema()
            .columns()
            .into_iter()
            .zip(&entry.table.columns);
        let outputs = columns.map(|(column, named)| {
            let field = answer.schema().field_from_column(&column)?;
            let zoned = in_zone(field, &self.view.time_zone);
            let value = Expr::Column(column.clone());
            let value = match zoned.data_type() == field.data_type() {
                true => value,
                false => Expr::Cast(Cast::new(Box::new(value), zoned.data_type().clone())),
            };
            Ok(value.alias(&named.name))
        });
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        let plan = LogicalPlanBuilder::from(answer).project(outputs)?.build()?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }

    /// The relations of users that its plans name.
    pub(super) fn read(&self) -> Vec<Arc<TableEntry>> {
        let read = self.read.lock();
        let read = read.iter();
        let read = read.filter_map(|(schema, name)| self.view.catalog.relation(schema, name));
        read.cloned().collect()
    }

    /// Whether a name has been that of a function of the system catalogs.
    pub(super) fn have_used_catalog(&self) -> bool {
        self.has_used_catalog.load(Ordering::Relaxed)
    }

    fn scalar(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        let of_session = || {
            by_name(
                clock::functions(self.now_us, &self.view.time_zone)
                    .into_iter()
                    .chain([sleep::function()])
                    .chain(functions::session_functions(&self.settings)),
            )
        };
        let of_catalog = || by_name(self.view.functions());
        (self.own.get(name))
            .or_else(|| self.of_session.get_or_init(of_session).get(name))
            .or_else(|| self.shared.scalar.get(name))
            .or_else(|| {
                let found = self.of_catalog.get_or_init(of_catalog).get(name);
                self.has_used_catalog
                    .fetch_or(found.is_some(), Ordering::Relaxed);
                found
            })
    }
}

fn by_name(functions: impl IntoIterator<Item = Arc<ScalarUDF>>) -> Scalars {
    let mut names = Scalars::new();
    for function in functions {
        for alias in function.aliases() {
            names.insert(alias.clone(), function.clone());
        }
        names.insert(function.name().to_owned(), function);
    }
    names
}

/// Answers DataFusion's planner.
struct Resolver<'a> {
    names: &'a Names,
    state: &'a SessionState,
    types: Arc<dyn TypePlanner>,
    /// Those that have been asked for: the rows of a system table are made once.
    tables: RefCell<HashMap<(String, String), Arc<dyn TableSource>>>,
}

impl Resolver<'_> {
    /// The names of all columns that are summaries, of the tables that have been asked for.
    fn summaries(&self) -> HashSet<String> {
        let tables = self.tables.borrow();
        let fields = tables.values().flat_map(|table| {
            let schema = table.schema();
            schema.fields().iter().cloned().collect::<Vec<_>>()
        });
        let summaries =
            fields.filter(|field| matches!(PgType::of_field(field), PgType::Summary(_)));
        summaries.map(|field| field.name().clone()).collect()
    }
}

impl ContextProvider for Resolver<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        // As in PostgreSQL, the system's stand first in the search path.
        let is_system = matches!(&name, TableReference::Bare { table } if table.starts_with("pg_"));
        let name = name.resolve(DATABASE, PUBLIC);
        let key = (name.schema.to_string(), name.table.to_string());
        if is_system && let Some(table) = self.names.view.table(PG_CATALOG, &key.1)? {
            return Ok(provider_as_source(table));
        }
        if *name.catalog == *DATABASE {
            if let Some(known) = self.tables.borrow().get(&key) {
                return Ok(known.clone());
            }
            let aggregate = self.names.view.catalog.aggregate(&key.0, &key.1);
            if let Some(entry) = aggregate {
                let source = match self.names.expands {
                    true => {
                        let plan = self.names.expanded(entry, self.state)?;
                        provider_as_source(Arc::new(ViewTable::new(plan, None)))
                    }
                    false => provider_as_source(self.names.aggregate(entry)?),
                };
                self.tables.borrow_mut().insert(key, source.clone());
                return Ok(source);
            }
            if let Some(table) = self.names.view.table(&key.0, &key.1)? {
                let source = provider_as_source(table);
                self.tables.borrow_mut().insert(key, source.clone());
                return Ok(source);
            }
        }
        Err(plan_datafusion_err!("table '{name}' not found"))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        if name != "generate_series" {
            return Err(plan_datafusion_err!("table function '{name}' not found"));
        }
        let context = SimplifyContext::builder()
            .with_config_options(self.state.config_options().clone())
            .with_query_execution_start_time(
                self.state.execution_props().query_execution_start_time,
            )
            .build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let args = args.into_iter().map(|arg| {
            let arg = simplifier.coerce(arg, &schema)?;
            simplifier.simplify(arg)
        });
        let args = args.collect::<Result<Vec<_>>>()?;
        let series = functions::Series(self.names.settings.clone());
        let table = series.call_with_args(TableFunctionArgs::new(&args, self.state))?;
        Ok(provider_as_source(table))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(
            name, schema,
        ))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(self.types.clone())
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let function = self.names.scalar(name)?;
        // Some of DataFusion's look at the session's zone.
        let updated = function.inner().with_updated_config(self.options());
        Some(updated.map_or_else(|| function.clone(), Arc::new))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.names.shared.higher_order.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.names.shared.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.names.shared.window.get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.names.shared.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.names.shared.higher_order.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.names.shared.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.names.shared.window.keys().cloned().collect()
    }
}

/// Types of casts: timestamptz in the session's zone.
#[derive(Debug)]
struct ZonedTypes(Arc<str>);

impl TypePlanner for ZonedTypes {
    fn plan_type_field(&self, ty: &ast::DataType) -> Result<Option<FieldRef>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::system;

    #[test]
    fn no_function_of_the_catalog_hides_behind_a_shared_one() {
        let shared = Functions::of(&crate::database::template(1));
        for name in system::function_names() {
            assert!(!shared.scalar.contains_key(name), "{name}");
        }
    }
}
