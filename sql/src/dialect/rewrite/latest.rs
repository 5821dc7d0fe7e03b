//! `SELECT … FROM t WHERE c LATEST ON ts PARTITION BY k`: the newest row of each k.
//!
//! As in QuestDB, conditions choose rows first, and the newest of these are then what the rest of
//! the query is about. So they are a query in FROM, under the name that the table had:
//! `SELECT DISTINCT ON (k) * FROM t WHERE c ORDER BY k, ts DESC`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, Select,
    SelectItem, SetExpr, TableFactor, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::build::{arguments, derived, empty_query, empty_select, take};
use crate::dialect::temporal::LATEST;
use crate::error::SqlError;

/// Rewrites all queries within.
pub(super) fn rewrite(query: &mut Query) -> Result<(), SqlError> {
    match query.visit(&mut Rewrite) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Whether an expression stands for `LATEST ON`.
pub(in crate::dialect) fn is_latest(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if is_call(function))
}

fn is_call(function: &Function) -> bool {
    let [name] = &function.name.0[..] else {
        return false;
    };
    name.as_ident().is_some_and(|ident| ident.value == LATEST)
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = SqlError;

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        match newest(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn newest(select: &mut Select) -> Result<(), SqlError> {
    let mut call = match select.qualify.take() {
        Some(Expr::Function(function)) if is_call(&function) => function,
        other => {
            select.qualify = other;
            return Ok(());
        }
    };
    let [table] = &select.from[..] else {
        return Err(SqlError::unsupported("LATEST ON of several tables"));
    };
    let name = match &table.relation {
        _ if !table.joins.is_empty() => None,
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) if alias.columns.is_empty() => Some(alias.name.clone()),
            Some(_) => None,
            None => name.0.last().and_then(|part| part.as_ident()).cloned(),
        },
        TableFactor::Derived {
            alias: Some(alias), ..
        } => Some(alias.name.clone()),
        _ => None,
    };
    let Some(name) = name else {
        return Err(SqlError::unsupported("LATEST ON of more than one table"));
    };
    let mut columns = arguments(&mut call).map(take);
    let Some(time) = columns.next() else {
        return Err(SqlError::internal("LATEST ON without a time"));
    };
    let keys: Vec<Expr> = columns.collect();
    let mut inner = empty_select();
    inner.distinct = Some(Distinct::On(keys.clone()));
    inner.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    inner.from = std::mem::take(&mut select.from);
    inner.selection = select.selection.take();
    let mut query = empty_query();
    query.body = Box::new(SetExpr::Select(Box::new(inner)));
    let mut order: Vec<OrderByExpr> = keys.into_iter().map(|key| sorted(key, None)).collect();
    order.push(sorted(time, Some(false)));
    query.order_by = Some(OrderBy {
        kind: OrderByKind::Expressions(order),
        interpolate: None,
    });
    select.from = vec![derived(Box::new(query), "", Vec::new())];
    if let TableFactor::Derived {
        alias: Some(alias), ..
    } = &mut select.from[0].relation
    {
        alias.name = name;
    }
    Ok(())
}

/// A time that is NULL is no newest one.
fn sorted(expr: Expr, asc: Option<bool>) -> OrderByExpr {
    OrderByExpr {
        expr,
        options: OrderByOptions {
            asc,
            nulls_first: asc.map(|_| false),
        },
        with_fill: None,
    }
}
