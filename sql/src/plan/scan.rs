//! The scan of a table of ours: one leaf of a physical plan.
//!
//! Its units are dealt to the partitions in turn. When the query sorts by time and takes the first
//! few rows, units come in that order and the sort above tells, while it runs, which times are too
//! late to matter; units beyond are not read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, Metric, MetricValue, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    SortOrderPushdownResult, StatisticsArgs,
};
use slicedb_storage::Scan;
use slicedb_storage::scan::Unit;

use super::generic::{ScanOrigin, ScanTemplate};
use super::late::may_pass;

/// A partition is worth its cost from so many rows on.
pub(crate) const ROWS_PER_PARTITION: u64 = 128 * 1024;

/// The scan of a table of ours.
#[derive(Clone)]
pub struct SliceScan {
    table: String,
    scan: Arc<Scan>,
    /// The units of each partition.
    partitions: Vec<Arc<[Unit]>>,
    schema: SchemaRef,
    /// Position of the time column among the returned ones.
    time: Option<usize>,
    /// Whether units come in the order of their times, and whether the latest comes first.
    latest_first: Option<bool>,
    limit: Option<usize>,
    /// What it is made of, when it belongs to a generic plan.
    origin: Option<Arc<ScanOrigin>>,
    /// Conditions that become stricter while the query runs.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
    units_skipped: Arc<AtomicU64>,
}

impl SliceScan {
    pub(crate) fn new(
        table: String,
        scan: Arc<Scan>,
        schema: SchemaRef,
        time: Option<usize>,
        limit: Option<usize>,
        partitions_max: usize,
        origin: Option<Arc<ScanOrigin>>,
    ) -> Self {
        let partitions_max = partitions_max.max(1);
        let partitions = match &origin {
            // Another run may have more rows.
            Some(_) => partitions_max,
            None => {
                let worth = scan.likely_rows() / ROWS_PER_PARTITION;
                worth.clamp(1, partitions_max as u64) as usize
            }
        };
        let units = scan.units().to_vec();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        SliceScan {
            table,
            scan,
            partitions: deal(units, partitions),
            schema,
            time,
            latest_first: None,
            limit,
            origin,
            filters: Vec::new(),
            properties: Arc::new(properties),
            units_skipped: Arc::default(),
        }
    }

    /// What another run of its generic plan makes it of.
    pub(super) fn template(&self) -> Option<ScanTemplate> {
        Some(ScanTemplate {
            table: self.table.clone(),
            origin: self.origin.clone()?,
            schema: self.schema.clone(),
            partitions: self.partitions.len(),
            time: self.time,
            latest_first: self.latest_first,
            limit: self.limit,
            properties: self.properties.clone(),
        })
    }

    /// The scan of one run.
    pub(super) fn of_template(template: &ScanTemplate, scan: Scan) -> Self {
        let mut units = scan.units().to_vec();
        if let Some(latest_first) = template.latest_first {
            sort_by_time(&mut units, latest_first);
        }
        SliceScan {
            table: template.table.clone(),
            scan: Arc::new(scan),
            partitions: deal(units, template.partitions),
            schema: template.schema.clone(),
            time: template.time,
            latest_first: template.latest_first,
            limit: template.limit,
            origin: Some(template.origin.clone()),
            filters: Vec::new(),
            properties: template.properties.clone(),
            units_skipped: Arc::default(),
        }
    }

    /// What it reads.
    pub(super) fn scan(&self) -> &Scan {
        &self.scan
    }

    /// Its units, those with the latest times first.
    pub(super) fn latest_first(&self) -> Vec<Unit> {
        let mut units = self.scan.units().to_vec();
        sort_by_time(&mut units, true);
        units
    }

    /// Rows that it probably returns.
    pub(super) fn likely_rows(&self) -> u64 {
        self.scan.likely_rows()
    }

    fn rows(&self) -> u64 {
        self.scan
            .units()
            .iter()
            .map(|unit| u64::from(unit.rows))
            .sum()
    }
}

fn sort_by_time(units: &mut [Unit], latest_first: bool) {
    if latest_first {
        units.sort_by_key(|unit| std::cmp::Reverse(unit.time.map_or(i64::MAX, |(_, max)| max)));
    } else {
        units.sort_by_key(|unit| unit.time.map_or(i64::MIN, |(min, _)| min));
    }
}

/// Deals units to partitions in turn.
fn deal(units: Vec<Unit>, partitions: usize) -> Vec<Arc<[Unit]>> {
    let hand = |p: usize| units.iter().skip(p).step_by(partitions).cloned().collect();
    (0..partitions).map(hand).collect()
}

impl fmt::Debug for SliceScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SliceScan of {}", self.table)
    }
}

impl DisplayAs for SliceScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = &self.scan.stats;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (segments, packs) = (count(&stats.segments), count(&stats.packs));
        write!(
            f,
            "SliceScan: {}, segments={}/{segments}, packs={}/{packs}, memory_chunks={}, rows={}",
            self.table,
            segments - count(&stats.segments_pruned),
            packs - count(&stats.packs_pruned),
            count(&stats.memory_chunks),
            self.rows(),
        )?;
        if let Some(limit) = self.limit {
            write!(f, ", limit={limit}")?;
        }
        for filter in &self.filters {
            write!(f, ", filter={filter}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for SliceScan {
    fn name(&self) -> &str {
        "SliceScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in &self.filters {
            if f(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
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

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let this = self.clone();
        let own = self.partitions[partition].clone();
        let mut units = (0..own.len()).map(move |i| own[i].clone());
        let mut left = self.limit.unwrap_or(usize::MAX);
        let batches = std::iter::from_fn(move || {
            while left > 0 {
                let unit = units.next()?;
                if !this.may_matter(&unit) {
                    this.units_skipped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                match this.read(&unit) {
                    Ok(None) => continue,
                    Ok(Some(rows)) => {
                        let rows = rows.slice(0, rows.num_rows().min(left));
                        left -= rows.num_rows();
                        return Some(Ok(rows));
                    }
                    Err(e) => {
                        left = 0;
                        return Some(Err(e));
                    }
                }
            }
            None
        });
        let stream = futures::stream::iter(batches);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            stream,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let set = ExecutionPlanMetricsSet::new();
        let stats = &self.scan.stats;
        let skipped = self.units_skipped.load(Ordering::Relaxed);
        let figures = [
            (
                "segments_pruned",
                stats.segments_pruned.load(Ordering::Relaxed),
            ),
            ("packs_pruned", stats.packs_pruned.load(Ordering::Relaxed)),
            ("units_skipped", skipped),
            ("packs_read", stats.packs_read.load(Ordering::Relaxed)),
            (
                "rows_considered",
                stats.rows_considered.load(Ordering::Relaxed),
            ),
            ("output_rows", stats.rows_returned.load(Ordering::Relaxed)),
            ("bytes_read", stats.bytes_read.load(Ordering::Relaxed)),
            ("bytes_cached", stats.bytes_cached.load(Ordering::Relaxed)),
        ];
        for (name, value) in figures {
            let count = Count::new();
            count.add(value as usize);
            set.register(Arc::new(Metric::new(
                MetricValue::Count {
                    name: name.into(),
                    count,
                },
                None,
            )));
        }
        Some(set.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        // A generic plan may not take this run's number for that of all.
        let exact_rows = match self.origin {
            Some(_) => None,
            None => self.scan.exact_rows(),
        };
        statistics.num_rows = match (args.partition(), exact_rows, self.limit) {
            (None, Some(rows), None) => Precision::Exact(rows as usize),
            (None, _, _) => Precision::Inexact(self.scan.likely_rows() as usize),
            (Some(_), _, _) => {
                Precision::Inexact(self.scan.likely_rows() as usize / self.partitions.len())
            }
        };
        Ok(Arc::new(statistics))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let filters: Vec<_> = result
            .parent_filters
            .into_iter()
            .map(|f| f.filter)
            .collect();
        // Whoever gave a filter goes on applying it: it only tells which units to skip.
        let answer = vec![PushedDown::No; filters.len()];
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(answer);
        if phase != FilterPushdownPhase::Post || filters.is_empty() || self.time.is_none() {
            return Ok(propagation);
        }
        let mut with_filters = self.clone();
        with_filters.filters.extend(filters);
        Ok(propagation.with_updated_node(Arc::new(with_filters)))
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let by_time = |first: &&PhysicalSortExpr| {
            let column = first.expr.downcast_ref::<Column>();
            column.is_some_and(|c| Some(c.index()) == self.time)
        };
        let Some(first) = order.first().filter(by_time) else {
            return Ok(SortOrderPushdownResult::Unsupported);
        };
        let latest_first = first.options.descending;
        let mut units = self.scan.units().to_vec();
        sort_by_time(&mut units, latest_first);
        let sorted = SliceScan {
            partitions: deal(units, self.partitions.len()),
            latest_first: Some(latest_first),
            ..self.clone()
        };
        Ok(SortOrderPushdownResult::Inexact {
            inner: Arc::new(sorted),
        })
    }
}

impl SliceScan {
    fn may_matter(&self, unit: &Unit) -> bool {
        let (Some(time), Some(range)) = (self.time, unit.time) else {
            return true;
        };
        self.filters
            .iter()
            .all(|filter| may_pass(filter, time, range))
    }

    /// The wanted rows of a unit.
    pub(super) fn read(&self, unit: &Unit) -> Result<Option<RecordBatch>> {
        let rows = self
            .scan
            .read(unit)
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        let Some(rows) = rows else { return Ok(None) };
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns = columns
            .map(
                |(column, field)| match column.data_type() == field.data_type() {
                    true => Ok(column.clone()),
                    // The zone of a timestamp is a label: nothing is computed.
                    false => cast(column, field.data_type()),
                },
            )
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(Some(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?))
    }
}
