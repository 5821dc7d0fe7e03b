//! Which functions take a time that is bounded by the bytes of their arguments, and give no more
//! than those: a few rows of them are computed by a thread that has others to serve.

use datafusion::logical_expr::ScalarUDF;

use super::{Checked, Convert, FloatFunction, toolkit};

/// Those that are known by their name. What is missing here is computed elsewhere, a little later.
const QUICK: &[&str] = &[
    "age",
    "ascii",
    "bit_length",
    "btrim",
    "cbrt",
    "ceil",
    "character_length",
    "coalesce",
    "cos",
    "date_bin",
    "date_part",
    "date_trunc",
    "degrees",
    "exp",
    "extract",
    "factorial",
    "floor",
    "gcd",
    "greatest",
    "interval_divide",
    "interval_multiply",
    "interval_order",
    "isnan",
    "iszero",
    "justify_days",
    "justify_hours",
    "justify_interval",
    "lcm",
    "least",
    "left",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "make_date",
    "make_timestamp",
    "make_timestamptz",
    "nanvl",
    "nullif",
    "octet_length",
    "pi",
    "power",
    "radians",
    "right",
    "round",
    "rtrim",
    "signum",
    "sin",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "tan",
    "time_bucket",
    "timezone",
    "to_timestamp",
    "trunc",
    "upper",
];

/// Whether a function is one of them.
pub(crate) fn is_quick(function: &ScalarUDF) -> bool {
    let inner = function.inner();
    inner.is::<Checked>()
        || inner.is::<Convert>()
        || inner.is::<FloatFunction>()
        || toolkit::is_accessor(function)
        || QUICK.contains(&function.name())
}
