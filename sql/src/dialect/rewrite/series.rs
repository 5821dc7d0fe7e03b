//! `generate_series(…)`: rows, not a list.
//!
//! DataFusion's scalar function of that name makes one list of everything, its table function
//! makes rows as they are wanted. So a call in a select list moves to FROM where that says the same:
//! alone, in a query without FROM. Elsewhere it is refused. In FROM its one column has the name of
//! the table, as in PostgreSQL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, Ident, ObjectName, Query, Select, SelectItem, SetExpr, TableAlias,
    TableAliasColumnDef, TableFactor, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::build::{arguments, cast_to};
use crate::error::{Result, SqlError};

const HINT: &str = "Call it in FROM: SELECT … FROM t, generate_series(1, 2) AS s.";

/// Moves calls to FROM, and names the columns of those there.
pub(super) fn to_rows<T: VisitMut>(tree: &mut T) -> Result<()> {
    match tree.visit(&mut Series) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Series;

impl VisitorMut for Series {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let mut waiting = vec![&mut *query.body];
        while let Some(body) = waiting.pop() {
            match body {
                SetExpr::Select(select) => {
                    if let Err(error) = select_list(select) {
                        return ControlFlow::Break(error);
                    }
                }
                SetExpr::SetOperation { left, right, .. } => {
                    waiting.extend([&mut **left, &mut **right])
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<SqlError> {
        let (name, alias) = match table {
            TableFactor::Table {
                name,
                args: Some(_),
                alias,
                ..
            }
            | TableFactor::Function { name, alias, .. }
                if is_series(name) =>
            {
                ("generate_series", alias)
            }
            TableFactor::UNNEST {
                alias, array_exprs, ..
            } if array_exprs.len() == 1 => ("unnest", alias),
            _ => return ControlFlow::Continue(()),
        };
        let alias = alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: Ident::new(name),
            columns: Vec::new(),
            at: None,
        });
        if alias.columns.is_empty() {
            let column = Ident::with_quote('"', alias.name.value.clone());
            alias.columns.push(TableAliasColumnDef {
                name: column,
                data_type: None,
            });
        }
        ControlFlow::Continue(())
    }
}

/// Moves the call in a select list to FROM.
fn select_list(select: &mut Select) -> Result<()> {
    let mut calls = Vec::new();
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            find(expr, &mut calls);
        }
    }
    if calls.is_empty() {
        return Ok(());
    }
    let refused = |what: &str| Err(SqlError::unsupported(what).with_hint(HINT));
    if !select.from.is_empty() {
        return refused("a set-returning function in the select list of a query with FROM");
    }
    let [call] = &mut calls[..] else {
        return refused("more than one set-returning function in a select list");
    };
    let Some((column, from)) = moved(call) else {
        return refused("a set-returning function of this form");
    };
    **call = column;
    select.from = from;
    Ok(())
}

/// Calls that a select list has the value of, or computes with.
fn find<'a>(expr: &'a mut Expr, calls: &mut Vec<&'a mut Expr>) {
    if matches!(expr, Expr::Function(function) if is_series(&function.name)) {
        calls.push(expr);
        return;
    }
    match expr {
        Expr::Nested(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. } => find(inner, calls),
        Expr::BinaryOp { left, right, .. } => {
            find(left, calls);
            find(right, calls);
        }
        _ => {}
    }
}

fn is_series(name: &ObjectName) -> bool {
    let name = name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| name.value == "generate_series")
}

/// The column and the FROM in the place of a call. Their names cannot be typed.
fn moved(call: &mut Expr) -> Option<(Expr, Vec<ast::TableWithJoins>)> {
    let Expr::Function(function) = call else {
        return None;
    };
    let text = format!("SELECT \"value\u{1}\" FROM {function} AS \"series\u{1}\"(\"value\u{1}\")");
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(&text)
        .ok()?;
    let parsed = parser.parse_query().ok()?;
    let SetExpr::Select(select) = *parsed.body else {
        return None;
    };
    let select = *select;
    let Some(SelectItem::UnnamedExpr(column)) = select.projection.into_iter().next() else {
        return None;
    };
    // Of small literals it is an integer, as the literals are.
    let column = match all_int4(function) {
        true => cast_to(column, ast::DataType::Int(None)),
        false => column,
    };
    Some((column, select.from))
}

fn all_int4(function: &mut Function) -> bool {
    arguments(function).all(|argument| is_int4(argument))
}

fn is_int4(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => {
            matches!(&value.value, Value::Number(text, _) if text.parse::<i32>().is_ok())
        }
        Expr::UnaryOp { expr, .. } => is_int4(expr),
        _ => false,
    }
}
