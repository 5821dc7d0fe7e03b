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

/// A number with an exponent, or with more digits than DataFusion's decimals have. It would read
/// `1e15` as a decimal of scale -15, which is not exact as a float, and refuse `1e-300`.
///
/// As in PostgreSQL it is a numeric, where it fits; beyond that it is a double.
pub(super) fn long_number(expr: &mut Expr) {
    let Expr::Value(value) = expr else {
        return;
    };
    let Value::Number(text, false) = &value.value else {
        return;
    };
    let text = text.replace('_', "");
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()),
        // Digits alone are an integer, or a numeric; see `int4`.
        None if text.len() <= 38 || !text.contains('.') => return,
        None => (text.as_str(), Some(0)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    // Digits after the point, and before it.
    let decimal = exponent.filter(|_| is_plain).and_then(|exponent| {
        let scale = (fraction.len() as i64).checked_sub(exponent)?.max(0);
        let after = scale - (fraction.len() as i64 - exponent);
        let precision = (digits.len() as i64 + after).max(scale).max(1);
        (precision <= 38).then_some((precision as u64, scale))
    });
    let ty = match decimal {
        Some((precision, scale)) => {
            DataType::Numeric(ExactNumberInfo::PrecisionAndScale(precision, scale))
        }
        None => DataType::DoublePrecision,
    };
    *expr = cast_to(Expr::Value(Value::SingleQuotedString(text).into()), ty);
}

/// The ordinal in `GROUP BY 1`, should a cast stand around it.
pub(super) fn unwrap_ordinal(expr: &mut Expr) {
    if let Expr::Nested(inner) = expr
        && let Expr::Value(_) = **inner
    {
        int4(expr);
    }
}
