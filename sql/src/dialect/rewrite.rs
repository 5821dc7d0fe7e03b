//! A query as PostgreSQL means it, in words that DataFusion plans so.
//!
//! The tree is changed in place, before planning, in two steps: first names (`names`), which look at
//! the query as it was written, then expressions (`expressions`, `types`), each node after its
//! children. What is rewritten and why stands with each rule. Rules change how a query is said and
//! never what it asks; what cannot be said to DataFusion is an error here or there.
//!
//! Functions that the rules put in and that the session must have: `timezone(text, timestamp)` of
//! this crate's [`functions`](crate::functions); `to_regclass_oid(text)`, `regclass_text(oid)` and
//! their like for the other `reg…` types, of the catalog.

mod arrays;
mod asof;
mod build;
mod casts;
mod constants;
mod expressions;
mod gapfill;
mod intervals;
mod latest;
mod named_arguments;
mod names;
mod rows;
mod series;
mod summaries;
mod types;
mod untyped;

use datafusion::sql::sqlparser::ast::{self, VisitMut};
use std::ops::ControlFlow;

use crate::error::{Result, SqlError};
use expressions::Expressions;

pub(crate) use build::call;
pub(super) use latest::is_latest;
pub use names::output_name;
#[cfg(test)]
pub(crate) use summaries::MAKERS;
pub(crate) use summaries::{ask_columns, may_ask_columns};
pub use types::PgTypePlanner;

/// The names of the output columns; `None` where a `*` is among them. Without this list, and for
/// `*`, [`output_name`] of a field's name is the column's name.
pub type OutputNames = Option<Vec<String>>;

/// Rewrites a query, and tells the names of its columns, in which PostgreSQL has duplicates.
pub fn rewrite_query(query: &mut ast::Query) -> Result<OutputNames, SqlError> {
    latest::rewrite(query)?;
    asof::rewrite(query)?;
    let output = names::name_top(query);
    names::name_inner(query);
    summaries::settle(query);
    series::to_rows(query)?;
    untyped::by_other_rows(query);
    run(query, Expressions { is_insert: false })?;
    Ok(output)
}

/// Rewrites an INSERT; the names are those of RETURNING.
pub fn rewrite_insert(insert: &mut ast::Insert) -> Result<OutputNames, SqlError> {
    let output = names::name_returning(&mut insert.returning);
    names::name_inner(insert);
    summaries::settle(insert);
    run(insert, Expressions { is_insert: true })?;
    Ok(output)
}

/// Rewrites an UPDATE; the names are those of RETURNING.
pub fn rewrite_update(update: &mut ast::Update) -> Result<OutputNames, SqlError> {
    let output = names::name_returning(&mut update.returning);
    names::name_inner(update);
    summaries::settle(update);
    run(update, Expressions { is_insert: false })?;
    Ok(output)
}

/// Rewrites a DELETE; the names are those of RETURNING.
pub fn rewrite_delete(delete: &mut ast::Delete) -> Result<OutputNames, SqlError> {
    let output = names::name_returning(&mut delete.returning);
    names::name_inner(delete);
    summaries::settle(delete);
    run(delete, Expressions { is_insert: false })?;
    Ok(output)
}

/// Rewrites an expression that stands alone: a default, an argument of EXECUTE.
pub fn rewrite_expr(expr: &mut ast::Expr) -> Result<(), SqlError> {
    names::name_inner(expr);
    summaries::settle(expr);
    run(expr, Expressions { is_insert: false })
}

fn run<T: VisitMut>(tree: &mut T, mut visitor: Expressions) -> Result<()> {
    match tree.visit(&mut visitor) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}
