//! GapFill as it runs: rows come in the order of keys and times, all of a group in one partition.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
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

use super::fault;
use super::fill::{Filler, Layout, Pulled, ROWS_MADE_MAX, too_many};
use super::node::GapFill;
use super::range::with_hint;
use crate::error::SqlState;
use crate::functions::Steps;

/// The node of a physical plan.
#[derive(Debug)]
pub(crate) struct GapFillExec {
    node: GapFill,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    layout: Arc<Layout>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// The physical plan of a node.
///
/// # Errors
/// 22023 where a bound or the width is NULL or not positive; 54000 where one group would have too
/// many rows.
pub(crate) fn planned(
    node: &GapFill,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(Arc::new(GapFillExec::new(node.clone(), inputs)?))
}

impl GapFillExec {
    fn new(node: GapFill, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Self> {
        let Some(input) = inputs.first() else {
            return internal_err!("nothing to fill");
        };
        let own = input.schema();
        let mut fields = own.fields().to_vec();
        if let Some(lookups) = inputs.get(1) {
            fields.extend(lookups.schema().fields().iter().cloned());
        }
        let output = output(&node, &own);
        let layout = layout(&node, Arc::new(Schema::new(fields)), output.clone())?;
        let order = ordering(&node, &output);
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(output, [order]),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(GapFillExec {
            properties: Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative)),
            node,
            inputs,
            layout: Arc::new(layout),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

/// The fields of the rows that are given: those of the input, and what is filled.
fn output(node: &GapFill, input: &SchemaRef) -> SchemaRef {
    let logical = node.schema.fields().iter().enumerate();
    let fields = logical.map(|(at, logical)| {
        let field = input.field(at).clone();
        let field: Field = field.with_name(logical.name());
        field.with_nullable(logical.is_nullable())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn layout(node: &GapFill, input: SchemaRef, output: SchemaRef) -> Result<Layout> {
    let range = &node.range;
    let ty = input.field(node.time).data_type();
    let zone = match &range.zone {
        Some(None) => {
            return Err(fault(
                SqlState::INVALID_PARAMETER_VALUE,
                "invalid time_bucket_gapfill argument: timezone cannot be NULL",
            ));
        }
        Some(Some(zone)) => Some(zone.as_str()),
        None => None,
    };
    let steps = Steps::new(&range.width, zone, ty)?;
    let given = |bound: Option<i64>, name: &str| {
        let message = format!("invalid time_bucket_gapfill argument: {name} cannot be NULL");
        bound.ok_or_else(|| with_hint(message))
    };
    let start = steps.bucket(given(range.start, "start")?)?;
    let finish = given(range.finish, "finish")?;
    if steps.count(start, finish) > ROWS_MADE_MAX {
        return Err(too_many());
    }
    Ok(Layout {
        input,
        output,
        width: node.width,
        time: node.time,
        keys: node.keys.clone(),
        fills: node.fills.clone(),
        steps,
        start,
        finish,
    })
}

fn ordering(node: &GapFill, schema: &SchemaRef) -> Vec<PhysicalSortExpr> {
    let columns = node.keys.iter().chain([&node.time]);
    let ascending = SortOptions {
        descending: false,
        nulls_first: false,
    };
    columns
        .map(|&at| PhysicalSortExpr::new(column(schema, at), ascending))
        .collect()
}

fn column(schema: &SchemaRef, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(schema.field(at).name(), at))
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |&at: &usize| self.layout.output.field(at).name().as_str();
        let shown = |name: &str| name.split('\u{1}').next().unwrap_or_default().to_owned();
        let keys: Vec<&str> = self.node.keys.iter().map(name).collect();
        let fills: Vec<String> = self.node.fills.iter().map(|f| shown(&f.name)).collect();
        write!(f, "GapFill: time={}", name(&self.node.time))?;
        write!(f, ", keys=[{}]", keys.join(", "))?;
        write!(f, ", fill=[{}]", fills.join(", "))
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &str {
        "GapFill"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let schema = self.inputs[0].schema();
        let keys = self.node.keys.iter().map(|&at| column(&schema, at));
        let first = match self.node.keys.is_empty() {
            true => Distribution::SinglePartition,
            false => Distribution::KeyPartitioned(keys.collect()),
        };
        let mut all = vec![first];
        all.resize(self.inputs.len(), Distribution::SinglePartition);
        InputDistributionRequirements::new(all)
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let order = LexOrdering::new(ordering(&self.node, &self.inputs[0].schema()));
        let mut all = vec![order.map(OrderingRequirements::from)];
        all.resize(self.inputs.len(), None);
        all
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        let mut all = vec![true];
        all.resize(self.inputs.len(), false);
        all
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        planned(&self.node, children)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        planned(&self.node, children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let consumer = MemoryConsumer::new("gap fill");
        let run = Run {
            rows: self.inputs[0].execute(partition, context.clone())?,
            lookups: match self.inputs.get(1) {
                Some(lookups) => Some(lookups.execute(0, context.clone())?),
                None => None,
            },
            layout: self.layout.clone(),
            batch_rows: context.session_config().batch_size(),
            filler: None,
            memory: consumer.register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let stream = futures::stream::try_unfold(run, |mut run| async move {
            let batch = run.next().await?;
            Ok(batch.map(|batch| (batch, run)))
        });
        let schema = self.layout.output.clone();
        let stream = RecordBatchStreamAdapter::new(schema, stream);
        Ok(make_cooperative(Box::pin(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One partition at work.
struct Run {
    rows: SendableRecordBatchStream,
    lookups: Option<SendableRecordBatchStream>,
    layout: Arc<Layout>,
    batch_rows: usize,
    filler: Option<Filler>,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

impl Run {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let filler = match &mut self.filler {
            Some(filler) => filler,
            None => {
                let mut row = None;
                if let Some(lookups) = &mut self.lookups {
                    while let Some(batch) = lookups.next().await {
                        row = Some(batch?).filter(|batch| batch.num_rows() > 0).or(row);
                    }
                }
                let (layout, batch_rows) = (self.layout.clone(), self.batch_rows);
                self.filler.insert(Filler::new(layout, batch_rows, row)?)
            }
        };
        loop {
            let pulled = {
                let _timer = self.metrics.elapsed_compute().timer();
                filler.pull()?
            };
            match pulled {
                Pulled::Batch(batch) => {
                    self.memory.try_resize(filler.bytes())?;
                    return Ok(Some(batch.record_output(&self.metrics)));
                }
                Pulled::Over => return Ok(None),
                Pulled::Hungry => match self.rows.next().await {
                    Some(rows) => {
                        filler.push(&rows?)?;
                        self.memory.try_resize(filler.bytes())?;
                    }
                    None => filler.end(),
                },
            }
        }
    }
}
