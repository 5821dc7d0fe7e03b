//! `(a, b) = (1, 'x')`, `(a, b) < (c, d)`, `(a, b) IN ((1, 'x'), …)`: comparisons of their columns.
//!
//! DataFusion compares structs, whose columns take no types from each other and reach no scan.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

/// The comparison of two rows of the same width, column by column.
pub(super) fn compared(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let (left, right) = (columns(left)?, columns(right)?);
    if left.len() != right.len() || left.is_empty() {
        return None;
    }
    let pairs = || left.iter().zip(right);
    Some(nested(match op {
        BinaryOperator::Eq => joined(pairs().map(pair(&BinaryOperator::Eq)), &BinaryOperator::And)?,
        BinaryOperator::NotEq => joined(
            pairs().map(pair(&BinaryOperator::NotEq)),
            &BinaryOperator::Or,
        )?,
        BinaryOperator::Lt | BinaryOperator::LtEq => ordered(left, right, &BinaryOperator::Lt, op)?,
        BinaryOperator::Gt | BinaryOperator::GtEq => ordered(left, right, &BinaryOperator::Gt, op)?,
        _ => return None,
    }))
}

/// `row IN (rows)`.
pub(super) fn any_of(row: &Expr, list: &[Expr], negated: bool) -> Option<Expr> {
    columns(row)?;
    let equal = list
        .iter()
        .map(|item| compared(row, &BinaryOperator::Eq, item))
        .collect::<Option<Vec<_>>>()?;
    let any = nested(joined(equal.into_iter(), &BinaryOperator::Or)?);
    Some(if negated {
        nested(Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(any),
        })
    } else {
        any
    })
}

/// The columns of a row.
fn columns(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(columns) => Some(columns),
        Expr::Nested(inner) => columns(inner),
        _ => None,
    }
}

/// The first columns that differ decide; the last ones by `last`, which may hold when equal.
fn ordered(
    left: &[Expr],
    right: &[Expr],
    strict: &BinaryOperator,
    last: &BinaryOperator,
) -> Option<Expr> {
    let mut pairs = left.iter().zip(right).rev();
    let mut result = pair(last)(pairs.next()?);
    for (left, right) in pairs {
        let further = binary(
            pair(&BinaryOperator::Eq)((left, right)),
            &BinaryOperator::And,
            nested(result),
        );
        result = binary(
            pair(strict)((left, right)),
            &BinaryOperator::Or,
            nested(further),
        );
    }
    Some(result)
}

fn pair(op: &BinaryOperator) -> impl Fn((&Expr, &Expr)) -> Expr + '_ {
    |(left, right)| binary(nested(left.clone()), op, nested(right.clone()))
}

/// All of them with one operator between, in a tree that is no deeper than it must be.
fn joined(exprs: impl Iterator<Item = Expr>, op: &BinaryOperator) -> Option<Expr> {
    let mut level: Vec<Expr> = exprs.collect();
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        let mut items = level.into_iter();
        while let Some(first) = items.next() {
            next.push(match items.next() {
                Some(second) => nested(binary(first, op, second)),
                None => first,
            });
        }
        level = next;
    }
    level.pop()
}

fn binary(left: Expr, op: &BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: op.clone(),
        right: Box::new(right),
    }
}

fn nested(expr: Expr) -> Expr {
    match expr {
        nested @ (Expr::Nested(_) | Expr::Identifier(_) | Expr::Value(_)) => nested,
        other => Expr::Nested(Box::new(other)),
    }
}
