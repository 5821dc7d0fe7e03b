//! `ALTER MATERIALIZED VIEW`, `ALTER VIEW`, and the options of `ALTER TABLE`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::parse::unsupported;
use super::source::{Source, tokenize};
use super::statement::Statement;
use super::table::{OptionValue, TableName, option};
use crate::error::{Result, SqlError};
use crate::types::PgType;

/// `ALTER … name …`.
#[derive(Debug, Clone)]
pub struct AlterView {
    /// Which word names it.
    pub kind: AlterKind,
    /// Its name.
    pub name: TableName,
    /// One that is not there is no error.
    pub if_exists: bool,
    /// What changes.
    pub action: AlterAction,
}

/// What a statement says that it alters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterKind {
    /// `ALTER TABLE`, of which only the options are read here.
    Table,
    /// `ALTER VIEW`.
    View,
    /// `ALTER MATERIALIZED VIEW`.
    MaterializedView,
}

/// What changes.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterAction {
    /// `RENAME TO name`.
    Rename(String),
    /// `RENAME [COLUMN] from TO to`.
    RenameColumn {
        /// As it is called.
        from: String,
        /// As it will be called.
        to: String,
    },
    /// `SET (…)`; names that began with `timescaledb.` begin with `tsdb.` here.
    Set(Vec<(String, OptionValue)>),
    /// `RESET (…)`.
    Reset(Vec<String>),
    /// `SET SCHEMA name`.
    SetSchema(String),
    /// `OWNER TO name`.
    Owner(String),
    /// `ADD COLUMN`.
    AddColumn(NewColumn),
}

/// `ADD [COLUMN] [IF NOT EXISTS] name type GENERATED ALWAYS AS (value) STORED`.
#[derive(Debug, Clone, PartialEq)]
pub struct NewColumn {
    /// Its name.
    pub name: String,
    /// One that is there already is no error.
    pub if_not_exists: bool,
    /// Its type.
    pub ty: PgType,
    /// What it is, as it was written.
    pub value: String,
    /// The type as it was written.
    pub ty_text: String,
}

impl AlterKind {
    /// The statement's words.
    pub fn statement(self) -> &'static str {
        match self {
            AlterKind::Table => "ALTER TABLE",
            AlterKind::View => "ALTER VIEW",
            AlterKind::MaterializedView => "ALTER MATERIALIZED VIEW",
        }
    }
}

/// `ALTER …`.
pub(crate) fn parse(at: &mut Cursor<'_>) -> Result<Statement> {
    let start = at.index;
    let kind = if at.take(&["alter", "table"]) {
        AlterKind::Table
    } else if at.take(&["alter", "view"]) {
        AlterKind::View
    } else if at.take(&["alter", "materialized", "view"]) {
        AlterKind::MaterializedView
    } else {
        return unsupported(at);
    };
    let if_exists = at.take(&["if", "exists"]);
    let name = at.table_name()?;
    let has_options = |word| at.sees(&[word]) && at.peek_nth(1) == Some(&Token::LParen);
    if kind == AlterKind::Table && !has_options("set") && !has_options("reset") {
        at.index = start;
        return unsupported(at);
    }
    let action = match at.word() {
        Some("rename") => rename(at)?,
        Some("set") if at.take(&["set", "schema"]) => AlterAction::SetSchema(at.name()?),
        Some("set") if at.peek_nth(1) == Some(&Token::LParen) => {
            at.index += 2;
            let options = at.list(option)?;
            at.expect_token(&Token::RParen)?;
            AlterAction::Set(options)
        }
        Some("reset") => {
            at.index += 1;
            at.expect_token(&Token::LParen)?;
            let names = at.list(|at| Ok(option(at)?.0))?;
            at.expect_token(&Token::RParen)?;
            AlterAction::Reset(names)
        }
        Some("owner") => {
            at.expect(&["owner", "to"])?;
            let roles = &["current_user", "current_role", "session_user"];
            match at.take_one_of(roles) {
                Some(role) => AlterAction::Owner(role.to_owned()),
                None => AlterAction::Owner(at.name()?),
            }
        }
        Some("add") if kind == AlterKind::MaterializedView => AlterAction::AddColumn(add(at)?),
        Some(word @ ("set" | "add" | "alter" | "drop" | "cluster" | "depends" | "no")) => {
            let second = at.word_nth(1).map_or(String::new(), |w| format!(" {w}"));
            let what = format!("{} {word}{second}", kind.statement());
            return at.unsupported(&what.to_uppercase());
        }
        _ => return at.syntax_error(),
    };
    Ok(Statement::AlterView(AlterView {
        kind,
        name,
        if_exists,
        action,
    }))
}

fn rename(at: &mut Cursor<'_>) -> Result<AlterAction> {
    at.expect(&["rename"])?;
    if at.take(&["to"]) {
        return Ok(AlterAction::Rename(at.name()?));
    }
    at.take(&["column"]);
    let from = at.name()?;
    at.expect(&["to"])?;
    let to = at.name()?;
    Ok(AlterAction::RenameColumn { from, to })
}

fn add(at: &mut Cursor<'_>) -> Result<NewColumn> {
    let start = at.index;
    at.expect(&["add"])?;
    at.take(&["column"]);
    let if_not_exists = at.take(&["if", "not", "exists"]);
    let name = at.name()?;
    let from = at.index;
    let ty = at.data_type()?;
    let ty_text = at.source.text_of(from..at.index).to_owned();
    if !at.take(&["generated", "always", "as"]) {
        at.index = start;
        return at.unsupported("ALTER MATERIALIZED VIEW ADD COLUMN without GENERATED ALWAYS AS");
    }
    at.expect_token(&Token::LParen)?;
    let from = at.index;
    at.expr()?;
    let value = at.source.text_of(from..at.index).to_owned();
    at.expect_token(&Token::RParen)?;
    at.expect(&["stored"])?;
    Ok(NewColumn {
        name,
        if_not_exists,
        ty,
        value,
        ty_text,
    })
}

/// A query with one more item at the end of its select list. It is a plain `SELECT … FROM`.
///
/// # Errors
/// When it is none.
pub(crate) fn with_item(query: &str, item: &str) -> Result<String> {
    let sources = Source::split(query, tokenize(query)?);
    let source = sources.first();
    let source = source.ok_or_else(|| SqlError::internal("a query is empty"))?;
    let at = Cursor::new(source);
    let mut depth = 0;
    for index in 0..source.tokens.len() {
        match at.peek_nth(index) {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            _ => {}
        }
        // Of `a IS DISTINCT FROM b` it is another word.
        let is_compared = index > 0 && at.word_nth(index - 1) == Some("distinct");
        if depth == 0 && at.word_nth(index) == Some("from") && !is_compared {
            let (before, after) = (0..index, index..source.tokens.len());
            return Ok(format!(
                "{}, {item} {}",
                source.text_of(before),
                source.text_of(after)
            ));
        }
    }
    Err(source.syntax_error(source.tokens.len()))
}

#[cfg(test)]
mod tests {
    use super::with_item;

    #[test]
    fn items_come_before_the_from_of_the_query() {
        for (query, expected) in [
            ("select a from t", "select a, c as \"C\" from t"),
            (
                "select extract(day from ts), a is distinct from b as d /* from */ from t where a = 'from'",
                "select extract(day from ts), a is distinct from b as d, c as \"C\" from t where a = 'from'",
            ),
            (
                "SELECT (select 1 from u) FROM t -- end",
                "SELECT (select 1 from u), c as \"C\" FROM t",
            ),
        ] {
            assert_eq!(with_item(query, "c as \"C\"").expect("a query"), expected);
        }
    }
}
