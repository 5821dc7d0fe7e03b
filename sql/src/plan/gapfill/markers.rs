//! `locf` and `interpolate` of a select list: what is filled, and by what.

use arrow::datatypes::{DataType, Fields};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::node::{Fill, Kind};
use super::range::Constants;
use super::{column, fault, is_call, refuse, type_of};
use crate::error::{SqlError, SqlState};
use crate::functions::gapfill::{INTERPOLATE, LOCF};
use crate::types::PgType;

/// Cannot occur in a name that was typed.
const MARK: char = '\u{1}';

/// The calls of a query, each once.
pub(super) struct Markers(Vec<Marker>);

struct Marker {
    call: Expr,
    value: Expr,
    prev: Option<Expr>,
    next: Option<Expr>,
    fill: Fill,
}

impl Markers {
    /// The calls in the nodes from the select list down to the grouping.
    ///
    /// # Errors
    /// 0A000 where one stands at a place that it may not; 22023 where what it looks up is of
    /// another shape.
    pub(super) fn of(
        top: &LogicalPlan,
        grouping: &Aggregate,
        constants: &Constants<'_>,
    ) -> Result<Markers> {
        for expr in &grouping.aggr_expr {
            if let Some((name, _)) = found(expr)?.first() {
                return Err(refuse(format!("aggregate functions must be below {name}")));
            }
        }
        let mut markers = Markers(Vec::new());
        let mut plan = top;
        let mut has_window = false;
        let mut nodes = Vec::new();
        while let Some(input) = plan.inputs().first() {
            match plan {
                LogicalPlan::Aggregate(_) => break,
                // HAVING looks at rows as they are before anything is filled.
                LogicalPlan::Filter(_) => {}
                node => nodes.push(node),
            }
            has_window |= matches!(plan, LogicalPlan::Window(_));
            plan = input;
        }
        for node in nodes {
            let is_window = matches!(node, LogicalPlan::Window(_));
            for expr in node.expressions() {
                let calls = found(&expr)?;
                let Some((name, call)) = calls.first() else {
                    continue;
                };
                if calls.len() > 1 {
                    return Err(refuse(
                        "multiple interpolate/locf function calls per resultset column not supported",
                    ));
                }
                if !has_window && !is_window && unaliased(&expr) != call {
                    return Err(refuse(format!("{name} must be toplevel function call")));
                }
                markers.add(call, grouping, constants)?;
            }
        }
        Ok(markers)
    }

    fn add(&mut self, expr: &Expr, grouping: &Aggregate, constants: &Constants<'_>) -> Result<()> {
        let Expr::ScalarFunction(call) = expr else {
            return Ok(());
        };
        if self.0.iter().any(|marker| marker.call == *expr) {
            return Ok(());
        }
        let Some(value) = call.args.first() else {
            return Ok(());
        };
        let schema = grouping.schema.as_ref();
        let is_known = |expr: &Expr| expr.column_refs().into_iter().all(|c| schema.has_column(c));
        if !call.args.iter().all(is_known) {
            let name = call.name();
            return Err(refuse(format!("window functions must not be below {name}")));
        }
        let given = |at: usize| call.args.get(at).filter(|arg| !is_null(arg)).cloned();
        let (kind, prev, next) = match call.name() {
            LOCF => (
                Kind::Locf {
                    missing: treats_null_as_missing(call, constants)?,
                },
                given(1),
                None,
            ),
            _ => {
                let time = grouping
                    .group_expr
                    .iter()
                    .find(|expr| is_call(expr).is_some());
                let time = match time.and_then(is_call).and_then(|call| call.args.get(1)) {
                    Some(time) => type_of(time, grouping.input.schema())?,
                    None => DataType::Null,
                };
                let value = type_of(value, schema)?;
                for record in [given(1), given(2)].iter().flatten() {
                    check_record(record, schema, &time, &value)?;
                }
                (Kind::Interpolate, given(1), given(2))
            }
        };
        let fill = Fill {
            kind,
            name: format!("{}{MARK}{}", call.name(), self.0.len()),
            has_prev: prev.is_some(),
            has_next: next.is_some(),
        };
        self.0.push(Marker {
            call: expr.clone(),
            value: value.clone(),
            prev,
            next,
            fill,
        });
        Ok(())
    }

    /// What is filled.
    pub(super) fn fills(&self) -> Vec<Fill> {
        self.0.iter().map(|marker| marker.fill.clone()).collect()
    }

    /// The values that are there.
    pub(super) fn values(&self) -> impl Iterator<Item = Expr> {
        let named = |(n, marker): (usize, &Marker)| {
            let value = marker.value.clone();
            value.alias(format!("value{MARK}{n}"))
        };
        self.0.iter().enumerate().map(named)
    }

    /// What is looked up: of each call before, then after.
    pub(super) fn lookups(&self) -> Vec<Expr> {
        let exprs = self
            .0
            .iter()
            .flat_map(|marker| [&marker.prev, &marker.next]);
        let exprs = exprs.flatten().enumerate();
        exprs
            .map(|(n, expr)| expr.clone().alias(format!("lookup{MARK}{n}")))
            .collect()
    }

    /// The filled column in the place of a call.
    pub(super) fn column(&self, expr: Expr) -> Transformed<Expr> {
        match self.0.iter().find(|marker| marker.call == expr) {
            Some(marker) => Transformed::yes(column(&marker.fill.name)),
            None => Transformed::no(expr),
        }
    }
}

/// The calls in an expression.
fn found(expr: &Expr) -> Result<Vec<(String, Expr)>> {
    let mut calls = Vec::new();
    expr.apply(|expr| {
        if let Expr::ScalarFunction(call) = expr
            && matches!(call.name(), LOCF | INTERPOLATE)
        {
            calls.push((call.name().to_owned(), expr.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(calls)
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        expr => expr,
    }
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(cast) => is_null(&cast.expr),
        _ => false,
    }
}

fn treats_null_as_missing(call: &ScalarFunction, constants: &Constants<'_>) -> Result<bool> {
    let Some(flag) = call.args.get(2) else {
        return Ok(false);
    };
    match constants.value(flag)? {
        Some(ScalarValue::Boolean(flag)) => Ok(flag.unwrap_or(false)),
        Some(value) if value.is_null() => Ok(false),
        _ => Err(refuse(
            "invalid locf argument: treat_null_as_missing must be a BOOL literal",
        )),
    }
}

/// What `interpolate` looks up is a time and a value, of the types of the query's own.
fn check_record(record: &Expr, schema: &DFSchema, time: &DataType, value: &DataType) -> Result<()> {
    let ty = type_of(record, schema)?;
    let fields = match &ty {
        DataType::Struct(fields) if fields.len() == 2 => fields.clone(),
        DataType::Null => return Ok(()),
        _ => {
            return Err(fault(
                SqlState::INVALID_PARAMETER_VALUE,
                "interpolate RECORD arguments must have 2 elements",
            ));
        }
    };
    check_field(&fields, 0, "first", "timestamp", time)?;
    check_field(&fields, 1, "second", "interpolate", value)
}

fn check_field(
    fields: &Fields,
    at: usize,
    which: &str,
    used: &str,
    expected: &DataType,
) -> Result<()> {
    let name = |ty: &DataType| PgType::of_arrow(ty).name();
    let (returned, expected) = (name(fields[at].data_type()), name(expected));
    if returned == expected {
        return Ok(());
    }
    let message =
        format!("{which} argument of interpolate returned record must match used {used} datatype");
    let detail = format!("Returned type {returned} does not match expected type {expected}.");
    let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).with_detail(detail);
    Err(DataFusionError::External(Box::new(error)))
}
