//! `ASOF JOIN`: as an inner or left join whose right side is marked, which the plan knows again.
//!
//! | written | becomes |
//! |---|---|
//! | `a ASOF JOIN b ON c` | `a JOIN (SELECT * FROM b WHERE mark) b ON c` |
//! | `a ASOF LEFT JOIN b USING (k, ts)` | `a LEFT JOIN (…) b USING (k, ts)` |
//! | `a ASOF JOIN b MATCH_CONDITION (m) ON c` | `a LEFT JOIN (…) b ON m AND c` |
//!
//! The first two are DuckDB's spelling, the last is Snowflake's, whose join keeps rows on its left.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr,
    TableFactor, TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::build::{call, derived, empty_query, empty_select};
use crate::error::SqlError;
use crate::functions::ASOF_MARK;

/// Rewrites all queries within.
pub(super) fn rewrite(query: &mut Query) -> Result<(), SqlError> {
    match query.visit(&mut Rewrite) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = SqlError;

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
            if let Err(error) = marked(join) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = table
        {
            for join in &mut table_with_joins.joins {
                if let Err(error) = marked(join) {
                    return ControlFlow::Break(error);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn marked(join: &mut Join) -> Result<(), SqlError> {
    let none = JoinOperator::CrossJoin(JoinConstraint::None);
    join.join_operator = match std::mem::replace(&mut join.join_operator, none) {
        JoinOperator::Semi(constraint) => JoinOperator::Inner(constraint),
        JoinOperator::Anti(constraint) => JoinOperator::Left(constraint),
        JoinOperator::AsOf {
            match_condition,
            constraint,
        } => {
            let on = match constraint {
                JoinConstraint::None => match_condition,
                JoinConstraint::On(condition) => Expr::BinaryOp {
                    left: Box::new(Expr::Nested(Box::new(match_condition))),
                    op: BinaryOperator::And,
                    right: Box::new(Expr::Nested(Box::new(condition))),
                },
                JoinConstraint::Using(_) | JoinConstraint::Natural => {
                    return Err(SqlError::unsupported("MATCH_CONDITION beside USING"));
                }
            };
            JoinOperator::Left(JoinConstraint::On(on))
        }
        other => {
            join.join_operator = other;
            return Ok(());
        }
    };
    let name = match &join.relation {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) if alias.columns.is_empty() => Some(alias.name.clone()),
            Some(_) => None,
            None => name.0.last().and_then(|part| part.as_ident()).cloned(),
        },
        TableFactor::Derived {
            lateral: false,
            alias: Some(alias),
            ..
        } => Some(alias.name.clone()),
        _ => None,
    };
    let Some(name) = name else {
        return Err(SqlError::unsupported(
            "ASOF JOIN with anything but a table or a query of one name",
        ));
    };
    let mut select = empty_select();
    select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    select.selection = Some(call(ASOF_MARK, Vec::new()));
    let mut query = empty_query();
    let mut side = derived(Box::new(empty_query()), "", Vec::new());
    if let TableFactor::Derived {
        alias: Some(alias), ..
    } = &mut side.relation
    {
        alias.name = name;
    }
    let relation = std::mem::replace(&mut join.relation, side.relation);
    select.from = vec![TableWithJoins {
        relation,
        joins: Vec::new(),
    }];
    query.body = Box::new(SetExpr::Select(Box::new(select)));
    if let TableFactor::Derived { subquery, .. } = &mut join.relation {
        **subquery = query;
    }
    Ok(())
}
