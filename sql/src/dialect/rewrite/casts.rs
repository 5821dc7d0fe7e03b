//! Casts whose target DataFusion does not have, or takes for something else.

use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType, Expr, Value};

use super::build::{arguments, call, cast_to, number, take, take_type};
use super::types::{self, Special};

/// A cast, and a constant that begins with its type.
pub(super) fn cast(expr: &mut Expr) {
    let (inner, data_type) = match expr {
        Expr::Cast {
            expr: inner,
            data_type,
            ..
        } => (take(inner), take_type(data_type)),
        // `regclass 'x'` and `"char" 'x'` are casts too; DataFusion plans those to other types.
        Expr::TypedString(string) => {
            let plain = types::plain(string.data_type.clone());
            if types::special(&string.data_type).is_none() {
                string.data_type = plain;
                return;
            }
            (Expr::Value(string.value.clone()), string.data_type.clone())
        }
        _ => return,
    };
    *expr = match types::special(&data_type) {
        Some(Special::Registry(name)) if is_text(&inner) => {
            call(&format!("to_{name}_oid"), vec![inner])
        }
        Some(Special::Registry(name)) => call(&format!("{name}_text"), vec![inner]),
        Some(Special::Cut(n)) => call("left", vec![cast_to(inner, DataType::Text), number(n)]),
        Some(Special::Blank(n)) => call(
            "rtrim",
            vec![call(
                "left",
                vec![cast_to(inner, DataType::Text), number(n)],
            )],
        ),
        None if types::is_oid(&data_type) => match registry_argument(inner) {
            Ok(oid) => cast_to(oid, types::plain(data_type)),
            Err(inner) => cast_to(*inner, types::plain(data_type)),
        },
        None => {
            let plain = types::plain(data_type);
            match registry_of(&inner) {
                Some(name) if plain == DataType::Text => call(&format!("{name}_text"), vec![inner]),
                _ => cast_to(inner, plain),
            }
        }
    };
}

/// The type in `'orders'::regclass`, which is the oid by now: as text it is a name again.
fn registry_of(expr: &Expr) -> Option<String> {
    let Expr::Function(function) = expr else {
        return None;
    };
    let name = function.name.0.first()?.as_ident()?;
    let name = name.value.strip_prefix("to_")?.strip_suffix("_oid")?;
    name.starts_with("reg").then(|| name.to_owned())
}

/// The oid in `oid::regclass`, which was rewritten to its name before its cast back was seen.
fn registry_argument(mut expr: Expr) -> Result<Expr, Box<Expr>> {
    if let Expr::Function(function) = &mut expr
        && let Some(name) = function.name.0.first().and_then(|part| part.as_ident())
        && name.value.starts_with("reg")
        && name.value.ends_with("_text")
        && let Some(argument) = arguments(function).next()
    {
        return Ok(take(argument));
    }
    Err(Box::new(expr))
}

/// Whether an expression before `::regclass` is a name and no oid.
fn is_text(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => !matches!(value.value, Value::Number(..)),
        Expr::Nested(inner) => is_text(inner),
        Expr::BinaryOp {
            op: BinaryOperator::StringConcat,
            ..
        } => true,
        Expr::Cast { data_type, .. } => *data_type == DataType::Text,
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            name.is_some_and(|ident| {
                matches!(
                    ident.value.as_str(),
                    "quote_ident" | "format" | "concat" | "lower" | "left"
                )
            })
        }
        _ => false,
    }
}
