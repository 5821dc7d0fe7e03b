//! Scalar subqueries over the system catalogs: `(SELECT pg_get_expr(…) FROM pg_attrdef d WHERE …)`.
//!
//! DataFusion wants a correlated scalar subquery to be an aggregate, so that it has one row. Over
//! the catalogs clients ask by key, and taking the first value says the same. Over other tables
//! two rows must stay an error, so nothing is changed there.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Query, Select, SelectItem, SetExpr, TableFactor, Value, VisitMut, VisitorMut,
};

use super::build::{call, take};

/// Makes aggregates of them.
pub(super) fn first_of_catalogs<T: VisitMut>(tree: &mut T) {
    let _ = tree.visit(&mut Scalar);
}

struct Scalar;

impl VisitorMut for Scalar {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Subquery(query) = expr else {
            return ControlFlow::Continue(());
        };
        let is_collation = query.to_string().contains("pg_catalog.pg_collation");
        let Some(item) = plain_item(query) else {
            return ControlFlow::Continue(());
        };
        // Clients ask for the collation of a column where it is not its type's: no column's is.
        if is_collation {
            *expr = Expr::Value(Value::Null.into());
        } else {
            *item = call("first_value", vec![take(item)]);
        }
        ControlFlow::Continue(())
    }
}

/// The one column of a query over catalogs that neither groups nor cuts.
fn plain_item(query: &mut Query) -> Option<&mut Expr> {
    let is_cut = query.limit_clause.is_some() || query.fetch.is_some() || query.with.is_some();
    let SetExpr::Select(select) = &mut *query.body else {
        return None;
    };
    let has_group =
        !matches!(&select.group_by, GroupByExpr::Expressions(items, _) if items.is_empty());
    let is_plain = !is_cut && !has_group && select.having.is_none() && select.distinct.is_none();
    if !is_plain || !of_catalogs(select) {
        return None;
    }
    match &mut select.projection[..] {
        [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }]
            if !is_aggregate(item) =>
        {
            Some(item)
        }
        _ => None,
    }
}

fn of_catalogs(select: &Select) -> bool {
    let is_catalog = |factor: &TableFactor| match factor {
        TableFactor::Table { name, .. } => name
            .0
            .first()
            .and_then(|part| part.as_ident())
            .is_some_and(|schema| schema.value == "pg_catalog" && name.0.len() == 2),
        _ => false,
    };
    let mut factors = select.from.iter().flat_map(|table| {
        std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
    });
    !select.from.is_empty() && factors.all(is_catalog)
}

fn is_aggregate(expr: &Expr) -> bool {
    const NAMES: &[&str] = &[
        "count",
        "max",
        "min",
        "sum",
        "array_agg",
        "string_agg",
        "bool_and",
        "bool_or",
        "first_value",
    ];
    match expr {
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            name.is_some_and(|name| NAMES.contains(&name.value.as_str()))
        }
        _ => false,
    }
}
