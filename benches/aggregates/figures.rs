//! The lines of the table.

use crate::report::Names;

/// What is measured, in the order of the table.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Figure {
    Build,
    Late,
    Ingest,
    MerchantWeek,
    MerchantWeeks,
    Disk,
    RevenueByDayOfRows,
    RevenueByDayOfGroups,
}

pub(crate) const FIGURES: Names<Figure> = &[
    (Figure::Build, "build over history"),
    (
        Figure::Late,
        "1 % more rows, spread over all history, by COPY",
    ),
    (Figure::Ingest, "COPY csv with an aggregate attached"),
    (
        Figure::MerchantWeek,
        "one merchant, 7 days by hour, 1 connection, p50 / p99",
    ),
    (Figure::MerchantWeeks, "the same, 16 connections, p50 / p99"),
    (Figure::Disk, "on disk"),
    (
        Figure::RevenueByDayOfRows,
        "revenue of all merchants by day, from the rows, median",
    ),
    (
        Figure::RevenueByDayOfGroups,
        "the same from the aggregate, median",
    ),
];
