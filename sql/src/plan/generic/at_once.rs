//! Small plans, run at once.
//!
//! DataFusion runs each node of a plan as a stream, with metrics, an account of its memory and room
//! for batches of 8,192 rows: for a dashboard's hundred rows that takes longer than the rows do. A
//! chain of the nodes that dashboards are made of, over one scan, is run here as function calls on
//! whole batches; expressions, accumulators and sorting are DataFusion's own.
//!
//! Whoever asks has others to serve, cannot be interrupted and keeps no account of memory. So what is
//! computed is bounded: rows, bytes of texts and states, depth, and functions that take no longer
//! than their arguments are long. What is beyond a bound is begun anew in the way of all queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat_batches, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{Accumulator, EmitTo};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::{SortExec, sort_batch};
use slicedb_storage::State;

use super::parameters::is_parameter;
use super::template::ScanTemplate;
use crate::continuous::{PartialsScan, PartialsTemplate, group_states};
use crate::functions;
use crate::plan::scan::SliceScan;

/// More rows than that are for the threads of queries: they are a few hundred microseconds of work.
const ROWS_MAX: usize = 16 * 1024;
/// More of texts is given piece by piece.
const BYTES_MAX: usize = 4 << 20;
/// Groups and their states have to be accounted for beyond that.
const STATES_MAX: usize = 16 << 20;
/// Rows after which that is looked at.
const ROWS_OF_STEP: usize = 1024;
/// How often it is not tried again after there was too much.
const RESTS: u32 = 32;
/// Nested expressions that are still evaluated on the stack of whoever asks.
const DEPTH_MAX: usize = 64;

/// A plan that can be run at once.
#[derive(Debug)]
pub(super) struct AtOnce {
    /// The node that it reads from: a template.
    leaf: Arc<dyn ExecutionPlan>,
    /// From below.
    stages: Vec<Stage>,
    /// How many of the next runs it is not for.
    rests: AtomicU32,
}

/// What it reads from, at one state.
pub(super) enum Source {
    Table(SliceScan),
    Partials(PartialsScan),
}

#[derive(Debug)]
enum Stage {
    Filter {
        predicate: Arc<dyn PhysicalExpr>,
        projection: Option<Arc<[usize]>>,
        schema: SchemaRef,
    },
    Project {
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        schema: SchemaRef,
    },
    Group(Group),
    Sort {
        order: LexOrdering,
        fetch: Option<usize>,
    },
}

#[derive(Debug)]
struct Group {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The keys alone.
    key_schema: SchemaRef,
    calls: Vec<Call>,
    schema: SchemaRef,
}

/// One aggregate.
#[derive(Debug)]
struct Call {
    function: Arc<AggregateFunctionExpr>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl AtOnce {
    /// The plan with templates at its leaves, if all of its nodes are known here.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let mut at_once = AtOnce {
            leaf: plan.clone(),
            stages: Vec::new(),
            rests: AtomicU32::new(0),
        };
        let mut node = plan.clone();
        while !node.is::<ScanTemplate>() && !node.is::<PartialsTemplate>() {
            if let Some(stage) = Stage::of(&node) {
                at_once.stages.push(stage);
            } else if !node.is::<CooperativeExec>() {
                return None;
            }
            let [child] = node.children()[..] else {
                return None;
            };
            node = child.clone();
        }
        at_once.stages.reverse();
        // Who takes the first few of a table's rows stops reading there, in a stream.
        let groups = |stage: &Stage| matches!(stage, Stage::Group(_));
        let takes_few = |stage: &Stage| matches!(stage, Stage::Sort { fetch: Some(_), .. });
        let mut before_groups = at_once.stages.iter().take_while(|stage| !groups(stage));
        let is_limited = node
            .downcast_ref::<ScanTemplate>()
            .is_some_and(|scan| scan.limit.is_some() || scan.latest_first.is_some());
        let partials = node.downcast_ref::<PartialsTemplate>();
        let mut exprs = partials.map(PartialsTemplate::exprs).unwrap_or_default();
        exprs.extend(at_once.stages.iter().flat_map(Stage::exprs));
        let is_quick = exprs.iter().all(|expr| is_quick(expr, DEPTH_MAX));
        if is_limited || before_groups.any(takes_few) || !is_quick {
            return None;
        }
        at_once.leaf = node;
        Some(at_once)
    }

    /// What it reads of a state. `None` when the plan does not hold for the values of its parameters,
    /// or there was too much lately.
    ///
    /// # Errors
    /// Those of a scan that cannot be made.
    pub(super) fn source(&self, state: &Arc<State>) -> Result<Option<Source>> {
        let rests = self.rests.load(Ordering::Relaxed);
        if rests > 0 {
            self.rests.store(rests - 1, Ordering::Relaxed);
            return Ok(None);
        }
        if let Some(template) = self.leaf.downcast_ref::<ScanTemplate>() {
            return Ok(template.scan(state)?.map(Source::Table));
        }
        let template = self.leaf.downcast_ref::<PartialsTemplate>();
        let template = template.ok_or_else(|| internal_datafusion_err!("a plan without a scan"))?;
        Ok(template.scan(state)?.map(Source::Partials))
    }

    /// The answer; `None` when there is too much.
    ///
    /// # Errors
    /// Those of the expressions, and when a value is damaged.
    pub(super) fn run(&self, source: &Source) -> Result<Option<Vec<RecordBatch>>> {
        let mut rows = source.read()?;
        for stage in &self.stages {
            let Some(input) = rows else { break };
            rows = stage.run(input)?;
        }
        if rows.is_none() {
            self.rests.store(RESTS, Ordering::Relaxed);
        }
        Ok(rows)
    }
}

impl Source {
    /// Rows that it probably gives.
    pub(super) fn likely_rows(&self) -> u64 {
        match self {
            Source::Table(scan) => scan.likely_rows(),
            Source::Partials(scan) => scan.likely_rows(),
        }
    }

    /// All rows, if they are not too many.
    fn read(&self) -> Result<Option<Vec<RecordBatch>>> {
        let mut found: Vec<RecordBatch> = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        let mut take = |rows: RecordBatch| {
            count += rows.num_rows();
            bytes += texts(&rows);
            found.push(rows);
            count <= ROWS_MAX && bytes <= BYTES_MAX
        };
        let is_all = match self {
            Source::Table(scan) => {
                let mut is_all = true;
                for unit in scan.scan().units() {
                    is_all &= scan.read(unit)?.is_none_or(&mut take);
                    if !is_all {
                        break;
                    }
                }
                is_all
            }
            Source::Partials(scan) => scan.read(ROWS_MAX, &mut take)?,
        };
        Ok(is_all.then_some(found))
    }
}

impl Stage {
    fn of(node: &Arc<dyn ExecutionPlan>) -> Option<Stage> {
        if let Some(filter) = node.downcast_ref::<FilterExec>() {
            return filter.fetch().is_none().then(|| Stage::Filter {
                predicate: filter.predicate().clone(),
                projection: filter.projection().clone(),
                schema: filter.schema(),
            });
        }
        if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            let exprs = projection.expr().iter();
            return Some(Stage::Project {
                exprs: exprs.map(|each| each.expr.clone()).collect(),
                schema: projection.schema(),
            });
        }
        if let Some(sort) = node.downcast_ref::<SortExec>() {
            return Some(Stage::Sort {
                order: sort.expr().clone(),
                fetch: sort.fetch(),
            });
        }
        let aggregate = node.downcast_ref::<AggregateExec>()?;
        Group::of(aggregate).map(Stage::Group)
    }

    fn exprs(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        match self {
            Stage::Filter { predicate, .. } => vec![predicate.clone()],
            Stage::Project { exprs, .. } => exprs.clone(),
            Stage::Group(group) => {
                let calls = group.calls.iter().flat_map(|call| {
                    let values = call.function.expressions().into_iter();
                    values.chain(call.filter.clone())
                });
                group.keys.iter().cloned().chain(calls).collect()
            }
            Stage::Sort { order, .. } => order.iter().map(|by| by.expr.clone()).collect(),
        }
    }

    /// What it makes of rows; `None` when that is too much.
    fn run(&self, rows: Vec<RecordBatch>) -> Result<Option<Vec<RecordBatch>>> {
        match self {
            Stage::Filter {
                predicate,
                projection,
                schema,
            } => {
                let filtered = rows.iter().map(|rows| {
                    let mask = truth(predicate, rows)?;
                    let rows = match projection {
                        Some(columns) => &rows.project(columns)?,
                        None => rows,
                    };
                    let rows = filter_record_batch(rows, &mask)?;
                    batch(schema, rows.columns().to_vec(), rows.num_rows())
                });
                filtered.map(|rows| rows.map(Some)).collect()
            }
            Stage::Project { exprs, schema } => {
                let mut bytes = 0;
                let projected = rows.iter().map(|rows| {
                    let columns = exprs.iter().map(|expr| value(expr, rows));
                    let rows = batch(schema, columns.collect::<Result<_>>()?, rows.num_rows())?;
                    bytes += texts(&rows);
                    Ok((bytes <= BYTES_MAX).then_some(rows))
                });
                projected.collect()
            }
            Stage::Group(group) => {
                let grouped = match group.keys.is_empty() {
                    true => group.run_whole(&rows)?,
                    false => group.run(&rows)?,
                };
                Ok(grouped.map(|rows| vec![rows]))
            }
            Stage::Sort { order, fetch } => {
                let Some(first) = rows.first() else {
                    return Ok(Some(rows));
                };
                let rows = concat_batches(&first.schema(), &rows)?;
                Ok(Some(vec![sort_batch(&rows, order, *fetch)?]))
            }
        }
    }
}

impl Group {
    fn of(node: &AggregateExec) -> Option<Group> {
        let by = node.group_expr();
        let is_ordered = |call: &Arc<AggregateFunctionExpr>| !call.order_bys().is_empty();
        let is_plain = matches!(
            node.mode(),
            AggregateMode::Single | AggregateMode::SinglePartitioned
        ) && !by.has_grouping_set()
            && node.limit_options().is_none()
            && !node.aggr_expr().iter().any(is_ordered);
        if !is_plain {
            return None;
        }
        let calls = node.aggr_expr().iter().zip(node.filter_expr());
        let calls = calls.map(|(function, filter)| Call {
            function: function.clone(),
            filter: filter.clone(),
        });
        Some(Group {
            keys: by.expr().iter().map(|(expr, _)| expr.clone()).collect(),
            key_schema: by.group_schema(&node.input_schema()).ok()?,
            calls: calls.collect(),
            schema: node.schema(),
        })
    }

    /// Groups all rows. `None` when the states are too large.
    fn run(&self, rows: &[RecordBatch]) -> Result<Option<RecordBatch>> {
        let mut groups = new_group_values(self.key_schema.clone(), &GroupOrdering::None)?;
        let states = self.calls.iter().map(|call| group_states(&call.function));
        let mut states = states.collect::<Result<Vec<_>>>()?;
        let mut numbers = Vec::new();
        for rows in rows.iter().flat_map(steps) {
            let rows = &rows;
            let keys = self.keys.iter().map(|key| value(key, rows));
            groups.intern(&keys.collect::<Result<Vec<_>>>()?, &mut numbers)?;
            for (call, states) in self.calls.iter().zip(&mut states) {
                let filter = call.filter.as_ref().map(|filter| truth(filter, rows));
                let filter = filter.transpose()?;
                let values = call.values(rows)?;
                states.update_batch(&values, &numbers, filter.as_ref(), groups.len())?;
            }
            let bytes = states.iter().map(|states| states.size()).sum::<usize>();
            if bytes + groups.size() > STATES_MAX {
                return Ok(None);
            }
        }
        let count = groups.len();
        if count == 0 {
            return Ok(Some(RecordBatch::new_empty(self.schema.clone())));
        }
        let mut columns = groups.emit(EmitTo::All)?;
        for states in &mut states {
            columns.push(states.evaluate(EmitTo::All)?);
        }
        batch(&self.schema, columns, count).map(Some)
    }

    /// All rows are one group, even if there are none. `None` when its states are too large.
    fn run_whole(&self, rows: &[RecordBatch]) -> Result<Option<RecordBatch>> {
        let mut columns = Vec::with_capacity(self.calls.len());
        let mut bytes = 0;
        for call in &self.calls {
            let mut state = call.function.create_accumulator()?;
            for rows in rows {
                call.update(state.as_mut(), rows)?;
            }
            bytes += state.size();
            if bytes > STATES_MAX {
                return Ok(None);
            }
            columns.push(state.evaluate()?.to_array()?);
        }
        batch(&self.schema, columns, 1).map(Some)
    }
}

impl Call {
    fn values(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let values = self.function.expressions();
        values.iter().map(|expr| value(expr, rows)).collect()
    }

    fn update(&self, state: &mut dyn Accumulator, rows: &RecordBatch) -> Result<()> {
        let rows = match &self.filter {
            Some(filter) => &filter_record_batch(rows, &truth(filter, rows)?)?,
            None => rows,
        };
        state.update_batch(&self.values(rows)?)
    }
}

fn value(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef> {
    expr.evaluate(rows)?.into_array(rows.num_rows())
}

/// A condition's answer with unknown as false.
fn truth(condition: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<BooleanArray> {
    let mask = value(condition, rows)?;
    let mask = mask
        .as_boolean_opt()
        .ok_or_else(|| internal_datafusion_err!("a condition is no boolean"))?;
    Ok(match mask.null_count() {
        0 => mask.clone(),
        _ => prep_null_mask_filter(mask),
    })
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
    Ok(rows?)
}

/// A few rows at a time.
fn steps(rows: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let count = rows.num_rows();
    let starts = (0..count).step_by(ROWS_OF_STEP);
    starts.map(move |at| rows.slice(at, ROWS_OF_STEP.min(count - at)))
}

fn texts(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(text_bytes).sum()
}

/// Bytes of values that are of any length.
fn text_bytes(values: &ArrayRef) -> usize {
    let length = |offsets: &[i32]| match offsets {
        [first, .., last] => (last - first) as usize,
        _ => 0,
    };
    match values.data_type() {
        DataType::Utf8 => length(values.as_string::<i32>().value_offsets()),
        DataType::Binary => length(values.as_binary::<i32>().value_offsets()),
        DataType::Boolean | DataType::FixedSizeBinary(_) => 0,
        ty if ty.is_primitive() => 0,
        _ => values.get_array_memory_size(),
    }
}

/// Whether an expression is no deeper than so many and takes no longer than its values are long.
fn is_quick(expr: &Arc<dyn PhysicalExpr>, depth: usize) -> bool {
    let is_own = match expr.downcast_ref::<ScalarFunctionExpr>() {
        Some(call) => is_parameter(call.fun()) || functions::is_quick(call.fun()),
        None => true,
    };
    let mut children = expr.children().into_iter();
    depth > 0 && is_own && children.all(|child| is_quick(child, depth - 1))
}
