//! What a session answers with.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::FieldRef;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::watch;

use super::copy::CopyIn;
use super::generic::Runs;
use crate::dialect::{CopyOptions, Parsed};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::RowReceiver;
use crate::types::PgType;

/// A parameter's value: an array of one row.
pub type Param = ArrayRef;

/// A message beside the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// How much it matters.
    pub severity: Severity,
    /// What it says.
    pub message: SqlError,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something is probably not as meant.
    Warning,
    /// Something happened otherwise than asked, harmlessly.
    Notice,
}

impl Severity {
    /// As the protocol spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
        }
    }
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Outside a transaction.
    Idle,
    /// Inside one.
    InTransaction,
    /// Inside one that can only be rolled back.
    Failed,
}

/// A planned statement.
#[derive(Debug)]
pub struct Prepared {
    /// Types of the parameters, in order.
    pub params: Vec<PgType>,
    /// The columns it returns; `None` when it returns no rows.
    pub columns: Option<Arc<Vec<OutputColumn>>>,
    /// The statement.
    pub parsed: Parsed,
    /// How it has been run.
    pub(crate) runs: Runs,
}

impl Prepared {
    pub(super) fn new(
        parsed: Parsed,
        params: Vec<PgType>,
        columns: Option<Vec<OutputColumn>>,
    ) -> Arc<Self> {
        Arc::new(Prepared {
            params,
            columns: columns.map(Arc::new),
            parsed,
            runs: Runs::default(),
        })
    }

    /// Whether rows have the columns that the client was told.
    ///
    /// # Errors
    /// 0A000 when a table has changed since.
    pub(crate) fn check(&self, columns: &[OutputColumn]) -> Result<()> {
        let Some(told) = &self.columns else {
            return Ok(());
        };
        let mut pairs = told.iter().zip(columns);
        match told.len() == columns.len() && pairs.all(|(told, own)| told.ty.oid() == own.ty.oid())
        {
            true => Ok(()),
            false => Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cached plan must not change result type",
            )),
        }
    }

    /// Whether it is the same query, with parameters of the same types.
    pub(super) fn is_same_query(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || (self.params == other.params && self.parsed.text == other.parsed.text)
    }
}

/// A column of a result.
#[derive(Debug, Clone)]
pub struct OutputColumn {
    /// Its name and Arrow type.
    pub field: FieldRef,
    /// Its type.
    pub ty: PgType,
    /// The table it comes from, or 0.
    pub table_oid: u32,
    /// Its number in that table, from 1, or 0.
    pub column_number: i16,
}

impl OutputColumn {
    /// A column of no table.
    pub fn new(field: FieldRef) -> Self {
        let ty = PgType::of_field(&field);
        OutputColumn {
            field,
            ty,
            table_oid: 0,
            column_number: 0,
        }
    }
}

/// The answer to a statement.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is taken apart at once"
)]
pub enum Outcome {
    /// It is done; the tag says what was done.
    Command(String),
    /// Rows follow.
    Rows(Rows),
    /// Rows are awaited.
    CopyIn(CopyIn),
    /// Rows follow as copy data.
    CopyOut(CopyOut),
}

/// Rows of a result.
pub struct Rows {
    /// Their columns.
    pub columns: Arc<Vec<OutputColumn>>,
    /// The rows. Dropping it ends the query.
    pub stream: RowStream,
    /// The tag when they are through.
    pub tag: RowsTag,
}

/// `COPY … TO STDOUT`.
pub struct CopyOut {
    /// How the bytes look.
    pub options: CopyOptions,
    /// The rows.
    pub rows: Rows,
}

/// Which tag ends the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsTag {
    /// `SELECT n`
    Select,
    /// `SHOW`
    Show,
    /// `EXPLAIN`
    Explain,
    /// `CALL`
    Call,
    /// `COPY n`
    Copy,
    /// `INSERT 0 n`
    Insert,
    /// `UPDATE n`
    Update,
    /// `DELETE n`
    Delete,
}

impl RowsTag {
    /// The tag after so many rows.
    pub fn finish(self, rows: u64) -> String {
        match self {
            RowsTag::Select => format!("SELECT {rows}"),
            RowsTag::Copy => format!("COPY {rows}"),
            RowsTag::Insert => format!("INSERT 0 {rows}"),
            RowsTag::Update => format!("UPDATE {rows}"),
            RowsTag::Delete => format!("DELETE {rows}"),
            RowsTag::Show => "SHOW".into(),
            RowsTag::Explain => "EXPLAIN".into(),
            RowsTag::Call => "CALL".into(),
        }
    }
}

/// Ends a session's running statement, from anywhere.
#[derive(Debug, Clone)]
pub struct Canceller(watch::Sender<u64>);

impl Canceller {
    pub(super) fn new() -> Self {
        Canceller(watch::Sender::new(0))
    }

    /// The statement that runs now, if any, ends with 57014.
    pub fn cancel(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// What ends a statement that begins now: a cancel, or the end of its time.
    pub(super) fn interrupt(&self, timeout: Option<Duration>) -> Interrupt {
        let mut cancels = self.0.subscribe();
        Box::pin(async move {
            let cancelled = async {
                if cancels.changed().await.is_err() {
                    // The session is gone, and nobody waits for the statement.
                    std::future::pending::<()>().await;
                }
            };
            let Some(timeout) = timeout else {
                cancelled.await;
                return user_request();
            };
            match tokio::time::timeout(timeout, cancelled).await {
                Ok(()) => user_request(),
                Err(_) => {
                    let message = "canceling statement due to statement timeout";
                    SqlError::new(SqlState::QUERY_CANCELED, message)
                }
            }
        })
    }
}

fn user_request() -> SqlError {
    SqlError::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}

/// Ready when a statement has to end, with the reason.
pub type Interrupt = Pin<Box<dyn Future<Output = SqlError> + Send>>;

/// Waits for `work` unless it is interrupted before.
pub(super) async fn unless<T>(
    interrupt: &mut Interrupt,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        error = interrupt => Err(error),
        result = work => result,
    }
}

/// Rows of a running query, ended by a cancel or by the end of its time.
pub struct RowStream {
    rows: Source,
    interrupt: Option<Interrupt>,
}

enum Source {
    Query(RowReceiver),
    Ready(std::vec::IntoIter<RecordBatch>),
}

impl RowStream {
    pub(super) fn of_query(rows: RowReceiver, interrupt: Interrupt) -> Self {
        RowStream {
            rows: Source::Query(rows),
            interrupt: Some(interrupt),
        }
    }

    /// Rows that are there already.
    pub(super) fn ready(batches: Vec<RecordBatch>) -> Self {
        RowStream {
            rows: Source::Ready(batches.into_iter()),
            interrupt: None,
        }
    }
}

impl Stream for RowStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(interrupt) = &mut self.interrupt
            && let Poll::Ready(error) = interrupt.poll_unpin(context)
        {
            self.interrupt = None;
            // Dropping the query's end of the channel ends its task.
            self.rows = Source::Ready(Vec::new().into_iter());
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.rows {
            Source::Query(rows) => rows.poll_next_unpin(context),
            Source::Ready(rows) => Poll::Ready(rows.next().map(Ok)),
        }
    }
}
