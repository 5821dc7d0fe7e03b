//! [`Properties`]: what a relation has beside its columns, kept in its catalog record. Each is left
//! out where it is not there, so that records that were written before it mean the same.

use serde::{Deserialize, Serialize};

/// What a table, a view or a continuous aggregate has beside its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// What fills a materialized view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<StoredQuery>,
    /// How far its newest row may lie back, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_lag_us: Option<i64>,
    /// The window of a retention policy that does not run, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_retention_us: Option<i64>,
}

/// The query of a materialized view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredQuery {
    /// As it was written.
    pub text: String,
    /// The relations that it reads, by their oids.
    pub reads: Vec<u32>,
    /// Whether there are rows of it: false until it is refreshed.
    pub is_populated: bool,
}
