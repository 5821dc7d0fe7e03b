//! `PREPARE`, `EXECUTE`, `DEALLOCATE`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::query;
use super::statement::{Execute, Prepare, Statement};
use crate::error::Result;

/// One of the three.
pub(crate) fn parse(at: &mut Cursor<'_>) -> Result<Statement> {
    match at.take_one_of(&["prepare", "execute", "deallocate"]) {
        Some("prepare") if at.sees(&["transaction"]) => at.unsupported("PREPARE TRANSACTION"),
        Some("prepare") => prepare(at),
        Some("execute") => execute(at),
        _ => {
            at.take(&["prepare"]);
            Ok(Statement::Deallocate(if at.take(&["all"]) {
                None
            } else {
                Some(at.name()?)
            }))
        }
    }
}

fn prepare(at: &mut Cursor<'_>) -> Result<Statement> {
    let name = at.name()?;
    let mut types = Vec::new();
    if at.take_token(&Token::LParen) {
        types = at.list(Cursor::data_type)?;
        at.expect_token(&Token::RParen)?;
    }
    at.expect(&["as"])?;
    let start = at.index;
    let statement = Box::new(query::query_or_change(at)?);
    let text = at.source.text_of(start..at.index).to_owned();
    Ok(Statement::Prepare(Prepare {
        name,
        types,
        statement,
        text,
    }))
}

fn execute(at: &mut Cursor<'_>) -> Result<Statement> {
    let name = at.name()?;
    let mut arguments = Vec::new();
    if at.take_token(&Token::LParen) {
        arguments = at.list(Cursor::expr)?;
        at.expect_token(&Token::RParen)?;
    }
    Ok(Statement::Execute(Execute { name, arguments }))
}
