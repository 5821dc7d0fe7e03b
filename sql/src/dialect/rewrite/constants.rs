//! Integer constants.

use datafusion::sql::sqlparser::ast::{DataType, ExactNumberInfo, Expr, UnaryOperator, Value};

use super::build::{cast_to, take};

/// An integer constant is an `integer` where it fits, as in PostgreSQL; DataFusion takes it for a
/// `bigint`. Only called where the type can be seen: results, arithmetic, arguments of functions
/// that return the type of their argument. Comparisons, IN lists, LIMIT and functions that want a
/// constant keep the constant as it is. The cast is folded before anything runs.
pub(super) fn int4(expr: &mut Expr) {
    match expr {
        Expr::Nested(inner) => int4(inner),
        Expr::Value(_)
        | Expr::UnaryOp {
            op: UnaryOperator::Minus,
            ..
        } => {
            let Some(digits) = integer_digits(expr) else {
                return;
            };
            if digits.parse::<i32>().is_ok() {
                let inner = take(expr);
                *expr = cast_to(inner, DataType::Int(None));
            } else if digits.parse::<i64>().is_err() && digits.len() <= 38 {
                let precision = digits.trim_start_matches('-').len() as u64;
                let text = Value::SingleQuotedString(digits);
                *expr = cast_to(
                    Expr::Value(text.into()),
                    DataType::Numeric(ExactNumberInfo::PrecisionAndScale(precision, 0)),
                );
            }
        }
        _ => {}
    }
}

/// The digits of an integer constant, with its sign.
fn integer_digits(expr: &Expr) -> Option<String> {
    let (sign, value) = match expr {
        Expr::Value(value) => ("", value),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match &**expr {
            Expr::Value(value) => ("-", value),
            _ => return None,
        },
        _ => return None,
    };
    let Value::Number(digits, false) = &value.value else {
        return None;
    };
    let digits = digits.replace('_', "");
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| format!("{sign}{digits}"))
}

/// The ordinal in `GROUP BY 1`, should a cast stand around it.
pub(super) fn unwrap_ordinal(expr: &mut Expr) {
    if let Expr::Nested(inner) = expr
        && let Expr::Value(_) = **inner
    {
        int4(expr);
    }
}
