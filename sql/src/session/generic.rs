//! Runs of prepared queries with a plan that was made before.
//!
//! The first run of a statement has a custom plan, as most are run once; from the second on it has
//! a generic plan where it can have one (`SET plan_cache_mode` decides otherwise). Plans are shared
//! by the sessions that prepared the same query.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::plan_cache::{Kept, Lease, PlanKey};
use super::planner::{Own, Sight, fields, task_context};
use super::query::{output_columns, scalars};
use super::{OutputColumn, Param, Prepared, RowStream, Rows, RowsTag, Session};
use crate::error::{Result, SqlError};
use crate::plan::PANICKED;
use crate::plan::errors::from_datafusion;
use crate::plan::generic::{ForRun, GenericPlan, Parameters, is_repeatable};
use crate::plan::pressure::admit;
use crate::types::FormatSettings;

/// Statements that are longer have no plan that is kept, in bytes.
const TEXT_MAX: usize = 32 << 10;

/// Columns and rows of a query that runs.
type Started = (
    Arc<Vec<OutputColumn>>,
    BoxStream<'static, PlanResult<RecordBatch>>,
);

/// How a prepared query has been run.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// With a generic plan.
    pub(crate) generic: AtomicU64,
    /// With a plan for the run alone.
    pub(crate) custom: AtomicU64,
    /// Whether it can have no generic plan for few rows, and none for many.
    never: Never,
}

#[derive(Debug, Default)]
struct Never {
    small: AtomicBool,
    large: AtomicBool,
}

impl Never {
    fn of(&self, is_small: bool) -> &AtomicBool {
        match is_small {
            true => &self.small,
            false => &self.large,
        }
    }

    fn is(&self, is_small: bool) -> bool {
        self.of(is_small).load(Ordering::Relaxed)
    }

    fn set(&self, is_small: bool) {
        self.of(is_small).store(true, Ordering::Relaxed);
    }
}

/// A run that may have a generic plan.
pub(super) struct Reuse {
    key: PlanKey,
    values: Vec<ScalarValue>,
    /// Whether one is made if there is none.
    makes: bool,
}

impl Session {
    /// The whole answer of a prepared query, if a plan waits for it and it is of very few rows: to
    /// hand it to another thread and back would take as long as to compute it.
    ///
    /// # Errors
    /// Those of the query.
    pub(super) fn answer(
        &mut self,
        prepared: &Arc<Prepared>,
        params: &[Param],
    ) -> Result<Option<Rows>> {
        let runs = &prepared.runs;
        let is_first =
            runs.custom.load(Ordering::Relaxed) + runs.generic.load(Ordering::Relaxed) == 0;
        if is_first || self.settings.get("plan_cache_mode")? == "force_custom_plan" {
            return Ok(None);
        }
        admit(self.database.engine().pressure())?;
        let view = self.view()?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let key = PlanKey {
            prepared: prepared.clone(),
            settings: timeless(&self.format_settings()),
            uses_aggregates: self.uses_aggregates()?,
            catalog: Arc::downgrade(&catalog),
        };
        let text = &prepared.parsed.text;
        let values = scalars(params, text)?;
        let lease = self.database.plans().take(&key, true);
        let Some(kept) = lease.as_ref().and_then(Lease::kept) else {
            return Ok(None);
        };
        prepared.check(&kept.columns)?;
        let run = || kept.plan.answer(&view.state, &values);
        let answer = catch_unwind(AssertUnwindSafe(run));
        let answer = answer.map_err(|_| SqlError::internal(PANICKED))?;
        let Some(batches) = answer.map_err(|e| from_datafusion(e, text))? else {
            return Ok(None);
        };
        runs.generic.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Rows {
            columns: kept.columns.clone(),
            stream: RowStream::ready(batches),
            tag: RowsTag::Select,
        }))
    }

    /// A run of a prepared query, should it be one that may have a generic plan.
    pub(super) fn reuse(
        &self,
        prepared: &Arc<Prepared>,
        params: &[Param],
        sight: &Sight,
    ) -> Result<Option<Reuse>> {
        let mode = self.settings.get("plan_cache_mode")?;
        let runs = &prepared.runs;
        let custom = runs.custom.fetch_add(1, Ordering::Relaxed);
        let never = runs.never.is(true) && runs.never.is(false);
        let is_long = prepared.parsed.text.len() > TEXT_MAX;
        if mode == "force_custom_plan" || never || is_long {
            return Ok(None);
        }
        let values = scalars(params, &prepared.parsed.text)?;
        if values.iter().any(ScalarValue::is_null) {
            return Ok(None);
        }
        Ok(Some(Reuse {
            key: PlanKey {
                prepared: prepared.clone(),
                settings: timeless(&sight.settings),
                uses_aggregates: sight.uses_aggregates,
                catalog: Arc::downgrade(&sight.catalog),
            },
            values,
            makes: custom > 0 || mode == "force_generic_plan",
        }))
    }
}

impl Reuse {
    /// Starts the query. `None` when the run has to have a plan of its own.
    pub(super) async fn start(
        self,
        sight: &Sight,
        query: &ast::Query,
        text: &str,
    ) -> Result<Option<Started>> {
        let cache = sight.database.plans();
        let never = &self.key.prepared.runs.never;
        for is_small in [true, false] {
            if let Some(lease) = cache.take(&self.key, is_small) {
                match self.run(lease, sight, text)? {
                    Run::Started(started) => return Ok(Some(started)),
                    Run::OtherSize if never.is(!is_small) => return Ok(None),
                    Run::OtherSize => {}
                    Run::None => return Ok(None),
                }
            }
        }
        let newest = sight.database.engine().state();
        let is_catalog_of_all = Arc::ptr_eq(&newest.records, &sight.view.state.records);
        if !self.makes || !is_catalog_of_all {
            return Ok(None);
        }
        let kept = match self.make(sight, query, text).await {
            Ok(Made::Plan(kept)) => kept,
            Ok(Made::Refused { is_small }) => {
                never.set(is_small);
                return Ok(None);
            }
            // What is wrong with the statement, its custom plan tells.
            Ok(Made::Never) | Err(_) => {
                never.set(true);
                never.set(false);
                return Ok(None);
            }
        };
        let is_small = kept.plan.is_small();
        let key = PlanKey {
            prepared: self.key.prepared.clone(),
            settings: self.key.settings.clone(),
            uses_aggregates: self.key.uses_aggregates,
            catalog: self.key.catalog.clone(),
        };
        let lease = cache.lend(Arc::new(key), kept);
        match self.run(lease, sight, text)? {
            Run::Started(started) => Ok(Some(started)),
            Run::OtherSize | Run::None => {
                never.set(is_small);
                Ok(None)
            }
        }
    }

    fn runs(&self) -> &Runs {
        &self.key.prepared.runs
    }

    fn run(&self, lease: Lease, sight: &Sight, text: &str) -> Result<Run> {
        let internal = |e| from_datafusion(e, text);
        let kept = lease
            .kept()
            .ok_or_else(|| SqlError::internal("a plan has gone"))?;
        let plan = kept.plan.for_run(&sight.view.state, &self.values);
        let plan = match plan.map_err(internal)? {
            ForRun::Plan(plan) => plan,
            ForRun::OtherSize => return Ok(Run::OtherSize),
            ForRun::None => return Ok(Run::None),
        };
        let context = task_context(kept.plan.config(), &sight.database.environment());
        let stream = execute_stream(plan, context).map_err(internal)?;
        let runs = self.runs();
        runs.custom.fetch_sub(1, Ordering::Relaxed);
        runs.generic.fetch_add(1, Ordering::Relaxed);
        Ok(Run::Started((kept.columns.clone(), leased(stream, lease))))
    }

    /// Makes a generic plan.
    async fn make(&self, sight: &Sight, query: &ast::Query, text: &str) -> Result<Made> {
        let internal = |e| from_datafusion(e, text);
        let configs = sight.configs();
        let parameters = Parameters::new(self.values.clone(), configs.config.options().clone());
        let mut planner = sight.planner(Own {
            parameters: Some(parameters.clone()),
            ..Own::default()
        });
        let types = self.values.iter().map(|value| Some(value.data_type()));
        planner.names.expect(types);
        let planned = planner.plan_query(query.clone(), text)?;
        if planner.names.have_used_catalog() || !is_repeatable(&planned.plan).map_err(internal)? {
            return Ok(Made::Never);
        }
        let plan = parameters.put_into(planned.plan).map_err(internal)?;
        let physical = planner.physical(&plan, text).await?;
        let fields = fields(&plan, &physical.plan.schema());
        let columns = output_columns(fields.into_iter(), planned.names);
        if !self.are_as_told(&columns) {
            return Ok(Made::Never);
        }
        let is_small = physical.is_small;
        let config = match is_small {
            true => configs.serial,
            false => configs.config,
        };
        let plan = GenericPlan::new(physical.plan, parameters, config, is_small);
        Ok(match plan.map_err(internal)? {
            None => Made::Refused { is_small },
            Some(plan) => Made::Plan(Kept {
                plan,
                columns: Arc::new(columns),
            }),
        })
    }

    /// Whether columns have the types that the client was told when it prepared the statement.
    fn are_as_told(&self, columns: &[OutputColumn]) -> bool {
        let told = self.key.prepared.columns.as_ref();
        told.is_none_or(|told| {
            told.len() == columns.len()
                && told
                    .iter()
                    .zip(columns)
                    .all(|(told, own)| told.ty == own.ty)
        })
    }
}

/// Settings without the moment.
fn timeless(settings: &FormatSettings) -> FormatSettings {
    FormatSettings {
        now_us: None,
        ..settings.clone()
    }
}

enum Made {
    Plan(Kept),
    /// There can be none for so few rows, or so many.
    Refused {
        is_small: bool,
    },
    /// There can be none.
    Never,
}

enum Run {
    Started(Started),
    OtherSize,
    None,
}

/// Rows of a plan that goes back when they are through.
fn leased(
    stream: SendableRecordBatchStream,
    lease: Lease,
) -> BoxStream<'static, PlanResult<RecordBatch>> {
    stream
        .map(move |batch| {
            let _ = &lease;
            batch
        })
        .boxed()
}
