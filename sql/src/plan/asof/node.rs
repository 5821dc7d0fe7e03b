//! AsOfJoin in a logical plan: each row on the left with the newest row on the right that is not
//! later, of the same keys.

use std::cmp::Ordering;
use std::fmt;
use std::hash::Hash;

use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::logical_plan::builder::build_join_schema;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, Operator, UserDefinedLogicalNodeCore};

/// The node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AsOfJoin {
    pub(super) left: LogicalPlan,
    pub(super) right: LogicalPlan,
    /// What is equal, left and right.
    pub(super) keys: Vec<(Expr, Expr)>,
    /// The times, left and right.
    pub(super) times: (Expr, Expr),
    /// How the left time compares with the right one: `>=`, `>`, `<=` or `<`.
    pub(super) op: Operator,
    /// Inner or left.
    pub(super) join_type: JoinType,
    pub(super) schema: DFSchemaRef,
}

impl AsOfJoin {
    pub(super) fn new(
        left: LogicalPlan,
        right: LogicalPlan,
        keys: Vec<(Expr, Expr)>,
        times: (Expr, Expr),
        op: Operator,
        join_type: JoinType,
    ) -> Result<AsOfJoin> {
        let schema = build_join_schema(left.schema(), right.schema(), &join_type)?;
        Ok(AsOfJoin {
            left,
            right,
            keys,
            times,
            op,
            join_type,
            schema: schema.into(),
        })
    }

    /// The same with other inputs.
    pub(super) fn of(&self, left: LogicalPlan, right: LogicalPlan) -> Result<AsOfJoin> {
        let (keys, times) = (self.keys.clone(), self.times.clone());
        AsOfJoin::new(left, right, keys, times, self.op, self.join_type)
    }
}

impl PartialOrd for AsOfJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for AsOfJoin {
    fn name(&self) -> &str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let keys = self.keys.iter().flat_map(|(left, right)| [left, right]);
        let times = [&self.times.0, &self.times.1];
        keys.chain(times).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "AsOfJoin: type={}, on=[", self.join_type)?;
        for (left, right) in &self.keys {
            write!(f, "{left} = {right}, ")?;
        }
        write!(f, "{} {} {}]", self.times.0, self.op, self.times.1)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        let mut exprs = exprs.into_iter();
        let mut keys = Vec::with_capacity(self.keys.len());
        for _ in 0..self.keys.len() {
            keys.extend(exprs.next().zip(exprs.next()));
        }
        match (inputs.next(), inputs.next(), exprs.next(), exprs.next()) {
            (Some(left), Some(right), Some(earlier), Some(later)) => {
                let times = (earlier, later);
                AsOfJoin::new(left, right, keys, times, self.op, self.join_type)
            }
            _ => internal_err!("an ASOF JOIN has two inputs and two times"),
        }
    }

    fn necessary_children_exprs(&self, columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let (left, right): (Vec<usize>, Vec<usize>) = columns.iter().partition(|&&at| at < width);
        let right = right.into_iter().map(|at| at - width).collect();
        Some(vec![left, right])
    }
}
