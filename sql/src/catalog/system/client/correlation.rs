//! The conditions of a subquery that look at the query around it, as DataFusion can make a join of
//! them: equalities, and nothing else.
//!
//! Where `c.oid = a.attcollation` holds, `a.attcollation <> t.typcollation` says the same of `c.oid`,
//! which is of the subquery. What is of the query around it alone is asked there.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Select, Visit, VisitMut, Visitor, VisitorMut,
};

use super::Table;

/// Changes the conditions of a subquery, and tells those that have to hold before it is asked.
pub(super) fn untangle(select: &mut Select, tables: &[Table]) -> Option<Expr> {
    let mut conditions = Vec::new();
    split(select.selection.take()?, &mut conditions);
    let equalities: Vec<Option<Equality>> =
        conditions.iter().map(|c| equality(c, tables)).collect();
    for (at, condition) in conditions.iter_mut().enumerate() {
        if equalities[at].is_none() {
            let mut replace = Replace {
                equalities: &equalities,
            };
            let _ = VisitMut::visit(condition, &mut replace);
        }
    }
    let (outside, inside) = conditions
        .into_iter()
        .partition(|condition| is_outside(condition, tables));
    select.selection = join(inside);
    join(outside)
}

/// The conditions that have to hold together.
fn split(condition: Expr, into: &mut Vec<Expr>) {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            split(*left, into);
            split(*right, into);
        }
        condition => into.push(condition),
    }
}

fn join(conditions: Vec<Expr>) -> Option<Expr> {
    conditions.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}

/// A column of the query around that equals one of the subquery.
struct Equality {
    outer: Expr,
    inner: Expr,
}

fn equality(condition: &Expr, tables: &[Table]) -> Option<Equality> {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Eq,
        right,
    } = condition
    else {
        return None;
    };
    let (left, right) = (left.as_ref(), right.as_ref());
    match (is_outer(left, tables)?, is_outer(right, tables)?) {
        (true, false) => Some(Equality {
            outer: left.clone(),
            inner: right.clone(),
        }),
        (false, true) => Some(Equality {
            outer: right.clone(),
            inner: left.clone(),
        }),
        _ => None,
    }
}

/// Whether a column is of the query around; `None` for what is no column with its table.
fn is_outer(expr: &Expr, tables: &[Table]) -> Option<bool> {
    match expr {
        Expr::CompoundIdentifier(parts) if parts.len() == 2 => {
            Some(!tables.iter().any(|table| table.alias == parts[0].value))
        }
        _ => None,
    }
}

struct Replace<'a> {
    equalities: &'a [Option<Equality>],
}

impl VisitorMut for Replace<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(equality) = self
            .equalities
            .iter()
            .flatten()
            .find(|equality| equality.outer == *expr)
        {
            *expr = equality.inner.clone();
        }
        ControlFlow::Continue(())
    }
}

/// Whether a condition has columns, and all of them are of the query around.
fn is_outside(condition: &Expr, tables: &[Table]) -> bool {
    struct Columns<'a> {
        tables: &'a [Table],
        outer: bool,
    }
    impl Visitor for Columns<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match (expr, is_outer(expr, self.tables)) {
                (Expr::Identifier(_) | Expr::Subquery(_), _) | (_, Some(false)) => {
                    ControlFlow::Break(())
                }
                (_, Some(true)) => {
                    self.outer = true;
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let mut columns = Columns {
        tables,
        outer: false,
    };
    condition.visit(&mut columns).is_continue() && columns.outer
}
