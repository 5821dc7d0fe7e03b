//! Newest in a logical plan: some rows of its input, the newest of each key among them.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

/// The node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Newest {
    pub(super) input: LogicalPlan,
    /// The column of keys.
    pub(super) key: Expr,
    /// The column of times.
    pub(super) time: Expr,
    /// Where both stand in the table.
    pub(super) columns: [usize; 2],
}

impl PartialOrd for Newest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for Newest {
    fn name(&self) -> &str {
        "Newest"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.key.clone(), self.time.clone()]
    }

    /// A condition on the key holds for all rows of a key, or for none.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let key = self.key.column_refs();
        let is_key = |name: &String| key.iter().any(|column| column.name() == name);
        let names = self.schema().fields().iter().map(|field| field.name());
        names.filter(|name| !is_key(name)).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Newest: by {} in {}", self.time, self.key)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Ok([key, time]), Ok([input])) =
            (<[_; 2]>::try_from(exprs), <[_; 1]>::try_from(inputs))
        else {
            return internal_err!("the newest rows have one key, one time and one input");
        };
        Ok(Newest {
            input,
            key,
            time,
            columns: self.columns,
        })
    }

    fn necessary_children_exprs(&self, columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![columns.to_vec()])
    }
}
