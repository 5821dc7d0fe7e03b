//! What of a query is kept, and the query over what is kept.
//!
//! The analyzed plan of a definition is a projection over a grouping over one time-series table,
//! with filters in between. The grouping is cut in two: its first half makes the partials
//! ([`super::Phase`]), its second half merges them and stands in its place in the plan. What is above
//! (HAVING, the select list) stays as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, internal_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, col};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_expr::planner::create_physical_expr;
use datafusion::physical_expr::utils::conjunction;
use datafusion::physical_plan::PhysicalExpr;
use parking_lot::Mutex;
use slicedb_storage::table::DAY_US;
use slicedb_storage::{Derived, Layout, Part, TableDef, TableId, TableState};

use super::merge::Merge;
use super::parts::{check_volatility, divides_time, find_grouping, parts, refuse};
use super::slots::Slots;
use super::stale::Stale;
use crate::catalog::TableEntry;
use crate::error::{Result, SqlError};
use crate::plan::errors::from_datafusion;

/// Partials are divided by weeks: one merchant's dashboard opens few of them.
const CHUNK_US: i64 = 7 * DAY_US;

/// A definition that can be kept.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Tells it from all others.
    name: String,
    /// The table whose rows are aggregated.
    pub(crate) source: Arc<TableEntry>,
    /// Positions of the source's columns that it reads.
    pub(crate) reads: Vec<usize>,
    /// These columns, as the expressions below see them.
    pub(super) input: SchemaRef,
    /// Which rows count.
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    /// What the rows are grouped by.
    pub(super) keys: Vec<KeptKey>,
    /// What is computed of each group.
    pub(super) aggregates: Vec<KeptAggregate>,
    /// How time is divided.
    pub(super) slots: Slots,
    /// Which of the keys is the slot.
    pub(super) slot: usize,
    /// Which of the keys is the source's key.
    pub(super) key: Option<usize>,
    /// The definition's plan.
    plan: LogicalPlan,
    /// What was stale when it was asked last, with the table that told so.
    pub(super) stale: Mutex<Option<(Arc<TableState>, Arc<Stale>)>>,
}

/// What rows are grouped by.
#[derive(Debug)]
pub(super) struct KeptKey {
    /// Its column of partials.
    pub(super) field: FieldRef,
    pub(super) expr: Arc<dyn PhysicalExpr>,
}

/// What is computed of each group.
#[derive(Debug)]
pub(super) struct KeptAggregate {
    pub(super) function: Arc<AggregateFunctionExpr>,
    /// Which rows it counts.
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    /// Its columns of partials.
    pub(super) states: Vec<FieldRef>,
}

impl Definition {
    /// Compiles an analyzed plan. `name` tells the definition from all others.
    ///
    /// # Errors
    /// 0A000 with the reason when it cannot be kept.
    pub(crate) fn compile(name: String, plan: LogicalPlan) -> Result<Definition> {
        let parts = parts(&plan)?;
        let grouping = parts.grouping;
        let whole = grouping.input.schema().clone();
        let expressions = || {
            let exprs = grouping.group_expr.iter().chain(&grouping.aggr_expr);
            exprs.chain(parts.filters.iter().copied())
        };
        expressions().try_for_each(check_volatility)?;
        let mut reads = BTreeSet::new();
        for expr in expressions() {
            for column in expr.column_refs() {
                // Filters below an alias name the table by itself.
                let at = whole.maybe_index_of_column(column);
                let at = at.or_else(|| parts.source.column(column.name()));
                reads.extend(at);
            }
        }
        let time = parts.source.def.time_column().unwrap_or_default();
        reads.insert(time);
        let reads: Vec<usize> = reads.into_iter().collect();
        let projected = |schema: &DFSchema| -> Result<DFSchema> {
            let fields = reads.iter().map(|&at| {
                let (qualifier, field) = schema.qualified_field(at);
                (qualifier.cloned(), field.clone())
            });
            let metadata = schema.metadata().clone();
            DFSchema::new_with_metadata(fields.collect(), metadata).map_err(plain)
        };
        let schema = projected(&whole)?;
        let input: SchemaRef = Arc::new(schema.as_arrow().clone());
        let props = ExecutionProps::new();
        let physical = |expr: &Expr, schema: &DFSchema| {
            create_physical_expr(expr, schema, &props, &Default::default()).map_err(plain)
        };
        let mut filters = Vec::new();
        for filter in &parts.filters {
            let plain_names = unqualified(filter)?;
            filters.push(physical(&plain_names, &bare(&schema)?)?);
        }
        let mut keys = Vec::with_capacity(grouping.group_expr.len());
        let (mut slot, mut key, mut has_zone) = (None, None, false);
        for (n, expr) in grouping.group_expr.iter().enumerate() {
            let (_, field) = grouping.schema.qualified_field(n);
            keys.push(KeptKey {
                field: Arc::new(field.as_ref().clone().with_name(key_name(n))),
                expr: physical(expr, &schema)?,
            });
            if let Some(zoned) = divides_time(expr, &whole, time) {
                slot.get_or_insert(n);
                has_zone |= zoned;
            }
            if let Expr::Column(column) = expr.clone().unalias()
                && whole.maybe_index_of_column(&column) == parts.source.def.key_column()
                && parts.source.def.key_column().is_some()
            {
                key = Some(n);
            }
        }
        let slot = slot.ok_or_else(|| {
            let message = "continuous aggregate view must include a valid time bucket function";
            refuse(message)
                .with_hint("Group by time_bucket(width, the time column), with a constant width.")
        })?;
        let mut aggregates = Vec::with_capacity(grouping.aggr_expr.len());
        for (n, expr) in grouping.aggr_expr.iter().enumerate() {
            let context = Default::default();
            let lowered = LoweredAggregateBuilder::new(expr, &schema, &input, &props, &context)
                .with_name(answer_name(n));
            let lowered = lowered.build().map_err(plain)?;
            let (function, filter) = (lowered.aggregate, lowered.filter);
            if !lowered.order_bys.is_empty() {
                return Err(refuse(format!(
                    "ORDER BY within {} is not supported in a continuous aggregate",
                    function.fun().name()
                ))
                .with_hint("first(value, time) and last(value, time) can be kept."));
            }
            // Some functions tell only here that they cannot do what is asked.
            function.create_accumulator().map_err(plain)?;
            let states = function.state_fields().map_err(plain)?;
            let states = states.into_iter().enumerate().map(|(s, field)| {
                let field = field.as_ref().clone().with_name(state_name(n, s));
                Arc::new(field.with_nullable(true))
            });
            aggregates.push(KeptAggregate {
                states: states.collect(),
                function,
                filter,
            });
        }
        let slots = Slots {
            expr: keys[slot].expr.clone(),
            schema: input.clone(),
            time: reads.iter().position(|&at| at == time).unwrap_or_default(),
            has_zone,
        };
        // A width, an origin or a zone that is none is told now and not with the first row.
        slots.of_ranges(&[(0, 0)]).map_err(plain)?;
        Ok(Definition {
            name,
            source: parts.source,
            reads,
            input,
            filter: (!filters.is_empty()).then(|| conjunction(filters)),
            keys,
            aggregates,
            slots,
            slot,
            key,
            plan,
            stale: Mutex::default(),
        })
    }

    /// The columns of the groups, among the partials' first.
    pub(super) fn key_fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.keys.iter().map(|key| &key.field)
    }

    /// The columns of partials with these aggregates.
    pub(super) fn partials_schema(&self, wanted: &[usize]) -> SchemaRef {
        let states = wanted.iter().flat_map(|&n| &self.aggregates[n].states);
        let fields: Vec<FieldRef> = self.key_fields().chain(states).cloned().collect();
        Arc::new(Schema::new(fields))
    }

    /// The columns of partials.
    pub(crate) fn schema(&self) -> SchemaRef {
        let all: Vec<usize> = (0..self.aggregates.len()).collect();
        self.partials_schema(&all)
    }

    /// The table that keeps the partials.
    ///
    /// # Errors
    /// When storage has no such table.
    pub(crate) fn table(&self, id: TableId) -> Result<TableDef> {
        let layout = Layout::TimeSeries {
            time: self.slot,
            key: self.key,
            chunk_us: CHUNK_US,
            retention_us: None,
        };
        let mut def = TableDef::new(id, self.kept_schema(), layout)?;
        def.derived = Some(Derived {
            source: self.source.def.id,
            part: Part::Partials,
        });
        Ok(def)
    }

    /// Partials as their table takes them: the slot of a time is never null.
    pub(crate) fn kept(&self, partials: RecordBatch) -> datafusion::error::Result<RecordBatch> {
        Ok(RecordBatch::try_new(
            self.kept_schema(),
            partials.columns().to_vec(),
        )?)
    }

    fn kept_schema(&self) -> SchemaRef {
        let schema = self.schema();
        let fields = schema.fields().iter().enumerate();
        let fields =
            fields.map(|(at, field)| field.as_ref().clone().with_nullable(at != self.slot));
        Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
    }

    /// The first and the last time of all slots that a range of times meets.
    pub(crate) fn reach(&self, times: (i64, i64)) -> datafusion::error::Result<(i64, i64)> {
        self.slots.reach(times)
    }

    /// Rows of the source as the expressions see them: the columns that are read, in the zone of
    /// the definition.
    pub(crate) fn fit(&self, rows: &RecordBatch) -> datafusion::error::Result<RecordBatch> {
        let columns = rows.columns().iter().zip(self.input.fields());
        let columns = columns.map(|(column, field)| {
            match column.data_type() == field.data_type() {
                true => Ok(column.clone()),
                // The zone of a timestamp is a label: nothing is computed.
                false => arrow::compute::cast(column, field.data_type()),
            }
        });
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let schema = self.input.clone();
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }

    /// Which aggregates have states among these columns of partials, and where the columns stand in
    /// partials of those aggregates alone.
    pub(super) fn wanted(&self, projection: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let keys = self.keys.len();
        // [states] the number of each one's aggregate
        let owner: Vec<usize> = self
            .aggregates
            .iter()
            .enumerate()
            .flat_map(|(n, kept)| std::iter::repeat_n(n, kept.states.len()))
            .collect();
        let states = projection
            .iter()
            .filter_map(|&column| owner.get(column.checked_sub(keys)?));
        let wanted: BTreeSet<usize> = states.copied().collect();
        let given: Vec<usize> = (0..keys)
            .chain(
                owner
                    .iter()
                    .enumerate()
                    .filter(|(_, n)| wanted.contains(n))
                    .map(|(s, _)| keys + s),
            )
            .collect();
        let position = |column: &usize| given.iter().position(|g| g == column);
        let columns = projection.iter().filter_map(position).collect();
        (wanted.into_iter().collect(), columns)
    }

    /// Which rows of the source belong to stale partials.
    pub(super) fn is_stale(
        &self,
        stale: &Stale,
        rows: &RecordBatch,
    ) -> datafusion::error::Result<BooleanArray> {
        let value = |key: usize| {
            self.keys[key]
                .expr
                .evaluate(rows)?
                .into_array(rows.num_rows())
        };
        let key = self.key.map(value).transpose()?;
        stale.has(key.as_ref(), &value(self.slot)?)
    }

    /// The definition's answer out of partials.
    pub(crate) fn answer(&self, partials: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
        let merged = self.merged(partials).map_err(plain)?;
        let replaced = self.plan.clone().transform_up(|node| {
            Ok(match node {
                LogicalPlan::Aggregate(_) => Transformed::yes(merged.clone()),
                // What is above has the same columns below it as before.
                node => Transformed::no(node),
            })
        });
        replaced.data().map_err(plain)
    }

    /// The second half of the grouping, under the names of the whole.
    fn merged(&self, partials: Arc<dyn TableProvider>) -> datafusion::error::Result<LogicalPlan> {
        let grouping = find_grouping(&self.plan)
            .ok_or_else(|| internal_datafusion_err!("a definition without a grouping"))?;
        let keys = (0..self.keys.len()).map(|n| col(key_name(n)));
        let merge = |(n, kept): (usize, &KeptAggregate)| {
            let name = format!("merge {}.{n}", self.name);
            let function = AggregateUDF::from(Merge::new(name, kept.function.clone()));
            let states = kept.states.iter().map(|field| col(field.name()));
            function.call(states.collect()).alias(answer_name(n))
        };
        let aggregates = self.aggregates.iter().enumerate().map(merge);
        let outputs = grouping
            .schema
            .iter()
            .enumerate()
            .map(|(at, (qualifier, field))| {
                let own = match at.checked_sub(self.keys.len()) {
                    None => key_name(at),
                    Some(n) => answer_name(n),
                };
                col(own).alias_qualified(qualifier.cloned(), field.name())
            });
        LogicalPlanBuilder::scan(self.name.as_str(), provider_as_source(partials), None)?
            .aggregate(keys, aggregates)?
            .project(outputs)?
            .build()
    }
}

fn key_name(n: usize) -> String {
    format!("key{n}")
}

fn state_name(n: usize, state: usize) -> String {
    format!("state{n}_{state}")
}

fn answer_name(n: usize) -> String {
    format!("answer{n}")
}

pub(super) fn plain(error: DataFusionError) -> SqlError {
    from_datafusion(error, "")
}

/// An expression whose columns are named by themselves.
fn unqualified(expr: &Expr) -> Result<Expr> {
    let renamed = expr.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            expr => Transformed::no(expr),
        })
    });
    renamed.data().map_err(plain)
}

/// The same columns without their table's name.
fn bare(schema: &DFSchema) -> Result<DFSchema> {
    DFSchema::try_from(schema.as_arrow().clone()).map_err(plain)
}
