//! Values that are none of their type, and arithmetic that leaves it.

use super::messages::{between, pg_type};
use crate::error::{SqlError, SqlState};

/// A value that is not one of its type.
pub(super) fn value(message: &str) -> Option<SqlError> {
    let string = between(message, "Cannot cast string '", "' to value of ")
        .or_else(|| between(message, "Cannot cast value '", "' to value of "));
    if let Some(value) = string {
        let ty = between(message, "to value of ", " type")
            .map(pg_type)
            .unwrap_or_default();
        return Some(invalid_text(value, &ty));
    }
    if let Some(value) = between(message, "Error parsing timestamp from '", "'") {
        return Some(invalid_text(value, "timestamp"));
    }
    if let Some(rest) = message.strip_prefix("Invalid input syntax for type interval: ") {
        return Some(invalid_text(rest.trim_matches('"'), "interval"));
    }
    if message.starts_with("Can't cast value ") {
        let (_, ty) = message.rsplit_once(" to type ")?;
        return Some(out_of_range(&pg_type(ty)));
    }
    if message.contains("is too large to store in a Decimal")
        || message.contains("is too small to store in a Decimal")
        || message.contains("Cannot cast to Decimal")
    {
        return Some(SqlError::new(
            SqlState::NUMERIC_OUT_OF_RANGE,
            "numeric field overflow",
        ));
    }
    let pair = between(message, "Casting from ", " not supported")
        .or_else(|| message.strip_prefix("Unsupported CAST from "))
        .or_else(|| message.strip_prefix("Cannot automatically convert "))?;
    let (from, to) = pair.split_once(" to ")?;
    let message = format!("cannot cast type {} to {}", pg_type(from), pg_type(to));
    Some(SqlError::new(SqlState::CANNOT_COERCE, message))
}

/// Text that is no value of a type: what it looks like decides the code.
fn invalid_text(value: &str, ty: &str) -> SqlError {
    let integer = matches!(ty, "smallint" | "integer" | "bigint" | "oid");
    let digits = value.trim().trim_start_matches(['+', '-']);
    if integer && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("value \"{value}\" is out of range for type {ty}");
        return SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, message);
    }
    let state = match ty {
        "date" | "interval" => SqlState::INVALID_DATETIME_FORMAT,
        ty if ty.starts_with("time") => SqlState::INVALID_DATETIME_FORMAT,
        _ => SqlState::INVALID_TEXT_REPRESENTATION,
    };
    SqlError::new(
        state,
        format!("invalid input syntax for type {ty}: \"{value}\""),
    )
}

pub(super) fn arithmetic(message: &str) -> Option<SqlError> {
    let lower = message.to_ascii_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Some(SqlError::new(
            SqlState::DIVISION_BY_ZERO,
            "division by zero",
        ));
    }
    (lower.contains("overflow happened") || lower.contains("arithmetic overflow"))
        .then(|| overflow(message))
}

/// `Overflow happened on: 2147483647 + 1`. The type is the narrowest that both operands fit in and
/// the result does not.
pub(super) fn overflow(message: &str) -> SqlError {
    let numbers: Vec<i128> = message
        .split([' ', ':'])
        .filter_map(|word| word.parse().ok())
        .collect();
    let result = match &numbers[..] {
        [left, right] if message.contains(" * ") => left.checked_mul(*right),
        [left, right] if message.contains(" - ") => left.checked_sub(*right),
        [left, right] => left.checked_add(*right),
        _ => None,
    };
    let fits = |min: i64, max: i64| {
        numbers
            .iter()
            .all(|n| (i128::from(min)..=i128::from(max)).contains(n))
    };
    let ty = if numbers.len() == 2 && fits(i32::MIN.into(), i32::MAX.into()) {
        match result {
            Some(result) if i16::try_from(result).is_err() && i32::try_from(result).is_ok() => {
                "smallint"
            }
            _ => "integer",
        }
    } else if fits(i64::MIN, i64::MAX) {
        "bigint"
    } else {
        "numeric"
    };
    out_of_range(ty)
}

fn out_of_range(ty: &str) -> SqlError {
    SqlError::new(SqlState::NUMERIC_OUT_OF_RANGE, format!("{ty} out of range"))
}
