//! Which times still matter to a running query: a sort that takes the first few rows tells its scan.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, IsNullExpr, Literal,
};

/// Whether some time in the range may pass the filter. `true` for whatever is not understood.
pub(super) fn may_pass(
    filter: &Arc<dyn PhysicalExpr>,
    time: usize,
    (min, max): (i64, i64),
) -> bool {
    if let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return dynamic
            .current()
            .map_or(true, |current| may_pass(&current, time, (min, max)));
    }
    if let Some(is_null) = filter.downcast_ref::<IsNullExpr>() {
        let column = is_null.arg().downcast_ref::<Column>();
        return column.is_none_or(|c| c.index() != time);
    }
    let Some(binary) = filter.downcast_ref::<BinaryExpr>() else {
        return true;
    };
    match binary.op() {
        Operator::And => {
            may_pass(binary.left(), time, (min, max)) && may_pass(binary.right(), time, (min, max))
        }
        Operator::Or => {
            may_pass(binary.left(), time, (min, max)) || may_pass(binary.right(), time, (min, max))
        }
        op => {
            let column = binary
                .left()
                .downcast_ref::<Column>()
                .filter(|c| c.index() == time);
            let literal = binary.right().downcast_ref::<Literal>().map(|l| l.value());
            match (column, literal) {
                (Some(_), Some(ScalarValue::TimestampMicrosecond(Some(bound), _))) => match op {
                    Operator::Gt => max > *bound,
                    Operator::GtEq => max >= *bound,
                    Operator::Lt => min < *bound,
                    Operator::LtEq => min <= *bound,
                    _ => true,
                },
                _ => true,
            }
        }
    }
}
