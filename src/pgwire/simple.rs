//! The simple protocol: one message, any number of statements.
//!
//! Several statements are one implicit transaction. Each is answered as it ends, so that the client
//! has the results of those before a failing one; the answer to the last is given after the commit.

use bytes::BytesMut;
use pgwire::messages::response::EmptyQueryResponse;
use pgwire::messages::simplequery::Query;
use slicedb_sql::dialect::Parsed;
use slicedb_sql::session::Outcome;

use super::error::Fault;
use super::guard::Kind;
use super::rows::{self, Cursor};
use super::session::{Connection, Effect, decode, shifted};

impl Connection<'_> {
    /// Answers a Query message, up to its ReadyForQuery.
    pub(super) async fn query(&mut self, message: BytesMut) -> Result<(), Fault> {
        let text = decode::<Query>(Kind::Query, message)?.query;
        self.statements.remove("");
        self.portals.take("");
        self.channel.arm();
        let statements = self.session.parse(&text)?;
        drop(text);
        if statements.is_empty() {
            self.commit().await?;
            self.channel.put(&EmptyQueryResponse::new());
            return Ok(());
        }
        if statements.len() > 1 {
            self.begin();
        }
        let last = statements.len() - 1;
        for (index, parsed) in statements.into_iter().enumerate() {
            let tag = self.statement(parsed).await?;
            if index == last {
                self.commit().await?;
            }
            self.complete(tag);
        }
        Ok(())
    }

    // Runs one statement and sends its result; tells the tag.
    async fn statement(&mut self, parsed: Parsed) -> Result<String, Fault> {
        if let Some(tag) = self.deallocate(&parsed.statement) {
            return Ok(tag);
        }
        let offset = parsed.offset;
        let effect = Effect::of(&parsed.statement);
        let outcome = self.channel.race(self.session.run(parsed)).await?;
        let tag = match outcome.map_err(|error| shifted(error, offset))? {
            Outcome::Command(tag) => tag,
            Outcome::Rows(rows) => {
                self.tell_notices();
                let mut cursor = Cursor::new(rows);
                self.channel.put(&rows::description(cursor.columns(), &[])?);
                let settings = self.session.format_settings();
                let count = cursor.send(self.channel, &[], &settings, u64::MAX).await?;
                cursor.tag(count)
            }
            Outcome::CopyIn(copy) => self.copy_in(copy).await?,
            Outcome::CopyOut(copy) => self.copy_out(copy).await?,
        };
        self.forget(effect);
        Ok(tag)
    }
}
