//! GapFill in a logical plan: above a grouping, with a row for every bucket of every group.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

/// What fills a column in buckets that were missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The value before. With `missing`, also where a value is NULL.
    Locf { missing: bool },
    /// What lies on the line between the values before and after.
    Interpolate,
}

/// A column that is filled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fill {
    pub(super) kind: Kind,
    /// The name of the filled column.
    pub(super) name: String,
    /// Whether a value before the first bucket is looked up.
    pub(super) has_prev: bool,
    /// Whether a value after the last bucket is looked up.
    pub(super) has_next: bool,
}

/// Which buckets there are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Range {
    /// An interval, or a number.
    pub(super) width: ScalarValue,
    /// Name of the zone in whose local time buckets begin, which may be NULL.
    pub(super) zone: Option<Option<String>>,
    /// A time in the first bucket, in ticks; none where it is NULL. What is NULL here is a fault of the
    /// run, not of the statement: it may be a parameter.
    pub(super) start: Option<i64>,
    /// The first bucket that does not begin before this time is none; none where it is NULL.
    pub(super) finish: Option<i64>,
}

/// The node.
///
/// The columns of its input are those of the grouping, then the values of each fill, then what each
/// looks up: before, after. Its own columns are those of the grouping and the filled ones. Without
/// keys there are buckets even where there is no row, so that what is looked up comes as a row of
/// its own, from a second input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct GapFill {
    pub(super) inputs: Vec<LogicalPlan>,
    /// How many columns the grouping has.
    pub(super) width: usize,
    /// The column of buckets.
    pub(super) time: usize,
    /// What else rows are grouped by.
    pub(super) keys: Vec<usize>,
    pub(super) range: Range,
    pub(super) fills: Vec<Fill>,
    pub(super) schema: DFSchemaRef,
}

impl GapFill {
    pub(super) fn new(
        inputs: Vec<LogicalPlan>,
        width: usize,
        time: usize,
        keys: Vec<usize>,
        range: Range,
        fills: Vec<Fill>,
    ) -> Result<GapFill> {
        let Some(input) = inputs.first() else {
            return internal_err!("nothing to fill");
        };
        let schema = schema(input.schema(), width, time, &keys, &fills)?;
        Ok(GapFill {
            inputs,
            width,
            time,
            keys,
            range,
            fills,
            schema,
        })
    }
}

/// What is computed is NULL in buckets that were missing.
fn schema(
    input: &DFSchema,
    width: usize,
    time: usize,
    keys: &[usize],
    fills: &[Fill],
) -> Result<DFSchemaRef> {
    let nullable = |field: &Field| field.clone().with_nullable(true);
    let mut fields = Vec::with_capacity(width + fills.len());
    for at in 0..width {
        let (qualifier, field) = input.qualified_field(at);
        let field = match at == time || keys.contains(&at) {
            true => field.clone(),
            false => Arc::new(nullable(field)),
        };
        fields.push((qualifier.cloned(), field));
    }
    for (n, fill) in fills.iter().enumerate() {
        let field = nullable(input.field(width + n)).with_name(&fill.name);
        fields.push((None, Arc::new(field)));
    }
    let schema = DFSchema::new_with_metadata(fields, input.metadata().clone())?;
    Ok(Arc::new(schema))
}

impl PartialOrd for GapFill {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        "GapFill"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    /// A condition on keys holds for all rows of a group, or for none.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let passes = |at: usize| self.inputs.len() == 1 && self.keys.contains(&at);
        let fields = self.schema.fields().iter().enumerate();
        let held = fields.filter(|(at, _)| !passes(*at));
        held.map(|(_, field)| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let time = self.schema.field(self.time).name();
        write!(f, "GapFill: time=[{time}]")?;
        let names = self.keys.iter().map(|&at| self.schema.field(at).name());
        let names: Vec<&str> = names.map(String::as_str).collect();
        write!(f, ", keys=[{}]", names.join(", "))
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if inputs.len() != self.inputs.len() {
            return internal_err!("a gap fill has other inputs than it had");
        }
        GapFill::new(
            inputs,
            self.width,
            self.time,
            self.keys.clone(),
            self.range.clone(),
            self.fills.clone(),
        )
    }
}
