//! What DataFusion and Arrow say in prose, recognised.

use datafusion::arrow::datatypes::DataType;

use crate::dialect::{self, output_name};
use crate::error::{SqlError, SqlState};
use crate::types::PgType;

use super::values;

const NO_FUNCTION_HINT: &str = "No function matches the given name and argument types. You might need to add explicit type casts.";
const NO_OPERATOR_HINT: &str = "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// Functions that are none without OVER.
const WINDOW_FUNCTIONS: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// The error that a message means, if it is one of those that PostgreSQL has words for.
pub(super) fn recognise(message: &str, text: &str) -> Option<SqlError> {
    let message = strip(message);
    relation(message, text)
        .or_else(|| function(message, text))
        .or_else(|| operator(message))
        .or_else(|| grouping(message, text))
        .or_else(|| values::value(message))
        .or_else(|| values::arithmetic(message))
        .or_else(|| clause(message))
        .or_else(|| other(message))
}

/// Prefixes that errors collect on their way.
fn strip(mut message: &str) -> &str {
    const PREFIXES: &[&str] = &[
        "Arrow error: ",
        "Internal error: ",
        "Error during planning: ",
        "Execution error: ",
        "Optimizer rule ",
        "External error: ",
        "Cast error: ",
        "Parser error: ",
        "Compute error: ",
        "Invalid argument error: ",
        "This feature is not implemented: ",
    ];
    loop {
        match PREFIXES
            .iter()
            .find_map(|prefix| message.strip_prefix(prefix))
        {
            Some(rest) => message = rest,
            None => return message.trim(),
        }
    }
}

/// The text between two marks.
pub(super) fn between<'a>(message: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner)
}

fn relation(message: &str, text: &str) -> Option<SqlError> {
    if let Some(name) = between(message, "table function '", "' not found") {
        return Some(no_function(name, None, text));
    }
    let name = between(message, "table '", "' not found")
        .or_else(|| between(message, "Table '", "' not found"))
        .or_else(|| message.strip_prefix("Table not found: "))
        .or_else(|| between(message, "No table named '", "'"))?;
    let parts: Vec<&str> = name.split('.').map(|part| part.trim_matches('"')).collect();
    let (table, schema) = (*parts.last()?, parts.iter().rev().nth(1).copied());
    // DataFusion completes the name; PostgreSQL repeats what was written.
    let qualified =
        schema.and_then(|schema| Some((schema, dialect::position_of(text, &[schema, table])?)));
    let (shown, position) = match qualified {
        Some((schema, position)) => (format!("{schema}.{table}"), Some(position)),
        None => (table.to_owned(), dialect::position_of(text, &[table])),
    };
    let mut error = SqlError::new(
        SqlState::UNDEFINED_TABLE,
        format!("relation \"{shown}\" does not exist"),
    );
    error.position = position;
    Some(error)
}

fn function(message: &str, text: &str) -> Option<SqlError> {
    if let Some(name) = between(message, "Invalid function '", "'") {
        if WINDOW_FUNCTIONS.contains(&name) {
            let message = format!("window function {name} requires an OVER clause");
            let mut error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, message);
            error.position = dialect::position_of(text, &[name]);
            return Some(error);
        }
        return Some(no_function(name, None, text));
    }
    if let Some(name) = between(message, "call to '", "' function") {
        let types = between(message, "coercion from ", " to the signature").map(pg_types);
        return Some(no_function(name, types, text));
    }
    let wrong = [
        "The function '",
        "Function '",
        "For function '",
        "function '",
    ];
    let faults = [
        "expect",
        "requires",
        "coerc",
        "comparable",
        "argument",
        "failed to match",
    ];
    let name = wrong.iter().find_map(|before| {
        message
            .strip_prefix(before)
            .and_then(|rest| rest.split_once('\''))
            .map(|(name, _)| name)
    })?;
    faults.iter().any(|fault| message.contains(fault)).then(|| {
        let types = message
            .rsplit_once("DataType: ")
            .and_then(|(_, rest)| rest.split_once(')'));
        let types = types.map(|(ty, _)| pg_types(ty));
        no_function(name, types, text)
    })
}

fn no_function(name: &str, types: Option<String>, text: &str) -> SqlError {
    let name = name.to_lowercase();
    // There is one, in FROM.
    if name == "generate_series" && types.is_none() {
        return SqlError::unsupported("a set-returning function here")
            .with_hint("Call it in FROM.");
    }
    let call = types.map_or_else(|| name.clone(), |types| format!("{name}({types})"));
    let mut error = SqlError::new(
        SqlState::UNDEFINED_FUNCTION,
        format!("function {call} does not exist"),
    )
    .with_hint(NO_FUNCTION_HINT);
    error.position = dialect::position_of(text, &[name.as_str()]);
    error
}

/// `Utf8, Timestamp(µs, "UTC")` as `text, timestamp with time zone`.
fn pg_types(arrow: &str) -> String {
    let (mut depth, mut start) = (0usize, 0);
    let mut parts = Vec::new();
    for (at, c) in arrow.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(pg_type(&arrow[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(pg_type(&arrow[start..]));
    parts.join(", ")
}

/// The PostgreSQL name of an Arrow type.
pub(super) fn pg_type(arrow: &str) -> String {
    match arrow.trim().parse::<DataType>() {
        Ok(DataType::Null) => "unknown".to_owned(),
        Ok(DataType::Decimal128(..)) => "numeric".to_owned(),
        Ok(ty) => PgType::of_arrow(&ty).name(),
        Err(_) => arrow.trim().to_lowercase(),
    }
}

fn operator(message: &str) -> Option<SqlError> {
    let operation = between(
        message,
        "Cannot coerce arithmetic expression ",
        " to valid types",
    )
    .or_else(|| message.strip_prefix("Cannot infer common argument type for comparison operation "))
    .or_else(|| {
        message.strip_prefix("Cannot infer common argument type for logical boolean operation ")
    })
    .or_else(|| message.strip_prefix("Cannot infer common array type for arrow operation "))
    .or_else(|| {
        message.strip_prefix("Cannot infer common string type for string concat operation ")
    })
    .or_else(|| message.strip_prefix("Cannot infer common type for bitwise operation "))?;
    let operator = operation.split(' ').find(|word| {
        !word.is_empty() && word.chars().all(|c| "+-*/%=<>!~|&#@^".contains(c))
            || matches!(*word, "AND" | "OR" | "LIKE" | "ILIKE")
    })?;
    let (left, right) = operation.split_once(&format!(" {operator} "))?;
    let operator = match operator {
        "!=" => "<>",
        other => other,
    };
    let message = format!(
        "operator does not exist: {} {operator} {}",
        pg_type(left),
        pg_type(right)
    );
    Some(SqlError::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(NO_OPERATOR_HINT))
}

fn grouping(message: &str, text: &str) -> Option<SqlError> {
    if !(message.contains("must be in GROUP BY")
        || message.contains("must appear in the GROUP BY clause"))
    {
        return None;
    }
    let quoted = between(message, "column \"", "\"")
        .or_else(|| between(message, "HAVING clause references: ", " must appear"))
        .or_else(|| between(message, "aggregate function: ", "; "));
    let column = quoted.unwrap_or_default();
    let parts: Vec<&str> = column.split('.').map(output_name).collect();
    let shown = parts[parts.len().saturating_sub(2)..].join(".");
    let mut error = SqlError::new(
        SqlState::GROUPING_ERROR,
        format!(
            "column \"{shown}\" must appear in the GROUP BY clause or be used in an aggregate function"
        ),
    );
    error.position = dialect::position_of(text, &parts)
        .or_else(|| dialect::position_of(text, &parts[parts.len().saturating_sub(1)..]));
    Some(error)
}

/// A clause that does not hold what it must.
fn clause(message: &str) -> Option<SqlError> {
    let (state, message) = if message.contains("non-boolean predicate") {
        let (_, ty) = message.rsplit_once("returning ")?;
        let ty = pg_type(ty);
        (
            SqlState::DATATYPE_MISMATCH,
            format!("argument of WHERE must be type boolean, not type {ty}"),
        )
    } else if message.starts_with("Aggregate functions are not allowed in the WHERE") {
        (
            SqlState::GROUPING_ERROR,
            "aggregate functions are not allowed in WHERE".to_owned(),
        )
    } else if message.starts_with("Aggregate function calls cannot be nested") {
        (
            SqlState::GROUPING_ERROR,
            "aggregate function calls cannot be nested".to_owned(),
        )
    } else if message.contains("does not support logical expression WindowFunction") {
        (
            SqlState(*b"42P20"),
            "window functions are not allowed here".to_owned(),
        )
    } else if message.starts_with("LIMIT must be >= 0") {
        (SqlState(*b"2201W"), "LIMIT must not be negative".to_owned())
    } else if message.starts_with("OFFSET must be >=") {
        (
            SqlState(*b"2201X"),
            "OFFSET must not be negative".to_owned(),
        )
    } else if let Some(ty) = message
        .split_once("to be an integer or null, but got ")
        .map(|(_, ty)| ty)
    {
        let clause = if message.contains("LIMIT") {
            "LIMIT"
        } else {
            "OFFSET"
        };
        let message = format!(
            "argument of {clause} must be type bigint, not type {}",
            pg_type(ty)
        );
        (SqlState::DATATYPE_MISMATCH, message)
    } else if let Some(number) = between(message, "Order by column out of bounds, specified: ", ",")
    {
        let message = format!("ORDER BY position {number} is not in select list");
        (SqlState::INVALID_COLUMN_REFERENCE, message)
    } else if let Some(number) = between(message, "Cannot find column with position ", " in SELECT")
    {
        let message = format!("GROUP BY position {number} is not in select list");
        (SqlState::INVALID_COLUMN_REFERENCE, message)
    } else if message.starts_with("Order by index starts at 1") {
        let message = "ORDER BY position 0 is not in select list".to_owned();
        (SqlState::INVALID_COLUMN_REFERENCE, message)
    } else if message.starts_with("InSubquery should only return one column") {
        (
            SqlState::SYNTAX_ERROR,
            "subquery has too many columns".to_owned(),
        )
    } else if message.starts_with("Too many columns! The subquery should only return one column") {
        (
            SqlState::SYNTAX_ERROR,
            "subquery must return only one column".to_owned(),
        )
    } else if message.starts_with("Inconsistent data length across values list") {
        (
            SqlState::SYNTAX_ERROR,
            "VALUES lists must all be the same length".to_owned(),
        )
    } else if let Some((_, fault)) = message.split_once("regex parse error:") {
        let fault = fault.rsplit("error: ").next().unwrap_or_default().trim();
        (
            SqlState(*b"2201B"),
            format!("invalid regular expression: {fault}"),
        )
    } else if message.contains("Compiled regex exceeds size limit") {
        (
            SqlState(*b"2201B"),
            "invalid regular expression: regular expression is too complex".to_owned(),
        )
    } else {
        return None;
    };
    Some(SqlError::new(state, message))
}

fn other(message: &str) -> Option<SqlError> {
    let is_subquery = [
        "does not support logical expression OuterReferenceColumn",
        "does not support logical expression ScalarSubquery",
        "does not support logical expression Exists",
        "does not support logical expression InSubquery",
        "orrelated scalar subquery",
        "null_aware anti join only supports",
    ];
    if is_subquery.iter().any(|fault| message.contains(fault)) {
        return Some(
            SqlError::unsupported("a correlated or LATERAL subquery of this form")
                .with_hint("Write it as a join, or compare it with the outer query by = alone."),
        );
    }
    if message.contains("scalar subquery") && message.contains("more than one row")
        || message.contains("Scalar subquery") && message.contains("more than one")
    {
        let message = "more than one row returned by a subquery used as an expression";
        return Some(SqlError::new(SqlState(*b"21000"), message));
    }
    if let Some(name) = between(message, "Placeholder '", "' was not provided a value") {
        let message = format!("there is no parameter {name}");
        return Some(SqlError::new(SqlState::UNDEFINED_PARAMETER, message));
    }
    if message.contains("No value found for placeholder")
        || message.contains("Placeholder type could not be resolved")
    {
        let message = "could not determine data type of a parameter";
        return Some(SqlError::new(SqlState::INDETERMINATE_DATATYPE, message));
    }
    if between(message, "Invalid placeholder, ", ": $").is_some() {
        let number = message.rsplit_once(": ").map_or("", |(_, number)| number);
        return Some(SqlError::new(
            SqlState::UNDEFINED_PARAMETER,
            format!("there is no parameter {number}"),
        ));
    }
    if let Some((operator, _)) = message.split_once(" queries have different number of columns") {
        let message = format!("each {operator} query must have the same number of columns");
        return Some(SqlError::new(SqlState::SYNTAX_ERROR, message));
    }
    if message.starts_with("Unsupported SQL type ") {
        let name = message
            .trim_start_matches("Unsupported SQL type ")
            .to_lowercase();
        return Some(SqlError::unsupported(format!("type {name}")));
    }
    None
}

/// A message as PostgreSQL begins and ends one: first line, lower case, no full stop.
pub(super) fn sentence(message: &str) -> String {
    let line = strip(message)
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    let mut chars = line.chars();
    match (chars.next(), chars.clone().next()) {
        // SELECT stays, "Unsupported" does not.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().collect::<String>() + chars.as_str()
        }
        _ => line.to_owned(),
    }
}

/// The whole message on one line, without the plea to report a bug elsewhere.
pub(super) fn detail(message: &str) -> String {
    let message = message
        .split("\nThis issue was likely caused")
        .next()
        .unwrap_or_default();
    let message = message
        .split(".\nThis was likely caused")
        .next()
        .unwrap_or_default();
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many letters differ between two names (Levenshtein).
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
