//! Tests of the types against recorded and live answers of PostgreSQL.

mod arrow_in;
mod differential;
mod names;
pub(crate) mod postgres;
mod round_trip;
mod values;
