//! Subqueries of system tables that stand for a value.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    GroupByExpr, Query, Select, SelectItem, SetExpr, TableFactor, Value, Visit, Visitor,
    VisitorMut,
};

use super::build::{call, call_with_star, null, when, words};
use super::{correlation, is_empty, system_tables};

/// `EXISTS (SELECT …)` among the results of a query, which DataFusion has in WHERE alone, is a count.
pub(super) struct Exists;

impl VisitorMut for Exists {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Exists { subquery, negated } = expr
            && let Some(item) = only_result(subquery)
        {
            *item = call_with_star("count");
            let op = if *negated {
                BinaryOperator::Eq
            } else {
                BinaryOperator::Gt
            };
            let count = Expr::Subquery(subquery.clone());
            *expr = Expr::Nested(Box::new(Expr::BinaryOp {
                left: Box::new(count),
                op,
                right: Box::new(Expr::Value(Value::Number("0".into(), false).into())),
            }));
        }
        ControlFlow::Continue(())
    }
}

/// Subqueries that stand for a value. DataFusion wants to see that there is one row at most, which the
/// keys of the catalogs tell and an aggregate shows. What was `ARRAY(SELECT …)` is empty without rows.
pub(super) struct Subqueries;

impl VisitorMut for Subqueries {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Subquery(query) = expr else {
            return ControlFlow::Continue(());
        };
        let SetExpr::Select(select) = &*query.body else {
            return ControlFlow::Continue(());
        };
        if has_no_elements(select) {
            let text = Box::new(DataType::Text);
            let none = null(DataType::Array(ArrayElemTypeDef::SquareBracket(text, None)));
            *expr = call("array_or_empty", vec![none]);
            return ControlFlow::Continue(());
        }
        let tables = system_tables(select);
        let relations: usize = select.from.iter().map(|from| 1 + from.joins.len()).sum();
        if tables.is_empty() || tables.len() != relations {
            return ControlFlow::Continue(());
        }
        let is_never = tables
            .iter()
            .any(|table| table.required && is_empty(table.definition));
        let Some(item) = only_result(query) else {
            return ControlFlow::Continue(());
        };
        match aggregate(item) {
            // Of a table without rows: what the value would be is never computed.
            None | Some("first_value") if is_never => {
                *expr = null(DataType::Text);
                return ControlFlow::Continue(());
            }
            Some("array_agg") => {
                let subquery = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                *expr = call("array_or_empty", vec![subquery]);
                return ControlFlow::Continue(());
            }
            Some("first_value") => {}
            Some(_) => return ControlFlow::Continue(()),
            None => {
                let value = std::mem::replace(item, Expr::Value(Value::Null.into()));
                *item = call("first_value", vec![value]);
            }
        }
        if let SetExpr::Select(select) = &mut *query.body
            && let Some(condition) = correlation::untangle(select, &tables)
        {
            let subquery = std::mem::replace(expr, Expr::Value(Value::Null.into()));
            *expr = when(condition, subquery);
        }
        ControlFlow::Continue(())
    }
}

/// The one result of a query that neither groups nor cuts its rows.
fn only_result(query: &mut Query) -> Option<&mut Expr> {
    if query.with.is_some() || query.limit_clause.is_some() {
        return None;
    }
    let SetExpr::Select(select) = &mut *query.body else {
        return None;
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    if grouped || select.having.is_some() || select.distinct.is_some() {
        return None;
    }
    match &mut select.projection[..] {
        [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => Some(expr),
        _ => None,
    }
}

/// The aggregate that an expression is or has in it, but for those of its subqueries.
pub(super) fn aggregate(expr: &Expr) -> Option<&'static str> {
    #[derive(Default)]
    struct Found {
        name: Option<&'static str>,
        depth: usize,
    }
    impl Visitor for Found {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && self.depth == 0
            {
                self.name = self.name.or(is_aggregate(function));
            }
            ControlFlow::Continue(())
        }
    }
    let mut found = Found::default();
    let _ = expr.visit(&mut found);
    found.name
}

/// The name of an aggregate, of those that one writes about catalogs.
pub(super) fn is_aggregate(function: &Function) -> Option<&'static str> {
    const KNOWN: [&str; 9] = [
        "array_agg",
        "bool_and",
        "bool_or",
        "count",
        "first_value",
        "max",
        "min",
        "string_agg",
        "sum",
    ];
    match words(&function.name)[..] {
        [name] => KNOWN.into_iter().find(|known| *known == name),
        _ => None,
    }
}

/// Whether it selects from `unnest(c.reloptions)`: tables have no such options.
fn has_no_elements(select: &Select) -> bool {
    if let [from] = &select.from[..]
        && from.joins.is_empty()
        && let TableFactor::Table {
            name,
            args: Some(args),
            ..
        } = &from.relation
        && words(name) == ["unnest"]
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::CompoundIdentifier(column)))] =
            &args.args[..]
    {
        return column
            .last()
            .is_some_and(|column| column.value == "reloptions");
    }
    false
}
