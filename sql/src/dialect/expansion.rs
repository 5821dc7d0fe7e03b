//! What a statement grows to when every reference to a `WITH` query stands for the query itself.
//!
//! `WITH a AS (…), b AS (SELECT … FROM a, a), c AS (SELECT … FROM b, b) …` doubles with each step: a
//! text of a page has a plan of billions of nodes. So the references are counted, multiplied along
//! the way, before anything is planned.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};

use super::limits::EXPANDED_MAX;
use crate::error::{Result, SqlError, SqlState};

/// Counts the queries and tables of a statement, each as often as it will be planned.
pub(crate) fn check<T: Visit>(tree: &T) -> Result<()> {
    let mut scope = Vec::new();
    if weigh(tree, &mut scope) <= EXPANDED_MAX {
        return Ok(());
    }
    let detail = format!(
        "With each WITH query in the place of its name, a statement may have {EXPANDED_MAX} queries \
         and tables."
    );
    Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "statement too complex").with_detail(detail))
}

/// The names of `WITH` queries that are visible, the innermost last, and what they weigh.
type Scope = Vec<(String, u64)>;

fn weigh<T: Visit>(tree: &T, scope: &mut Scope) -> u64 {
    let mut level = Level {
        scope,
        depth: 0,
        weight: 0,
    };
    // It never breaks.
    let _ = tree.visit(&mut level);
    level.weight
}

fn weigh_query(query: &ast::Query, scope: &mut Scope) -> u64 {
    let outer = scope.len();
    let mut weight = 1_u64;
    for table in query.with.iter().flat_map(|with| &with.cte_tables) {
        let name = table.alias.name.value.clone();
        // A recursive query sees its own rows under its name.
        let is_recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        if is_recursive {
            scope.push((name.clone(), 1));
        }
        let own = weigh_query(&table.query, scope);
        if is_recursive {
            scope.pop();
        }
        weight = weight.saturating_add(own);
        scope.push((name, own));
    }
    weight = weight
        .saturating_add(weigh(&query.body, scope))
        .saturating_add(weigh(&query.order_by, scope))
        .saturating_add(weigh(&query.limit_clause, scope));
    scope.truncate(outer);
    weight
}

/// One query without those within it, which are weighed on their own.
struct Level<'a> {
    scope: &'a mut Scope,
    depth: usize,
    weight: u64,
}

impl Visitor for Level<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        if self.depth == 0 {
            let weight = weigh_query(query, self.scope);
            self.weight = self.weight.saturating_add(weight);
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<()> {
        if self.depth == 0 {
            let known = match &name.0[..] {
                [ast::ObjectNamePart::Identifier(name)] => {
                    let mut scope = self.scope.iter().rev();
                    scope.find(|(known, _)| *known == name.value)
                }
                _ => None,
            };
            let weight = known.map_or(1, |(_, weight)| *weight);
            self.weight = self.weight.saturating_add(weight);
        }
        ControlFlow::Continue(())
    }
}
