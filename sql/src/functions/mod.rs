//! Functions that PostgreSQL and TimescaleDB have and DataFusion has not: pure ones, which need
//! nothing but their arguments, and some that need the session's zone. Functions of the catalog are
//! registered there.

mod arithmetic;
mod asof;
mod bookend;
mod cast;
mod columns;
mod common;
mod datetime;
mod float;
mod format;
mod format_type;
pub(crate) mod gapfill;
mod interval;
mod limits;
mod only_value;
mod quick;
mod quote;
mod simple;
mod size_pretty;
mod time_bucket;
mod timezone;
mod toolkit;
mod version;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use crate::error::{SqlError, SqlState};

pub(crate) use arithmetic::{Checked, Operation};
pub(crate) use asof::MARK as ASOF_MARK;
pub(crate) use cast::{Convert, convert, differs as cast_differs, is_checked_text};
pub(crate) use datetime::{Series, functions as session_functions};
pub(crate) use float::FloatFunction;
pub(crate) use interval::{interval_divide, interval_multiply, interval_order};
pub(crate) use only_value::{only_value, up_to_two};
pub(crate) use quick::is_quick;
pub use time_bucket::{Bucketer, Width};
pub(crate) use time_bucket::{Steps, TimeBucket, ticks};
pub use version::VERSION;

/// All scalar functions.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = vec![
        Arc::new(ScalarUDF::from(TimeBucket::new())),
        Arc::new(ScalarUDF::from(timezone::Timezone::new())),
        Arc::new(ScalarUDF::from(interval::Scale::multiply())),
        Arc::new(ScalarUDF::from(interval::Scale::divide())),
        Arc::new(ScalarUDF::from(format::Format::new())),
    ];
    for group in [
        format_type::functions(),
        quote::functions(),
        size_pretty::functions(),
        version::functions(),
    ] {
        functions.extend(
            group
                .into_iter()
                .map(|function| Arc::new(ScalarUDF::from(function))),
        );
    }
    functions.push(Arc::new(ScalarUDF::from(asof::Mark::new())));
    functions.extend(gapfill::functions().into_iter().map(Arc::new));
    functions.extend(limits::functions().into_iter().map(|f| Arc::new(f.into())));
    functions.extend(common::functions().into_iter().map(|f| Arc::new(f.into())));
    functions.extend(toolkit::accessors().into_iter().map(Arc::new));
    functions
}

/// All aggregate functions.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let mut functions = vec![
        Arc::new(AggregateUDF::from(bookend::Bookend::first())),
        Arc::new(AggregateUDF::from(bookend::Bookend::last())),
    ];
    functions.extend(toolkit::aggregates().into_iter().map(Arc::new));
    functions
}

/// An error of a function, in the client's words, on its way through DataFusion.
pub(crate) fn fault(state: SqlState, message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(SqlError::new(state, message)))
}
