//! The lines of the table.

use crate::report::Names;

/// What is measured, in the order of the table.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Figure {
    CopyOne,
    CopyTwo,
    Disk,
    MerchantWeek,
    AnyMerchantWeek,
    RevenueByDay,
    Count,
    Recovery,
    Memory,
}

pub(crate) const FIGURES: Names<Figure> = &[
    (Figure::CopyOne, "COPY csv, 1 connection, fsync on"),
    (Figure::CopyTwo, "COPY csv, 2 connections, fsync on"),
    (Figure::Disk, "on disk after compaction"),
    (
        Figure::MerchantWeek,
        "one merchant picked by rows, 7 days by hour, p50 / p99",
    ),
    (
        Figure::AnyMerchantWeek,
        "one merchant of all alike, 7 days by hour, p50 / p99",
    ),
    (
        Figure::RevenueByDay,
        "revenue of all merchants by day, median",
    ),
    (Figure::Count, "count(*), median"),
    (
        Figure::Recovery,
        "kill -9, then start until count(*) is answered",
    ),
    (Figure::Memory, "peak memory of the server"),
];
