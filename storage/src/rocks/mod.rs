//! RocksDB: where sealed columns and the manifest live. Only this folder imports it.
//!
//! Rows never pass through a RocksDB memtable: sealed columns come in as finished files
//! ([`Store::ingest`]). The column family `meta` is the commit point of seals and merges. What
//! neither it nor a commit in the log names does not exist.

pub mod keys;
mod relink;
mod store;

pub use store::{MetaBatch, SegmentFile, Store};
