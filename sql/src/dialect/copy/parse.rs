//! The grammar of `COPY`, also as it was before PostgreSQL 9.0.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::options::{RawOption, RawValue, check};
use super::{Copy, CopyDirection, CopySource};
use crate::dialect::cursor::Cursor;
use crate::dialect::query;
use crate::dialect::statement::Statement;
use crate::error::{Result, SqlError};

/// `COPY …`.
pub(crate) fn parse(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["copy"])?;
    // COPY BINARY t, as before PostgreSQL 7.3.
    let binary = at.sees(&["binary"]).then(|| RawOption {
        name: "format".to_owned(),
        value: RawValue::Text("binary".to_owned()),
        position: at.position(),
    });
    at.take(&["binary"]);
    let source = source(at)?;
    let direction = match at.take_one_of(&["from", "to"]) {
        // A query has no other way to go.
        Some("from") if matches!(source, CopySource::Query(_)) => {
            at.index -= 1;
            return at.syntax_error();
        }
        Some("from") => CopyDirection::In,
        Some(_) => CopyDirection::Out,
        None => return at.syntax_error(),
    };
    stream(at, direction)?;
    let raw = binary.into_iter().chain(options(at)?).collect();
    let options = check(raw, direction)?;
    if at.sees(&["where"]) {
        return at.unsupported("COPY FROM WHERE");
    }
    Ok(Statement::Copy(Copy {
        direction,
        source,
        options,
    }))
}

/// A table with its columns, or a query in brackets.
fn source(at: &mut Cursor<'_>) -> Result<CopySource> {
    if at.take_token(&Token::LParen) {
        if matches!(at.word(), Some("insert" | "update" | "delete" | "merge")) {
            return at.unsupported("COPY of a statement that changes rows");
        }
        let query = query::query(at)?;
        at.expect_token(&Token::RParen)?;
        return Ok(CopySource::Query(query));
    }
    let name = at.table_name()?;
    let columns = match at.peek() {
        Some(Token::LParen) => at.names_in_brackets()?,
        _ => Vec::new(),
    };
    Ok(CopySource::Table { name, columns })
}

/// `STDIN` or `STDOUT`, which PostgreSQL takes for each other; anything else is the server's.
fn stream(at: &mut Cursor<'_>, direction: CopyDirection) -> Result<()> {
    let place = at.position();
    let what = if at.take_one_of(&["stdin", "stdout"]).is_some() {
        return Ok(());
    } else if at.sees(&["program"]) {
        "a program"
    } else if at.take_string().is_some() {
        "a file of the server"
    } else {
        return at.syntax_error();
    };
    let (way, stream) = match direction {
        CopyDirection::In => ("from", "COPY FROM STDIN"),
        CopyDirection::Out => ("to", "COPY TO STDOUT"),
    };
    Err(SqlError::unsupported(format!("COPY {way} {what}"))
        .with_hint(format!(
            "Use {stream}, or psql's \\copy, which reads and writes files of the client."
        ))
        .at(place))
}

/// Both forms of the options.
fn options(at: &mut Cursor<'_>) -> Result<Vec<RawOption>> {
    at.take(&["with"]);
    let mut options = Vec::new();
    if at.take_token(&Token::LParen) {
        options = at.list(option)?;
        at.expect_token(&Token::RParen)?;
        return Ok(options);
    }
    while let Some(option) = legacy_option(at)? {
        options.push(option);
    }
    Ok(options)
}

/// `name [value]`.
fn option(at: &mut Cursor<'_>) -> Result<RawOption> {
    let position = at.position();
    // Every word may name an option; NULL does.
    let Some(Token::Word(word)) = at.peek() else {
        return at.syntax_error();
    };
    at.index += 1;
    let name = word.value.to_ascii_lowercase();
    let value = match at.peek() {
        Some(Token::Comma | Token::RParen) => RawValue::None,
        Some(Token::LParen) => RawValue::Names(at.names_in_brackets()?),
        Some(Token::Mul) => {
            at.index += 1;
            RawValue::All
        }
        Some(Token::Word(word)) => {
            at.index += 1;
            RawValue::Text(word.value.clone())
        }
        _ => match at.take_string().or_else(|| at.take_number()) {
            Some(text) => RawValue::Text(text),
            None => return at.syntax_error(),
        },
    };
    Ok(RawOption {
        name,
        value,
        position,
    })
}

/// `CSV HEADER DELIMITER AS ';' FORCE QUOTE a, b`.
fn legacy_option(at: &mut Cursor<'_>) -> Result<Option<RawOption>> {
    let position = at.position();
    let word = at.take_one_of(&[
        "binary",
        "freeze",
        "delimiter",
        "delimiters",
        "null",
        "csv",
        "header",
        "quote",
        "escape",
        "force",
        "encoding",
    ]);
    let (name, value) = match word {
        None => return Ok(None),
        Some(format @ ("binary" | "csv")) => ("format", RawValue::Text(format.into())),
        Some("freeze") => ("freeze", RawValue::None),
        Some("header") => ("header", RawValue::None),
        Some("force") => {
            let name = if at.take(&["not", "null"]) {
                "force_not_null"
            } else if at.take(&["null"]) {
                "force_null"
            } else {
                at.expect(&["quote"])?;
                "force_quote"
            };
            let all = name == "force_quote" && at.take_token(&Token::Mul);
            (
                name,
                if all {
                    RawValue::All
                } else {
                    RawValue::Names(at.list(Cursor::name)?)
                },
            )
        }
        Some(word) => {
            at.take(&["as"]);
            let name = if word == "delimiters" {
                "delimiter"
            } else {
                word
            };
            (name, RawValue::Text(at.string()?))
        }
    };
    Ok(Some(RawOption {
        name: name.to_owned(),
        value,
        position,
    }))
}
