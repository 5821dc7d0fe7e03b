//! SliceDB's storage engine.
//!
//! Rows come in as Arrow batches ([`Transaction::append`]), are durable in the write-ahead log
//! ([`wal`]), wait in the [`memtable`] as sorted chunks, and are sealed into columnar [`segment`]s
//! that RocksDB keeps ([`rocks`]). Readers take a [`State`] and [`Scan`] it.
//!
//! The crate knows neither SQL, tokio nor the wall clock: time and the files of the log come in as
//! arguments ([`vfs`]), while RocksDB does its own IO. One thread, the committer, makes every change of state; everybody else reads
//! immutable states.

mod background;
mod build;
mod change;
mod check;
mod committer;
pub mod compaction;
mod deletes;
pub mod derived;
mod engine;
mod error;
mod ids;
pub mod manifest;
pub mod memtable;
mod moves;
mod options;
mod pressure;
mod recover;
pub mod retention;
pub mod rocks;
pub mod scan;
pub mod search;
pub mod segment;
pub mod sort;
mod state;
pub mod table;
mod transaction;
mod unique;
pub mod vfs;
pub mod wal;

pub use check::check;
pub use derived::{Derive, Derived, Deriving, Part};
pub use engine::{Engine, Still, Usage};
pub use error::{Error, Result};
pub use ids::{SegmentId, Sequence, TableId};
pub use options::Options;
pub use pressure::{Level, Pressure};
pub use scan::{KeyRange, Scan, ScanRequest};
pub use segment::stats::{Compare, Value, ZoneMap};
pub use state::{SegmentRun, State, TableState};
pub use table::{Layout, TableDef};
pub use transaction::{RowId, Savepoint, Transaction, View};

#[cfg(test)]
mod tests;
