//! One client's socket with its buffers, and the races that every wait takes part in.
//!
//! Input grows as bytes arrive and only as far as the guard lets one message grow; while a statement
//! runs it is read ahead up to 64 KiB, which is how a client's leaving is noticed. Output holds whole
//! messages: `sent <= whole <= output.len()`, and what lies behind `whole` is a message being
//! written, to be cut off if the writer fails. Both buffers are given back before an idle wait.

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use pgwire::messages::Message;
use slicedb_sql::error::SqlError;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::error::{End, Fault, canceled, response};
use super::guard::{self, Header};

/// Output is sent when it has grown to this.
pub(super) const FLUSH_BYTES: usize = 64 << 10;

const READ_BYTES: usize = 8 << 10;
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;
// How often a client is looked for while its read-ahead is full.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// What the server as a whole is doing; it only ever advances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// As usual.
    Serving,
    /// Idle clients are sent away, the others may finish.
    Draining,
    /// Everybody is sent away.
    Terminating,
}

/// A client's socket and its buffers.
pub(super) struct Channel {
    stream: TcpStream,
    input: BytesMut,
    // Bytes of a message that has been given up, still to be dropped from the input.
    skip: usize,
    output: Vec<u8>,
    sent: usize,
    whole: usize,
    scratch: BytesMut,
    message_bytes_max: usize,
    phase: watch::Receiver<Phase>,
    cancels: watch::Receiver<u64>,
}

impl Channel {
    /// A channel over a fresh connection.
    pub(super) fn new(
        stream: TcpStream,
        message_bytes_max: usize,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Channel {
            stream,
            input: BytesMut::new(),
            skip: 0,
            output: Vec::new(),
            sent: 0,
            whole: 0,
            scratch: BytesMut::new(),
            message_bytes_max,
            phase,
            cancels: watch::channel(0).1,
        }
    }

    /// From now on `cancels` counts the client's CancelRequests.
    pub(super) fn obey(&mut self, cancels: watch::Receiver<u64>) {
        self.cancels = cancels;
    }

    /// A statement begins: cancels from before it do not concern it.
    pub(super) fn arm(&mut self) {
        self.cancels.mark_unchanged();
    }

    /// What has been received and not been taken.
    pub(super) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Drops the next `bytes` of input, also those that have not come yet.
    pub(super) fn give_up(&mut self, bytes: usize) {
        self.skip += bytes;
        let here = self.skip.min(self.input.len());
        self.input.advance(here);
        self.skip -= here;
    }

    /// The next message, once all of it is there. Sends the output before it waits; an idle client is
    /// sent away as soon as the server is in the phase `until`.
    pub(super) async fn next(&mut self, until: Phase) -> Result<(Header, BytesMut), End> {
        loop {
            self.give_up(0);
            let header = guard::header(&self.input, self.message_bytes_max).map_err(End::Fatal)?;
            if let Some(header) = header.filter(|header| self.input.len() >= header.total()) {
                return Ok((header, self.input.split_to(header.total())));
            }
            self.flush().await?;
            self.rest();
            self.read(until).await?;
        }
    }

    /// The header at the start of the input, when it is there.
    pub(super) fn peek(&mut self) -> Result<Option<Header>, End> {
        self.give_up(0);
        guard::header(&self.input, self.message_bytes_max).map_err(End::Fatal)
    }

    /// Waits for some bytes.
    pub(super) async fn read(&mut self, until: Phase) -> Result<(), End> {
        tokio::select! {
            biased;
            end = reached(&mut self.phase, until) => Err(end),
            read = read(&self.stream, &mut self.input, READ_BYTES) => read,
        }
    }

    /// Waits for some bytes, about `bytes` at most, or until `future` is ready.
    pub(super) async fn read_or<F: Future + Unpin>(
        &mut self,
        bytes: usize,
        future: &mut F,
    ) -> Result<Option<F::Output>, Fault> {
        tokio::select! {
            biased;
            fault = interrupted(&mut self.phase, &mut self.cancels) => Err(fault),
            output = future => Ok(Some(output)),
            read = read(&self.stream, &mut self.input, bytes) => Ok(read.map(|()| None)?),
        }
    }

    /// Waits for `future`, but not after the client has gone or the server stops.
    pub(super) async fn race<F: Future>(&mut self, future: F) -> Result<F::Output, End> {
        tokio::select! {
            biased;
            end = reached(&mut self.phase, Phase::Terminating) => Err(end),
            output = future => Ok(output),
            end = read_ahead(&self.stream, &mut self.input) => Err(end),
        }
    }

    /// The same for what may be dropped unfinished, so not after a CancelRequest either.
    pub(super) async fn race_cancel<F: Future>(&mut self, future: F) -> Result<F::Output, Fault> {
        tokio::select! {
            biased;
            fault = interrupted(&mut self.phase, &mut self.cancels) => Err(fault),
            output = future => Ok(output),
            end = read_ahead(&self.stream, &mut self.input) => Err(end.into()),
        }
    }

    /// Appends a message to the output.
    pub(super) fn put<M: Message>(&mut self, message: &M) {
        self.scratch.clear();
        match message.encode(&mut self.scratch) {
            Ok(()) => {
                self.output.extend_from_slice(&self.scratch);
                self.whole = self.output.len();
            }
            // A ParameterStatus beyond libpq's 30,000 bytes; the client can do without.
            Err(error) => tracing::warn!(%error, "message not sent"),
        }
    }

    /// Appends what `write` writes: whole messages, or nothing if it fails.
    pub(super) fn append<T>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let written = write(&mut self.output);
        match written {
            Ok(_) => self.whole = self.output.len(),
            Err(_) => self.output.truncate(self.whole),
        }
        written
    }

    /// Bytes of output that wait to be sent.
    pub(super) fn pending(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Sends the output.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        tokio::select! {
            biased;
            end = reached(&mut self.phase, Phase::Terminating) => return Err(end),
            written = write(&self.stream, &self.output, &mut self.sent) => written?,
            // A client that pipelines may wait with reading until we have read.
            _ = read_ahead_forever(&self.stream, &mut self.input) => {}
        }
        self.sent_all();
        Ok(())
    }

    /// Sends the output of a running statement; a CancelRequest ends the wait for a slow reader, and
    /// what is unsent stays.
    pub(super) async fn flush_or_cancel(&mut self) -> Result<(), Fault> {
        tokio::select! {
            biased;
            fault = interrupted(&mut self.phase, &mut self.cancels) => return Err(fault),
            written = write(&self.stream, &self.output, &mut self.sent) => written?,
            _ = read_ahead_forever(&self.stream, &mut self.input) => {}
        }
        self.sent_all();
        // Rows that are always ready for a reader that always reads would keep the thread for good.
        yield_now().await;
        Ok(())
    }

    /// Tells the client why it has to go, and closes. Takes two seconds at most.
    pub(super) async fn last_words(&mut self, error: &SqlError) {
        self.output.truncate(self.whole);
        self.put(&response("FATAL", error));
        let written = write(&self.stream, &self.output, &mut self.sent);
        if !matches!(timeout(LAST_WORDS_TIMEOUT, written).await, Ok(Ok(()))) {
            return;
        }
        // A close with unread input is a reset, which may overtake the message: read on for a while.
        let _ = self.stream.shutdown().await;
        let linger = async {
            let mut lingering = 0;
            while lingering < 4 * READ_AHEAD_BYTES_MAX {
                self.input.clear();
                if read(&self.stream, &mut self.input, READ_BYTES)
                    .await
                    .is_err()
                {
                    return;
                }
                lingering += self.input.len();
            }
        };
        let _ = timeout(LAST_WORDS_TIMEOUT, linger).await;
    }

    fn sent_all(&mut self) {
        self.output.clear();
        self.sent = 0;
        self.whole = 0;
    }

    // Gives buffers back before a wait of unknown length: thousands of clients are idle at a time.
    fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        if self.output.is_empty() {
            self.output = Vec::new();
        }
        self.scratch = BytesMut::new();
    }
}

async fn reached(phase: &mut watch::Receiver<Phase>, least: Phase) -> End {
    // An error means that the server itself is gone.
    let _ = phase.wait_for(|phase| *phase >= least).await;
    End::Shutdown
}

async fn interrupted(
    phase: &mut watch::Receiver<Phase>,
    cancels: &mut watch::Receiver<u64>,
) -> Fault {
    tokio::select! {
        end = reached(phase, Phase::Terminating) => end.into(),
        Ok(()) = cancels.changed() => canceled().into(),
    }
}

// Reads once.
async fn read(stream: &TcpStream, input: &mut BytesMut, bytes: usize) -> Result<(), End> {
    loop {
        stream.readable().await.map_err(|_| End::Closed)?;
        input.reserve(bytes);
        match stream.try_read_buf(input) {
            Ok(0) => return Err(End::Closed),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(End::Closed),
        }
    }
}

// Reads until the client is gone; pauses while the read-ahead is full.
async fn read_ahead(stream: &TcpStream, input: &mut BytesMut) -> End {
    loop {
        if input.len() < READ_AHEAD_BYTES_MAX {
            if let Err(end) = read(stream, input, READ_BYTES).await {
                return end;
            }
            continue;
        }
        sleep(PRESENCE_INTERVAL).await;
        match stream.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {}
            _ => return End::Closed,
        }
    }
}

// While output is sent, the end of the input says nothing: whether anybody reads shows in the write.
async fn read_ahead_forever(stream: &TcpStream, input: &mut BytesMut) {
    read_ahead(stream, input).await;
    pending().await
}

async fn write(stream: &TcpStream, output: &[u8], sent: &mut usize) -> Result<(), End> {
    while *sent < output.len() {
        match stream.try_write(&output[*sent..]) {
            Ok(bytes) => *sent += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                stream.writable().await.map_err(|_| End::Closed)?;
            }
            Err(_) => return Err(End::Closed),
        }
    }
    Ok(())
}
