//! Continuous aggregates: the answers of a grouping query, kept so that they are always exact.
//!
//! What is kept are *partials*: one row of mergeable states for each group of the sealed rows of a
//! table, made while the rows are sealed and visible with them. A query merges those partials with
//! the partials of the rows in memory, which it computes itself, all at one state. Nothing is ever
//! behind, and a late row is one more partial of an old bucket.
//!
//! Deleted and changed rows make the partials of their key and bucket stale; those are computed from
//! the rows themselves until [`repair`] has computed them anew. A new aggregate begins with
//! everything stale, so that building it is the same work.
//!
//! | file | answers |
//! |---|---|
//! | [`parts`] | which queries can be kept |
//! | [`definition`] | what of them is kept, and the query over it |
//! | [`hierarchy`], [`flat`] | aggregates over aggregates, as aggregates over rows |
//! | [`keys`], [`quarters`] | what partials are grouped by |
//! | [`below`], [`above`] | the halves of the definition: over the source's rows, over partials |
//! | [`phase`] | rows → partials, partials → one of each group |
//! | [`merge`] | the aggregate functions over partials |
//! | [`slots`] | which buckets a range of time meets |
//! | [`stale`] | which partials are not to be trusted |
//! | [`relation`], [`scan`] | all partials of a state, kept and computed, as a table to DataFusion |
//! | [`template`] | such a table in a plan that is run again |
//! | [`merged_once`] | groupings over an aggregate's groups, as groupings over its partials |
//! | [`answering`] | queries over the table that an aggregate can answer |
//! | [`states`], [`within`] | aggregates told by the states of others; ranges of time that are asked |
//! | [`repair`] | computing anew what is stale, piece by piece |

mod above;
mod answering;
mod below;
pub(crate) mod definition;
mod flat;
mod hierarchy;
mod keys;
mod merge;
mod merged_once;
mod parts;
mod phase;
mod quarters;
mod relation;
pub(crate) mod repair;
mod scan;
mod slots;
mod stale;
mod states;
mod template;
mod within;

pub(crate) use above::Placed;
pub(crate) use answering::{Candidate, answered};
pub(crate) use definition::Definition;
pub(crate) use hierarchy::over_rows;
pub(crate) use merged_once::MergedOnce;
pub(crate) use phase::{Phase, combine, group_states};
pub(crate) use relation::Partials;
pub(crate) use scan::PartialsScan;
pub(crate) use template::PartialsTemplate;
