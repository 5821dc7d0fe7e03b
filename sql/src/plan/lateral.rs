//! `LATERAL (SELECT … FROM b WHERE b.k = a.k ORDER BY ts DESC LIMIT 1)`: the first row for each row
//! outside, as `DISTINCT ON`.
//!
//! ```text
//! Join: a                              Join: a.k = l.key
//!   Subquery l                           SubqueryAlias l
//!     Limit: 1                   →         Distinct: on b.k, in the order of b.k, ts DESC
//!       Sort: ts DESC                        Filter: c
//!         Projection …
//!           Filter: c AND b.k = outer(a.k)
//! ```
//!
//! DataFusion makes joins of lateral queries without LIMIT. The rule runs when types are settled, and
//! leaves what it does not know for DataFusion to refuse.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, FetchType, Filter, JoinType, LogicalPlan, LogicalPlanBuilder,
    Operator, SkipType, SortExpr, SubqueryAlias, binary_expr,
};
use datafusion::optimizer::AnalyzerRule;

/// The rule.
#[derive(Debug)]
pub(crate) struct NewestRows;

impl AnalyzerRule for NewestRows {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut found = false;
        plan.apply_with_subqueries(|plan| {
            found |= matches!(plan, LogicalPlan::Join(join) if first_row(&join.right)?.is_some());
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        if !found {
            return Ok(plan);
        }
        let plan = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) => match joined(&join)? {
                Some(plan) => Ok(Transformed::yes(plan)),
                None => Ok(Transformed::no(LogicalPlan::Join(join))),
            },
            plan => Ok(Transformed::no(plan)),
        });
        plan.data()
    }

    fn name(&self) -> &str {
        "newest_rows"
    }
}

/// A lateral query for one row: its name, and what is below its LIMIT.
fn first_row(right: &LogicalPlan) -> Result<Option<(&TableReference, &LogicalPlan)>> {
    let LogicalPlan::SubqueryAlias(alias) = right else {
        return Ok(None);
    };
    let LogicalPlan::Subquery(subquery) = alias.input.as_ref() else {
        return Ok(None);
    };
    let LogicalPlan::Limit(limit) = subquery.subquery.as_ref() else {
        return Ok(None);
    };
    let is_one = matches!(limit.get_skip_type()?, SkipType::Literal(0))
        && matches!(limit.get_fetch_type()?, FetchType::Literal(Some(1)));
    Ok(is_one.then_some((&alias.alias, &limit.input)))
}

/// A query as one select list and one order over its rows.
struct Flat {
    items: Vec<Expr>,
    sort: Vec<SortExpr>,
    rows: LogicalPlan,
}

fn joined(join: &Join) -> Result<Option<LogicalPlan>> {
    let Some((name, query)) = first_row(&join.right)? else {
        return Ok(None);
    };
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) || !join.on.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = query
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    let Some(Flat { items, sort, rows }) = flat(query)? else {
        return Ok(None);
    };
    let LogicalPlan::Filter(filter) = rows else {
        return Ok(None);
    };
    let mut kept = Vec::new();
    let mut keys = Vec::new();
    for condition in split_conjunction_owned(filter.predicate) {
        match equal(&condition)? {
            Some(key) => keys.push(key),
            None => kept.push(condition),
        }
    }
    let sorted = sort.iter().map(|sort| &sort.expr);
    let inner = items.iter().chain(&kept).chain(sorted);
    if keys.is_empty() || has_outer(&filter.input)? || any_outer(inner)? {
        return Ok(None);
    }
    let rows = match conjunction(kept) {
        Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, filter.input)?),
        None => Arc::unwrap_or_clone(filter.input),
    };
    let mut select: Vec<Expr> = items
        .into_iter()
        .zip(&names)
        .map(|(e, n)| e.alias(n))
        .collect();
    let mut on = Vec::new();
    let mut order = Vec::new();
    let mut conditions = Vec::new();
    for (n, (own, outer)) in keys.into_iter().enumerate() {
        let key = format!("key\u{1}{n}");
        select.push(own.clone().alias(&key));
        order.push(own.clone().sort(true, false));
        on.push(own);
        let key = Expr::Column(Column::new(Some(name.clone()), key));
        conditions.push(binary_expr(outer, Operator::Eq, key));
    }
    order.extend(sort);
    let first = DistinctOn::try_new(on, select, Some(order), Arc::new(rows))?;
    let first = Arc::new(LogicalPlan::Distinct(Distinct::On(first)));
    let right = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(first, name.clone())?);
    conditions.extend(join.filter.clone());
    let columns = join.schema.columns().into_iter().map(Expr::Column);
    let plan = LogicalPlanBuilder::from(join.left.as_ref().clone())
        .join_on(right, join.join_type, conditions)?
        .project(columns)?
        .build()?;
    Ok(Some(plan))
}

/// Takes a query apart as far as it is projections and sorts.
fn flat(plan: &LogicalPlan) -> Result<Option<Flat>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let Some(below) = flat(&projection.input)? else {
                return Ok(None);
            };
            let items = projection.expr.iter();
            let items = items.map(|e| put(e.clone().unalias(), &projection.input, &below.items));
            Ok(Some(Flat {
                items: items.collect::<Result<_>>()?,
                ..below
            }))
        }
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
            let Some(below) = flat(&sort.input)? else {
                return Ok(None);
            };
            let keys = sort.expr.iter().map(|key| {
                let expr = put(key.expr.clone(), &sort.input, &below.items)?;
                Ok(key.with_expr(expr))
            });
            Ok(Some(Flat {
                sort: keys.collect::<Result<_>>()?,
                ..below
            }))
        }
        LogicalPlan::Filter(_) => Ok(Some(Flat {
            items: plan
                .schema()
                .columns()
                .into_iter()
                .map(Expr::Column)
                .collect(),
            sort: Vec::new(),
            rows: plan.clone(),
        })),
        _ => Ok(None),
    }
}

/// An expression over the columns of a plan, over what these are computed of.
fn put(expr: Expr, plan: &LogicalPlan, items: &[Expr]) -> Result<Expr> {
    let schema = plan.schema();
    let put = expr.transform_up(|expr| {
        let at = match &expr {
            Expr::Column(column) => schema.maybe_index_of_column(column),
            _ => None,
        };
        Ok(match at.and_then(|at| items.get(at)) {
            Some(item) => Transformed::yes(item.clone()),
            None => Transformed::no(expr),
        })
    });
    put.data()
}

/// `own = outer`: the expression of the rows, and that of the row outside.
fn equal(condition: &Expr) -> Result<Option<(Expr, Expr)>> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = condition
    else {
        return Ok(None);
    };
    for (own, other) in [(left, right), (right, left)] {
        let is_own = !own.column_refs().is_empty() && !any_outer([own.as_ref()].into_iter())?;
        if is_own && other.column_refs().is_empty() && any_outer([other.as_ref()].into_iter())? {
            let outer = other.as_ref().clone().transform_up(|expr| {
                Ok(match expr {
                    Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
                    expr => Transformed::no(expr),
                })
            });
            return Ok(Some((own.as_ref().clone(), outer.data()?)));
        }
    }
    Ok(None)
}

/// Whether some expression refers to the query outside, or might.
fn any_outer<'a>(mut exprs: impl Iterator<Item = &'a Expr>) -> Result<bool> {
    exprs.try_fold(false, |any, expr| {
        let own = expr.exists(|expr| {
            Ok(matches!(
                expr,
                Expr::OuterReferenceColumn(..)
                    | Expr::ScalarSubquery(_)
                    | Expr::Exists(_)
                    | Expr::InSubquery(_)
                    | Expr::SetComparison(_)
            ))
        })?;
        Ok(any || own)
    })
}

fn has_outer(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        found |= plan.contains_outer_reference();
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
