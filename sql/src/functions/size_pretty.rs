//! `pg_size_pretty(bigint)`.

use datafusion::arrow::datatypes::DataType;

use super::simple::Simple;

/// The function.
pub(super) fn functions() -> Vec<Simple> {
    vec![Simple::new(
        "pg_size_pretty",
        vec![vec![DataType::Int64]],
        |row| Ok(row[0].and_then(|bytes| bytes.parse().ok()).map(size_pretty)),
    )]
}

/// As PostgreSQL 15: the unit changes at 10 of the next one, halves are rounded away from zero.
fn size_pretty(bytes: i64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes.unsigned_abs() < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    // Half units, so that the last step can round.
    let mut halves = bytes >> 9;
    for unit in units {
        if halves.unsigned_abs() < 20 * 1024 - 1 {
            return format!("{} {unit}", half_rounded(halves));
        }
        halves >>= 10;
    }
    format!("{} PB", half_rounded(halves))
}

fn half_rounded(halves: i64) -> i64 {
    (halves + if halves < 0 { -1 } else { 1 }) / 2
}
