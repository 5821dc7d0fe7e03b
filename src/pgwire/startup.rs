//! From the first byte to a login.
//!
//! ```text
//! [SSLRequest -> 'N'] [GSSENCRequest -> 'N']   at most one each, and nothing may follow unasked
//! CancelRequest -> close                       or
//! StartupMessage -> [NegotiateProtocolVersion] AuthenticationOk ParameterStatus.. BackendKeyData ReadyForQuery
//! ```
//!
//! Until roles have passwords, who connects over the loopback interface is trusted and nobody else
//! comes in. Every error here is FATAL: a client that has been told ERROR would go on and send
//! queries. A [`Login`] can be made nowhere else, and the session loop takes nothing less.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::response::{ReadyForQuery, SslResponse, TransactionStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey, Startup,
};
use pgwire::messages::{DecodeContext, Message};
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::{Database, Session, SessionOptions};

use super::cancel::{Registration, Registry};
use super::channel::{Channel, Phase};
use super::error::{End, Fault, clean, violation};
use super::guard;
use super::settings;

/// The one role and the one database that exist.
const ROLE: &str = "slicedb";

const SSL_REQUEST: i32 = 80_877_103;
const GSS_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;

/// The newest minor version of protocol 3 that is spoken here.
const MINOR_MAX: u16 = 2;

/// Somebody who has been let in. Only this runs statements, and only this file makes one.
pub(super) struct Login {
    session: Session,
    registration: Registration,
}

impl Login {
    /// The session, and what keeps it cancellable.
    pub(super) fn into_parts(self) -> (Session, Registration) {
        (self.session, self.registration)
    }
}

/// What a new connection wants.
pub(super) enum Arrival {
    /// To stop the statement of another connection; nothing else.
    Cancel(CancelRequest),
    /// To log in.
    Startup(Startup),
}

/// Reads up to the client's StartupMessage or CancelRequest.
pub(super) async fn arrive(channel: &mut Channel) -> Result<Arrival, End> {
    let (mut asked_ssl, mut asked_gss) = (false, false);
    loop {
        let mut packet = packet(channel).await?;
        let code = packet.get(4..).and_then(|rest| rest.first_chunk::<4>());
        match code.map_or(0, |code| i32::from_be_bytes(*code)) {
            SSL_REQUEST if !asked_ssl && packet.len() == 8 => {
                asked_ssl = true;
                refuse_encryption(channel, "SSL").await?;
            }
            GSS_REQUEST if !asked_gss && packet.len() == 8 => {
                asked_gss = true;
                refuse_encryption(channel, "GSSAPI encryption").await?;
            }
            SSL_REQUEST | GSS_REQUEST => {
                return Err(End::Fatal(violation("invalid encryption request")));
            }
            CANCEL_REQUEST => {
                let request = CancelRequest::decode(&mut packet, &DecodeContext::default());
                let request = request.ok().flatten().ok_or(End::Closed)?;
                return Ok(Arrival::Cancel(request));
            }
            version => return startup_message(packet, version).map(Arrival::Startup),
        }
    }
}

/// Lets the client in, or says why not. Puts all messages up to ReadyForQuery in the output.
pub(super) fn log_in(
    channel: &mut Channel,
    startup: Startup,
    peer: SocketAddr,
    database: &Database,
    registry: &Registry,
) -> Result<Login, SqlError> {
    let mut parameters = startup.parameters;
    authorize(&mut parameters, peer)?;
    let unknown: Vec<String> = parameters
        .keys()
        .filter(|name| name.starts_with("_pq_."))
        .cloned()
        .collect();
    parameters.retain(|name, _| !name.starts_with("_pq_."));
    let minor = startup.protocol_number_minor.min(MINOR_MAX);
    if minor < startup.protocol_number_minor || !unknown.is_empty() {
        let version = (3 << 16) | i32::from(minor);
        channel.put(&NegotiateProtocolVersion::new(version, unknown));
    }

    let registration = registry.register(if minor < 2 { 4 } else { 32 })?;
    let application_name = parameters.remove("application_name").unwrap_or_default();
    let session = database.connect(SessionOptions {
        user: ROLE.to_owned(),
        database: ROLE.to_owned(),
        application_name,
        pid: registration.pid,
        client: Some(peer),
        settings: settings::from_startup(parameters)?,
    })?;
    registration.arm(session.canceller());
    channel.obey(registration.cancels.clone());

    channel.put(&Authentication::Ok);
    for (name, value) in session.startup_parameters() {
        channel.put(&ParameterStatus::new(clean(&name), clean(&value)));
    }
    let key = SecretKey::Bytes(registration.key.clone());
    channel.put(&BackendKeyData::new(registration.pid, key));
    channel.put(&ReadyForQuery::new(TransactionStatus::Idle));
    Ok(Login {
        session,
        registration,
    })
}

// One packet without a type byte.
async fn packet(channel: &mut Channel) -> Result<BytesMut, End> {
    loop {
        let length = guard::startup_length(channel.input()).map_err(End::Fatal)?;
        if let Some(length) = length.filter(|length| channel.input().len() >= *length) {
            return Ok(channel.input().split_to(length));
        }
        channel.read(Phase::Draining).await?;
    }
}

async fn refuse_encryption(channel: &mut Channel, what: &str) -> Result<(), End> {
    if !channel.input().is_empty() {
        let message = format!("received unencrypted data after {what} request");
        return Err(End::Fatal(violation(message).with_detail(
            "This could be either a client-software bug or evidence of an attempted \
             man-in-the-middle attack.",
        )));
    }
    channel.put(&SslResponse::Refuse);
    channel.flush().await
}

fn startup_message(mut packet: BytesMut, version: i32) -> Result<Startup, End> {
    let (major, minor) = (version >> 16, version & 0xffff);
    if major != 3 {
        let message =
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2");
        return Err(End::Fatal(SqlError::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            message,
        )));
    }
    match guard::check_startup(&packet[8..]) {
        Ok(()) => {}
        Err(Fault::Statement(error)) => return Err(End::Fatal(error)),
        Err(Fault::End(end)) => return Err(end),
    }
    match Startup::decode(&mut packet, &DecodeContext::default()) {
        Ok(Some(startup)) if !packet.has_remaining() => Ok(startup),
        _ => Err(End::Fatal(violation("invalid startup packet layout"))),
    }
}

// Who may come in, from where, to which database.
fn authorize(parameters: &mut BTreeMap<String, String>, peer: SocketAddr) -> Result<(), SqlError> {
    let refused = |message: String| SqlError::new(SqlState::INVALID_AUTHORIZATION, message);
    let user = parameters.remove("user").filter(|user| !user.is_empty());
    let user =
        user.ok_or_else(|| refused("no PostgreSQL user name specified in startup packet".into()))?;
    let database = parameters
        .remove("database")
        .filter(|database| !database.is_empty());
    let database = database.unwrap_or_else(|| user.clone());
    let address = peer.ip().to_canonical();
    if !address.is_loopback() {
        let message =
            format!("connection from host \"{address}\" for user \"{user}\" is not allowed");
        return Err(refused(message).with_detail("Only loopback connections are trusted."));
    }
    if user != ROLE {
        return Err(refused(format!("role \"{user}\" does not exist")));
    }
    if database != ROLE {
        let message = format!("database \"{database}\" does not exist");
        return Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorized(user: &str, database: Option<&str>, peer: &str) -> Result<(), SqlError> {
        let mut parameters = BTreeMap::from([("user".to_owned(), user.to_owned())]);
        parameters.extend(database.map(|database| ("database".to_owned(), database.to_owned())));
        authorize(&mut parameters, peer.parse().unwrap())
    }

    #[test]
    fn the_loopback_interface_is_trusted() {
        for peer in [
            "127.0.0.1:5",
            "127.9.9.9:5",
            "[::1]:5",
            "[::ffff:127.0.0.1]:5",
        ] {
            assert_eq!(authorized("slicedb", None, peer), Ok(()), "{peer}");
            assert_eq!(
                authorized("slicedb", Some("slicedb"), peer),
                Ok(()),
                "{peer}"
            );
        }
    }

    #[test]
    fn nobody_else_is() {
        for peer in [
            "10.0.0.1:5",
            "0.0.0.0:5",
            "[::]:5",
            "[::ffff:10.0.0.1]:5",
            "[fe80::1]:5",
        ] {
            let error = authorized("slicedb", None, peer).unwrap_err();
            assert_eq!(error.state, SqlState::INVALID_AUTHORIZATION, "{peer}");
        }
    }

    #[test]
    fn the_role_and_the_database_must_exist() {
        let state = |user, database| authorized(user, database, "127.0.0.1:5").unwrap_err().state;
        assert_eq!(state("postgres", None), SqlState::INVALID_AUTHORIZATION);
        assert_eq!(state("", None), SqlState::INVALID_AUTHORIZATION);
        assert_eq!(
            state("slicedb", Some("postgres")),
            SqlState::INVALID_CATALOG_NAME
        );
    }
}
