//! `EXPLAIN`, in its old form and with a list of options.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::query;
use super::statement::{Explain, ExplainFormat, Statement};
use crate::error::{Result, SqlError, SqlState};

/// `EXPLAIN …`.
pub(crate) fn parse(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["explain"])?;
    let mut options = Options {
        analyze: false,
        verbose: false,
        costs: true,
        format: ExplainFormat::Text,
    };
    if at.peek() == Some(&Token::LParen) && at.word_nth(1).is_some_and(is_option) {
        at.index += 1;
        at.list(|at| options.take(at))?;
        at.expect_token(&Token::RParen)?;
    } else {
        options.analyze = at.take_one_of(&["analyze", "analyse"]).is_some();
        options.verbose = at.take(&["verbose"]);
    }
    if at
        .word()
        .is_some_and(|word| matches!(word, "execute" | "declare" | "create" | "refresh"))
    {
        return at.unsupported("EXPLAIN of this statement");
    }
    let statement = Box::new(query::query_or_change(at)?);
    let Options {
        analyze,
        verbose,
        costs,
        format,
    } = options;
    Ok(Statement::Explain(Explain {
        analyze,
        verbose,
        costs,
        format,
        statement,
    }))
}

struct Options {
    analyze: bool,
    verbose: bool,
    costs: bool,
    format: ExplainFormat,
}

/// Whether a bracket holds options and not a query.
fn is_option(word: &str) -> bool {
    !matches!(word, "select" | "with" | "values" | "table")
}

impl Options {
    /// One option. Those that change only figures that we do not give are accepted.
    fn take(&mut self, at: &mut Cursor<'_>) -> Result<()> {
        let position = at.position();
        let name = match at.take_one_of(&["analyze", "analyse", "verbose"]) {
            Some(name) => name.to_owned(),
            None => at.name()?,
        };
        match name.as_str() {
            "analyze" | "analyse" => self.analyze = boolean(at, &name)?,
            "verbose" => self.verbose = boolean(at, &name)?,
            "costs" => self.costs = boolean(at, &name)?,
            "settings" | "buffers" | "wal" | "timing" | "summary" | "generic_plan" => {
                boolean(at, &name)?;
            }
            "format" => {
                let place = at.position();
                let value = match at.take_string() {
                    Some(text) => text.to_ascii_lowercase(),
                    None => at.name()?,
                };
                self.format = match value.as_str() {
                    "text" => ExplainFormat::Text,
                    "json" => ExplainFormat::Json,
                    "xml" | "yaml" => {
                        let what = format!("EXPLAIN (FORMAT {})", value.to_uppercase());
                        return Err(SqlError::unsupported(what).at(place));
                    }
                    _ => return Err(unknown_value(&name, &value).at(position)),
                };
            }
            _ => {
                let message = format!("unrecognized EXPLAIN option \"{name}\"");
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(position));
            }
        }
        Ok(())
    }
}

fn unknown_value(name: &str, value: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unrecognized value for EXPLAIN option \"{name}\": \"{value}\""),
    )
}

/// The truth value of an option; nothing means true.
fn boolean(at: &mut Cursor<'_>, name: &str) -> Result<bool> {
    if matches!(at.peek(), Some(Token::Comma | Token::RParen) | None) {
        return Ok(true);
    }
    let value = match at.take_one_of(&["true", "false", "on"]) {
        Some(word) => word.to_owned(),
        None => match at.take_string().or_else(|| at.take_number()) {
            Some(value) => value.to_ascii_lowercase(),
            None => at.name()?,
        },
    };
    match value.as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("{name} requires a Boolean value"),
        )),
    }
}
