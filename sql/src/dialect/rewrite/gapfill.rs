//! `time_bucket_gapfill`, `locf` and `interpolate`: named arguments in the order that they take, and
//! records `(time, value)` as DataFusion's structs.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query, Select,
    SelectItem, SetExpr, Value, Visit, Visitor, WindowType,
};

use super::build::{arguments, call, take};
use super::constants::int4;
use crate::error::{SqlError, SqlState};
use crate::functions::gapfill::{GAPFILL, INTERPOLATE, LOCF};

/// Puts the arguments of one of the functions in order.
pub(super) fn order(function: &mut Function) -> Result<(), SqlError> {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    let name = match name.map(|ident| ident.value.as_str()) {
        Some(GAPFILL) => GAPFILL,
        Some(LOCF) => LOCF,
        Some(INTERPOLATE) => INTERPOLATE,
        _ => return Ok(()),
    };
    let names: &[&str] = match name {
        GAPFILL => &["bucket_width", "ts", "timezone", "start", "finish"],
        LOCF => &["value", "prev", "treat_null_as_missing"],
        _ => &["value", "prev", "next"],
    };
    let FunctionArguments::List(list) = &mut function.args else {
        return Ok(());
    };
    if list
        .args
        .iter()
        .any(|arg| !matches!(arg, FunctionArg::Unnamed(_)))
    {
        let (given, named) = split(name, names, std::mem::take(&mut list.args))?;
        let args = match name {
            GAPFILL => of_gapfill(given, named),
            _ => of_marker(given, named),
        };
        let unnamed = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
        list.args = args.into_iter().map(unnamed).collect();
    }
    match name {
        GAPFILL => {}
        LOCF => arguments(function).take(2).for_each(int4),
        _ => {
            arguments(function).take(1).for_each(int4);
            arguments(function).skip(1).for_each(record);
        }
    }
    Ok(())
}

/// The arguments by place, and those by name in the order of the names.
fn split(
    function: &str,
    names: &[&str],
    args: Vec<FunctionArg>,
) -> Result<(Vec<Expr>, Vec<Option<Expr>>), SqlError> {
    let mut given = Vec::new();
    let mut named = vec![None; names.len()];
    for arg in args {
        let (name, expr) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                given.push(expr);
                continue;
            }
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(expr),
                ..
            }
            | FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(expr),
                ..
            } => (name.value, expr),
            _ => return Err(no_such_function(function, names)),
        };
        let place = names.iter().position(|known| *known == name);
        match place.and_then(|place| named.get_mut(place)) {
            Some(slot) if slot.is_none() => *slot = Some(expr),
            _ => return Err(no_such_function(function, names)),
        }
    }
    Ok((given, named))
}

/// Width, time, zone where there is one, start and finish.
fn of_gapfill(given: Vec<Expr>, named: Vec<Option<Expr>>) -> Vec<Expr> {
    let mut named = named.into_iter();
    let [width, time, zone, start, finish] = std::array::from_fn(|_| named.next().flatten());
    let mut args: Vec<Expr> = given;
    args.extend(width);
    args.extend(time);
    if let Some(zone) = zone {
        args.insert(args.len().min(2), zone);
        args.extend([start.unwrap_or_else(null), finish.unwrap_or_else(null)]);
        args.truncate(5);
        return args;
    }
    // A third argument by place is the zone if a start is named beside it.
    match (start, finish) {
        (Some(start), finish) => args.extend([start, finish.unwrap_or_else(null)]),
        (None, Some(finish)) if args.len() == 2 => args.extend([null(), finish]),
        (None, finish) => args.extend(finish),
    }
    args
}

fn of_marker(given: Vec<Expr>, named: Vec<Option<Expr>>) -> Vec<Expr> {
    let mut places: Vec<Option<Expr>> = given.into_iter().map(Some).collect();
    places.resize(places.len().max(named.len()), None);
    for (place, expr) in places.iter_mut().zip(named) {
        *place = expr.or(place.take());
    }
    while places.last().is_some_and(Option::is_none) {
        places.pop();
    }
    let filled = places.into_iter().map(|expr| expr.unwrap_or_else(null));
    filled.collect()
}

/// A row of values as a struct, also where it is all that a subquery selects.
fn record(expr: &mut Expr) {
    match expr {
        Expr::Nested(inner) => record(inner),
        Expr::Tuple(columns) => {
            let mut columns = std::mem::take(columns);
            columns.iter_mut().for_each(int4);
            *expr = call("struct", columns);
        }
        Expr::Function(function) if function.name.to_string() == "row" => {
            let columns = arguments(function).map(|column| {
                int4(column);
                take(column)
            });
            *expr = call("struct", columns.collect());
        }
        Expr::Subquery(query) => {
            if let SetExpr::Select(select) = &mut *query.body
                && let [
                    SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. },
                ] = &mut select.projection[..]
            {
                record(item);
            }
        }
        _ => {}
    }
}

/// Refuses a second call of `time_bucket_gapfill` in a select list that is grouped.
pub(super) fn check(select: &Select) -> Result<(), SqlError> {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else {
        return Ok(());
    };
    if keys.is_empty() {
        return Ok(());
    }
    let mut calls = Calls::default();
    let _ = select.projection.visit(&mut calls);
    match calls.count {
        0 | 1 => Ok(()),
        _ => Err(SqlError::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "multiple time_bucket_gapfill calls not allowed",
        )),
    }
}

/// Counts calls outside of subqueries and windows: what a window is ordered by is the select list's
/// own call.
#[derive(Default)]
struct Calls {
    count: usize,
    depth: usize,
}

impl Calls {
    fn in_window(window: &WindowType) -> usize {
        let mut calls = Calls::default();
        let _ = window.visit(&mut calls);
        calls.count
    }
}

impl Visitor for Calls {
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
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let name = function.name.0.last().and_then(|part| part.as_ident());
        if self.depth == 0 && name.is_some_and(|ident| ident.value == GAPFILL) {
            self.count += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(Function {
            over: Some(window), ..
        }) = expr
            && self.depth == 0
        {
            self.count -= Calls::in_window(window);
        }
        ControlFlow::Continue(())
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

fn no_such_function(name: &str, arguments: &[&str]) -> SqlError {
    let message = format!("function {name} does not exist with these arguments");
    SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
        .with_hint(format!("Its arguments are {}.", arguments.join(", ")))
}
