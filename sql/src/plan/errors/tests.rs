//! What the real engine says, and what becomes of it; see `functions/tests.rs` for the table.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use slicedb_storage::{Error, TableId};

use super::from_datafusion;
use crate::dialect::tests::golden;
use crate::error::{SqlError, SqlState};
use crate::functions::tests::answer;

#[test]
fn engine() {
    golden("plan/errors/tests.txt", answer);
}

#[test]
fn ours_come_through_any_wrapping() {
    let ours = SqlError::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
    .at(3);
    let error = DataFusionError::Shared(Arc::new(DataFusionError::Context(
        "somewhere".into(),
        Box::new(DataFusionError::Collection(vec![
            DataFusionError::External(Box::new(ours.clone())),
        ])),
    )));
    assert_eq!(from_datafusion(error, "SELECT 1"), ours);
}

#[test]
fn storage_errors_keep_their_code() {
    let io = |kind| Error::io("write", "/data/wal")(std::io::Error::from(kind));
    let table = [
        (
            Error::Invalid("no".into()),
            SqlState::INVALID_PARAMETER_VALUE,
        ),
        (
            Error::Conflict("row 1".into()),
            SqlState::SERIALIZATION_FAILURE,
        ),
        (
            Error::Duplicate {
                table: TableId(1),
                key: vec!["1".into()],
            },
            SqlState::UNIQUE_VIOLATION,
        ),
        (
            Error::corrupt("wal", 7, "checksum"),
            SqlState::DATA_CORRUPTED,
        ),
        (io(std::io::ErrorKind::StorageFull), SqlState::DISK_FULL),
        (io(std::io::ErrorKind::PermissionDenied), SqlState::IO_ERROR),
        (
            Error::Undecided(Box::new(io(std::io::ErrorKind::StorageFull))),
            SqlState::IO_ERROR,
        ),
        (Error::Closed("closed".into()), SqlState::CANNOT_CONNECT_NOW),
    ];
    for (error, state) in table {
        let wrapped = DataFusionError::External(Box::new(error.clone()));
        assert_eq!(from_datafusion(wrapped, "").state, state, "{error}");
    }
}

#[test]
fn memory_is_53200_and_bugs_are_xx000() {
    let error = DataFusionError::ResourcesExhausted("Additional allocation failed".into());
    assert_eq!(from_datafusion(error, "").state, SqlState::OUT_OF_MEMORY);
    let error = DataFusionError::Internal("impossible".into());
    assert_eq!(from_datafusion(error, "").state, SqlState::INTERNAL_ERROR);
}
