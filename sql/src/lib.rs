//! SliceDB's SQL: what a session asks, planned over DataFusion and answered from storage.
//!
//! | room | answers |
//! |---|---|
//! | [`dialect`] | which statements there are; text → statement, within limits |
//! | [`catalog`] | which tables there are, by name; the system catalogs |
//! | `continuous` | aggregates that are kept, and exact at every instant |
//! | [`plan`] | statement → batches: tables, pushdown, threads, memory |
//! | [`functions`] | the functions that DataFusion lacks or means otherwise |
//! | [`types`] | PostgreSQL's types over Arrow, as text and binary |
//! | [`session`] | one connection's conversation: transactions, settings, statements |
//!
//! PostgreSQL is the reference for every answer: value, type, column name, error code.

pub mod catalog;
mod continuous;
mod database;
pub mod dialect;
pub mod error;
pub mod functions;
pub mod plan;
pub mod session;
pub mod types;

pub use database::{Database, DatabaseOptions};
pub use slicedb_storage as storage;
