//! A database: the engine, the threads and memory that queries share, and the way to a session.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::disk_manager::{DiskManager, DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;
use slicedb_storage::vfs::Vfs;
use slicedb_storage::{Engine, Options};

use crate::catalog::CatalogCache;
use crate::error::{Result, SqlError, SqlState};
use crate::functions;
use crate::plan::{QueryPool, QueryRuntime, query_environment};
use crate::session::{
    Activities, Definitions, Functions, PlanCache, Repairer, ServerSetting, ServerSettings,
    Session, SessionOptions, Watch, Watcher,
};

/// How a database is opened.
pub struct DatabaseOptions {
    /// Where it lives.
    pub data_dir: PathBuf,
    /// The storage engine's settings.
    pub storage: Options,
    /// Memory of all queries together, in bytes.
    pub queries_memory_bytes: usize,
    /// Memory of one query, in bytes; beyond it spills to disk.
    pub query_memory_bytes: usize,
    /// Disk space of all spilled data, in bytes.
    pub spill_bytes: u64,
    /// Threads that plan and run queries.
    pub query_threads: usize,
    /// The server's settings, which sessions are shown.
    pub settings: Vec<ServerSetting>,
    /// Files and clock.
    pub vfs: Arc<dyn Vfs>,
}

/// A database. Clones share it.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    /// Before the engine, which they hold too.
    repairer: Repairer,
    _watcher: Watcher,
    engine: Engine,
    runtime: QueryRuntime,
    template: SessionState,
    functions: Arc<Functions>,
    configs: Mutex<HashMap<Arc<str>, Configs>>,
    memory: Arc<dyn MemoryPool>,
    disk: Arc<DiskManager>,
    query_memory_bytes: usize,
    settings: ServerSettings,
    activities: Activities,
    watch: Watch,
    catalogs: Arc<CatalogCache>,
    definitions: Definitions,
    plans: Arc<PlanCache>,
}

/// Configurations of plans that differ in nothing but how many partitions they may have.
#[derive(Clone)]
pub(crate) struct Configs {
    /// One for each thread.
    pub(crate) config: SessionConfig,
    /// One.
    pub(crate) serial: SessionConfig,
}

/// Time zones whose configurations are kept.
const CONFIGS_MAX: usize = 64;

impl Database {
    /// Opens or creates the database.
    pub fn open(options: DatabaseOptions) -> Result<Database> {
        let template = template(options.query_threads);
        let functions = Arc::new(Functions::of(&template));
        let template = without_functions(template);
        let catalogs = Arc::new(CatalogCache::default());
        let definitions = Definitions::new(functions.clone(), template.clone(), catalogs.clone());
        let derive = Arc::new(definitions.clone());
        let (vfs, dir) = (options.vfs, &options.data_dir);
        let interval = Duration::from_millis(options.storage.maintenance_interval_ms);
        let engine = Engine::open_with(vfs.clone(), dir, options.storage, derive)?;
        let spill = options.data_dir.join("spill");
        let cannot = |op: &'static str| {
            let spill = spill.clone();
            move |e: std::io::Error| SqlError::from(slicedb_storage::Error::io(op, spill)(e))
        };
        if spill.exists() {
            // What a crash left behind.
            std::fs::remove_dir_all(&spill).map_err(cannot("empty"))?;
        }
        create_private_dir(&spill).map_err(cannot("create"))?;
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill.clone()]))
            .with_max_temp_directory_size(options.spill_bytes)
            .build()
            .map_err(|e| SqlError::new(SqlState::IO_ERROR, e.to_string()))?;
        let runtime =
            QueryRuntime::new(options.query_threads).map_err(cannot("start query threads for"))?;
        let repairer = Repairer::start(engine.clone(), definitions.clone(), interval)
            .map_err(cannot("start a thread for"))?;
        let watch = Watch::default();
        let (seen, all) = (watch.clone(), catalogs.clone());
        let watcher = Watcher::start(seen, engine.clone(), all, vfs, &options.data_dir)
            .map_err(cannot("start a thread for"))?;
        Ok(Database(Arc::new(Inner {
            repairer,
            _watcher: watcher,
            engine,
            runtime,
            template,
            functions,
            configs: Mutex::default(),
            memory: QueryPool::shared(options.queries_memory_bytes),
            disk: Arc::new(disk),
            query_memory_bytes: options.query_memory_bytes,
            settings: ServerSettings::new(options.settings),
            activities: Activities::default(),
            watch,
            catalogs,
            definitions,
            plans: Arc::default(),
        })))
    }

    /// Begins a session.
    ///
    /// # Errors
    /// 42704 or 22023 when a setting that the client asks for cannot be.
    pub fn connect(&self, options: SessionOptions) -> Result<Session> {
        Session::new(self.clone(), options)
    }

    /// The storage engine.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn runtime(&self) -> &QueryRuntime {
        &self.0.runtime
    }

    pub(crate) fn catalogs(&self) -> &CatalogCache {
        &self.0.catalogs
    }

    /// Definitions of continuous aggregates.
    pub(crate) fn definitions(&self) -> &Definitions {
        &self.0.definitions
    }

    /// Who aggregates anew.
    pub(crate) fn repairer(&self) -> &Repairer {
        &self.0.repairer
    }

    /// Generic plans of prepared queries.
    pub(crate) fn plans(&self) -> &Arc<PlanCache> {
        &self.0.plans
    }

    pub(crate) fn settings(&self) -> &ServerSettings {
        &self.0.settings
    }

    pub(crate) fn activities(&self) -> &Activities {
        &self.0.activities
    }

    /// How fresh relations have been seen.
    pub(crate) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    /// What plans have in common: rules and planners.
    pub(crate) fn template(&self) -> &SessionState {
        &self.0.template
    }

    /// The functions of all sessions.
    pub(crate) fn functions(&self) -> &Arc<Functions> {
        &self.0.functions
    }

    /// The configuration of plans in a time zone.
    pub(crate) fn configs(&self, time_zone: &Arc<str>) -> Configs {
        let mut known = self.0.configs.lock();
        if let Some(configs) = known.get(time_zone) {
            return configs.clone();
        }
        if known.len() >= CONFIGS_MAX {
            known.clear();
        }
        let mut config = self.0.template.config().clone();
        config.options_mut().execution.time_zone = Some(time_zone.to_string());
        let serial = config.clone().with_target_partitions(1);
        let configs = Configs { config, serial };
        known.insert(time_zone.clone(), configs.clone());
        configs
    }

    /// What one query runs in.
    pub(crate) fn environment(&self) -> Arc<RuntimeEnv> {
        let inner = &self.0;
        query_environment(
            inner.template.runtime_env(),
            &inner.memory,
            &inner.disk,
            inner.query_memory_bytes,
            inner.engine.pressure(),
        )
    }
}

/// The name of the one database.
pub(crate) const DATABASE: &str = "slicedb";

/// The planner asks [`Functions`]: a statement shall not copy hundreds of them.
fn without_functions(template: SessionState) -> SessionState {
    let distinct = template.aggregate_functions().get("first_value").cloned();
    SessionStateBuilder::new_from_existing(template)
        .with_scalar_functions(Vec::new())
        .with_higher_order_functions(Vec::new())
        // The rule for DISTINCT ON takes this one from here.
        .with_aggregate_functions(distinct.into_iter().collect())
        .with_window_functions(Vec::new())
        .with_table_function_list(Vec::new())
        .with_file_formats(Vec::new())
        .build()
}

/// DataFusion as sessions use it, with all functions that need nothing of a session.
pub(crate) fn template(threads: usize) -> SessionState {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(DATABASE, crate::catalog::PUBLIC)
        .with_create_default_catalog_and_schema(false)
        .with_target_partitions(threads.max(1))
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.collect_statistics = true;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_expr_planners(crate::plan::expr_planners())
        .with_query_planner(Arc::new(crate::plan::Extensions))
        .with_optimizer_rules(crate::plan::optimizer_rules())
        .with_default_features()
        .build();
    use datafusion::execution::FunctionRegistry;
    // DataFusion's reads another pattern language: no answer is better than a wrong one.
    // A series is rows here; DataFusion's function would build all of it as one list.
    for name in [
        "to_char",
        "date_format",
        "to_date",
        "generate_series",
        "range",
    ] {
        let _ = state.deregister_udf(name);
    }
    for function in functions::scalar_functions() {
        // Registering replaces a function of the same name, and cannot fail in memory.
        let _ = state.register_udf(function);
    }
    for function in functions::aggregate_functions() {
        let _ = state.register_udaf(function);
    }
    state
}

#[cfg(unix)]
fn create_private_dir(dir: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}
