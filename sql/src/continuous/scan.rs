//! The leaf of a plan that gives all partials of an aggregate: kept ones as they are, those of rows
//! in memory and of stale slots computed while it runs.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    StatisticsArgs,
};
use slicedb_storage::Scan;

use super::phase::Phase;
use super::relation::Parts;
use super::stale::external;
use super::template::{Asked, PartialsTemplate};
use crate::plan::ROWS_PER_PARTITION;

/// The partials of an aggregate.
#[derive(Debug)]
pub(crate) struct PartialsScan {
    asked: Arc<Asked>,
    parts: Arc<Parts>,
    properties: Arc<PlanProperties>,
}

/// Where the rows of a scan of the source belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// In memory, but not those of stale slots.
    Memory,
    /// Of stale slots, wherever they are.
    Stale,
    /// All that are read.
    All,
}

impl PartialsScan {
    pub(super) fn new(asked: Asked, parts: Parts, partitions_max: usize) -> Self {
        let partitions = parts.likely_rows() / ROWS_PER_PARTITION;
        let partitions = partitions.clamp(1, partitions_max.max(1) as u64);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(asked.schema.clone()),
            Partitioning::UnknownPartitioning(partitions as usize),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        PartialsScan {
            asked: Arc::new(asked),
            parts: Arc::new(parts),
            properties: Arc::new(properties),
        }
    }

    /// What another run of its generic plan makes it of.
    pub(crate) fn template(&self) -> Option<PartialsTemplate> {
        self.asked.origin.parameters.as_ref()?;
        Some(PartialsTemplate {
            asked: self.asked.clone(),
            properties: self.properties.clone(),
        })
    }

    /// The scan of one run.
    pub(super) fn of_template(template: &PartialsTemplate, parts: Parts) -> Self {
        PartialsScan {
            asked: template.asked.clone(),
            parts: Arc::new(parts),
            properties: template.properties.clone(),
        }
    }

    /// Rows and partials that it probably reads.
    pub(crate) fn likely_rows(&self) -> u64 {
        self.parts.likely_rows()
    }

    fn partitions(&self) -> usize {
        self.properties.output_partitioning().partition_count()
    }

    /// Gives all partials, until `take` has enough of them or more than so many rows are read to
    /// compute some. Answers whether it took all.
    ///
    /// # Errors
    /// When a value is damaged, and those of expressions.
    pub(crate) fn read(
        &self,
        rows_max: usize,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<bool> {
        let mut rows_read = 0;
        for partition in 0..self.partitions() {
            let mut run = Run::new(self, partition)?;
            while let Some(rows) = run.step()? {
                let is_enough = rows_read + run.rows_read > rows_max;
                if is_enough || (rows.num_rows() > 0 && !take(rows)) {
                    return Ok(false);
                }
            }
            rows_read += run.rows_read;
        }
        Ok(true)
    }
}

impl DisplayAs for PartialsScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            kept,
            memory,
            stale_rows,
            edges,
            ..
        } = self.parts.as_ref();
        write!(
            f,
            "PartialsScan: {}, kept={}, rows in memory={}",
            self.asked.origin.entry.table.name,
            rows_of(kept),
            rows_of(memory),
        )?;
        if let Some(stale) = stale_rows {
            write!(f, ", rows of stale partials={}", rows_of(stale))?;
        }
        if !edges.is_empty() {
            let rows: u64 = edges.iter().map(rows_of).sum();
            write!(f, ", rows at the ends={rows}")?;
        }
        Ok(())
    }
}

fn rows_of(scan: &Scan) -> u64 {
    scan.units().iter().map(|unit| u64::from(unit.rows)).sum()
}

impl ExecutionPlan for PartialsScan {
    fn name(&self) -> &str {
        "PartialsScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let run = Run::new(self, partition)?;
        let memory = MemoryConsumer::new("partials").register(context.memory_pool());
        let stream = futures::stream::try_unfold((run, memory), |(mut run, memory)| async move {
            loop {
                let Some(rows) = run.step()? else {
                    return Ok(None);
                };
                memory.try_resize(run.bytes())?;
                if rows.num_rows() > 0 {
                    return Ok(Some((rows, (run, memory))));
                }
                // Where an interrupt ends it: many rows make few partials.
                tokio::task::yield_now().await;
            }
        });
        let schema = self.asked.schema.clone();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.asked.schema);
        let rows = self.parts.likely_rows();
        let share = args.partition().map_or(1, |_| self.partitions());
        statistics.num_rows = Precision::Inexact(rows as usize / share);
        Ok(Arc::new(statistics))
    }
}

/// One partition at work.
struct Run {
    parts: Arc<Parts>,
    schema: SchemaRef,
    /// Where the wanted columns stand in what the phase gives.
    columns: Vec<usize>,
    kept: std::iter::StepBy<Range<usize>>,
    memory: std::iter::StepBy<Range<usize>>,
    stale: std::iter::StepBy<Range<usize>>,
    /// Which scan of those at the ends, and its unit.
    edges: std::vec::IntoIter<(usize, usize)>,
    phase: Option<Phase>,
    /// Rows that partials are computed of.
    rows_read: usize,
    done: Vec<RecordBatch>,
}

impl Run {
    fn new(scan: &PartialsScan, partition: usize) -> Result<Self> {
        let parts = scan.parts.clone();
        let partitions = scan.partitions();
        let share = |units: usize| (partition.min(units)..units).step_by(partitions);
        let definition = &parts.definition;
        let (wanted, columns) = definition.wanted(&scan.asked.projection);
        let phase = Phase::new(definition.clone(), wanted)?;
        let stale_units = parts
            .stale_rows
            .as_ref()
            .map_or(0, |scan| scan.units().len());
        let edges = parts.edges.iter().enumerate();
        let edges = edges.flat_map(|(n, scan)| (0..scan.units().len()).map(move |unit| (n, unit)));
        let edges: Vec<(usize, usize)> = edges.skip(partition).step_by(partitions).collect();
        Ok(Run {
            edges: edges.into_iter(),
            kept: share(parts.kept.units().len()),
            memory: share(parts.memory.units().len()),
            stale: share(stale_units),
            schema: scan.asked.schema.clone(),
            columns,
            phase: Some(phase),
            rows_read: 0,
            done: Vec::new(),
            parts,
        })
    }

    fn bytes(&self) -> usize {
        self.phase.as_ref().map_or(0, Phase::bytes)
    }

    /// The next partials, perhaps none of them. `None` at the end.
    fn step(&mut self) -> Result<Option<RecordBatch>> {
        let parts = self.parts.clone();
        if let Some(rows) = self.done.pop() {
            let rows = parts.wanted(&rows)?.project(&self.columns)?;
            return self
                .named(rows.columns().to_vec(), rows.num_rows())
                .map(Some);
        }
        if let Some(unit) = self.kept.next() {
            return self.kept(&parts, unit).map(Some);
        }
        if let Some(unit) = self.memory.next() {
            self.aggregate(&parts, &parts.memory, unit, Rows::Memory)?;
            return Ok(Some(RecordBatch::new_empty(self.schema.clone())));
        }
        if let (Some(scan), Some(unit)) = (&parts.stale_rows, self.stale.next()) {
            self.aggregate(&parts, scan, unit, Rows::Stale)?;
            return Ok(Some(RecordBatch::new_empty(self.schema.clone())));
        }
        if let Some((scan, unit)) = self.edges.next() {
            self.aggregate(&parts, &parts.edges[scan], unit, Rows::All)?;
            return Ok(Some(RecordBatch::new_empty(self.schema.clone())));
        }
        let Some(phase) = self.phase.take() else {
            return Ok(None);
        };
        self.done.extend(phase.finish()?);
        Ok(Some(RecordBatch::new_empty(self.schema.clone())))
    }

    fn kept(&self, parts: &Parts, unit: usize) -> Result<RecordBatch> {
        let unit = &parts.kept.units()[unit];
        let Some(rows) = parts.kept.read(unit).map_err(external)? else {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        };
        let mut columns = rows.columns().to_vec();
        if parts.stale.is_empty() {
            return self.named(columns, rows.num_rows());
        }
        let slot = columns.pop();
        let slot = slot.ok_or_else(|| datafusion::common::internal_datafusion_err!("no slot"))?;
        let key = parts.definition.key.and_then(|_| columns.pop());
        let keep = not(&parts.stale.has(key.as_ref(), &slot)?)?;
        let rows = self.named(columns, rows.num_rows())?;
        Ok(filter_record_batch(&rows, &keep)?)
    }

    fn aggregate(&mut self, parts: &Parts, scan: &Scan, unit: usize, which: Rows) -> Result<()> {
        let Some(phase) = &mut self.phase else {
            return Ok(());
        };
        let Some(rows) = scan.read(&scan.units()[unit]).map_err(external)? else {
            return Ok(());
        };
        self.rows_read += rows.num_rows();
        let rows = parts.definition.fit(&rows)?;
        if parts.stale.is_empty() || which == Rows::All {
            phase.push(&rows)?;
        } else {
            let stale = parts.definition.is_stale(&parts.stale, &rows)?;
            let keep = if which == Rows::Stale {
                stale
            } else {
                not(&stale)?
            };
            phase.push(&filter_record_batch(&rows, &keep)?)?;
        }
        self.done.extend(phase.take_full());
        Ok(())
    }

    fn named(&self, columns: Vec<arrow::array::ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = self.schema.clone();
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}
