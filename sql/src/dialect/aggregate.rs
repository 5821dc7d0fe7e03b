//! `CREATE`, `DROP` and `REFRESH MATERIALIZED VIEW`: continuous aggregates, and plain ones.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::query;
use super::statement::Statement;
use super::table::{OptionValue, TableName, option};
use crate::error::Result;

/// `CREATE MATERIALIZED VIEW`.
#[derive(Debug, Clone)]
pub struct CreateAggregate {
    /// Its name.
    pub name: TableName,
    /// One that is there already is no error.
    pub if_not_exists: bool,
    /// Names of its columns, where given.
    pub columns: Vec<String>,
    /// `WITH (…)`; names that began with `timescaledb.` begin with `tsdb.` here.
    pub options: Vec<(String, OptionValue)>,
    /// Its query.
    pub query: Box<ast::Query>,
    /// The query as it was written.
    pub text: String,
    /// Filled at once; false for `WITH NO DATA`.
    pub with_data: bool,
}

/// `DROP MATERIALIZED VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct DropAggregate {
    /// The views, at least one.
    pub names: Vec<TableName>,
    /// One that is not there is no error.
    pub if_exists: bool,
    /// `CASCADE`.
    pub cascade: bool,
}

/// `REFRESH MATERIALIZED VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct RefreshView {
    /// The view.
    pub name: TableName,
    /// `CONCURRENTLY`.
    pub concurrently: bool,
    /// False for `WITH NO DATA`: its rows go.
    pub with_data: bool,
}

/// `CREATE MATERIALIZED VIEW …`.
pub(crate) fn parse_create(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["create", "materialized", "view"])?;
    let if_not_exists = at.take(&["if", "not", "exists"]);
    let name = at.table_name()?;
    let mut columns = Vec::new();
    if at.peek() == Some(&Token::LParen) {
        columns = at.names_in_brackets()?;
    }
    if at.sees(&["using"]) {
        return at.unsupported("CREATE MATERIALIZED VIEW USING");
    }
    let mut options = Vec::new();
    if at.take(&["with"]) {
        at.expect_token(&Token::LParen)?;
        options = at.list(option)?;
        at.expect_token(&Token::RParen)?;
    }
    if at.sees(&["tablespace"]) {
        return at.unsupported("TABLESPACE");
    }
    at.expect(&["as"])?;
    let start = at.index;
    let query = query::query(at)?;
    let text = at.source.text_of(start..at.index).to_owned();
    let with_data = with_data(at);
    Ok(Statement::CreateAggregate(CreateAggregate {
        name,
        if_not_exists,
        columns,
        options,
        query,
        text,
        with_data,
    }))
}

/// `DROP MATERIALIZED VIEW …`.
pub(crate) fn parse_drop(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["drop", "materialized", "view"])?;
    let if_exists = at.take(&["if", "exists"]);
    let names = at.list(Cursor::table_name)?;
    let cascade = at.take_one_of(&["cascade", "restrict"]) == Some("cascade");
    Ok(Statement::DropAggregate(DropAggregate {
        names,
        if_exists,
        cascade,
    }))
}

/// `REFRESH MATERIALIZED VIEW …`.
pub(crate) fn parse_refresh(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["refresh", "materialized", "view"])?;
    let concurrently = at.take(&["concurrently"]);
    let name = at.table_name()?;
    let with_data = with_data(at);
    Ok(Statement::RefreshAggregate(RefreshView {
        name,
        concurrently,
        with_data,
    }))
}

/// `WITH [NO] DATA`.
fn with_data(at: &mut Cursor<'_>) -> bool {
    let none = at.take(&["with", "no", "data"]);
    if !none {
        at.take(&["with", "data"]);
    }
    !none
}
