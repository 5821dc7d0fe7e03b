//! A message to its statements.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::Cursor;
use super::source::{Source, tokenize};
use super::statement::{Discard, Parsed, Statement, Truncate};
use super::{
    admin, aggregate, alter, copy, cursors, explain, limits, prepared, query, settings, table,
    transaction, words,
};
use crate::error::{Result, SqlError, SqlState};

/// The stack that long messages are parsed on. Memory is taken only as deep as it is used; a
/// tree of [`limits::TOKENS_MAX`] levels is dropped on it when it is refused.
pub(crate) const PARSE_STACK_BYTES: usize = 512 << 20;

/// Tokens that are parsed on the caller's stack, since their tree cannot be deep. A thread costs
/// more than most statements do.
const TOKENS_INLINE_MAX: usize = 200;

/// The statements of a message, in order; none in an empty one. Positions of errors are in the
/// message. Nothing is run before all of it is known to be SQL.
pub fn parse(message: &str) -> Result<Vec<Parsed>> {
    limits::check_text(message)?;
    let tokens = tokenize(message)?;
    limits::check_tokens(&tokens)?;
    if tokens.len() <= TOKENS_INLINE_MAX {
        return statements(message, tokens);
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("parse".into())
            .stack_size(PARSE_STACK_BYTES)
            .spawn_scoped(scope, || statements(message, tokens))
            .map_err(|error| {
                SqlError::new(
                    SqlState::OUT_OF_MEMORY,
                    format!("could not start a thread: {error}"),
                )
            })?
            .join()
            .unwrap_or_else(|_| Err(SqlError::internal("the parser panicked")))
    })
}

fn statements(message: &str, tokens: Vec<TokenWithSpan>) -> Result<Vec<Parsed>> {
    let mut parsed = Vec::new();
    for source in Source::split(message, tokens) {
        let mut cursor = Cursor::new(&source);
        let statement = statement(&mut cursor)
            .and_then(|statement| cursor.end().map(|()| statement))
            .map_err(|mut error| {
                error.position = error.position.map(|position| position + source.offset);
                error
            })?;
        parsed.push(Parsed {
            statement,
            text: source.text.to_owned(),
            offset: source.offset,
        });
    }
    Ok(parsed)
}

/// One statement, from its first token on.
fn statement(at: &mut Cursor<'_>) -> Result<Statement> {
    let word = match at.peek() {
        Some(Token::LParen) => "select",
        _ => match at.word() {
            Some(word) => word,
            None => return at.syntax_error(),
        },
    };
    match word {
        "select" | "values" | "with" => query::query_or_admin(at),
        "insert" | "update" | "delete" => query::change(at),
        "call" => admin::parse_call(at),
        "truncate" => truncate(at),
        "create" if at.sees(&["create", "materialized"]) => aggregate::parse_create(at),
        "create" => table::parse_create(at),
        "drop" if at.sees(&["drop", "table"]) => table::parse_drop(at),
        "drop" if at.sees(&["drop", "materialized"]) => aggregate::parse_drop(at),
        "alter" => alter::parse(at),
        "refresh" => aggregate::parse_refresh(at),
        "explain" => explain::parse(at),
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => {
            transaction::parse(at)
        }
        "set" => settings::parse_set(at),
        "show" => settings::parse_show(at),
        "reset" => settings::parse_reset(at),
        "discard" => discard(at),
        "copy" => copy::parse(at),
        "prepare" | "execute" | "deallocate" => prepared::parse(at),
        "declare" | "fetch" | "move" | "close" => cursors::parse(at),
        "unlisten" => {
            at.index += 1;
            if !at.take_token(&Token::Mul) {
                at.name()?;
            }
            Ok(Statement::Unlisten)
        }
        _ => unsupported(at),
    }
}

/// A statement that we do not have: PostgreSQL's by name, or no SQL at all.
pub(crate) fn unsupported<T>(at: &Cursor<'_>) -> Result<T> {
    match words::unsupported_statement(std::array::from_fn(|n| at.word_nth(n))) {
        Some(name) => at.unsupported(&name),
        None => at.syntax_error(),
    }
}

fn truncate(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["truncate"])?;
    at.take(&["table"]);
    let tables = at.list(|at| {
        at.take(&["only"]);
        let name = at.table_name()?;
        at.take_token(&Token::Mul);
        Ok(name)
    })?;
    // There are no sequences to restart.
    if !at.take(&["restart", "identity"]) {
        at.take(&["continue", "identity"]);
    }
    let cascade = at.take_one_of(&["cascade", "restrict"]) == Some("cascade");
    Ok(Statement::Truncate(Truncate { tables, cascade }))
}

fn discard(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["discard"])?;
    let what = at.take_one_of(&["all", "plans", "sequences", "temp", "temporary"]);
    Ok(Statement::Discard(match what {
        Some("all") => Discard::All,
        Some("plans") => Discard::Plans,
        Some("sequences") => Discard::Sequences,
        Some(_) => Discard::Temp,
        None => return at.syntax_error(),
    }))
}
