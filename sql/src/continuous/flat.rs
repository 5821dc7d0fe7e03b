//! Groupings over groupings, as one.
//!
//! A plan above the groups of another one is put beneath them: its columns become what they are
//! made of, and each aggregate of an aggregate the one aggregate that answers the same
//! ([`super::hierarchy::of_rows`]). What chooses by the values of groups cannot be put there.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::logical_plan::{Filter, Join};
use datafusion::logical_expr::{
    Aggregate, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit, when,
};

use super::above::named;
use super::definition::plain;
use super::hierarchy::{has_call, is_count, of_rows, within_buckets};
use super::parts::refuse;
use crate::error::{Result, SqlError};

/// Whether a plan groups anything.
pub(super) fn has_grouping(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(_)) || plan.inputs().into_iter().any(has_grouping)
}

/// A plan without the groupings in it.
pub(super) struct Lowered {
    pub(super) plan: LogicalPlan,
    /// What its columns are over the plan. Those that were aggregates are calls of them.
    outputs: Vec<Expr>,
}

impl Lowered {
    /// An expression over the columns of `schema` as one over the plan.
    ///
    /// # Errors
    /// None but those of a bug.
    pub(super) fn put_into(&self, expr: &Expr, schema: &DFSchema) -> Result<Expr> {
        let put = expr.clone().transform_up(|expr| {
            let at = match &expr {
                Expr::Column(column) => schema.maybe_index_of_column(column),
                _ => None,
            };
            Ok(match at {
                Some(at) => Transformed::yes(self.outputs[at].clone()),
                None => Transformed::no(expr),
            })
        });
        put.data().map_err(plain)
    }
}

fn lowered(plan: &LogicalPlan) -> Result<Lowered> {
    if !has_grouping(plan) {
        let columns = plan.schema().columns().into_iter();
        return Ok(Lowered {
            plan: plan.clone(),
            outputs: columns.map(Expr::Column).collect(),
        });
    }
    match plan {
        LogicalPlan::Aggregate(inner) => {
            let flat = flattened(inner)?;
            let aggregates = flat.answers.into_iter();
            let aggregates = aggregates.map(|answer| answer.of(&flat.aggregates));
            Ok(Lowered {
                outputs: flat.groups.iter().cloned().chain(aggregates).collect(),
                plan: flat.input,
            })
        }
        LogicalPlan::Projection(projection) => {
            let below = lowered(&projection.input)?;
            let schema = projection.input.schema();
            let outputs = projection.expr.iter();
            let outputs = outputs.map(|e| Ok(below.put_into(e, schema)?.unalias_nested().data));
            Ok(Lowered {
                outputs: outputs.collect::<Result<_>>()?,
                plan: below.plan,
            })
        }
        LogicalPlan::SubqueryAlias(alias) => lowered(&alias.input),
        LogicalPlan::Filter(filter) => {
            let below = lowered(&filter.input)?;
            let predicate = below.put_into(&filter.predicate, filter.input.schema())?;
            if has_call(&predicate) {
                return Err(refuse("a continuous aggregate cannot choose among the groups of another one by their values")
                    .with_hint("Choose by the columns that it is grouped by."));
            }
            let chosen = Filter::try_new(predicate, Arc::new(below.plan)).map_err(plain)?;
            Ok(Lowered {
                plan: LogicalPlan::Filter(chosen),
                outputs: below.outputs,
            })
        }
        LogicalPlan::Join(join) => joined(join),
        _ => Err(SqlError::unsupported(
            "a query of this form over a continuous aggregate",
        )),
    }
}

fn joined(join: &Join) -> Result<Lowered> {
    if !matches!(
        join.join_type,
        JoinType::Inner | JoinType::Left | JoinType::Right
    ) {
        return Err(SqlError::unsupported(
            "a join of this kind over a continuous aggregate",
        ));
    }
    let (left, right) = (lowered(&join.left)?, lowered(&join.right)?);
    let both = Lowered {
        outputs: left.outputs.iter().chain(&right.outputs).cloned().collect(),
        plan: left.plan.clone(),
    };
    let filter = join.filter.as_ref();
    let filter = filter
        .map(|filter| both.put_into(filter, &join.schema))
        .transpose()?;
    let on = join.on.iter().map(|(own, other)| {
        let own = left.put_into(own, join.left.schema())?;
        Ok((own, right.put_into(other, join.right.schema())?))
    });
    let on = on.collect::<Result<Vec<_>>>()?;
    let conditions = on.iter().flat_map(|(own, other)| [own, other]);
    if conditions.chain(&filter).any(has_call) {
        return Err(
            refuse("a continuous aggregate cannot be joined by the values of another one")
                .with_hint("Join by the columns that it is grouped by."),
        );
    }
    let names = left.plan.schema().columns();
    if let Some(twice) = names
        .iter()
        .find(|name| right.plan.schema().has_column(name))
    {
        let table = twice
            .relation
            .as_ref()
            .map_or("", |relation| relation.table());
        return Err(refuse(format!("table name \"{table}\" specified more than once"))
            .with_hint("The aggregate that this one reads from joins a table of this name too: give it an alias."));
    }
    let joined = Join::try_new(
        Arc::new(left.plan),
        Arc::new(right.plan),
        on,
        filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    );
    Ok(Lowered {
        plan: LogicalPlan::Join(joined.map_err(plain)?),
        outputs: both.outputs,
    })
}

/// A grouping over rows.
pub(super) struct Flat {
    input: LogicalPlan,
    groups: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// What the original's aggregates are, of these.
    answers: Vec<Answer>,
}

/// One of the aggregates, as the type of the original.
struct Answer {
    which: usize,
    /// Whether it is a sum, which is null over no groups, and its aggregate 0 over no rows.
    is_sum_of_counts: bool,
    cast: Option<DataType>,
}

impl Answer {
    fn of(self, aggregates: &[Expr]) -> Expr {
        self.over(aggregates[self.which].clone())
    }

    fn over(&self, value: Expr) -> Expr {
        match &self.cast {
            Some(ty) => Expr::Cast(Cast::new(Box::new(value), ty.clone())),
            None => value,
        }
    }
}

impl Flat {
    /// The grouping with the columns of the original.
    ///
    /// # Errors
    /// None but those of a bug.
    pub(super) fn under_names_of(self, outer: &Aggregate) -> Result<LogicalPlan> {
        let groups = self.groups.len();
        let may_be_null = |answer: &Answer| groups == 0 && answer.is_sum_of_counts;
        let mut aggregates = self.aggregates;
        if self.answers.iter().any(may_be_null) {
            aggregates.push(count(lit(1_i64)));
        }
        let rows = groups + aggregates.len() - 1;
        let builder = LogicalPlanBuilder::from(self.input);
        let grouped = builder.aggregate(self.groups, aggregates).map_err(plain)?;
        let grouped = grouped.build().map_err(plain)?;
        let column = |at: usize| {
            let (qualifier, field) = grouped.schema().qualified_field(at);
            Expr::Column(Column::from((qualifier, field)))
        };
        let keys = (0..groups).map(column);
        let answers = self.answers.iter();
        let answers = answers.map(|answer| {
            let value = answer.over(column(groups + answer.which));
            if !may_be_null(answer) {
                return Ok(value);
            }
            let value = when(column(rows).gt(lit(0_i64)), value);
            value.end().map_err(plain)
        });
        let answers = answers.collect::<Result<Vec<_>>>()?;
        let outputs = keys.chain(answers).zip(outer.schema.iter());
        let outputs = outputs.map(|(value, (qualifier, field))| {
            value.alias_qualified(qualifier.cloned(), field.name())
        });
        let outputs = outputs.collect();
        named(grouped, outputs).map_err(plain)
    }
}

/// A grouping over groups as one over what these are made of.
///
/// # Errors
/// 0A000 with the reason when it is none.
pub(super) fn flattened(outer: &Aggregate) -> Result<Flat> {
    let below = lowered(&outer.input)?;
    let schema = outer.input.schema();
    let groups = outer.group_expr.iter().map(|expr| {
        let group = below.put_into(&expr.clone().unalias(), schema)?;
        if has_call(&group) {
            return Err(refuse(
                "a continuous aggregate cannot be grouped by the values of another one",
            ));
        }
        within_buckets(group)
    });
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let mut aggregates: Vec<Expr> = Vec::new();
    let mut answers = Vec::new();
    for (n, expr) in outer.aggr_expr.iter().enumerate() {
        let Expr::AggregateFunction(call) = expr.clone().unalias() else {
            return Err(SqlError::internal("an aggregate is no call of a function"));
        };
        let is_over_groups = has_grouping(&outer.input);
        let is_sum = call.func.name() == "sum";
        let inner = match is_over_groups {
            true => of_rows(call, &below, schema)?,
            false => call,
        };
        let inner = Expr::AggregateFunction(inner);
        let which = aggregates.iter().position(|known| *known == inner);
        let which = which.unwrap_or_else(|| {
            aggregates.push(inner.clone());
            aggregates.len() - 1
        });
        let wanted = outer.schema.field(outer.group_expr.len() + n).data_type();
        let own = inner.get_type(below.plan.schema()).map_err(plain)?;
        let cast = (own != *wanted).then(|| wanted.clone());
        answers.push(Answer {
            which,
            is_sum_of_counts: is_over_groups && is_sum && is_count(&inner),
            cast,
        });
    }
    Ok(Flat {
        input: below.plan,
        groups,
        aggregates,
        answers,
    })
}
