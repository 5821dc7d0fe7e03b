//! A group that is being filled: how far it is, and what is carried from row to row.

use arrow::row::OwnedRow;

use super::fill::Layout;
use super::line::Sample;
use super::node::{Fill, Kind};
use crate::plan::places::{NULL, Place, Sources};

/// Where a fill is within its group.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// The value that is carried forward, and its column.
    Locf { last: Place, column: usize },
    Interpolate {
        before: Option<Sample>,
        after: Option<Sample>,
        /// Whether what comes after the last row has been looked up.
        is_asked: bool,
    },
}

/// The group that is being filled.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Option<OwnedRow>,
    /// Its first row.
    pub(super) first: Place,
    /// The row that holds what is looked up.
    pub(super) lookup: Place,
    pub(super) states: Vec<State>,
    /// The next bucket that is due.
    pub(super) due: i64,
}

impl Group {
    pub(super) fn new(
        layout: &Layout,
        key: Option<OwnedRow>,
        first: Place,
        lookup: Place,
    ) -> Group {
        let state = |(n, fill): (usize, &Fill)| match fill.kind {
            Kind::Locf { .. } => State::Locf {
                last: NULL,
                column: layout.width + n,
            },
            Kind::Interpolate => State::Interpolate {
                before: None,
                after: None,
                is_asked: false,
            },
        };
        Group {
            key,
            first,
            lookup,
            states: layout.fills.iter().enumerate().map(state).collect(),
            due: layout.start,
        }
    }
}

/// Looks up the value before the first bucket, if there is none yet.
pub(super) fn look_before(
    layout: &Layout,
    sources: &Sources,
    fill: usize,
    lookup: Place,
    last: &mut Place,
    column: &mut usize,
) {
    if let Some(prev) = layout.lookups(fill).0
        && sources.is_null(*last, *column)
    {
        (*last, *column) = (lookup, prev);
    }
}
