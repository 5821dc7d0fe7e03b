//! DataFusion's errors in PostgreSQL's words and codes.
//!
//! DataFusion tells most faults in prose, so that prose is read here (`messages`, `values`); each pattern has
//! a test that makes the real engine say it, so that a new version which words it otherwise is
//! found. What is not recognised keeps its text and gets the general code of its class; XX000 is left
//! for what is a bug of ours or of the engine.

mod messages;
mod storage;
mod values;

#[cfg(test)]
mod tests;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

use crate::dialect::{self, output_name};
use crate::error::{SqlError, SqlState};

/// A planning error without a code of its own: "syntax error or access rule violation".
const PLANNING: SqlState = SqlState(*b"42000");
/// An error of a value without a code of its own: "data exception".
const DATA: SqlState = SqlState(*b"22000");

/// The error of a statement with this text. The position, where one is known, is in the text.
pub fn from_datafusion(error: DataFusionError, text: &str) -> SqlError {
    let mut position = None;
    let error = unwrap(&error, text, &mut position);
    let mut error = error.at_known(position);
    error.message = error.message.replace('\u{1}', "");
    error
}

trait AtKnown {
    fn at_known(self, position: Option<usize>) -> Self;
}

impl AtKnown for SqlError {
    /// The same with a position, if one is known and none was.
    fn at_known(mut self, position: Option<usize>) -> Self {
        self.position = self.position.or(position);
        self
    }
}

/// Takes wrappers off, keeping the place that a diagnostic knows.
fn unwrap(error: &DataFusionError, text: &str, position: &mut Option<usize>) -> SqlError {
    match error {
        DataFusionError::Context(_, inner) => unwrap(inner, text, position),
        DataFusionError::Shared(inner) => unwrap(inner, text, position),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            if position.is_none()
                && let Some(span) = diagnostic.span
            {
                *position = dialect::position_of_location(text, span.start.line, span.start.column);
            }
            unwrap(inner, text, position)
        }
        // Several faults are told one at a time.
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => unwrap(first, text, position),
            None => SqlError::internal("an error without errors"),
        },
        DataFusionError::External(inner) => external(&**inner, text, position),
        DataFusionError::ArrowError(inner, _) => arrow(inner, text, position),
        DataFusionError::SchemaError(inner, _) => schema(inner, text),
        DataFusionError::SQL(inner, _) => {
            let message = messages::sentence(&inner.to_string());
            SqlError::new(SqlState::SYNTAX_ERROR, message)
        }
        DataFusionError::NotImplemented(message) => messages::recognise(message, text)
            .unwrap_or_else(|| {
                SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, messages::sentence(message))
            }),
        DataFusionError::Plan(message) => messages::recognise(message, text)
            .unwrap_or_else(|| SqlError::new(PLANNING, messages::sentence(message))),
        DataFusionError::Execution(message) => messages::recognise(message, text)
            .unwrap_or_else(|| SqlError::new(DATA, messages::sentence(message))),
        DataFusionError::Configuration(message) => SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            messages::sentence(message),
        ),
        DataFusionError::ResourcesExhausted(message) => {
            SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory")
                .with_detail(messages::detail(message))
                .with_hint("Ask for fewer rows or groups, or raise the memory of a query.")
        }
        DataFusionError::IoError(error) => match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => SqlError::new(
                SqlState::DISK_FULL,
                format!("could not write a temporary file: {error}"),
            ),
            _ => SqlError::new(SqlState::IO_ERROR, error.to_string()),
        },
        // An Internal that wraps a fault of a value is one of the value.
        DataFusionError::Internal(message) => messages::recognise(message, text)
            .unwrap_or_else(|| SqlError::internal(messages::detail(message))),
        other => SqlError::internal(other.to_string()),
    }
}

/// An error of ours that went through the engine, or of something else.
fn external(
    error: &(dyn std::error::Error + Send + Sync + 'static),
    text: &str,
    position: &mut Option<usize>,
) -> SqlError {
    if let Some(error) = error.downcast_ref::<SqlError>() {
        return error.clone();
    }
    if let Some(error) = error.downcast_ref::<slicedb_storage::Error>() {
        return error.clone().into();
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return unwrap(error, text, position);
    }
    if let Some(error) = error.downcast_ref::<ArrowError>() {
        return arrow(error, text, position);
    }
    let message = error.to_string();
    messages::recognise(&message, text).unwrap_or_else(|| SqlError::internal(message))
}

fn arrow(error: &ArrowError, text: &str, position: &mut Option<usize>) -> SqlError {
    let recognise = |message: &str| {
        messages::recognise(message, text)
            .unwrap_or_else(|| SqlError::new(DATA, messages::sentence(message)))
    };
    match error {
        ArrowError::ExternalError(inner) => external(&**inner, text, position),
        ArrowError::DivideByZero => SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(message) => values::overflow(message),
        ArrowError::NotYetImplemented(message) => {
            SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, messages::sentence(message))
        }
        ArrowError::MemoryError(message) => SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory")
            .with_detail(messages::detail(message)),
        ArrowError::OffsetOverflowError(_) => SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            "result of text is too long",
        ),
        ArrowError::IoError(message, _) => {
            SqlError::new(SqlState::IO_ERROR, messages::sentence(message))
        }
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::InvalidArgumentError(message)
        | ArrowError::SchemaError(message) => recognise(message),
        other => SqlError::internal(other.to_string()),
    }
}

fn schema(error: &SchemaError, text: &str) -> SqlError {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => no_column(field, valid_fields, text),
        SchemaError::AmbiguousReference { field } => {
            let name = output_name(&field.name);
            let message = format!("column reference \"{name}\" is ambiguous");
            SqlError::new(SqlState::AMBIGUOUS_COLUMN, message)
                .at_known(dialect::position_of(text, &[name]))
        }
        // Names of columns were made unique, so that it is the table that stands twice.
        SchemaError::DuplicateQualifiedField { qualifier, .. } => {
            let table = qualifier.table();
            let message = format!("table name \"{table}\" specified more than once");
            SqlError::new(SqlState(*b"42712"), message)
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("column \"{}\" specified more than once", output_name(name));
            SqlError::new(SqlState::DUPLICATE_COLUMN, message)
        }
    }
}

/// A column that is not there, or a table that is not in FROM.
fn no_column(field: &Column, valid: &[Column], text: &str) -> SqlError {
    let name = output_name(&field.name);
    if let Some(relation) = &field.relation {
        let table = relation.table();
        let place = dialect::position_of(text, &[table, name]);
        if !valid
            .iter()
            .any(|other| other.relation.as_ref().is_some_and(|r| r.table() == table))
        {
            let message = format!("missing FROM-clause entry for table \"{table}\"");
            return SqlError::new(SqlState::UNDEFINED_TABLE, message).at_known(place);
        }
        let message = format!("column {table}.{name} does not exist");
        return hint(
            SqlError::new(SqlState::UNDEFINED_COLUMN, message).at_known(place),
            name,
            valid,
        );
    }
    let message = format!("column \"{name}\" does not exist");
    let error = SqlError::new(SqlState::UNDEFINED_COLUMN, message);
    hint(
        error.at_known(dialect::position_of(text, &[name])),
        name,
        valid,
    )
}

/// The column that was perhaps meant: the nearest name, if no more than half of it differs.
fn hint(error: SqlError, name: &str, valid: &[Column]) -> SqlError {
    let distance = |column: &&Column| messages::distance(name, output_name(&column.name));
    match valid.iter().min_by_key(distance) {
        Some(column) if distance(&column) <= name.chars().count().min(6) / 2 => {
            let near = output_name(&column.name);
            let near = match &column.relation {
                Some(relation) => format!("{}.{near}", relation.table()),
                None => near.to_owned(),
            };
            error.with_hint(format!(
                "Perhaps you meant to reference the column \"{near}\"."
            ))
        }
        _ => error,
    }
}
