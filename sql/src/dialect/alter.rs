//! `ALTER MATERIALIZED VIEW`, `ALTER VIEW`, and the options of `ALTER TABLE`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::parse::unsupported;
use super::statement::Statement;
use super::table::{OptionValue, TableName, option};
use crate::error::Result;

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
