//! Calls of TimescaleDB's administrative functions.
//!
//! They change the catalog or delete data, so they are statements here and no functions of the
//! query engine: `SELECT f(…)`, `SELECT * FROM f(…)` and `CALL f(…)` are recognised when the call is
//! all that the statement does. Procedures are called by `CALL` alone.

mod function;

use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, SelectItem, Spanned, Value,
};

use super::cursor::Cursor;
use super::source::Source;
use super::statement::Statement;
use crate::error::{Result, SqlError, SqlState};

pub use function::AdminFunction;

/// A call.
#[derive(Debug, Clone)]
pub struct AdminCall {
    /// Which function.
    pub function: AdminFunction,
    /// Its arguments as written: positional ones first, then named ones.
    pub arguments: Vec<AdminArgument>,
    /// The name of the single output column, or `None` for `SELECT * FROM f(…)` and `CALL`, where
    /// the function's own columns are the answer.
    pub column: Option<String>,
}

/// An argument.
#[derive(Debug, Clone)]
pub struct AdminArgument {
    /// Its name, in `name => value`.
    pub name: Option<String>,
    /// Its value.
    pub value: AdminValue,
}

/// The value of an argument, as far as it can be told without planning.
#[derive(Debug, Clone)]
pub enum AdminValue {
    /// `NULL`.
    Null,
    /// `true`, `false`.
    Boolean(bool),
    /// `86400000000`, `-1`.
    Integer(i64),
    /// `'orders'`, `'orders'::regclass`.
    Text(String),
    /// `INTERVAL '1 day'`, `'1 day'::interval`: the text, units after the string appended.
    Interval(String),
    /// `by_range('ts', INTERVAL '1 day')`, `by_hash('merchant_id', 4)`.
    Dimension {
        /// Which of the two.
        kind: DimensionKind,
        /// The column.
        column: String,
        /// The interval or the number of partitions.
        size: Option<Box<AdminValue>>,
    },
    /// Anything else, such as `now() - INTERVAL '30 days'`: to be planned.
    Expression(Box<ast::Expr>),
}

/// How a dimension divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DimensionKind {
    /// `by_range`.
    Range,
    /// `by_hash`.
    Hash,
}

/// The call that a query is, if it is nothing else: `SELECT f(…)` or `SELECT * FROM f(…)`.
pub(crate) fn of_query(query: &ast::Query, source: &Source<'_>) -> Result<Option<AdminCall>> {
    let ast::SetExpr::Select(select) = &*query.body else {
        return Ok(None);
    };
    let [item] = &select.projection[..] else {
        return Ok(None);
    };
    let (name, args, column) = match (item, &select.from[..]) {
        (SelectItem::UnnamedExpr(ast::Expr::Function(call)), []) => {
            (&call.name, arguments_of(call), Some(None))
        }
        (
            SelectItem::ExprWithAlias {
                expr: ast::Expr::Function(call),
                alias,
            },
            [],
        ) => (
            &call.name,
            arguments_of(call),
            Some(Some(alias.value.clone())),
        ),
        (
            SelectItem::Wildcard(_),
            [
                ast::TableWithJoins {
                    relation:
                        ast::TableFactor::Table {
                            name,
                            args: Some(args),
                            ..
                        },
                    joins,
                },
            ],
        ) if joins.is_empty() => (name, &args.args[..], None),
        _ => return Ok(None),
    };
    let Some(function) = function_named(name) else {
        return Ok(None);
    };
    if function.is_procedure() {
        let message = format!("{}() is a procedure", function.name());
        return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)
            .with_hint("To call a procedure, use CALL."));
    }
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.selection.is_none()
        && select.having.is_none()
        && select.distinct.is_none();
    if !plain {
        return Err(SqlError::unsupported(format!(
            "{} in a query with other clauses",
            function.name()
        )));
    }
    let column = column.map(|alias| alias.unwrap_or_else(|| function.name().to_owned()));
    Ok(Some(AdminCall {
        function,
        arguments: arguments(args, source)?,
        column,
    }))
}

/// `CALL f(…)`.
pub(crate) fn parse_call(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["call"])?;
    let position = at.position();
    let ast::Expr::Function(call) = at.expr()? else {
        return Err(at.source.syntax_error(1));
    };
    match function_named(&call.name) {
        Some(function) => {
            let arguments = arguments(arguments_of(&call), at.source)?;
            Ok(Statement::Admin(AdminCall {
                function,
                arguments,
                column: None,
            }))
        }
        None => {
            let message = format!("procedure {} does not exist", call.name);
            Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message).at(position))
        }
    }
}

/// The function of a name, with or without `public.`, where TimescaleDB installs them.
fn function_named(name: &ast::ObjectName) -> Option<AdminFunction> {
    let parts: Option<Vec<&str>> = name
        .0
        .iter()
        .map(|part| part.as_ident().map(|ident| ident.value.as_str()))
        .collect();
    match parts?.as_slice() {
        [name] | ["public", name] => AdminFunction::from_name(name),
        _ => None,
    }
}

fn arguments_of(call: &ast::Function) -> &[FunctionArg] {
    match &call.args {
        ast::FunctionArguments::List(list) => &list.args,
        _ => &[],
    }
}

fn arguments(args: &[FunctionArg], source: &Source<'_>) -> Result<Vec<AdminArgument>> {
    let mut arguments: Vec<AdminArgument> = Vec::new();
    for arg in args {
        let named_at = match arg {
            FunctionArg::Named { name, .. } => Some(name.span.start),
            _ => None,
        };
        let (name, arg) = match arg {
            FunctionArg::Named { name, arg, .. } => (Some(name.value.clone()), arg),
            FunctionArg::ExprNamed {
                name: ast::Expr::Identifier(name),
                arg,
                ..
            } => (Some(name.value.clone()), arg),
            FunctionArg::ExprNamed { .. } => return Err(source.syntax_error(0)),
            FunctionArg::Unnamed(arg) => (None, arg),
        };
        let FunctionArgExpr::Expr(expr) = arg else {
            return Err(source.syntax_error(0));
        };
        let start = named_at.unwrap_or_else(|| expr.span().start);
        let position = source.position(source.token_at(start));
        if name.is_none() && arguments.last().is_some_and(|before| before.name.is_some()) {
            let message = "positional argument cannot follow named argument";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(position));
        }
        if name.is_some() && arguments.iter().any(|before| before.name == name) {
            let message = format!(
                "argument name \"{}\" used more than once",
                name.unwrap_or_default()
            );
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(position));
        }
        arguments.push(AdminArgument {
            name,
            value: value(expr),
        });
    }
    Ok(arguments)
}

/// What an expression is worth without planning.
fn value(expr: &ast::Expr) -> AdminValue {
    let unknown = || AdminValue::Expression(Box::new(expr.clone()));
    match expr {
        ast::Expr::Nested(expr) => value(expr),
        ast::Expr::Value(constant) => match &constant.value {
            Value::Null => AdminValue::Null,
            Value::Boolean(value) => AdminValue::Boolean(*value),
            Value::Number(digits, _) => digits
                .parse()
                .map_or_else(|_| unknown(), AdminValue::Integer),
            other => text_of(other).map_or_else(unknown, AdminValue::Text),
        },
        ast::Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr: operand,
        } => match value(operand) {
            AdminValue::Integer(number) => AdminValue::Integer(-number),
            _ => unknown(),
        },
        ast::Expr::Interval(interval) => match (value(&interval.value), &interval.leading_field) {
            (AdminValue::Text(text), None) => AdminValue::Interval(text),
            (AdminValue::Text(text), Some(unit)) => AdminValue::Interval(format!("{text} {unit}")),
            _ => unknown(),
        },
        ast::Expr::Cast {
            expr: operand,
            data_type,
            ..
        } => match (value(operand), data_type) {
            (AdminValue::Text(text), ast::DataType::Interval { fields: None, .. }) => {
                AdminValue::Interval(text)
            }
            (
                AdminValue::Text(text),
                ast::DataType::Regclass
                | ast::DataType::Text
                | ast::DataType::JSON
                | ast::DataType::JSONB,
            ) => AdminValue::Text(text),
            (AdminValue::Text(text), ast::DataType::Custom(name, _)) if is_name_type(name) => {
                AdminValue::Text(text)
            }
            (
                number @ AdminValue::Integer(_),
                ast::DataType::BigInt(None) | ast::DataType::Int8(None),
            ) => number,
            _ => unknown(),
        },
        ast::Expr::Function(call) => dimension(call).unwrap_or_else(unknown),
        _ => unknown(),
    }
}

/// `by_range(column [, size])` and `by_hash(column, number)`.
fn dimension(call: &ast::Function) -> Option<AdminValue> {
    let kind = match call.name.0.last()?.as_ident()?.value.as_str() {
        "by_range" => DimensionKind::Range,
        "by_hash" => DimensionKind::Hash,
        _ => return None,
    };
    let mut values = arguments_of(call).iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named {
            arg: FunctionArgExpr::Expr(expr),
            ..
        } => Some(value(expr)),
        _ => None,
    });
    let AdminValue::Text(column) = values.next()?? else {
        return None;
    };
    let size = match values.next() {
        Some(size) => Some(Box::new(size?)),
        None => None,
    };
    values
        .next()
        .is_none()
        .then_some(AdminValue::Dimension { kind, column, size })
}

/// `name` and `regclass`, with or without `pg_catalog.`.
fn is_name_type(name: &ast::ObjectName) -> bool {
    name.0
        .last()
        .and_then(|part| part.as_ident())
        .is_some_and(|ident| {
            matches!(
                ident.value.as_str(),
                "name" | "regclass" | "regproc" | "text"
            )
        })
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text) => Some(text.clone()),
        Value::DollarQuotedString(text) => Some(text.value.clone()),
        _ => None,
    }
}
