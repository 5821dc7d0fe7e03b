//! Generic plans: made once for a prepared statement and run with other values of its parameters.
//!
//! To plan a small question takes DataFusion many times as long as to answer it. A generic plan is
//! a physical plan whose parameters are expressions that look their value up ([`Parameters`]), and
//! whose scans know of what they are made, so that each run makes them anew: for its own state of
//! the tables and its own values. All other nodes begin each run afresh.
//!
//! A statement has one when its plan would be the same for other values and at another time
//! ([`eligible`]); else each run has a plan of its own, a custom plan. Values for which a generic
//! plan does not hold (NULL, another type, a filter that storage applies for some values only, many
//! more rows) are given a custom plan too.

mod at_once;
mod eligible;
mod parameters;
mod template;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, joins::HashJoinExec};
use datafusion::prelude::SessionConfig;
use slicedb_storage::State;

use at_once::AtOnce;
pub(crate) use eligible::is_repeatable;
use eligible::is_rerunnable;
pub(crate) use parameters::{Parameters, has_parameter};
pub(crate) use template::{ScanOrigin, ScanTemplate};

use crate::continuous::{PartialsScan, PartialsTemplate};

use super::scan::{ROWS_PER_PARTITION, SliceScan};

/// Where more rows are likely it is not tried: of a key that is one of several in a pack of rows,
/// the guess is eight times too high or more.
const LIKELY_AT_ONCE: u64 = 64 * 1024;

/// A plan that runs many times, once at a time.
#[derive(Debug)]
pub(crate) struct GenericPlan {
    physical: Arc<dyn ExecutionPlan>,
    parameters: Arc<Parameters>,
    /// What it runs with.
    config: SessionConfig,
    /// Whether it is for few rows, and has one partition.
    is_small: bool,
    /// The same for very few rows, when it is of nodes that need no streams.
    at_once: Option<AtOnce>,
}

impl GenericPlan {
    /// Keeps a physical plan that has been made with the parameters. `None` when it can be run
    /// only once.
    ///
    /// # Errors
    /// None but those of a bug in a plan.
    pub(crate) fn new(
        physical: Arc<dyn ExecutionPlan>,
        parameters: Arc<Parameters>,
        config: SessionConfig,
        is_small: bool,
    ) -> Result<Option<Self>> {
        let keep = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
        let physical = without_scans(physical, keep)?;
        Ok(is_rerunnable(&physical, is_small).then(|| GenericPlan {
            at_once: AtOnce::of(&physical).filter(|_| is_small),
            physical,
            parameters,
            config,
            is_small,
        }))
    }

    /// The whole answer, of this state with these values, if it is of so few rows that it may be
    /// computed by whoever asks. `None` when it has to be run otherwise.
    ///
    /// # Errors
    /// Those of its expressions, and when a value is damaged.
    pub(crate) fn answer(
        &self,
        state: &Arc<State>,
        values: &[ScalarValue],
    ) -> Result<Option<Vec<RecordBatch>>> {
        let Some(at_once) = &self.at_once else {
            return Ok(None);
        };
        if !self.parameters.fit(values) {
            return Ok(None);
        }
        self.parameters.give(values);
        match at_once.source(state)? {
            Some(source) if source.likely_rows() <= LIKELY_AT_ONCE => at_once.run(&source),
            _ => Ok(None),
        }
    }

    /// The plan for one run: of this state, with these values.
    ///
    /// # Errors
    /// Those of a scan that cannot be made.
    pub(crate) fn for_run(&self, state: &Arc<State>, values: &[ScalarValue]) -> Result<ForRun> {
        if !self.parameters.fit(values) {
            return Ok(ForRun::None);
        }
        self.parameters.give(values);
        let mut run = Run {
            state,
            rows: 0,
            sorts: false,
        };
        let Some(plan) = run.begin(&self.physical)? else {
            return Ok(ForRun::None);
        };
        if self.is_small != (run.rows < ROWS_PER_PARTITION) {
            return Ok(ForRun::OtherSize);
        }
        if run.sorts {
            // A sort that takes the first few tells the scan which rows are too late to matter.
            let rule = FilterPushdown::new_post_optimization();
            return rule.optimize(plan, self.config.options()).map(ForRun::Plan);
        }
        Ok(ForRun::Plan(plan))
    }

    /// Rests until the next run.
    pub(crate) fn rest(&self) {
        self.parameters.forget();
    }

    /// Whether it is for few rows.
    pub(crate) fn is_small(&self) -> bool {
        self.is_small
    }

    /// What it runs with.
    pub(crate) fn config(&self) -> &SessionConfig {
        &self.config
    }
}

/// What a generic plan has for some values.
pub(crate) enum ForRun {
    /// This plan.
    Plan(Arc<dyn ExecutionPlan>),
    /// None: they have many rows and it is for few, or the other way round.
    OtherSize,
    /// None: it does not hold for them.
    None,
}

/// One run, while its plan is put together.
struct Run<'a> {
    state: &'a Arc<State>,
    /// Rows that the scans probably return.
    rows: u64,
    /// Whether there is a sort that takes the first few.
    sorts: bool,
}

impl Run<'_> {
    fn begin(&mut self, node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(template) = node.downcast_ref::<ScanTemplate>() {
            let scan = template.scan(self.state)?;
            return Ok(scan.map(|scan| {
                self.rows = self.rows.saturating_add(scan.likely_rows());
                Arc::new(scan) as Arc<dyn ExecutionPlan>
            }));
        }
        if let Some(template) = node.downcast_ref::<PartialsTemplate>() {
            let scan = template.scan(self.state)?;
            return Ok(scan.map(|scan| {
                self.rows = self.rows.saturating_add(scan.likely_rows());
                Arc::new(scan) as Arc<dyn ExecutionPlan>
            }));
        }
        let mut children = Vec::new();
        for child in node.children() {
            let Some(child) = self.begin(child)? else {
                return Ok(None);
            };
            children.push(child);
        }
        let keep = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
        let fresh = node.clone().replace_children(children, keep)?;
        let sort = fresh.downcast_ref::<SortExec>();
        self.sorts |= sort.is_some_and(|sort| sort.fetch().is_some());
        // These keep more than their metrics from one run to the next.
        if sort.is_some() || fresh.is::<HashJoinExec>() {
            return fresh.reset_state().map(Some);
        }
        Ok(Some(fresh))
    }
}

/// The plan with templates in the places of its scans.
fn without_scans(
    node: Arc<dyn ExecutionPlan>,
    keep: ReplaceChildrenOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(template) = node
        .downcast_ref::<SliceScan>()
        .and_then(SliceScan::template)
    {
        return Ok(Arc::new(template));
    }
    if let Some(template) = node
        .downcast_ref::<PartialsScan>()
        .and_then(PartialsScan::template)
    {
        return Ok(Arc::new(template));
    }
    let children = node.children().into_iter().cloned();
    let children = children.map(|child| without_scans(child, keep));
    let children = children.collect::<Result<Vec<_>>>()?;
    node.replace_children(children, keep)
}
