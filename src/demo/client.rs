//! The demo's side of the Postgres protocol: connections, COPY and errors.
//!
//! Invariant: a COPY that is not finished is rolled back by the server; nothing here retries.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::SinkExt;
use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, CopyInSink, NoTls};

/// Bytes of a COPY message: large enough to be cheap, small enough to be pipelined.
const CHUNK_BYTES: usize = 256 * 1024;

/// How long a server that was just started may take until it answers.
const CONNECT_SECONDS_MAX: u64 = 30;

/// Prints a line. Unlike `println!` it does not panic when nobody reads (`slicedb demo | head`).
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, $($text)*).and_then(|()| out.flush());
    }};
}
pub(crate) use say;

/// Something the demo asked of the server failed.
#[derive(Debug)]
pub(crate) struct DemoError {
    doing: &'static str,
    source: tokio_postgres::Error,
}

impl DemoError {
    pub(crate) fn new(doing: &'static str, source: tokio_postgres::Error) -> Self {
        Self { doing, source }
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: ", self.doing)?;
        match self.source.as_db_error() {
            Some(error) => write!(f, "{} ({})", error.message(), error.code().code()),
            None => match self.source.source() {
                Some(cause) => write!(f, "{}: {cause}", self.source),
                None => write!(f, "{}", self.source),
            },
        }
    }
}

impl Error for DemoError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Where the server is and who we are there.
pub(crate) struct Server {
    addr: SocketAddr,
    user: String,
    database: String,
}

impl Server {
    pub(crate) fn new(addr: SocketAddr, user: &str, database: &str) -> Self {
        Self {
            addr,
            user: user.to_owned(),
            database: database.to_owned(),
        }
    }

    /// The command that opens a shell on the same data.
    pub(crate) fn psql(&self) -> String {
        let (host, port) = (self.addr.ip(), self.addr.port());
        format!(
            "psql -h {host} -p {port} -U {} -d {}",
            self.user, self.database
        )
    }

    pub(crate) async fn connect_all(&self, count: usize) -> Result<Vec<Client>, DemoError> {
        let mut clients = vec![self.connect_patiently().await?];
        while clients.len() < count {
            clients.push(self.connect().await.map_err(connecting)?);
        }
        Ok(clients)
    }

    /// Connects to a server that may still be starting.
    async fn connect_patiently(&self) -> Result<Client, DemoError> {
        let begun = Instant::now();
        loop {
            match self.connect().await {
                Ok(client) => return Ok(client),
                // A refusal will not change by waiting, unless it says so ("is starting up").
                Err(error)
                    if error
                        .code()
                        .is_some_and(|c| *c != SqlState::CANNOT_CONNECT_NOW) =>
                {
                    return Err(connecting(error));
                }
                Err(error) if begun.elapsed().as_secs() >= CONNECT_SECONDS_MAX => {
                    return Err(connecting(error));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(self.addr.ip().to_string())
            .port(self.addr.port())
            .user(&self.user)
            .dbname(&self.database)
            .application_name("slicedb demo")
            .connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await?;
        // Its errors reach the client's pending calls; the task ends with the client.
        tokio::spawn(connection);
        Ok(client)
    }
}

fn connecting(source: tokio_postgres::Error) -> DemoError {
    DemoError::new("connect to the server", source)
}

/// A COPY FROM STDIN under way.
pub(crate) struct Copy(Pin<Box<CopyInSink<Bytes>>>);

impl Copy {
    pub(crate) async fn begin(client: &Client, sql: &str) -> Result<Self, DemoError> {
        let sink = client.copy_in(sql).await.map_err(copying)?;
        Ok(Self(Box::pin(sink)))
    }

    /// Sends whole or partial lines, cut into messages.
    pub(crate) async fn send_all(mut self, mut lines: Bytes) -> Result<Self, DemoError> {
        while !lines.is_empty() {
            let chunk = lines.split_to(lines.len().min(CHUNK_BYTES));
            self.0.feed(chunk).await.map_err(copying)?;
        }
        Ok(self)
    }

    /// Ends the COPY; once this returns, the rows are durable.
    pub(crate) async fn finish(mut self) -> Result<u64, DemoError> {
        self.0.as_mut().finish().await.map_err(copying)
    }
}

fn copying(source: tokio_postgres::Error) -> DemoError {
    DemoError::new("copy rows in", source)
}

/// Waits until the stop is asked for; for ever if whoever could ask is gone.
pub(crate) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
