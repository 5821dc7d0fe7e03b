//! Types of parameters that the text itself tells: `$1::int4`, `LIMIT $1`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, LimitClause, Query, Value, Visit, Visitor};

use crate::types::PgType;

/// The types that casts and row limits give, where the client gave none.
pub(super) fn fill<T: Visit>(tree: &T, given: &mut Vec<Option<PgType>>) {
    let mut found = Found::default();
    let _ = tree.visit(&mut found);
    for (number, ty) in found.types {
        fill_one(given, number, ty);
    }
}

/// The type of one parameter, unless the client or somebody before gave one.
pub(super) fn fill_one(given: &mut Vec<Option<PgType>>, number: usize, ty: PgType) {
    if given.len() < number {
        given.resize(number, None);
    }
    let slot = &mut given[number - 1];
    if matches!(slot, None | Some(PgType::Unknown)) {
        *slot = Some(ty);
    }
}

/// The number of a parameter that stands alone.
pub(super) fn number(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => number(inner),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => name
                .strip_prefix('$')
                .and_then(|n| n.parse::<usize>().ok())
                .filter(|number| (1..=PARAMETERS_MAX).contains(number)),
            _ => None,
        },
        _ => None,
    }
}

/// Parameters of a statement, at most; as in PostgreSQL.
const PARAMETERS_MAX: usize = 65_535;

#[derive(Default)]
struct Found {
    /// By number, from 1.
    types: BTreeMap<usize, PgType>,
}

impl Found {
    fn note(&mut self, expr: &Expr, ty: PgType) {
        if let Some(number) = number(expr) {
            self.types.entry(number).or_insert(ty);
        }
    }
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            limit
                .iter()
                .for_each(|limit| self.note(limit, PgType::Int8));
            offset
                .iter()
                .for_each(|offset| self.note(&offset.value, PgType::Int8));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Cast {
            expr: inner,
            data_type,
            ..
        } = expr
            && let Ok(ty) = PgType::from_ast(data_type)
        {
            self.note(inner, ty);
        }
        ControlFlow::Continue(())
    }
}
