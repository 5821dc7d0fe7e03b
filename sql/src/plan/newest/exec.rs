//! The scan that gives the newest rows: units in the order of their latest times, of each the keys
//! and times first, and its other columns only where a row may be the newest of its key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, Metric, MetricValue, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use slicedb_storage::Scan;
use slicedb_storage::scan::Unit;

use super::node::Newest;
use crate::plan::scan::SliceScan;

/// Memory of a key and its newest time in the tree.
const ENTRY_BYTES: usize = 32;

/// The leaf of a physical plan.
#[derive(Debug)]
pub(crate) struct NewestScan {
    rows: SliceScan,
    /// The same rows, of which this gives keys and times.
    keys: Arc<Scan>,
    properties: Arc<PlanProperties>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    skipped: AtomicUsize,
    /// Units of which keys and times were read.
    looked_at: AtomicUsize,
    /// Units of which all columns were read.
    read: AtomicUsize,
    rows: AtomicUsize,
}

/// The physical plan of a node: that of its input, unless this is a scan alone.
pub(crate) fn planned(
    node: &Newest,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(rows) = input.downcast_ref::<SliceScan>() else {
        return Ok(input);
    };
    let keys = rows.scan().with_columns(node.columns.to_vec());
    let properties = PlanProperties::new(
        EquivalenceProperties::new(input.schema()),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    );
    Ok(Arc::new(NewestScan {
        rows: rows.clone(),
        keys: Arc::new(keys.map_err(external)?),
        properties: Arc::new(properties),
        counts: Arc::default(),
    }))
}

impl DisplayAs for NewestScan {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Newest")?;
        self.rows.fmt_as(kind, f)
    }
}

impl ExecutionPlan for NewestScan {
    fn name(&self) -> &str {
        "NewestSliceScan"
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

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let run = Run {
            units: self.rows.latest_first().into_iter(),
            rows: self.rows.clone(),
            keys: self.keys.clone(),
            newest: BTreeMap::new(),
            newest_of_none: None,
            counts: self.counts.clone(),
            memory: MemoryConsumer::new("newest rows").register(context.memory_pool()),
        };
        let stream = futures::stream::try_unfold(run, |mut run| async move {
            while let Some(unit) = run.units.next() {
                if let Some(rows) = run.step(&unit)? {
                    return Ok(Some((rows, run)));
                }
                // Where an interrupt ends it: many units may have no rows to give.
                tokio::task::yield_now().await;
            }
            Ok(None)
        });
        let schema = self.rows.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let set = ExecutionPlanMetricsSet::new();
        let counts = &self.counts;
        let figures = [
            ("units_skipped", &counts.skipped),
            ("units_looked_at", &counts.looked_at),
            ("units_read", &counts.read),
            ("output_rows", &counts.rows),
        ];
        for (name, value) in figures {
            let count = Count::new();
            count.add(value.load(Ordering::Relaxed));
            let value = MetricValue::Count {
                name: name.into(),
                count,
            };
            set.register(Arc::new(Metric::new(value, None)));
        }
        Some(set.clone_inner())
    }
}

/// The scan at work.
struct Run {
    units: std::vec::IntoIter<Unit>,
    rows: SliceScan,
    keys: Arc<Scan>,
    /// The newest time of each key that was seen.
    newest: BTreeMap<i64, i64>,
    /// The same for the rows without a key.
    newest_of_none: Option<i64>,
    counts: Arc<Counts>,
    memory: MemoryReservation,
}

impl Run {
    /// The rows of a unit that may be the newest of their keys.
    fn step(&mut self, unit: &Unit) -> Result<Option<RecordBatch>> {
        let count = |counter: &AtomicUsize, by| counter.fetch_add(by, Ordering::Relaxed);
        if self.has_newer(unit) {
            count(&self.counts.skipped, 1);
            return Ok(None);
        }
        count(&self.counts.looked_at, 1);
        let Some(keys) = self.keys.read(unit).map_err(external)? else {
            return Ok(None);
        };
        let found = self.newer(&keys)?;
        self.memory.try_resize(self.newest.len() * ENTRY_BYTES)?;
        if found.is_empty() {
            return Ok(None);
        }
        count(&self.counts.read, 1);
        let rows = match self.rows.read(unit)? {
            Some(rows) if rows.num_rows() == keys.num_rows() => rows,
            _ => return internal_err!("a unit has other rows for other columns"),
        };
        count(&self.counts.rows, found.len());
        Ok(Some(take_record_batch(&rows, &UInt32Array::from(found))?))
    }

    /// Whether every key that a unit may hold has a row that is not older than all of its rows.
    fn has_newer(&self, unit: &Unit) -> bool {
        let (Some(ranges), Some(latest)) = (self.keys.keys_of(unit), self.keys.latest_of(unit))
        else {
            return false;
        };
        ranges.into_iter().all(|(min, max)| {
            let width = i128::from(max) - i128::from(min) + 1;
            if width > self.newest.len() as i128 {
                return false;
            }
            let known = self.newest.range(min..=max);
            let newer = known.filter(|(_, time)| **time >= latest);
            newer.count() as i128 == width
        })
    }

    /// The rows that are newer than what is known of their keys, one of each key.
    fn newer(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        let keys = cast(rows.column(0), &DataType::Int64)?;
        let keys = keys.as_primitive::<Int64Type>();
        let times = cast(rows.column(1), &DataType::Int64)?;
        let times = times.as_primitive::<Int64Type>();
        let key = |row: usize| keys.is_valid(row).then(|| keys.value(row));
        let mut found = Vec::new();
        let mut row = 0;
        while row < rows.num_rows() {
            // Rows of a key stand together, in the order of their times.
            let own = key(row);
            while row + 1 < rows.num_rows() && key(row + 1) == own {
                row += 1;
            }
            let time = times.value(row);
            let known = match own {
                Some(key) => self.newest.get(&key).copied(),
                None => self.newest_of_none,
            };
            if known.is_none_or(|known| known < time) {
                match own {
                    Some(key) => {
                        self.newest.insert(key, time);
                    }
                    None => self.newest_of_none = Some(time),
                }
                found.push(row as u32);
            }
            row += 1;
        }
        Ok(found)
    }
}

fn external(error: slicedb_storage::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
