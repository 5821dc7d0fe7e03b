//! PostgreSQL's types over Arrow: names, oids, text and binary values, both ways.
//!
//! | file | answers |
//! |---|---|
//! | `pg_type`, `mapping`, `from_ast` | which types there are, which Arrow type each is kept in, how SQL names them |
//! | `summary` | the types of values that summarise rows |
//! | `format` | the session settings that change how values are written and read |
//! | `encoder`, `text_out`, `binary_out` | Arrow cells to the bytes of a result |
//! | `builder`, `text_in`, `binary_in` | bytes of a client to Arrow cells |
//! | `numbers`, `float_out`, `numeric`, `bytes`, `array_in` | one family of values each |
//! | `calendar`, `clock`, `zone`, `datetime_*`, `interval_*` | days, zones, dates and times |
//!
//! Text is exactly what PostgreSQL 15 and 16 print and read; `tests/values.txt` is generated from a
//! real server. Known differences:
//!
//! * A plain `numeric` has 38 digits, 9 of them after the point, and prints without trailing zeros.
//!   There is no `NaN` or `Infinity` among numerics.
//! * Timestamps end in the year 294246, since they count from 1970 and not from 2000; the time part
//!   of an interval is at most 292 years.
//! * `jsonb` is validated but keeps its text.
//! * `character(n)` is kept without trailing blanks and padded when it is written, so that
//!   comparing and grouping ignore them.
//! * Arrays that come in have one dimension.

mod array_in;

mod binary_in;
mod binary_out;
mod builder;
mod bytes;
pub(crate) mod calendar;
mod clock;
mod datetime_fields;
mod datetime_in;
mod datetime_out;
mod datetime_tokens;
mod datetime_words;
mod encoder;
mod fault;
mod float_out;
mod format;
mod from_ast;
mod interval_in;
mod interval_iso;
mod interval_out;
mod mapping;
mod numbers;
mod numeric;
mod pg_type;
mod summary;
mod text_in;
mod text_out;
mod zone;

#[cfg(test)]
mod tests;

pub use builder::ColumnBuilder;
pub use encoder::Encoder;
pub use format::{
    ByteaOutput, DateFormat, DateOrder, DateStyle, Format, FormatSettings, IntervalStyle,
};
pub use mapping::PG_TYPE_METADATA;
pub use pg_type::PgType;
pub use summary::SummaryKind;
pub use zone::Zone;
