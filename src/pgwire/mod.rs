//! The front end that speaks the Postgres protocol, versions 3.0 and 3.2.
//!
//! A connection is one task. Its bytes pass three stations, each of which trusts only the one before:
//!
//! ```text
//! socket -> channel (buffers, races) -> guard (lengths, layout) -> pgwire's decoder -> session loop
//!                                                                   startup -> simple | extended | copy
//! ```
//!
//! What holds everywhere:
//!
//! * No length that a client declares is allocated before its bytes have come, and no body reaches
//!   the decoder before [`guard`] has walked it.
//! * Statements run only for a [`startup::Login`], and only startup makes one.
//! * Whatever is awaited for a statement is raced against the client's leaving, its CancelRequest
//!   and the server's shutdown. Who left costs nothing more.
//! * An error is one ErrorResponse with one SQLSTATE. FATAL closes the connection, ERROR keeps it.
//! * Values of parameters and of rows are never logged.
//!
//! What statements mean is `slicedb_sql`'s business, how COPY data is cut into rows is `ingest`'s.

mod cancel;
mod channel;
mod copy;
mod copy_out;
mod error;
mod extended;
mod guard;
mod listen;
mod options;
mod portal;
mod rows;
mod session;
mod settings;
mod simple;
mod startup;
mod statement;

pub(crate) use listen::{bind, serve};
pub(crate) use options::WireOptions;
