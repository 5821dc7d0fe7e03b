//! Pieces of the syntax tree that writes are made of.

use datafusion::sql::sqlparser::ast;

use super::super::query::select;
use crate::catalog::TableEntry;
use crate::dialect::{self, Statement, TableName};
use crate::error::{Result, SqlError, SqlState};

/// The default of a column as an expression; NULL where it has none.
pub(in crate::session) fn default_of(entry: &TableEntry, column: usize) -> Result<ast::Expr> {
    match &entry.columns[column].default {
        Some(text) => expression(text),
        None => Ok(ast::Expr::Value(ast::Value::Null.into())),
    }
}

/// An expression out of the catalog.
fn expression(text: &str) -> Result<ast::Expr> {
    let parsed = dialect::parse(&format!("SELECT {text}"))?;
    let query = match parsed.into_iter().next().map(|p| p.statement) {
        Some(Statement::Query(query)) => query,
        _ => return Err(SqlError::internal(format!("{text} is no expression"))),
    };
    match *query.body {
        ast::SetExpr::Select(select) => match select.projection.into_iter().next() {
            Some(ast::SelectItem::UnnamedExpr(expr)) => Ok(expr),
            _ => Err(SqlError::internal(format!("{text} is no expression"))),
        },
        _ => Err(SqlError::internal(format!("{text} is no expression"))),
    }
}

/// Whether an expression is the word DEFAULT.
pub(super) fn is_default(value: &ast::Expr) -> bool {
    matches!(value, ast::Expr::Identifier(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
}

pub(super) fn quoted(name: impl Into<String>) -> ast::Ident {
    ast::Ident::with_quote('"', name)
}

/// A column by the name of its table in the query.
pub(super) fn column_of(table: &ast::Ident, column: &str) -> ast::Expr {
    ast::Expr::CompoundIdentifier(vec![table.clone(), quoted(column)])
}

pub(super) fn named_item(expr: ast::Expr, name: &str) -> ast::SelectItem {
    ast::SelectItem::ExprWithAlias {
        expr,
        alias: quoted(name),
    }
}

/// A table as the source of a query.
pub(in crate::session) fn table_factor(name: ast::ObjectName) -> Result<ast::TableWithJoins> {
    let parsed = dialect::parse(&format!("SELECT 1 FROM {name}"))?;
    if let Some(Statement::Query(query)) = parsed.into_iter().next().map(|p| p.statement)
        && let ast::SetExpr::Select(select) = *query.body
        && let Some(table) = select.from.into_iter().next()
    {
        return Ok(table);
    }
    Err(SqlError::internal(format!("{name} is no table")))
}

/// A table's full name.
pub(super) fn table_of(entry: &TableEntry) -> ast::ObjectName {
    ast::ObjectName::from(vec![quoted(&entry.schema), quoted(&entry.name)])
}

/// A table under another name as the source of a query.
pub(super) fn table_as(name: ast::ObjectName, alias: &ast::Ident) -> Result<ast::TableWithJoins> {
    let mut table = table_factor(ast::ObjectName::from(vec![quoted("x")]))?;
    if let ast::TableFactor::Table {
        name: place,
        alias: given,
        ..
    } = &mut table.relation
    {
        *place = name;
        *given = Some(ast::TableAlias {
            explicit: true,
            name: alias.clone(),
            columns: Vec::new(),
            at: None,
        });
    }
    Ok(table)
}

/// `SELECT items FROM tables WHERE selection`.
pub(super) fn query_over(
    items: Vec<ast::SelectItem>,
    from: Vec<ast::TableWithJoins>,
    selection: Option<ast::Expr>,
) -> Result<ast::Query> {
    let mut query = select(items)?;
    if let ast::SetExpr::Select(select) = &mut *query.body {
        select.from = from;
        select.selection = selection;
    }
    Ok(query)
}

/// `VALUES (row)`.
pub(super) fn values(row: Vec<ast::Expr>) -> Result<ast::Query> {
    let parsed = dialect::parse("VALUES (NULL)")?;
    if let Some(Statement::Query(mut query)) = parsed.into_iter().next().map(|p| p.statement)
        && let ast::SetExpr::Values(values) = &mut *query.body
        && let Some(first) = values.rows.first_mut()
    {
        first.content = row;
        return Ok(*query);
    }
    Err(SqlError::internal("VALUES (NULL) is no row"))
}

/// A name of one or two parts.
pub(super) fn table_name(name: &ast::ObjectName) -> Result<TableName> {
    let parts: Vec<&ast::Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    match parts[..] {
        [name] => Ok(TableName {
            schema: None,
            name: name.value.clone(),
            position: 0,
        }),
        [schema, name] | [_, schema, name] => Ok(TableName {
            schema: Some(schema.value.clone()),
            name: name.value.clone(),
            position: 0,
        }),
        _ => Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("improper qualified name: {name}"),
        )),
    }
}
