//! The loop of a connection that has logged in: a message, its answer, the next message.
//!
//! What interrupts a message is a [`Fault`]: a statement's error is told and the loop goes on, in the
//! extended protocol with the next Sync; an [`End`] leaves the loop. A CommandComplete of the
//! extended protocol is *held* until the next message: if that is the Sync which commits the work,
//! the client hears it only once the work is durable, and never hears both it and an error.

use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, BytesMut};
use futures::poll;
use pgwire::messages::response::{CommandComplete, ReadyForQuery, TransactionStatus as Status};
use pgwire::messages::startup::ParameterStatus;
use pgwire::messages::{DecodeContext, Message};
use slicedb_sql::dialect::{Discard, Statement};
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::{Session, TransactionStatus};

use super::cancel::Registration;
use super::channel::{Channel, Phase};
use super::error::{End, Fault, clean, notice, response, violation};
use super::guard::{self, HEADER_BYTES, Header, Kind};
use super::options::WireOptions;
use super::portal::Portals;
use super::startup::Login;
use super::statement::Statements;

/// After so many messages of one connection it is the turn of others. A client on the same core may
/// have its next one here before anybody looks for it, again and again.
const IN_A_ROW_MAX: u32 = 4;

/// A connection that has logged in.
pub(super) struct Connection<'a> {
    pub(super) channel: &'a mut Channel,
    pub(super) session: Session,
    pub(super) statements: Statements,
    pub(super) portals: Portals,
    // The session is in an implicit transaction that has to be ended.
    pub(super) implicit: bool,
    // Everything up to the next Sync is dropped.
    skipping: bool,
    // The tag of a CommandComplete that has not been told yet.
    pub(super) held: Option<String>,
    // Messages for which nobody had to wait.
    in_a_row: u32,
    registration: Registration,
}

impl<'a> Connection<'a> {
    /// Takes over from startup.
    pub(super) fn new(channel: &'a mut Channel, login: Login, options: &WireOptions) -> Self {
        let (session, registration) = login.into_parts();
        Connection {
            channel,
            session,
            statements: Statements::new(options),
            portals: Portals::new(options),
            implicit: false,
            skipping: false,
            held: None,
            in_a_row: 0,
            registration,
        }
    }

    /// Answers messages until the connection ends.
    pub(super) async fn run(mut self) -> End {
        loop {
            let end = match self.step().await {
                Ok(()) => continue,
                Err(Fault::Statement(error)) => match self.failed(&error).await {
                    Ok(()) => {
                        self.skipping = true;
                        continue;
                    }
                    Err(end) => end,
                },
                Err(Fault::End(end)) => end,
            };
            // What the statement started elsewhere shall stop too.
            self.session.canceller().cancel();
            return end;
        }
    }

    async fn step(&mut self) -> Result<(), Fault> {
        let idle = !self.implicit && self.session.status() == TransactionStatus::Idle;
        let until = if idle {
            Phase::Draining
        } else {
            Phase::Terminating
        };
        let (header, message) = self.next(until).await?;
        match header.kind {
            Kind::Terminate => Err(End::Closed.into()),
            Kind::Sync => Box::pin(self.sync()).await,
            _ if self.skipping => Ok(()),
            // What is left of a COPY that has failed.
            Kind::CopyData | Kind::CopyDone | Kind::CopyFail => Ok(()),
            kind => {
                self.tell_held();
                self.answer(kind, message).await
            }
        }
    }

    // The next message, perhaps after a turn of other connections.
    async fn next(&mut self, until: Phase) -> Result<(Header, BytesMut), End> {
        let mut next = pin!(self.channel.next(until));
        let polled = poll!(next.as_mut());
        let Poll::Ready(message) = polled else {
            self.in_a_row = 0;
            return next.await;
        };
        self.in_a_row += 1;
        if self.in_a_row >= IN_A_ROW_MAX {
            self.in_a_row = 0;
            tokio::task::yield_now().await;
        }
        message
    }

    // What takes room is boxed, each by itself: a connection that waits should not hold it, and the
    // messages that come with each run of a prepared statement should not take what others need.
    async fn answer(&mut self, kind: Kind, message: BytesMut) -> Result<(), Fault> {
        match kind {
            Kind::Bind => self.bind(decode(kind, message)?),
            Kind::Describe => self.describe(decode(kind, message)?),
            Kind::Execute => Box::pin(self.execute(decode(kind, message)?)).await,
            Kind::Close => self.close(decode(kind, message)?),
            Kind::Parse => Box::pin(self.parse(decode(kind, message)?)).await,
            Kind::Flush => Ok(self.channel.flush().await?),
            Kind::Query => Box::pin(self.simple(message)).await,
            Kind::FunctionCall => {
                let error = SqlError::unsupported("the function call message");
                Box::pin(self.end_query(Err(error.into()))).await
            }
            kind => Err(SqlError::internal(format!("{kind:?} is answered elsewhere")).into()),
        }
    }

    async fn simple(&mut self, message: BytesMut) -> Result<(), Fault> {
        let answer = self.query(message).await;
        self.end_query(answer).await
    }

    // The end of an answer to the simple protocol.
    async fn end_query(&mut self, answer: Result<(), Fault>) -> Result<(), Fault> {
        match answer {
            Ok(()) => {}
            Err(Fault::Statement(error)) => self.failed(&error).await?,
            Err(end) => return Err(end),
        }
        self.ready().await
    }

    // Sync ends what the extended protocol began.
    async fn sync(&mut self) -> Result<(), Fault> {
        self.skipping = false;
        let held = self.held.take();
        match self.commit().await {
            Ok(()) => self.held = held,
            Err(Fault::Statement(error)) => self.failed(&error).await?,
            Err(end) => return Err(end),
        }
        self.tell_held();
        self.ready().await
    }

    /// Makes sure that an implicit transaction is under way.
    pub(super) fn begin(&mut self) {
        if !self.implicit {
            self.session.begin_implicit();
            self.implicit = true;
        }
    }

    /// Commits the implicit transaction, if there is one.
    pub(super) async fn commit(&mut self) -> Result<(), Fault> {
        if self.implicit {
            self.implicit = false;
            self.channel.race(self.session.end_implicit(true)).await??;
        }
        Ok(())
    }

    // Tells an error and what it means for the transaction.
    async fn failed(&mut self, error: &SqlError) -> Result<(), End> {
        self.tell_held();
        self.tell_notices();
        self.channel.put(&response("ERROR", error));
        // The message may quote values, so only the code is logged, but for faults of our own.
        let (pid, sqlstate) = (self.registration.pid, error.state.as_str());
        match &sqlstate[..2] {
            "XX" | "58" => tracing::error!(pid, %error, detail = ?error.detail, "statement failed"),
            _ if error.state == SqlState::DISK_FULL => {
                tracing::warn!(pid, %error, "statement failed");
            }
            _ => tracing::info!(pid, sqlstate, "statement failed"),
        }
        self.portals.clear();
        self.session.fail();
        if self.implicit {
            self.implicit = false;
            let ended = self.channel.race(self.session.end_implicit(false)).await?;
            if let Err(error) = ended {
                tracing::error!(pid, %error, "rollback failed");
            }
        }
        Ok(())
    }

    // ReadyForQuery, and what goes with it.
    async fn ready(&mut self) -> Result<(), Fault> {
        self.session.rest();
        let status = match self.session.status() {
            TransactionStatus::Idle => {
                self.portals.clear();
                Status::Idle
            }
            TransactionStatus::InTransaction => Status::Transaction,
            TransactionStatus::Failed => Status::Error,
        };
        self.tell_notices();
        for (name, value) in self.session.take_parameter_changes() {
            self.channel
                .put(&ParameterStatus::new(clean(&name), clean(&value)));
        }
        self.channel.put(&ReadyForQuery::new(status));
        Ok(self.channel.flush().await?)
    }

    /// Tells the CommandComplete that was held back.
    pub(super) fn tell_held(&mut self) {
        if let Some(tag) = self.held.take() {
            self.complete(tag);
        }
    }

    /// Tells that a statement is done.
    pub(super) fn complete(&mut self, tag: String) {
        self.tell_notices();
        self.channel.put(&CommandComplete::new(tag));
    }

    /// Tells the notices of the statement so far.
    pub(super) fn tell_notices(&mut self) {
        for notices in self.session.take_notices() {
            self.channel.put(&notice(&notices));
        }
    }

    /// DEALLOCATE of a statement that the protocol prepared: drivers mix the two.
    pub(super) fn deallocate(&mut self, statement: &Statement) -> Option<String> {
        match statement {
            Statement::Deallocate(Some(name))
                if self.session.status() != TransactionStatus::Failed
                    && !name.is_empty()
                    && self.statements.remove(name) =>
            {
                Some("DEALLOCATE".to_owned())
            }
            _ => None,
        }
    }

    /// Forgets what a statement of SQL, once done, makes the protocol forget.
    pub(super) fn forget(&mut self, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::Statements => self.statements.clear(),
            Effect::Everything => {
                self.statements.clear();
                self.portals.clear();
            }
        }
    }
}

/// What a statement of SQL does to the protocol's statements and portals.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    None,
    Statements,
    Everything,
}

impl Effect {
    /// The effect of `statement` if it succeeds.
    pub(super) fn of(statement: &Statement) -> Effect {
        match statement {
            Statement::Deallocate(None) => Effect::Statements,
            Statement::Discard(Discard::All) => Effect::Everything,
            _ => Effect::None,
        }
    }
}

/// Decodes a message after the guard has walked it.
pub(super) fn decode<M: Message>(kind: Kind, mut message: BytesMut) -> Result<M, Fault> {
    guard::check(kind, &message[HEADER_BYTES..])?;
    match M::decode(&mut message, &DecodeContext::default()) {
        Ok(Some(decoded)) if !message.has_remaining() => Ok(decoded),
        _ => Err(End::Fatal(violation("invalid message format")).into()),
    }
}

/// Moves an error's position from the statement to the message that the statement stands in.
pub(super) fn shifted(mut error: SqlError, offset: usize) -> SqlError {
    error.position = error.position.map(|position| position + offset);
    error
}
