//! COPY FROM STDIN, in both protocols.
//!
//! ```text
//! socket -> input -> chunk (up to 1 MiB) -> blocking thread: CopyDecoder -> batches -> CopyIn
//! ```
//!
//! One chunk is worked on while the next one gathers; when that is full the socket is not read, and
//! the client waits. CopyData goes into the chunk as it arrives, so its length does not matter. A
//! thread is borrowed per chunk and not for the whole COPY, which may trickle for hours.
//!
//! Nothing of a COPY is visible before [`CopyIn::finish`]; dropping it at any point undoes it. What
//! the client still sends after an error is dropped by the session loop, as PostgreSQL does.

use std::future::Future;
use std::mem;

use bytes::{Buf, BytesMut};
use pgwire::messages::copy::{CopyFail, CopyInResponse};
use slicedb_sql::dialect::CopyFormat;
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::{CopyIn, Interrupt};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::ingest::{CopyColumn, CopyDecoder};

use super::error::{End, Fault, violation};
use super::guard::{HEADER_BYTES, Kind};
use super::session::{Connection, decode};

/// A chunk is worth a thread from this size on, unless it is the last.
const CHUNK_BYTES: usize = 256 << 10;
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Rows of a batch for the table.
const BATCH_ROWS: usize = 32_768;

/// The client's stream, as far as it has been read.
#[derive(Default)]
struct Incoming {
    chunk: BytesMut,
    // Bytes of the current CopyData that have not been read.
    inside: usize,
}

/// How the client ends its stream.
enum Ending {
    Done,
    Failed(String),
}

/// What the blocking thread works with.
struct Work {
    decoder: CopyDecoder,
    copy: CopyIn,
}

type Worked = Result<Result<Work, SqlError>, JoinError>;

enum Worker {
    Idle(Box<Work>),
    Busy(JoinHandle<Result<Work, SqlError>>),
}

impl Connection<'_> {
    /// Receives the rows of a COPY, and tells its tag.
    pub(super) async fn copy_in(&mut self, copy: CopyIn) -> Result<String, Fault> {
        let format = i8::from(copy.options.format == CopyFormat::Binary);
        let formats = vec![i16::from(format); copy.columns.len()];
        self.tell_notices();
        self.channel
            .put(&CopyInResponse::new(format, formats.len() as i16, formats));
        self.channel.flush().await?;

        let mut incoming = Incoming::default();
        let received = self.receive(copy, &mut incoming).await;
        self.channel.give_up(incoming.inside);
        let copy = received?;
        Ok(self.channel.race(copy.finish(&mut self.session)).await??)
    }

    async fn receive(
        &mut self,
        mut copy: CopyIn,
        incoming: &mut Incoming,
    ) -> Result<CopyIn, Fault> {
        let mut interrupt = copy.take_interrupt();
        let settings = self.session.format_settings();
        let columns = copy.columns.iter().map(|column| CopyColumn {
            name: column.field.name().clone(),
            ty: column.ty.clone(),
        });
        let decoder = CopyDecoder::new(&copy.options, columns.collect(), &copy.table, &settings);
        let mut worker = Worker::Idle(Box::new(Work { decoder, copy }));
        loop {
            match self.gather(incoming)? {
                None => {}
                Some(Ending::Done) => {
                    let work = self.settle(worker, &mut interrupt).await??;
                    let chunk = mem::take(&mut incoming.chunk);
                    let last = spawn_blocking(move || work.last(&chunk));
                    let last = unless(&mut interrupt, last);
                    return Ok(joined(self.channel.race_cancel(last).await??)?.copy);
                }
                Some(Ending::Failed(reason)) => {
                    let _ = self.settle(worker, &mut interrupt).await?;
                    let message = format!("COPY from stdin failed: {reason}");
                    return Err(SqlError::new(SqlState::QUERY_CANCELED, message).into());
                }
            }
            worker = match worker {
                Worker::Idle(work) if incoming.chunk.len() >= CHUNK_BYTES => {
                    let chunk = mem::take(&mut incoming.chunk);
                    Worker::Busy(spawn_blocking(move || work.next(&chunk)))
                }
                worker => worker,
            };
            let full = incoming.chunk.len() >= CHUNK_BYTES_MAX;
            worker = self.wait(worker, full, &mut interrupt).await?;
        }
    }

    // Waits for more input or for the worker; for the worker alone if the chunk is full.
    async fn wait(
        &mut self,
        worker: Worker,
        full: bool,
        interrupt: &mut Interrupt,
    ) -> Result<Worker, Fault> {
        let mut handle = match worker {
            Worker::Busy(handle) => handle,
            Worker::Idle(work) => {
                return match self.channel.read_or(CHUNK_BYTES, interrupt).await? {
                    Some(error) => Err(error.into()),
                    None => Ok(Worker::Idle(work)),
                };
            }
        };
        let worked = {
            let mut worked = Box::pin(unless(interrupt, &mut handle));
            match full {
                true => Some(self.channel.race_cancel(&mut worked).await??),
                false => {
                    let worked = self.channel.read_or(CHUNK_BYTES, &mut worked).await?;
                    worked.transpose()?
                }
            }
        };
        match worked {
            Some(worked) => Ok(Worker::Idle(Box::new(joined(worked)?))),
            None => Ok(Worker::Busy(handle)),
        }
    }

    // Waits until the worker is idle. The session is not used while a thread still writes for it.
    async fn settle(
        &mut self,
        worker: Worker,
        interrupt: &mut Interrupt,
    ) -> Result<Result<Box<Work>, SqlError>, Fault> {
        match worker {
            Worker::Idle(work) => Ok(Ok(work)),
            Worker::Busy(handle) => {
                let worked = unless(interrupt, handle);
                Ok(joined(self.channel.race_cancel(worked).await??).map(Box::new))
            }
        }
    }

    // Moves CopyData from the input to the chunk, until the chunk is full or the stream ends.
    fn gather(&mut self, incoming: &mut Incoming) -> Result<Option<Ending>, Fault> {
        while incoming.chunk.len() < CHUNK_BYTES_MAX {
            if incoming.inside > 0 {
                let input = self.channel.input();
                let here = incoming.inside.min(input.len());
                if here == 0 {
                    break;
                }
                incoming.chunk.extend_from_slice(&input[..here]);
                input.advance(here);
                incoming.inside -= here;
                continue;
            }
            let Some(header) = self.channel.peek()? else {
                break;
            };
            let input = self.channel.input();
            if header.kind == Kind::CopyData {
                input.advance(HEADER_BYTES);
                incoming.inside = header.body;
                continue;
            }
            if input.len() < header.total() {
                break;
            }
            let message = input.split_to(header.total());
            match header.kind {
                Kind::CopyDone => return Ok(Some(Ending::Done)),
                Kind::CopyFail => {
                    let reason = decode::<CopyFail>(header.kind, message)?.message;
                    return Ok(Some(Ending::Failed(reason)));
                }
                // Some clients send these with the statement, unaware that it is a COPY.
                Kind::Flush | Kind::Sync => {}
                Kind::Terminate => return Err(End::Closed.into()),
                _ => {
                    let ty = message.first().copied().unwrap_or_default();
                    let text = format!("unexpected message type {ty:#04X} during COPY from stdin");
                    return Err(End::Fatal(violation(text)).into());
                }
            }
        }
        Ok(None)
    }
}

impl Work {
    // Another chunk of the stream.
    fn next(mut self, chunk: &[u8]) -> Result<Work, SqlError> {
        self.decoder.push(chunk)?;
        while let Some(batch) = self.decoder.batch(BATCH_ROWS) {
            self.copy.append(batch)?;
        }
        Ok(self)
    }

    // The last chunk of the stream.
    fn last(self, chunk: &[u8]) -> Result<Work, SqlError> {
        let mut work = self.next(chunk)?;
        if let Some(batch) = work.decoder.finish()? {
            work.copy.append(batch)?;
        }
        Ok(work)
    }
}

// Waits for a future unless the statement has to end before.
async fn unless<T>(
    interrupt: &mut Interrupt,
    future: impl Future<Output = T>,
) -> Result<T, SqlError> {
    tokio::select! {
        biased;
        error = interrupt => Err(error),
        output = future => Ok(output),
    }
}

fn joined(worked: Worked) -> Result<Work, SqlError> {
    worked.unwrap_or_else(|error| Err(SqlError::internal(format!("COPY stopped: {error}"))))
}
