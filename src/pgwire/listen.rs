//! Accepts connections, one task each, and sends them away when the server stops.
//!
//! Who connects takes a place among those that have not logged in, and then one among the sessions;
//! both are limited. CancelRequests need no session, so they come through when all are taken.
//! A panic ends one connection, never the server.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::Database;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::cancel::Registry;
use super::channel::{Channel, Phase};
use super::error::End;
use super::options::WireOptions;
use super::session::Connection;
use super::startup::{self, Arrival};

// Out of file descriptors, most likely: some will be free soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1_024;
// For last words, after the drain period.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// A socket that listens where the options say.
pub(crate) fn bind(options: &WireOptions) -> io::Result<TcpListener> {
    let socket = match options.listen {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart need not wait until the connections of its predecessor are forgotten.
    socket.set_reuseaddr(true)?;
    // Connections inherit it: a client whose machine died shall not keep its place for ever.
    socket.set_keepalive(true)?;
    socket.bind(options.listen)?;
    socket.listen(BACKLOG)
}

/// Serves `database` to whoever connects to `listener`, until `shutdown` becomes true or its sender
/// is dropped. Idle clients are sent away then; statements and transactions may go on for
/// [`WireOptions::drain_timeout`]. Returns when the last connection is closed, or 5 s after the
/// drain period at the latest.
pub(crate) async fn serve(
    database: Database,
    options: WireOptions,
    listener: TcpListener,
    mut shutdown: watch::Receiver<bool>,
) {
    let (phase, phases) = watch::channel(Phase::Serving);
    // Nothing is ever sent: it closes with the last connection.
    let (alive, mut alives) = mpsc::channel::<()>(1);
    let server = Arc::new(Server {
        database,
        registry: Registry::default(),
        sessions: Arc::new(Semaphore::new(
            options.connections_max.min(Semaphore::MAX_PERMITS),
        )),
        startups: Arc::new(Semaphore::new(
            options.startups_max.min(Semaphore::MAX_PERMITS),
        )),
        options,
        phases,
    });
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|shutdown| *shutdown) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (server, alive) = (server.clone(), alive.clone());
                tokio::spawn(async move {
                    server.connection(stream, peer).await;
                    drop(alive);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((listener, alive));
    phase.send_replace(Phase::Draining);
    if timeout(server.options.drain_timeout, alives.recv())
        .await
        .is_err()
    {
        phase.send_replace(Phase::Terminating);
        if timeout(GOODBYE_TIMEOUT, alives.recv()).await.is_err() {
            tracing::warn!("connections remain after shutdown");
        }
    }
}

// What all connections share.
struct Server {
    database: Database,
    options: WireOptions,
    registry: Registry,
    sessions: Arc<Semaphore>,
    startups: Arc<Semaphore>,
    phases: watch::Receiver<Phase>,
}

impl Server {
    // A connection, from accept to close.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        tracing::debug!(%peer, "connected");
        // Answers are small and waited for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY not set");
        }
        let bytes_max = self.options.message_bytes_max;
        let mut channel = Channel::new(stream, bytes_max, self.phases.clone());
        let conversation = self.converse(&mut channel, peer);
        // A half-written message is cut off by the last words; nothing else of the channel can be
        // in between when a panic strikes.
        match AssertUnwindSafe(conversation).catch_unwind().await {
            Ok(End::Closed) => tracing::debug!(%peer, "disconnected"),
            Ok(End::Shutdown) => {
                tracing::debug!(%peer, "disconnected by shutdown");
                let message = "terminating connection due to administrator command";
                channel
                    .last_words(&SqlError::new(SqlState::ADMIN_SHUTDOWN, message))
                    .await;
            }
            Ok(End::Fatal(error)) => {
                tracing::info!(%peer, %error, "connection refused or broken");
                channel.last_words(&error).await;
            }
            Err(_) => {
                // The panic itself was printed where it happened.
                tracing::error!(%peer, "connection panicked");
                channel
                    .last_words(&SqlError::internal("the connection ended by a bug"))
                    .await;
            }
        }
    }

    // What is said on a connection.
    async fn converse(&self, channel: &mut Channel, peer: SocketAddr) -> End {
        let Ok(startup_place) = self.startups.clone().try_acquire_owned() else {
            return too_many();
        };
        let (login, _session_place) = match self.arrive(channel, peer).await {
            Ok(arrived) => arrived,
            Err(end) => return end,
        };
        drop(startup_place);
        let connection = Connection::new(channel, login, &self.options);
        // Much the larger part of the task's memory, so it is not kept beside startup's.
        Box::pin(connection.run()).await
    }

    async fn arrive(
        &self,
        channel: &mut Channel,
        peer: SocketAddr,
    ) -> Result<(startup::Login, OwnedSemaphorePermit), End> {
        let arrival = timeout(self.options.startup_timeout, startup::arrive(channel)).await;
        let arrival = arrival.map_err(|_| {
            let message = "canceling authentication due to timeout";
            End::Fatal(SqlError::new(SqlState::QUERY_CANCELED, message))
        })??;
        let startup = match arrival {
            Arrival::Startup(startup) => startup,
            Arrival::Cancel(request) => {
                let hit = self
                    .registry
                    .cancel(request.pid, &request.secret_key.to_bytes());
                tracing::debug!(%peer, hit, "cancel request");
                return Err(End::Closed);
            }
        };
        let place = self
            .sessions
            .clone()
            .try_acquire_owned()
            .map_err(|_| too_many())?;
        let login = startup::log_in(channel, startup, peer, &self.database, &self.registry)
            .map_err(End::Fatal)?;
        Ok((login, place))
    }
}

fn too_many() -> End {
    let message = "sorry, too many clients already";
    End::Fatal(SqlError::new(SqlState::TOO_MANY_CONNECTIONS, message))
}
