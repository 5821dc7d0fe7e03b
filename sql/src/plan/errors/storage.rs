//! Storage's errors for the client.

use slicedb_storage::Error;

use crate::error::{SqlError, SqlState};

impl From<Error> for SqlError {
    fn from(error: Error) -> SqlError {
        let full = error.is_disk_full();
        match error {
            Error::Invalid(message) => SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message),
            Error::Expired(message) => {
                SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_detail(
                    "Retention has dropped other rows of the same time buckets, which could not be \
                     aggregated anew.",
                )
            }
            Error::Conflict(message) => SqlError::new(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to concurrent update",
            )
            .with_detail(message)
            .with_hint("The transaction might succeed if retried."),
            // The session, which knows the table's names, says more before it comes to this.
            Error::Duplicate { key, .. } => SqlError::new(
                SqlState::UNIQUE_VIOLATION,
                "duplicate key value violates the primary key",
            )
            .with_detail(format!("The key ({}) already exists.", key.join(", "))),
            Error::Corrupt { .. } => SqlError::new(SqlState::DATA_CORRUPTED, error.to_string()),
            Error::Io { .. } if full => SqlError::new(SqlState::DISK_FULL, error.to_string())
                .with_hint("Free some space on the disk; nothing was changed."),
            Error::Io { .. } => SqlError::new(SqlState::IO_ERROR, error.to_string()),
            Error::Undecided(_) => SqlError::new(SqlState::IO_ERROR, error.to_string())
                .with_detail("Whether the transaction is kept shows after the restart.")
                .with_hint("Restart the server once the disk is well."),
            Error::Closed(message) => SqlError::new(SqlState::CANNOT_CONNECT_NOW, message),
        }
    }
}
