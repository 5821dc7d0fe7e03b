//! The threads that plan and run queries, apart from those that serve connections.
//!
//! Their stacks are deep, because planning recurses over the statement. What a query returns
//! passes through a short channel: when the client reads slowly the query waits, and when the
//! receiver goes the query's task is ended, wherever it is.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use futures::{FutureExt, Stream, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::{Result, SqlError};

/// Reserved, not used: pages of a stack cost memory when they are touched.
const STACK_BYTES: usize = 64 << 20;
/// Batches that wait for the client.
const BATCHES_AHEAD: usize = 2;

/// What a client hears of a bug.
pub(crate) const PANICKED: &str = "the query ended in an internal error";

/// The threads.
pub(crate) struct QueryRuntime {
    runtime: Option<Runtime>,
}

impl QueryRuntime {
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("slicedb-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(QueryRuntime {
            runtime: Some(runtime),
        })
    }

    /// Runs `work` there and waits. Dropping the result ends it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send + 'static {
        let task = self
            .runtime
            .as_ref()
            .map(|runtime| Task(runtime.spawn(work)));
        async move {
            match task {
                Some(task) => task.await,
                None => Err(stopped()),
            }
        }
    }

    /// Runs `work` and the stream that it starts there, and waits for what it tells before the
    /// first batch. Dropping the result or the receiver ends it.
    ///
    /// The first batch is on its way by then: whoever waits is woken once for a short answer.
    pub(crate) fn start<T, S>(
        &self,
        work: impl Future<Output = Result<(T, S)>> + Send + 'static,
    ) -> impl Future<Output = Result<(T, RowReceiver)>> + Send + 'static
    where
        T: Send + 'static,
        S: Stream<Item = Result<RecordBatch>> + Send + Unpin + 'static,
    {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let (head_sender, head) = oneshot::channel();
        let work = async move {
            let (told, mut batches) = work.await?;
            let first = batches.next().await;
            let is_over = !matches!(first, Some(Ok(_)));
            if let Some(batch) = first {
                // There is room for it.
                let _ = sender.send(batch).await;
            }
            let _ = head_sender.send(told);
            if is_over {
                return Ok(());
            }
            while let Some(batch) = batches.next().await {
                let failed = batch.is_err();
                if sender.send(batch).await.is_err() || failed {
                    break;
                }
            }
            Ok(())
        };
        let task = self
            .runtime
            .as_ref()
            .map(|runtime| Task(runtime.spawn(work)));
        async move {
            let Some(task) = task else {
                return Err(stopped());
            };
            match head.await {
                Ok(told) => Ok((
                    told,
                    RowReceiver {
                        receiver,
                        task: Some(task),
                    },
                )),
                // It ended before: with an error, or in a panic.
                Err(_) => Err(task.await.err().unwrap_or_else(stopped)),
            }
        }
    }
}

impl Drop for QueryRuntime {
    fn drop(&mut self) {
        // The last handle may go on one of its own threads, which may not wait for itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A task that ends when nobody waits for it.
struct Task<T>(JoinHandle<Result<T>>);

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        self.0.poll_unpin(context).map(|joined| match joined {
            Ok(result) => result,
            Err(e) if e.is_panic() => Err(SqlError::internal(PANICKED)),
            Err(_) => Err(stopped()),
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn stopped() -> SqlError {
    SqlError::new(
        crate::error::SqlState::ADMIN_SHUTDOWN,
        "the server is shutting down",
    )
}

/// Batches on their way from the query's thread.
pub(crate) struct RowReceiver {
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    task: Option<Task<()>>,
}

impl Stream for RowReceiver {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.receiver.poll_recv(context) {
            Poll::Ready(None) => {
                // A query that ended in a panic has sent no error itself.
                let Some(mut task) = self.task.take() else {
                    return Poll::Ready(None);
                };
                match task.poll_unpin(context) {
                    Poll::Ready(Err(e)) => Poll::Ready(Some(Err(e))),
                    Poll::Ready(Ok(())) => Poll::Ready(None),
                    Poll::Pending => {
                        self.task = Some(task);
                        Poll::Pending
                    }
                }
            }
            other => other,
        }
    }
}
