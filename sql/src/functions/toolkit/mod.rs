//! The hyperfunctions of TimescaleDB's toolkit: aggregates that summarise rows, and functions that
//! ask the summaries.
//!
//! Every summary is bytes (Arrow's Binary), whose field names its PostgreSQL type: `stats_agg(v)` is
//! a `statssummary1d`. An aggregate's state is its answer: the same bytes are merged between threads,
//! kept in the partials of continuous aggregates, sent to clients and merged by `rollup`. So there
//! is one encoding a type, and merging is the one operation that all of them have in common
//! ([`summary::Summary`]).
//!
//! ```text
//! | kind u8 | version u8 = 1 | body |
//! ```
//!
//! The kind is [`SummaryKind::code`](crate::types::SummaryKind::code). Numbers are little-endian; counts
//! are LEB128, signed integers are folded (0, -1, 1, -2, …) and then LEB128. Each family draws its body
//! where it writes it. The bytes may come from a client: reading checks every bound before it allocates,
//! and what does not hold is one error (22P03).
//!
//! | file | answers |
//! |---|---|
//! | [`bytes`], [`summary`] | encoding; what all summaries do |
//! | [`args`], [`aggregate`], [`groups`], [`rollup`], [`accessor`] | types of arguments; aggregates and accessors as DataFusion wants them |
//! | [`datum`] | values of any type, as sketches keep them |
//! | [`stats`] | `stats_agg` of one and of two variables |
//! | [`uddsketch`] with [`buckets`], [`tdigest`] | percentiles |
//! | [`hyperloglog`] with [`registers`] | distinct counts |
//! | [`candlestick`] | open, high, low, close |
//! | [`points`], [`counter`], [`time_weight`], [`lttb`] | what depends on the order of time |
//! | [`frequent`], [`most`] | frequent values; least and greatest values |
//! | [`histogram`] | TimescaleDB's own, which is no summary |
//!
//! Names, arguments and meaning are the toolkit's (<https://docs.tigerdata.com/api/latest/hyperfunctions/>);
//! how summaries are computed and kept is not. What differs on purpose stands in `docs/sql.md`.

mod accessor;
mod aggregate;
mod args;
mod buckets;
mod bytes;
mod candlestick;
mod counter;
mod datum;
mod frequent;
mod groups;
mod histogram;
mod hyperloglog;
mod lttb;
mod most;
mod points;
mod registers;
mod rollup;
mod stats;
mod summary;
mod tdigest;
mod time_weight;
mod uddsketch;

#[cfg(test)]
mod tests;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// All aggregates.
pub(super) fn aggregates() -> Vec<AggregateUDF> {
    let builders = [
        stats::AGGREGATES,
        uddsketch::AGGREGATES,
        tdigest::AGGREGATES,
        hyperloglog::AGGREGATES,
        candlestick::AGGREGATES,
        counter::AGGREGATES,
        time_weight::AGGREGATES,
        frequent::AGGREGATES,
        most::AGGREGATES,
        lttb::AGGREGATES,
    ];
    let mut all = aggregate::by_name(&builders.concat());
    all.push(AggregateUDF::from(histogram::Histogram::new()));
    all.push(AggregateUDF::from(rollup::Rollup::new()));
    all
}

/// Whether a function is over summaries.
pub(super) fn is_accessor(function: &ScalarUDF) -> bool {
    function.inner().is::<accessor::Accessor>()
}

/// All functions over summaries.
pub(super) fn accessors() -> Vec<ScalarUDF> {
    let forms = [
        stats::ACCESSORS,
        uddsketch::ACCESSORS,
        tdigest::ACCESSORS,
        hyperloglog::ACCESSORS,
        candlestick::ACCESSORS,
        counter::ACCESSORS,
        time_weight::ACCESSORS,
        frequent::ACCESSORS,
        most::ACCESSORS,
        lttb::ACCESSORS,
    ];
    let mut all = accessor::by_name(&forms.concat());
    all.push(ScalarUDF::from(candlestick::FromBar::new()));
    all
}
