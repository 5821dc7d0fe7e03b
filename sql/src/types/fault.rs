//! The errors of reading a value, in PostgreSQL's words.

use crate::error::{SqlError, SqlState};

/// What reading one value yields.
pub(super) type Read<T> = Result<T, SqlError>;

/// `invalid input syntax for type integer: "abc"`
#[cold]
pub(super) fn syntax(type_name: &str, text: &[u8]) -> SqlError {
    SqlError::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!(
            "invalid input syntax for type {type_name}: \"{}\"",
            shown(text)
        ),
    )
}

/// `value "3000000000" is out of range for type integer`
#[cold]
pub(super) fn out_of_range(type_name: &str, text: &[u8]) -> SqlError {
    SqlError::new(
        SqlState::NUMERIC_OUT_OF_RANGE,
        format!(
            "value \"{}\" is out of range for type {type_name}",
            shown(text)
        ),
    )
}

/// A binary value that is too long.
#[cold]
pub(super) fn binary() -> SqlError {
    SqlError::new(
        SqlState::INVALID_BINARY_REPRESENTATION,
        "incorrect binary data format",
    )
}

/// A binary value that ends too early.
#[cold]
pub(super) fn insufficient() -> SqlError {
    SqlError::new(
        SqlState::PROTOCOL_VIOLATION,
        "insufficient data left in message",
    )
}

/// `invalid byte sequence for encoding "UTF8": 0xff`
#[cold]
pub(super) fn encoding(bytes: &[u8]) -> SqlError {
    let start = std::str::from_utf8(bytes).map_or_else(
        |fault| fault.valid_up_to(),
        |_| bytes.iter().position(|byte| *byte == 0).unwrap_or(0),
    );
    let wrong = bytes.get(start).copied().unwrap_or(0);
    // PostgreSQL shows as many bytes as the first one announces.
    let length = match wrong {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    let shown: Vec<String> = bytes[start..]
        .iter()
        .take(length)
        .map(|byte| format!("0x{byte:02x}"))
        .collect();
    SqlError::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!(
            "invalid byte sequence for encoding \"UTF8\": {}",
            shown.join(" ")
        ),
    )
}

/// Text for a message. Errors go to clients and logs, so a long value is cut.
pub(super) fn shown(text: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 1024;
    match text.get(..SHOWN_BYTES_MAX) {
        Some(start) => format!("{}...", String::from_utf8_lossy(start)),
        None => String::from_utf8_lossy(text).into_owned(),
    }
}
