//! The grammar of `CREATE TABLE` and `DROP TABLE`.
//!
//! A clause that is not kept is refused with its place: a CHECK that is read and forgotten would
//! let rows in that its author thinks impossible.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::{ColumnDefinition, CreateTable, DropTable, OptionValue};
use crate::dialect::cursor::Cursor;
use crate::dialect::parse;
use crate::dialect::statement::Statement;
use crate::error::{Result, SqlError, SqlState};

/// `CREATE …`: tables only.
pub(crate) fn parse_create(at: &mut Cursor<'_>) -> Result<Statement> {
    if !at.sees(&["create", "table"]) {
        return match at.word_nth(1) {
            Some("temporary" | "temp") => at.unsupported("CREATE TEMPORARY TABLE"),
            Some("local" | "global") => at.unsupported("CREATE TEMPORARY TABLE"),
            Some("unlogged") => at.unsupported("CREATE UNLOGGED TABLE"),
            Some(_) => parse::unsupported(at),
            None => {
                at.index += 1;
                at.syntax_error()
            }
        };
    }
    at.index += 2;
    let if_not_exists = at.take(&["if", "not", "exists"]);
    let name = at.table_name()?;
    let mut key_at = 0;
    let mut table = CreateTable {
        name,
        if_not_exists,
        columns: Vec::new(),
        primary_key: Vec::new(),
        options: Vec::new(),
    };
    if at.sees(&["as"]) {
        return at.unsupported("CREATE TABLE AS");
    }
    if at.sees(&["partition", "of"]) || at.sees(&["of"]) {
        return at.unsupported("CREATE TABLE OF");
    }
    at.expect_token(&Token::LParen)?;
    if !at.take_token(&Token::RParen) {
        at.list(|at| item(at, &mut table, &mut key_at))?;
        at.expect_token(&Token::RParen)?;
    }
    clauses(at, &mut table)?;
    resolve_key(&mut table).map_err(|error| match error.position {
        None if key_at > 0 => error.at(key_at),
        _ => error,
    })?;
    Ok(Statement::CreateTable(table))
}

/// `DROP TABLE …`.
pub(crate) fn parse_drop(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["drop", "table"])?;
    let if_exists = at.take(&["if", "exists"]);
    let names = at.list(Cursor::table_name)?;
    let cascade = at.take_one_of(&["cascade", "restrict"]) == Some("cascade");
    Ok(Statement::DropTable(DropTable {
        names,
        if_exists,
        cascade,
    }))
}

/// A column or a constraint of the table.
fn item(at: &mut Cursor<'_>, table: &mut CreateTable, key_at: &mut usize) -> Result<()> {
    let start = at.index;
    if at.take(&["constraint"]) {
        at.name()?;
    }
    match at.word() {
        Some("primary") => {
            let position = at.position();
            *key_at = position;
            at.expect(&["primary", "key"])?;
            if !table.primary_key.is_empty() {
                return Err(second_key(table).at(position));
            }
            table.primary_key = at.names_in_brackets()?;
            return no_constraint_attributes(at);
        }
        Some("unique") => return at.unsupported("UNIQUE"),
        Some("check") => return at.unsupported("CHECK"),
        Some("foreign") => return at.unsupported("FOREIGN KEY"),
        Some("exclude") => return at.unsupported("EXCLUDE"),
        Some("like") => return at.unsupported("CREATE TABLE LIKE"),
        _ => {}
    }
    if at.index != start {
        return at.syntax_error();
    }
    let column = column(at, table)?;
    table.columns.push(column);
    Ok(())
}

fn column(at: &mut Cursor<'_>, table: &mut CreateTable) -> Result<ColumnDefinition> {
    let position = at.position();
    let name = at.name()?;
    if matches!(at.peek(), Some(Token::Comma | Token::RParen) | None) {
        return at.syntax_error();
    }
    let ty = at.data_type()?;
    let (mut nullable, mut default) = (None, None);
    loop {
        let place = at.position();
        if at.take(&["constraint"]) {
            at.name()?;
            continue;
        }
        let not_null = at.take(&["not", "null"]);
        if not_null || at.take(&["null"]) {
            let null = !not_null;
            if nullable.is_some_and(|before| before != null) {
                let message = format!(
                    "conflicting NULL/NOT NULL declarations for column \"{name}\" of table \"{}\"",
                    table.name.name
                );
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(place));
            }
            nullable = Some(null);
            continue;
        }
        if at.take(&["default"]) {
            if default.is_some() {
                let message = format!(
                    "multiple default values specified for column \"{name}\" of table \"{}\"",
                    table.name.name
                );
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(place));
            }
            default = Some(default_value(at)?);
            continue;
        }
        if at.take(&["primary", "key"]) {
            if !table.primary_key.is_empty() {
                return Err(second_key(table).at(place));
            }
            table.primary_key = vec![name.clone()];
            no_constraint_attributes(at)?;
            continue;
        }
        match at.word() {
            Some("unique") => return at.unsupported("UNIQUE"),
            Some("check") => return at.unsupported("CHECK"),
            Some("references") => return at.unsupported("REFERENCES"),
            Some("generated") => return at.unsupported("GENERATED"),
            Some("compression") => return at.unsupported("COMPRESSION"),
            Some("storage") => return at.unsupported("STORAGE"),
            _ => {}
        }
        break;
    }
    if !matches!(at.peek(), Some(Token::Comma | Token::RParen)) {
        return at.syntax_error();
    }
    Ok(ColumnDefinition {
        name,
        ty,
        not_null: nullable == Some(false),
        default,
        position,
    })
}

/// Primary keys are checked at once and have no index of their own.
fn no_constraint_attributes(at: &Cursor<'_>) -> Result<()> {
    match at.word() {
        Some("deferrable" | "initially") => at.unsupported("a deferrable constraint"),
        Some("include") => at.unsupported("PRIMARY KEY INCLUDE"),
        Some("with") => at.unsupported("PRIMARY KEY WITH"),
        Some("using") => at.unsupported("PRIMARY KEY USING"),
        _ => Ok(()),
    }
}

/// An expression up to the next constraint. sqlparser would read the NOT of NOT NULL as its own.
fn default_value(at: &mut Cursor<'_>) -> Result<ast::Expr> {
    let mut end = at.index;
    let mut depth = 0usize;
    while let Some(token) = at.source.tokens.get(end) {
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth > 0 => depth -= 1,
            Token::RParen | Token::Comma if depth == 0 => break,
            Token::Word(word)
                if depth == 0
                    && end > at.index
                    && word.quote_style.is_none()
                    && matches!(
                        word.value.as_str(),
                        "constraint"
                            | "not"
                            | "null"
                            | "default"
                            | "primary"
                            | "unique"
                            | "check"
                            | "references"
                            | "generated"
                            | "collate"
                            | "compression"
                            | "storage"
                    ) =>
            {
                break;
            }
            _ => {}
        }
        end += 1;
    }
    let expr = at.sqlparser_until(end, |parser| parser.parse_expr())?;
    if at.index < end {
        at.syntax_error()
    } else {
        Ok(expr)
    }
}

/// What follows the columns.
fn clauses(at: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
    match at.word() {
        Some("inherits") => return at.unsupported("INHERITS"),
        Some("partition") => return at.unsupported("PARTITION BY"),
        Some("using") => return at.unsupported("CREATE TABLE USING"),
        _ => {}
    }
    if at.take(&["with"]) {
        at.expect_token(&Token::LParen)?;
        table.options = at.list(option)?;
        at.expect_token(&Token::RParen)?;
    } else {
        at.take(&["without", "oids"]);
    }
    match at.word() {
        Some("on") => at.unsupported("ON COMMIT"),
        Some("tablespace") => at.unsupported("TABLESPACE"),
        Some("as") => at.unsupported("CREATE TABLE AS"),
        _ => Ok(()),
    }
}

/// `tsdb.hypertable`, `tsdb.partition_column = 'ts'`.
pub(crate) fn option(at: &mut Cursor<'_>) -> Result<(String, OptionValue)> {
    let mut name = at.name()?;
    while at.take_token(&Token::Period) {
        name = format!("{name}.{}", at.name()?);
    }
    if let Some(short) = name.strip_prefix("timescaledb.") {
        name = format!("tsdb.{short}");
    }
    if !at.take_token(&Token::Eq) {
        return Ok((name, OptionValue::Bare));
    }
    let value = if let Some(text) = at.take_string() {
        OptionValue::Text(text)
    } else if let Some(number) = at.take_number() {
        OptionValue::Number(number)
    } else if let Some(word) = at.take_one_of(&["true", "false", "on"]) {
        OptionValue::Word(word.into())
    } else {
        OptionValue::Word(at.name()?)
    };
    Ok((name, value))
}

/// Columns once each, and the key's columns among them.
fn resolve_key(table: &mut CreateTable) -> Result<()> {
    for (index, column) in table.columns.iter().enumerate() {
        if table.columns[..index]
            .iter()
            .any(|before| before.name == column.name)
        {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message).at(column.position));
        }
    }
    for (index, name) in table.primary_key.iter().enumerate() {
        if table.primary_key[..index].contains(name) {
            let message = format!("column \"{name}\" appears twice in primary key constraint");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        let Some(column) = table.columns.iter_mut().find(|column| column.name == *name) else {
            let message = format!("column \"{name}\" named in key does not exist");
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
        };
        column.not_null = true;
    }
    Ok(())
}

fn second_key(table: &CreateTable) -> SqlError {
    SqlError::new(
        SqlState::INVALID_TABLE_DEFINITION,
        format!(
            "multiple primary keys for table \"{}\" are not allowed",
            table.name.name
        ),
    )
}
