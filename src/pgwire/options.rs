//! The limits of the wire, each with its default and unit.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How the server accepts and bounds its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WireOptions {
    /// Where to listen. Default 127.0.0.1:5454. Peers that are not on the loopback interface are
    /// refused whatever this says, because nobody has a password yet.
    pub(crate) listen: SocketAddr,
    /// Sessions at a time; one more gets 53300. Default 2,000, minimum 1.
    pub(crate) connections_max: usize,
    /// Connections that have not logged in yet, at a time; one more is closed. Default 500, minimum 1.
    pub(crate) startups_max: usize,
    /// From accept to the end of the login. Default 10 s.
    pub(crate) startup_timeout: Duration,
    /// How long running statements and open transactions may go on at shutdown. Default 10 s.
    pub(crate) drain_timeout: Duration,
    /// Length of one message after login, in bytes. Default 16 MiB, minimum 10,000, maximum 1 GiB.
    pub(crate) message_bytes_max: usize,
    /// Prepared statements of one session. Default 256, minimum 1.
    pub(crate) statements_max: usize,
    /// Open portals of one session. Default 64, minimum 1.
    pub(crate) portals_max: usize,
    /// Text of all prepared statements of one session, in bytes. Default 8 MiB. The parameters of
    /// all portals are limited by `message_bytes_max`.
    pub(crate) statement_bytes_max: usize,
}

impl Default for WireOptions {
    fn default() -> Self {
        WireOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5454)),
            connections_max: 2_000,
            startups_max: 500,
            startup_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            message_bytes_max: 16 << 20,
            statements_max: 256,
            portals_max: 64,
            statement_bytes_max: 8 << 20,
        }
    }
}
