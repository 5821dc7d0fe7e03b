//! How things end: a statement by an error, a connection by an [`End`]; and how both are told.

use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::Notice;

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum End {
    /// The client said goodbye or is gone; nobody listens any more.
    Closed,
    /// The client is told this as FATAL.
    Fatal(SqlError),
    /// The server stops; the client is told 57P01.
    Shutdown,
}

/// What interrupts the handling of a message.
#[derive(Debug)]
pub(super) enum Fault {
    /// The statement failed; the connection goes on.
    Statement(SqlError),
    /// The connection is over.
    End(End),
}

impl From<SqlError> for Fault {
    fn from(error: SqlError) -> Self {
        Fault::Statement(error)
    }
}

impl From<End> for Fault {
    fn from(end: End) -> Self {
        Fault::End(end)
    }
}

/// The protocol was broken in a way after which message borders cannot be trusted.
pub(super) fn violation(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// The client asked for it.
pub(super) fn canceled() -> SqlError {
    SqlError::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}

/// The ErrorResponse of an error; `severity` is ERROR or FATAL.
pub(super) fn response(severity: &str, error: &SqlError) -> ErrorResponse {
    ErrorResponse::new(fields(severity, error))
}

/// The NoticeResponse of a notice.
pub(super) fn notice(notice: &Notice) -> NoticeResponse {
    NoticeResponse::new(fields(notice.severity.as_str(), &notice.message))
}

// S is the severity for people, V the same for programs; ours are never translated.
fn fields(severity: &str, error: &SqlError) -> Vec<(u8, String)> {
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', error.state.as_str().to_owned()),
        (b'M', clean(&error.message)),
    ];
    let more = [
        (b'D', &error.detail),
        (b'H', &error.hint),
        (b'W', &error.context),
    ];
    fields.extend(
        more.into_iter()
            .filter_map(|(code, text)| Some((code, clean(text.as_ref()?)))),
    );
    if let Some(position) = error.position {
        fields.push((b'P', position.to_string()));
    }
    fields
}

/// Text for a NUL-terminated field. Only broken COPY data quoted in a message can hold a NUL.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
