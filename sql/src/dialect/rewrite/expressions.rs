//! Expressions: one rule a function, each node after its children.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, GroupByExpr, LimitClause, NamedWindowExpr, ObjectName,
    ObjectNamePart, Query, Select, SelectItem, SetExpr, TableFactor, UnaryOperator, Value,
    ValueWithSpan, VisitorMut, WindowType,
};

use super::arrays::array_subquery;
use super::build::{arguments, call, number, take};
use super::casts::cast;
use super::constants::{int4, long_number, unwrap_ordinal};
use super::intervals::{interval, restore_bounds};
use super::{gapfill, named_arguments, rows};
use crate::dialect::words;
use crate::error::{SqlError, SqlState};

/// The rules.
pub(super) struct Expressions {
    /// Values of an INSERT take the type of their column, so that they keep their form.
    pub(super) is_insert: bool,
}

type Flow = ControlFlow<SqlError>;

impl VisitorMut for Expressions {
    type Break = SqlError;

    /// All strings are strings: DataFusion knows two of the kinds.
    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> Flow {
        let text = match &mut value.value {
            Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::NationalStringLiteral(text) => std::mem::take(text),
            Value::DollarQuotedString(text) => std::mem::take(&mut text.value),
            _ => return ControlFlow::Continue(()),
        };
        value.value = Value::SingleQuotedString(text);
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> Flow {
        fetch_to_limit(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> Flow {
        if let TableFactor::Table {
            name,
            args: Some(_),
            ..
        }
        | TableFactor::Function { name, .. } = table
        {
            strip_catalog(name);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> Flow {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                int4(expr);
            }
        }
        select.named_window.iter_mut().for_each(|window| {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                restore_bounds(spec);
            }
        });
        // A number in GROUP BY is the number of a column; one in brackets was not.
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().for_each(unwrap_ordinal);
        }
        match gapfill::check(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_query(&mut self, query: &mut Query) -> Flow {
        if let SetExpr::Values(values) = &mut *query.body
            && !self.is_insert
        {
            values
                .rows
                .iter_mut()
                .flat_map(|row| &mut row.content)
                .for_each(int4);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        match rewrite(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn rewrite(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::BinaryOp { left, op, right } => {
            if let BinaryOperator::PGCustomBinaryOperator(parts) = op {
                *op = named_operator(parts)?;
            }
            if is_arithmetic(op) {
                int4(left);
                int4(right);
            } else if let Some(compared) = rows::compared(left, op, right) {
                *expr = compared;
            }
        }
        Expr::InList {
            expr: row,
            list,
            negated,
        } => {
            if let Some(any) = rows::any_of(row, list, *negated) {
                *expr = any;
            }
        }
        Expr::Extract {
            field, expr: of, ..
        } => {
            let field = Value::SingleQuotedString(field.to_string().to_lowercase());
            let args = vec![Expr::Value(field.into()), take(of)];
            *expr = call("extract", args);
        }
        Expr::Interval(_) => interval(expr),
        Expr::Value(_) => long_number(expr),
        // Some of these sqlparser takes for columns.
        Expr::Identifier(ident) if ident.quote_style.is_none() && words::is_value(&ident.value) => {
            *expr = call(&ident.value.clone(), Vec::new());
        }
        Expr::Cast { .. } | Expr::TypedString(_) => cast(expr),
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => {
            let args = vec![take(time_zone), take(timestamp)];
            *expr = call("timezone", args);
        }
        Expr::Function(function) => {
            strip_catalog(&mut function.name);
            if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                restore_bounds(spec);
            }
            named_arguments::order(function)?;
            gapfill::order(function)?;
            if let Some(replacement) = array_subquery(function) {
                *expr = replacement;
            } else if let Some(remainder) = remainder(function) {
                *expr = remainder;
            } else if keeps_type(function) {
                arguments(function).for_each(int4);
            }
        }
        Expr::Case {
            conditions,
            else_result,
            ..
        } => {
            conditions
                .iter_mut()
                .for_each(|when| int4(&mut when.result));
            else_result.iter_mut().for_each(|expr| int4(expr));
        }
        Expr::Array(array) => array.elem.iter_mut().for_each(int4),
        Expr::UnaryOp {
            op: UnaryOperator::BitwiseNot,
            expr,
        } => int4(expr),
        _ => {}
    }
    Ok(())
}

/// `mod(a, b)` is `a % b`.
fn remainder(function: &mut Function) -> Option<Expr> {
    let name = function.name.0.last().and_then(|part| part.as_ident())?;
    if name.value != "mod" {
        return None;
    }
    let [left, right] = &mut arguments(function).collect::<Vec<_>>()[..] else {
        return None;
    };
    int4(left);
    int4(right);
    let (left, right) = (
        Box::new(Expr::Nested(Box::new(take(left)))),
        Box::new(Expr::Nested(Box::new(take(right)))),
    );
    Some(Expr::Nested(Box::new(Expr::BinaryOp {
        left,
        op: BinaryOperator::Modulo,
        right,
    })))
}

/// `OPERATOR(pg_catalog.~)` is `~`.
fn named_operator(parts: &[String]) -> Result<BinaryOperator, SqlError> {
    let name = match parts {
        [name] => name,
        [schema, name] if schema == "pg_catalog" => name,
        _ => return Err(no_operator(&parts.join("."))),
    };
    Ok(match name.as_str() {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "^" => BinaryOperator::PGExp,
        "||" => BinaryOperator::StringConcat,
        "&" => BinaryOperator::BitwiseAnd,
        "|" => BinaryOperator::BitwiseOr,
        "#" => BinaryOperator::PGBitwiseXor,
        "<<" => BinaryOperator::PGBitwiseShiftLeft,
        ">>" => BinaryOperator::PGBitwiseShiftRight,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        "&&" => BinaryOperator::PGOverlap,
        other => return Err(no_operator(other)),
    })
}

fn no_operator(name: &str) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_FUNCTION,
        format!("operator does not exist: {name}"),
    )
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`.
fn fetch_to_limit(query: &mut Query) {
    let Some(fetch) = query.fetch.take() else {
        return;
    };
    let rows = fetch.quantity.unwrap_or_else(|| number(1));
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, .. }) => *limit = Some(rows),
        clause => {
            *clause = Some(LimitClause::LimitOffset {
                limit: Some(rows),
                offset: None,
                limit_by: Vec::new(),
            });
        }
    }
}

/// `pg_catalog.f` is `f`: DataFusion's functions are in no schema.
fn strip_catalog(name: &mut ObjectName) {
    let is_catalog = |part: &ObjectNamePart| {
        part.as_ident()
            .is_some_and(|ident| ident.value == "pg_catalog")
    };
    if name.0.len() == 2 && is_catalog(&name.0[0]) {
        name.0.remove(0);
    }
}

fn is_arithmetic(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
            | BinaryOperator::BitwiseAnd
            | BinaryOperator::BitwiseOr
            | BinaryOperator::PGBitwiseXor
    )
}

/// Functions whose result has the type of their arguments, or, as `sum`, follows it.
fn keeps_type(function: &Function) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|ident| {
        matches!(
            ident.value.as_str(),
            "abs"
                | "array_agg"
                | "avg"
                | "coalesce"
                | "first"
                | "greatest"
                | "last"
                | "least"
                | "max"
                | "min"
                | "mod"
                | "nullif"
                | "sum"
        )
    })
}
