//! AsOfJoin as it runs: both sides come in the order of keys and times, all rows of a key in one
//! partition. Where later rows are wanted, times descend.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::Rows;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning,
    PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

use super::keeps_left;
use super::node::AsOfJoin;
use super::order::{Order, Ordered};
use crate::plan::places::{NULL, Place, Sources};

pub(super) type Physical = Arc<dyn PhysicalExpr>;

/// One side of the join.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) keys: Vec<Physical>,
    pub(super) time: Physical,
    pub(super) input: Arc<dyn ExecutionPlan>,
}

/// The node of a physical plan.
#[derive(Debug)]
pub(crate) struct AsOfJoinExec {
    left: Side,
    right: Side,
    op: Operator,
    keeps_left: bool,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// The physical plan of a node.
pub(crate) fn planned(
    node: &AsOfJoin,
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    physical: impl Fn(&Expr, &DFSchema) -> Result<Physical>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (left_schema, right_schema) = (node.left.schema(), node.right.schema());
    let mut keys = (Vec::new(), Vec::new());
    for (own, other) in &node.keys {
        keys.0.push(physical(own, left_schema)?);
        keys.1.push(physical(other, right_schema)?);
    }
    let left = Side {
        keys: keys.0,
        time: physical(&node.times.0, left_schema)?,
        input: left,
    };
    let right = Side {
        keys: keys.1,
        time: physical(&node.times.1, right_schema)?,
        input: right,
    };
    Ok(Arc::new(AsOfJoinExec::new(
        left,
        right,
        node.op,
        keeps_left(node.join_type),
    )))
}

impl AsOfJoinExec {
    fn new(left: Side, right: Side, op: Operator, keeps_left: bool) -> Self {
        let mut fields = left.input.schema().fields().to_vec();
        for field in right.input.schema().fields() {
            let is_nullable = keeps_left || field.is_nullable();
            fields.push(Arc::new(field.as_ref().clone().with_nullable(is_nullable)));
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let partitions = match left.keys.is_empty() {
            true => 1,
            false => left.input.output_partitioning().partition_count(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        AsOfJoinExec {
            left,
            right,
            op,
            keeps_left,
            schema,
            properties: Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative)),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    fn with_inputs(&self, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[_; 2]>::try_from(inputs) else {
            return internal_err!("an ASOF JOIN has two inputs");
        };
        let of = |side: &Side, input| Side {
            input,
            ..side.clone()
        };
        let (left, right) = (of(&self.left, left), of(&self.right, right));
        Ok(Arc::new(AsOfJoinExec::new(
            left,
            right,
            self.op,
            self.keeps_left,
        )))
    }

    /// The order of times, in which the wanted rows on the right come first.
    fn time_order(&self) -> SortOptions {
        SortOptions {
            descending: matches!(self.op, Operator::Lt | Operator::LtEq),
            nulls_first: false,
        }
    }

    fn order(&self, side: &Side) -> Option<OrderingRequirements> {
        let keys = side.keys.iter().map(|key| {
            let ascending = SortOptions {
                descending: false,
                nulls_first: false,
            };
            PhysicalSortExpr::new(key.clone(), ascending)
        });
        let time = PhysicalSortExpr::new(side.time.clone(), self.time_order());
        LexOrdering::new(keys.chain([time])).map(OrderingRequirements::from)
    }
}

impl DisplayAs for AsOfJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.keeps_left { "Left" } else { "Inner" };
        write!(f, "AsOfJoin: type={kind}, on=[")?;
        for (left, right) in self.left.keys.iter().zip(&self.right.keys) {
            write!(f, "{left} = {right}, ")?;
        }
        write!(f, "{} {} {}]", self.left.time, self.op, self.right.time)
    }
}

impl ExecutionPlan for AsOfJoinExec {
    fn name(&self) -> &str {
        "AsOfJoin"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        if self.left.keys.is_empty() {
            let single = Distribution::SinglePartition;
            return InputDistributionRequirements::new(vec![single.clone(), single]);
        }
        InputDistributionRequirements::co_partitioned(vec![
            Distribution::KeyPartitioned(self.left.keys.clone()),
            Distribution::KeyPartitioned(self.right.keys.clone()),
        ])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order(&self.left), self.order(&self.right)]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left.input, &self.right.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Physical) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut go_on = TreeNodeRecursion::Continue;
        for side in [&self.left, &self.right] {
            for expr in side.keys.iter().chain([&side.time]) {
                go_on = go_on.visit_sibling(|| f(expr))?;
            }
        }
        Ok(go_on)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_inputs(children)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_inputs(children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let consumer = MemoryConsumer::new("asof join");
        let right = self.right.input.execute(partition, context.clone())?;
        let run = Run {
            left: self.left.input.execute(partition, context.clone())?,
            order: Order::new(&self.left, self.time_order())?,
            sides: (self.left.clone(), self.right.clone()),
            is_strict: matches!(self.op, Operator::Gt | Operator::Lt),
            keeps_left: self.keeps_left,
            schema: self.schema.clone(),
            sources: Sources::new(&right.schema()),
            right,
            current: None,
            candidate: None,
            memory: consumer.register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let stream = futures::stream::try_unfold(run, |mut run| async move {
            let batch = run.next().await?;
            Ok(batch.map(|batch| (batch, run)))
        });
        let stream = RecordBatchStreamAdapter::new(self.schema.clone(), stream);
        Ok(make_cooperative(Box::pin(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The batch on the right whose rows are next.
struct Current {
    source: usize,
    rows: Arc<(Option<Rows>, Rows)>,
    count: usize,
    next: usize,
}

/// The row on the right that is a partner, should its key be the same.
struct Candidate {
    place: Place,
    rows: Arc<(Option<Rows>, Rows)>,
    /// Where it is among these.
    row: usize,
}

/// One partition at work.
struct Run {
    left: SendableRecordBatchStream,
    right: SendableRecordBatchStream,
    order: Order,
    sides: (Side, Side),
    is_strict: bool,
    keeps_left: bool,
    schema: SchemaRef,
    sources: Sources,
    current: Option<Current>,
    candidate: Option<Candidate>,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

impl Run {
    /// The rows of the next batch on the left, with their partners.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(batch) = self.left.next().await {
            let batch = batch?;
            let ordered = self.order.of(&self.sides.0, &batch)?;
            let mut rows = Vec::with_capacity(batch.num_rows());
            let mut partners = Vec::with_capacity(batch.num_rows());
            for row in 0..batch.num_rows() {
                let partner = match ordered.is_null(row) {
                    true => None,
                    false => self.partner(&ordered, row, &partners).await?,
                };
                if partner.is_some() || self.keeps_left {
                    rows.push(row as u32);
                    partners.push(partner.unwrap_or(NULL));
                }
            }
            let joined = self.joined(&batch, rows, &partners)?;
            self.forget();
            self.memory.try_resize(self.sources.bytes())?;
            if joined.num_rows() > 0 {
                return Ok(Some(joined.record_output(&self.metrics)));
            }
        }
        Ok(None)
    }

    /// The partner of a row on the left: rows on the right are passed until one is too late.
    async fn partner(
        &mut self,
        left: &Ordered,
        row: usize,
        partners: &[Place],
    ) -> Result<Option<Place>> {
        let key = |rows: &Option<Rows>, row: usize| rows.as_ref().map(|r| r.row(row).owned());
        let own_key = key(&left.rows.0, row);
        let own_time = left.rows.1.row(row);
        while self.has_right(partners).await? {
            let Some(current) = &mut self.current else {
                break;
            };
            let (keys, times) = current.rows.as_ref();
            let other_key = keys.as_ref().map(|keys| keys.row(current.next));
            let other_time = times.row(current.next);
            let passes = match other_key.cmp(&own_key.as_ref().map(|key| key.row())) {
                Ordering::Less => true,
                Ordering::Equal if self.is_strict => other_time < own_time,
                Ordering::Equal => other_time <= own_time,
                Ordering::Greater => false,
            };
            if !passes {
                break;
            }
            self.candidate = Some(Candidate {
                place: Place {
                    source: current.source,
                    row: current.next,
                },
                rows: current.rows.clone(),
                row: current.next,
            });
            current.next += 1;
        }
        Ok(self.candidate.as_ref().and_then(|candidate| {
            let keys = candidate.rows.0.as_ref();
            let other_key = keys.map(|keys| keys.row(candidate.row));
            (other_key == own_key.as_ref().map(|key| key.row())).then_some(candidate.place)
        }))
    }

    /// Whether there is a next row on the right.
    async fn has_right(&mut self, partners: &[Place]) -> Result<bool> {
        loop {
            if let Some(current) = &self.current
                && current.next < current.count
            {
                return Ok(true);
            }
            let Some(batch) = self.right.next().await else {
                return Ok(false);
            };
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            self.pass_current(partners)?;
            let rows = self.order.of(&self.sides.1, &batch)?.rows;
            let source = self.sources.add(batch.columns().to_vec());
            self.memory.try_resize(self.sources.bytes())?;
            self.current = Some(Current {
                source,
                rows,
                count: batch.num_rows(),
                next: 0,
            });
        }
    }

    /// Of a batch that is through and has no partners but perhaps the candidate, that row is kept.
    fn pass_current(&mut self, partners: &[Place]) -> Result<()> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        if partners
            .iter()
            .rev()
            .any(|place| place.source == current.source)
        {
            return Ok(());
        }
        let candidate = self.candidate.as_mut();
        let candidate = candidate.filter(|candidate| candidate.place.source == current.source);
        let row = candidate
            .as_ref()
            .map_or(0, |candidate| candidate.place.row);
        self.sources.shrink(current.source, row)?;
        if let Some(candidate) = candidate {
            candidate.place.row = 0;
        }
        Ok(())
    }

    fn joined(
        &self,
        left: &RecordBatch,
        rows: Vec<u32>,
        partners: &[Place],
    ) -> Result<RecordBatch> {
        let left = match rows.len() == left.num_rows() {
            true => left.clone(),
            false => take_record_batch(left, &UInt32Array::from(rows))?,
        };
        let mut columns = left.columns().to_vec();
        for column in 0..self.right.schema().fields().len() {
            columns.push(self.sources.gather(column, partners.iter().copied())?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(left.num_rows()));
        let schema = self.schema.clone();
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }

    /// Forgets batches of which nothing is needed any more.
    fn forget(&mut self) {
        let mut current = self.current.as_ref().map(|current| Place {
            source: current.source,
            row: 0,
        });
        let candidate = self
            .candidate
            .as_mut()
            .map(|candidate| &mut candidate.place);
        self.sources.keep(current.iter_mut().chain(candidate));
        if let (Some(own), Some(place)) = (&mut self.current, current) {
            own.source = place.source;
        }
    }
}
