//! `time_bucket(…, origin => …)`, `make_interval(days => …)`: named arguments in the order that the function takes.
//!
//! The names tell what a bare string is, which its place does not: `origin => '2024-01-01'`.

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, TimezoneInfo, Value,
};

use super::build::{cast_to, number};
use crate::error::{SqlError, SqlState};

/// The arguments by name, as `time_bucket` and `time_bucket_gapfill` have them.
#[derive(Default)]
struct Named {
    width: Option<Expr>,
    time: Option<Expr>,
    zone: Option<Expr>,
    origin: Option<Expr>,
    offset: Option<Expr>,
}

/// Puts the arguments of `time_bucket` in order, if some are named.
pub(super) fn order(function: &mut Function) -> Result<(), SqlError> {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    let FunctionArguments::List(list) = &mut function.args else {
        return Ok(());
    };
    if name.is_some_and(|ident| ident.value == "make_interval") {
        list.args = interval_parts(std::mem::take(&mut list.args))?;
        return Ok(());
    }
    let is_named = |arg: &FunctionArg| !matches!(arg, FunctionArg::Unnamed(_));
    if name.is_none_or(|ident| ident.value != "time_bucket") || !list.args.iter().any(is_named) {
        return Ok(());
    }
    let mut named = Named::default();
    let mut positional = Vec::new();
    for arg in std::mem::take(&mut list.args) {
        let (name, expr) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                positional.push(expr);
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
            _ => return Err(no_such_function()),
        };
        let slot = match name.as_str() {
            "bucket_width" => &mut named.width,
            "ts" => &mut named.time,
            "timezone" => &mut named.zone,
            "origin" => &mut named.origin,
            "offset" => &mut named.offset,
            _ => return Err(no_such_function()),
        };
        *slot = Some(expr);
    }
    let args = named.in_order(positional)?;
    list.args = args
        .into_iter()
        .map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)))
        .collect();
    Ok(())
}

/// The arguments of `make_interval`, all seven: what is not given is none.
fn interval_parts(args: Vec<FunctionArg>) -> Result<Vec<FunctionArg>, SqlError> {
    const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let zero = FunctionArgExpr::Expr(number(0));
    let mut parts: Vec<FunctionArg> = vec![FunctionArg::Unnamed(zero); NAMES.len()];
    for (place, arg) in args.into_iter().enumerate() {
        let (place, arg) = match arg {
            FunctionArg::Unnamed(arg) => (Some(place), arg),
            FunctionArg::Named { name, arg, .. }
            | FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg,
                ..
            } => (NAMES.iter().position(|known| *known == name.value), arg),
            FunctionArg::ExprNamed { .. } => (None, FunctionArgExpr::Wildcard),
        };
        match place.and_then(|place| parts.get_mut(place)) {
            Some(part) => *part = FunctionArg::Unnamed(arg),
            None => {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_FUNCTION,
                    "function make_interval does not exist with these arguments",
                )
                .with_hint("Its arguments are years, months, weeks, days, hours, mins and secs."));
            }
        }
    }
    Ok(parts)
}

impl Named {
    fn in_order(self, positional: Vec<Expr>) -> Result<Vec<Expr>, SqlError> {
        let mut positional = positional.into_iter();
        let width = positional
            .next()
            .or(self.width)
            .ok_or_else(no_such_function)?;
        let time = positional
            .next()
            .or(self.time)
            .ok_or_else(no_such_function)?;
        let mut args = vec![width, time];
        let typed = |expr: Option<Expr>, ty: DataType| expr.map(|expr| with_type(expr, ty));
        let zoned = DataType::Timestamp(None, TimezoneInfo::Tz);
        let interval = DataType::Interval {
            fields: None,
            precision: None,
        };
        let (origin, offset) = (typed(self.origin, zoned), typed(self.offset, interval));
        let rest: Vec<Expr> = positional.collect();
        match (self.zone, rest.len(), origin, offset) {
            // A third argument by place can only be the zone if others follow it.
            (zone, given, origin, offset) if zone.is_some() || given > 0 => {
                args.extend(rest);
                args.extend(zone);
                if origin.is_some() || offset.is_some() {
                    args.push(origin.unwrap_or_else(null));
                }
                args.extend(offset);
            }
            (_, _, Some(origin), None) => args.push(origin),
            (_, _, None, Some(offset)) => args.push(offset),
            (_, _, None, None) => {}
            (_, _, Some(_), Some(_)) => return Err(no_such_function()),
        }
        Ok(args)
    }
}

/// A string is one of the type that its name asks for.
fn with_type(expr: Expr, ty: DataType) -> Expr {
    match &expr {
        Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => {
            cast_to(expr, ty)
        }
        _ => expr,
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

fn no_such_function() -> SqlError {
    SqlError::new(SqlState::UNDEFINED_FUNCTION, "function time_bucket does not exist with these arguments")
        .with_hint("Its arguments are bucket_width, ts, timezone, origin and offset; without a timezone, origin or offset.")
}
