//! Queries and changes of rows: sqlparser reads them, and what it reads beyond PostgreSQL is
//! refused.

use datafusion::sql::sqlparser::ast::{self, SetExpr, TableObject};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::Statement;
use super::{admin, refuse};
use crate::error::Result;

/// A query that returns rows.
pub(crate) fn query(at: &mut Cursor<'_>) -> Result<Box<ast::Query>> {
    if matches!(at.word(), Some("insert" | "update" | "delete" | "merge")) {
        return at.syntax_error();
    }
    match query_or_change(at)? {
        Statement::Query(query) => Ok(query),
        _ => at.unsupported("a statement that changes rows here"),
    }
}

/// A query, or a call of an administrative function that looks like one.
pub(crate) fn query_or_admin(at: &mut Cursor<'_>) -> Result<Statement> {
    match query_or_change(at)? {
        Statement::Query(query) => match admin::of_query(&query, at.source)? {
            Some(call) => Ok(Statement::Admin(call)),
            None => Ok(Statement::Query(query)),
        },
        change => Ok(change),
    }
}

/// A query, `INSERT`, `UPDATE` or `DELETE`.
pub(crate) fn query_or_change(at: &mut Cursor<'_>) -> Result<Statement> {
    match at.word() {
        Some("insert" | "update" | "delete") => return change(at),
        Some("select" | "values" | "with") => {}
        Some("merge") => return at.unsupported("MERGE"),
        _ if at.peek() == Some(&Token::LParen) => {}
        _ => return at.syntax_error(),
    }
    let mut query = at.sqlparser(|parser| parser.parse_query())?;
    let statement = match *query.body {
        SetExpr::Insert(ast::Statement::Insert(mut insert)) => {
            // WITH … INSERT … SELECT is INSERT … WITH … SELECT, unless both have a WITH.
            match insert.source.as_mut() {
                Some(source) if source.with.is_none() => source.with = query.with.take(),
                _ => return at.unsupported("WITH before an INSERT of this form"),
            }
            Statement::Insert(Box::new(insert))
        }
        SetExpr::Update(_) => return at.unsupported("WITH before UPDATE"),
        SetExpr::Delete(_) => return at.unsupported("WITH before DELETE"),
        SetExpr::Merge(_) => return at.unsupported("MERGE"),
        _ => return Ok(Statement::Query(query)),
    };
    check_change(at, statement)
}

/// `INSERT`, `UPDATE` or `DELETE`.
pub(crate) fn change(at: &mut Cursor<'_>) -> Result<Statement> {
    let start = at.index;
    // sqlparser knows forms without these words.
    let second = match at.word() {
        Some("insert") => Some("into"),
        Some("delete") => Some("from"),
        _ => None,
    };
    if second.is_some() && at.word_nth(1) != second {
        at.index += 1;
        return at.syntax_error();
    }
    let statement = match at.sqlparser(|parser| parser.parse_statement())? {
        ast::Statement::Insert(insert) => Statement::Insert(Box::new(insert)),
        ast::Statement::Update(update) => Statement::Update(Box::new(update)),
        ast::Statement::Delete(delete) => Statement::Delete(Box::new(delete)),
        _ => return Err(at.source.syntax_error(start)),
    };
    check_change(at, statement)
}

/// Other databases' clauses, which sqlparser reads into fields of their own.
fn check_change(at: &Cursor<'_>, statement: Statement) -> Result<Statement> {
    let foreign = match &statement {
        Statement::Insert(insert) => {
            let name = matches!(insert.table, TableObject::TableName(_));
            if insert.or.is_some() {
                Some("or")
            } else if insert.overwrite {
                Some("overwrite")
            } else if insert.ignore {
                Some("ignore")
            } else if insert.partitioned.is_some() || !insert.after_columns.is_empty() {
                Some("partition")
            } else if !insert.assignments.is_empty() {
                Some("set")
            } else if insert.has_table_keyword {
                Some("table")
            } else if insert.output.is_some() {
                Some("output")
            } else if insert.settings.is_some() {
                Some("settings")
            } else if insert.format_clause.is_some() {
                Some("format")
            } else if !name
                || !insert.into
                || insert.replace_into
                || insert.multi_table_insert_type.is_some()
            {
                Some("insert")
            } else {
                match &insert.on {
                    Some(ast::OnInsert::DuplicateKeyUpdate(_)) => Some("duplicate"),
                    _ => None,
                }
            }
        }
        Statement::Update(update) => {
            if update.or.is_some() {
                Some("or")
            } else if !update.order_by.is_empty() {
                Some("order")
            } else if update.limit.is_some() {
                Some("limit")
            } else if update.output.is_some() {
                Some("output")
            } else if matches!(update.from, Some(ast::UpdateTableFromKind::BeforeSet(_))) {
                Some("from")
            } else {
                None
            }
        }
        Statement::Delete(delete) => {
            if !delete.tables.is_empty() || matches!(delete.from, ast::FromTable::WithoutKeyword(_))
            {
                Some("delete")
            } else if !delete.order_by.is_empty() {
                Some("order")
            } else if delete.limit.is_some() {
                Some("limit")
            } else if delete.output.is_some() {
                Some("output")
            } else {
                None
            }
        }
        _ => None,
    };
    match foreign {
        Some(word) => Err(refuse::foreign(at.source, word)),
        None => Ok(statement),
    }
}
