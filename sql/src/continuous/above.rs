//! The query over partials: what of a definition's plan is left when its source is replaced by what
//! is kept.
//!
//! It is made once, with places in it for the partials and for the reference tables, and filled for
//! each statement with those of its state.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result as PlanResult, internal_datafusion_err};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::logical_plan::{Filter, Join, Projection, TableScan};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprFunctionExt, JoinType, LogicalPlan, LogicalPlanBuilder, TableSource,
};
use slicedb_storage::TableId;

use super::definition::{KeptAggregate, plain};
use super::keys::{Keys, key_column};
use super::merge::Merge;
use super::parts::{Parts, is_joined};
use super::states::Told;
use crate::error::Result;
use crate::plan::SliceTable;

/// The place of a table in a plan that waits for its state.
struct Place {
    table: Placed,
    schema: SchemaRef,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// The definition's partials.
    Partials,
    /// A table that its source is joined with.
    Reference(TableId),
}

impl TableSource for Place {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The query over partials, as it is put together.
pub(super) struct Above<'a> {
    /// What the partials' table is called in plans.
    pub(super) table: &'a str,
    pub(super) parts: &'a Parts<'a>,
    pub(super) keys: Keys<'a>,
    /// What the query groups by.
    groups: Vec<Expr>,
    /// Which joined rows count for each aggregate.
    filters: Vec<Option<Expr>>,
}

impl<'a> Above<'a> {
    pub(super) fn new(table: &'a str, parts: &'a Parts<'a>, time: usize) -> Self {
        Above {
            table,
            parts,
            keys: Keys::new(table, parts.source.schema, time),
            groups: Vec::new(),
            filters: Vec::new(),
        }
    }

    /// Takes one of the grouping's expressions. Answers its key, if it is one as it is.
    ///
    /// # Errors
    /// Those of [`Keys::above`].
    pub(super) fn group_by(&mut self, expr: &Expr) -> Result<Option<usize>> {
        if self.keys.covers(expr) {
            let key = self.keys.add(expr.clone());
            self.groups.push(self.keys.column(key));
            return Ok(Some(key));
        }
        let expr = self.keys.above(&expr.clone().unalias())?;
        self.groups.push(expr);
        Ok(None)
    }

    /// Takes the condition of an aggregate. Answers what of it concerns the source's rows alone.
    ///
    /// # Errors
    /// Those of [`Keys::above`].
    pub(super) fn count_if(&mut self, filter: Option<&Expr>) -> Result<Option<Expr>> {
        let conditions = filter.into_iter().flat_map(split_conjunction).cloned();
        let (below, above): (Vec<Expr>, Vec<Expr>) = conditions.partition(|e| self.keys.covers(e));
        let above = above.iter().map(|expr| self.keys.above(expr));
        let above = above.collect::<Result<Vec<_>>>()?;
        self.filters.push(conjunction(above));
        Ok(conjunction(below))
    }

    /// Whether rows are grouped by a bucket whose zone is told by a column.
    pub(super) fn has_zoned_bucket(&self) -> bool {
        let is_one = |expr: &Expr| match expr {
            Expr::ScalarFunction(call) => Ok(self.keys.is_zoned_bucket(call)),
            _ => Ok(false),
        };
        let mut groups = self.parts.grouping.group_expr.iter();
        groups.any(|expr| expr.exists(is_one).unwrap_or_default())
    }

    /// Takes the conditions of the joins, so that the keys are complete.
    ///
    /// # Errors
    /// Those of [`Keys::above`].
    pub(super) fn join(&mut self) -> Result<()> {
        let grouping = self.parts.grouping;
        self.join_of(&grouping.input)
    }

    fn join_of(&mut self, plan: &LogicalPlan) -> Result<()> {
        if !is_joined(plan) || !self.has_source(plan) {
            return Ok(());
        }
        for expr in self.left_of(plan) {
            self.keys.above(&expr)?;
        }
        plan.inputs()
            .into_iter()
            .try_for_each(|input| self.join_of(input))
    }

    /// The expressions of a node that are still to be looked at above partials.
    fn left_of(&self, plan: &LogicalPlan) -> Vec<Expr> {
        match plan {
            LogicalPlan::Filter(filter) => self.conditions(&filter.predicate, true),
            LogicalPlan::Join(join) => {
                let pairs = join.on.iter().flat_map(|(left, right)| [left, right]);
                let mut exprs: Vec<Expr> = pairs.cloned().collect();
                exprs.extend(self.conditions_of(join));
                exprs
            }
            _ => Vec::new(),
        }
    }

    fn conditions_of(&self, join: &Join) -> Vec<Expr> {
        let filter = join.filter.as_ref();
        let conditions = filter.map(|f| self.conditions(f, join.join_type == JoinType::Inner));
        conditions.unwrap_or_default()
    }

    /// The parts of a condition, without those that choose among the source's rows.
    fn conditions(&self, condition: &Expr, chooses: bool) -> Vec<Expr> {
        let parts = split_conjunction(condition).into_iter();
        parts
            .filter(|part| !chooses || !self.parts.source.covers(part))
            .cloned()
            .collect()
    }

    fn has_source(&self, plan: &LogicalPlan) -> bool {
        let id = self.parts.source.entry.def.id;
        let is_source = |plan: &LogicalPlan| {
            table_of(plan).is_some_and(|table| table.is_some_and(|table| table == id))
        };
        plan.exists(|plan| Ok(is_source(plan))).unwrap_or_default()
    }

    /// Lets only those rows count for the last aggregate that fulfil a condition on the source's rows
    /// too, which becomes a key.
    pub(super) fn only_if(&mut self, condition: Expr) {
        let key = self.keys.add(condition);
        let key = self.keys.column(key);
        if let Some(last) = self.filters.last_mut() {
            *last = conjunction(last.take().into_iter().chain([key]));
        }
    }

    /// The whole query: `definition` with the grouping over partials in the place of its own.
    ///
    /// # Errors
    /// None but those of a bug.
    pub(super) fn finish(
        mut self,
        definition: &LogicalPlan,
        aggregates: &[KeptAggregate],
        partials: SchemaRef,
    ) -> Result<LogicalPlan> {
        let place = Place {
            table: Placed::Partials,
            schema: partials,
        };
        let scan = LogicalPlanBuilder::scan(self.table, Arc::new(place), None);
        let scan = scan.and_then(LogicalPlanBuilder::build).map_err(plain)?;
        let aggregates = aggregates.iter().enumerate();
        let aggregates = aggregates.map(|(n, kept)| Told::kept(self.table, n, kept));
        let grouped = self.grouped(&scan, aggregates.collect())?;
        let replaced = definition.clone().transform_up(|node| {
            Ok(match node {
                LogicalPlan::Aggregate(_) => Transformed::yes(grouped.clone()),
                // What is above has the same columns below it as before.
                node => Transformed::no(node),
            })
        });
        let replaced = replaced.data().map_err(plain)?;
        without_states(replaced).map_err(plain)
    }

    /// The grouping over partials, under the names of the whole. `partials` have the keys' and the
    /// states' columns.
    ///
    /// # Errors
    /// None but those of a bug.
    pub(super) fn grouped(
        &mut self,
        partials: &LogicalPlan,
        aggregates: Vec<Told>,
    ) -> Result<LogicalPlan> {
        let input = self.over(&self.parts.grouping.input, partials)?;
        self.merged(input, aggregates).map_err(plain)
    }

    /// What is below the grouping, with partials in the place of the source.
    fn over(&mut self, plan: &LogicalPlan, partials: &LogicalPlan) -> Result<LogicalPlan> {
        if !self.has_source(plan) {
            return Ok(plan.clone());
        }
        if !is_joined(plan) {
            return self.partials(partials).map_err(plain);
        }
        match plan {
            LogicalPlan::Filter(filter) => {
                let input = self.over(&filter.input, partials)?;
                let left = self.above(self.left_of(plan))?;
                Ok(match conjunction(left) {
                    Some(left) => {
                        let filter = Filter::try_new(left, Arc::new(input)).map_err(plain)?;
                        LogicalPlan::Filter(filter)
                    }
                    None => input,
                })
            }
            LogicalPlan::Join(join) => {
                let left = Arc::new(self.over(&join.left, partials)?);
                let right = Arc::new(self.over(&join.right, partials)?);
                let on = join
                    .on
                    .iter()
                    .map(|(left, right)| Ok((self.keys.above(left)?, self.keys.above(right)?)));
                let on = on.collect::<Result<Vec<_>>>()?;
                let filter = conjunction(self.above(self.conditions_of(join))?);
                let joined = Join::try_new(
                    left,
                    right,
                    on,
                    filter,
                    join.join_type,
                    join.join_constraint,
                    join.null_equality,
                    join.null_aware,
                );
                joined.map(LogicalPlan::Join).map_err(plain)
            }
            _ => Err(crate::error::SqlError::internal(
                "a definition joins in a way of its own",
            )),
        }
    }

    fn above(&mut self, exprs: Vec<Expr>) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.keys.above(expr)).collect()
    }

    /// The partials, with those of the source's columns that are seen above.
    fn partials(&self, partials: &LogicalPlan) -> PlanResult<LogicalPlan> {
        if self.keys.columns.is_empty() {
            return Ok(partials.clone());
        }
        let own = partials.schema().columns().into_iter().map(Expr::Column);
        let seen = self.keys.columns.iter().map(|(&at, &key)| {
            let (qualifier, field) = self.parts.source.schema.qualified_field(at);
            key_column(self.table, key).alias_qualified(qualifier.cloned(), field.name())
        });
        LogicalPlanBuilder::from(partials.clone())
            .project(own.chain(seen).collect::<Vec<_>>())?
            .build()
    }

    /// The second half of the grouping, under the names of the whole.
    fn merged(&self, input: LogicalPlan, aggregates: Vec<Told>) -> PlanResult<LogicalPlan> {
        let merge = |(n, told): (usize, Told)| {
            let merge = Merge::new(told.name, told.function, self.filters[n].is_some());
            let call = AggregateUDF::from(merge).call(told.states);
            let call = match &self.filters[n] {
                Some(filter) => call.filter(filter.clone()).build()?,
                None => call,
            };
            Ok(call.alias(format!("answer{n}")))
        };
        let aggregates = aggregates.into_iter().enumerate().map(merge);
        let merged = LogicalPlanBuilder::from(input)
            .aggregate(
                self.groups.clone(),
                aggregates.collect::<PlanResult<Vec<_>>>()?,
            )?
            .build()?;
        let whole = self.parts.grouping.schema.iter();
        let outputs = merged.schema().iter().zip(whole);
        let outputs = outputs.map(|(own, (qualifier, field))| {
            Expr::Column(Column::from(own)).alias_qualified(qualifier.cloned(), field.name())
        });
        let outputs = outputs.collect();
        named(merged, outputs)
    }
}

/// A plan's columns as expressions that have names already. Names that are written alike may be those of
/// a column and of what is computed of it.
pub(super) fn named(plan: LogicalPlan, outputs: Vec<Expr>) -> PlanResult<LogicalPlan> {
    Projection::try_new(outputs, Arc::new(plan)).map(LogicalPlan::Projection)
}

/// The table that a scan reads, if it is one of ours; `None` if the node is no scan.
fn table_of(plan: &LogicalPlan) -> Option<Option<TableId>> {
    let LogicalPlan::TableScan(scan) = plan else {
        return None;
    };
    let provider = source_as_provider(&scan.source).ok();
    let table = provider
        .as_ref()
        .and_then(|p| p.downcast_ref::<SliceTable>());
    Some(table.map(|table| table.entry().def.id))
}

/// A plan with places for the reference tables.
fn without_states(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let placed = plan.transform_up(|node| {
        let table = table_of(&node).flatten();
        Ok(match (node, table) {
            (LogicalPlan::TableScan(scan), Some(table)) => {
                let place = Place {
                    table: Placed::Reference(table),
                    schema: scan.source.schema(),
                };
                let source: Arc<dyn TableSource> = Arc::new(place);
                Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan }))
            }
            (node, _) => Transformed::no(node),
        })
    });
    placed.data()
}

/// A plan with tables in its places.
///
/// # Errors
/// Those of `table`.
pub(super) fn filled(
    plan: &LogicalPlan,
    table: &dyn Fn(Placed) -> PlanResult<Arc<dyn TableProvider>>,
) -> PlanResult<LogicalPlan> {
    let filled = plan.clone().transform_up(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let Some(place) = scan.source.downcast_ref::<Place>() else {
            return Err(internal_datafusion_err!("a definition keeps a state"));
        };
        let source = provider_as_source(table(place.table)?);
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan {
            source,
            ..scan
        })))
    });
    filled.data()
}
