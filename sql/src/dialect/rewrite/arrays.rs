//! `ARRAY(SELECT …)`.

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, Ident, Select,
    SelectItem, SetExpr,
};

use super::build::{derived, empty_query, empty_select, function_call, take};

/// `ARRAY(SELECT x …)`: DataFusion has no such call, but it aggregates. Of no rows it is NULL here and
/// `{}` in PostgreSQL.
pub(super) fn array_subquery(function: &mut Function) -> Option<Expr> {
    let FunctionArguments::Subquery(query) = &mut function.args else {
        return None;
    };
    if function.name.0.last()?.as_ident()?.value != "array" {
        return None;
    }
    let mut query = std::mem::replace(query, Box::new(empty_query()));
    let is_plain = query.limit_clause.is_none() && query.with.is_none();
    if let SetExpr::Select(select) = &mut *query.body
        && is_plain
        && !has_group(select)
        && let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
            &mut select.projection[..]
    {
        let order_by = match query.order_by.take() {
            Some(ast::OrderBy {
                kind: ast::OrderByKind::Expressions(items),
                ..
            }) => items,
            _ => Vec::new(),
        };
        // A number in ORDER BY is the only column.
        let column = item.clone();
        let order_by = order_by.into_iter().map(|mut by| {
            if matches!(by.expr, Expr::Value(_)) {
                by.expr = column.clone();
            }
            by
        });
        let mut aggregate = function_call("array_agg", vec![take(item)]);
        if let FunctionArguments::List(list) = &mut aggregate.args {
            let order_by: Vec<_> = order_by.collect();
            if !order_by.is_empty() {
                list.clauses.push(FunctionArgumentClause::OrderBy(order_by));
            }
            if select.distinct.take().is_some() {
                list.duplicate_treatment = Some(ast::DuplicateTreatment::Distinct);
            }
        }
        select.projection = vec![SelectItem::UnnamedExpr(Expr::Function(aggregate))];
        return Some(Expr::Subquery(query));
    }
    // Aggregates around a query that has some of its own.
    let mut outer = empty_select();
    let column = Expr::Identifier(Ident::new("array_element"));
    outer.projection = vec![SelectItem::UnnamedExpr(Expr::Function(function_call(
        "array_agg",
        vec![column],
    )))];
    let columns = vec![ast::TableAliasColumnDef::from_name("array_element")];
    outer.from = vec![derived(query, "array_rows", columns)];
    let mut query = empty_query();
    query.body = Box::new(SetExpr::Select(Box::new(outer)));
    Some(Expr::Subquery(Box::new(query)))
}

fn has_group(select: &Select) -> bool {
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
        GroupByExpr::All(_) => true,
    };
    grouped || select.having.is_some() || matches!(select.distinct, Some(ast::Distinct::On(_)))
}
