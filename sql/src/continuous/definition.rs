//! What of a query is kept, and the query over what is kept.
//!
//! The analyzed plan of a definition is a projection over a grouping over one time-series table,
//! with filters in between, or over its join with reference tables. The grouping is cut in two: its
//! first half makes the partials ([`super::Phase`]), its second half merges them and stands in its
//! place in the plan ([`super::above`]). What is above (HAVING, the select list) stays as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::utils::conjunction;
use datafusion::physical_plan::PhysicalExpr;
use parking_lot::Mutex;
use slicedb_storage::table::DAY_US;
use slicedb_storage::{Derived, Layout, Part, TableDef, TableId, TableState};

use super::above::{Above, Placed, filled};
use super::answering::Shape;
use super::below::{Below, unqualified};
use super::keys::key_name;
use super::parts::{divides_time, parts, refuse, width_us};
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
    /// The table whose rows are aggregated.
    pub(crate) source: Arc<TableEntry>,
    /// The tables that its rows are joined with.
    pub(crate) references: Vec<Arc<TableEntry>>,
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
    /// The query over partials.
    above: LogicalPlan,
    /// What it is made of, for queries over the source.
    pub(super) shape: Shape,
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
        let source = &parts.source;
        let time = source.entry.def.time_column().unwrap_or_default();
        let mut above = Above::new(&name, &parts, time);
        let (mut slot, mut has_zone) = (None, false);
        for expr in &parts.grouping.group_expr {
            let key = above.group_by(expr)?;
            if let (Some(key), Some(zoned)) = (key, divides_time(expr, source.schema, time)) {
                slot.get_or_insert(key);
                has_zone |= zoned;
            }
        }
        let calls = parts.grouping.aggr_expr.iter().map(|expr| {
            let Expr::AggregateFunction(mut call) = expr.clone().unalias() else {
                return Err(SqlError::internal("an aggregate is no call of a function"));
            };
            if !call.params.args.iter().all(|arg| source.covers(arg)) {
                let name = call.func.name();
                return Err(refuse(format!(
                    "{name} of a joined table's columns is not supported in a continuous aggregate"
                ))
                .with_hint(
                    "Aggregate columns of the time-series table; group by those of joined tables.",
                ));
            }
            let below = above.count_if(call.params.filter.as_deref())?;
            call.params.filter = below.map(Box::new);
            Ok(Expr::AggregateFunction(call))
        });
        let calls = calls.collect::<Result<Vec<_>>>()?;
        above.join()?;
        let slot = match slot {
            Some(slot) => slot,
            None if above.has_zoned_bucket() => above.keys.quarter()?,
            None => {
                let message = "continuous aggregate view must include a valid time bucket function";
                return Err(refuse(message).with_hint(
                    "Group by time_bucket(width, the time column), with a constant width.",
                ));
            }
        };

        let below = Below::new(source, time, above.keys.exprs.iter().chain(&calls))?;
        let mut filters = Vec::new();
        for filter in &source.filters {
            filters.push(below.bare(filter)?);
        }
        let mut keys = Vec::with_capacity(above.keys.exprs.len());
        let mut key = None;
        for (n, expr) in above.keys.exprs.iter().enumerate() {
            let field = above.keys.field(n)?;
            keys.push(KeptKey {
                field: Arc::new(field.as_ref().clone().with_name(key_name(n))),
                expr: below.physical(expr)?,
            });
            let column = above.keys.source_column(expr);
            if column.is_some() && column == source.entry.def.key_column() {
                key = Some(n);
            }
        }
        let mut aggregates = Vec::with_capacity(calls.len());
        for (n, expr) in calls.iter().enumerate() {
            aggregates.push(below.aggregate(n, expr)?);
        }
        let slots = Slots::new(
            keys[slot].expr.clone(),
            below.input.clone(),
            below.position(time),
            has_zone,
            width_us(&above.keys.exprs[slot], source.schema, time),
        );
        let slots = slots.map_err(plain)?;
        let bare = |exprs: &[Expr]| {
            let exprs = exprs.iter().map(unqualified);
            exprs
                .collect::<datafusion::error::Result<Vec<_>>>()
                .map_err(plain)
        };
        let chosen = source.filters.iter().map(|&filter| filter.clone());
        let shape = Shape {
            table: name.clone(),
            keys: bare(&above.keys.exprs)?,
            filters: bare(&chosen.collect::<Vec<_>>())?,
            aggregates: bare(&calls)?,
        };
        let partials = partials_schema(&keys, aggregates.iter());
        let above = above.finish(&plan, &aggregates, partials)?;
        Ok(Definition {
            source: source.entry.clone(),
            references: parts.references.clone(),
            reads: below.reads,
            input: below.input,
            filter: (!filters.is_empty()).then(|| conjunction(filters)),
            keys,
            aggregates,
            slots,
            slot,
            key,
            above,
            shape,
            stale: Mutex::default(),
        })
    }

    /// The columns of the groups, among the partials' first.
    pub(super) fn key_fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.keys.iter().map(|key| &key.field)
    }

    /// The columns of partials with these aggregates.
    pub(super) fn partials_schema(&self, wanted: &[usize]) -> SchemaRef {
        partials_schema(&self.keys, wanted.iter().map(|&n| &self.aggregates[n]))
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

    /// Its expressions over rows.
    pub(super) fn exprs(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let keys = self.keys.iter().map(|key| key.expr.clone());
        let values = self.aggregates.iter().flat_map(|kept| {
            let values = kept.function.expressions().into_iter();
            values.chain(kept.filter.clone())
        });
        keys.chain(values).chain(self.filter.clone()).collect()
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
    ///
    /// # Errors
    /// Those of `table`.
    pub(crate) fn answer(
        &self,
        table: &dyn Fn(Placed) -> datafusion::error::Result<Arc<dyn TableProvider>>,
    ) -> Result<LogicalPlan> {
        filled(&self.above, table).map_err(plain)
    }
}

fn partials_schema<'a>(
    keys: &[KeptKey],
    aggregates: impl Iterator<Item = &'a KeptAggregate>,
) -> SchemaRef {
    let states = aggregates.flat_map(|kept| &kept.states);
    let keys = keys.iter().map(|key| &key.field);
    Arc::new(Schema::new(
        keys.chain(states).cloned().collect::<Vec<FieldRef>>(),
    ))
}

pub(super) fn plain(error: DataFusionError) -> SqlError {
    from_datafusion(error, "")
}
