//! `SELECT generate_series(…)`: rows, not a list.
//!
//! DataFusion's scalar function of that name makes one list of everything, its table function
//! makes rows as they are wanted. So the call moves to FROM where it stands alone; anywhere else
//! there is no such function.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Query, SelectItem, SetExpr, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::build::{arguments, cast_to};

/// Moves every call that is the only column of a query without FROM.
pub(super) fn to_rows<T: VisitMut>(tree: &mut T) {
    let _ = tree.visit(&mut Series);
}

struct Series;

impl VisitorMut for Series {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = &mut *query.body
            && select.from.is_empty()
            && let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
                &mut select.projection[..]
            && let Some((column, from)) = moved(item)
        {
            *item = column;
            select.from = from;
        }
        ControlFlow::Continue(())
    }
}

/// The column and the FROM in the place of a call.
fn moved(item: &mut Expr) -> Option<(Expr, Vec<ast::TableWithJoins>)> {
    let Expr::Function(function) = item else {
        return None;
    };
    if function.name.0.last()?.as_ident()?.value != "generate_series" {
        return None;
    }
    let text = format!("SELECT value FROM {function}");
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
    let column = match arguments(function).all(|argument| is_int4(argument)) {
        true => cast_to(column, ast::DataType::Int(None)),
        false => column,
    };
    Some((column, select.from))
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
