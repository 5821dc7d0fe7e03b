//! Text to tokens, and tokens back to text: where errors get their position and their words.
//!
//! Unquoted words are folded to lower case **here**, before anything is parsed, so that no name in
//! any corner of the syntax tree can be missed; ASCII letters only, and cut to 63 bytes, as
//! PostgreSQL does. Locations are made relative to the statement's own text, so that positions in
//! the syntax tree are ones in [`Parsed::text`](super::Parsed::text).

use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError,
};

use super::grammar::Grammar;
use super::spelling::respell;
use super::temporal;
use crate::error::{Result, SqlError, SqlState};

/// PostgreSQL's NAMEDATALEN less one.
const IDENTIFIER_BYTES_MAX: usize = 63;

/// One statement: its text and its tokens, without space and comments.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    /// Characters of the message before `text`.
    pub(crate) offset: usize,
    pub(crate) tokens: Vec<TokenWithSpan>,
    lines: Lines,
}

impl<'a> Source<'a> {
    /// The statements of a message. A semicolon within brackets does not end one: it is an error
    /// that the parser reports.
    pub(crate) fn split(message: &'a str, tokens: Vec<TokenWithSpan>) -> Vec<Source<'a>> {
        let lines = Lines::of(message);
        let mut statements = Vec::new();
        let mut depth = 0usize;
        let mut current = Vec::new();
        for token in tokens {
            match token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                Token::SemiColon if depth == 0 => {
                    statements.extend(Source::of(message, &lines, std::mem::take(&mut current)));
                    continue;
                }
                _ => {}
            }
            current.push(token);
        }
        statements.extend(Source::of(message, &lines, current));
        statements
    }

    /// The statement of these tokens; none of no tokens.
    fn of(message: &'a str, lines: &Lines, mut tokens: Vec<TokenWithSpan>) -> Option<Source<'a>> {
        let start = tokens.first()?.span.start;
        let offset = lines.offset(start);
        let end = lines.offset(tokens.last()?.span.end);
        let text = slice(message, offset, end);
        for token in &mut tokens {
            token.span = Span::new(
                relative(token.span.start, start),
                relative(token.span.end, start),
            );
        }
        Some(Source {
            text,
            offset,
            tokens,
            lines: Lines::of(text),
        })
    }

    /// Where a token stands in the text, in characters from 1; past the end for the end.
    pub(crate) fn position(&self, token: usize) -> usize {
        match self.tokens.get(token) {
            Some(token) => self.lines.offset(token.span.start) + 1,
            None => self.text.chars().count() + 1,
        }
    }

    /// The text of some tokens, with what stands between them.
    pub(crate) fn text_of(&self, tokens: std::ops::Range<usize>) -> &'a str {
        match (
            self.tokens.get(tokens.start),
            self.tokens.get(tokens.end.saturating_sub(1)),
        ) {
            (Some(first), Some(last)) if tokens.start < tokens.end => slice(
                self.text,
                self.lines.offset(first.span.start),
                self.lines.offset(last.span.end),
            ),
            _ => "",
        }
    }

    /// A syntax error at a token, in PostgreSQL's words.
    pub(crate) fn syntax_error(&self, token: usize) -> SqlError {
        let message = if token < self.tokens.len() {
            format!(
                "syntax error at or near \"{}\"",
                self.text_of(token..token + 1)
            )
        } else {
            "syntax error at end of input".to_owned()
        };
        SqlError::new(SqlState::SYNTAX_ERROR, message).at(self.position(token))
    }

    /// The token that stands at a location of the syntax tree; the end for none.
    pub(crate) fn token_at(&self, location: Location) -> usize {
        self.tokens
            .binary_search_by(|token| token.span.start.cmp(&location))
            .unwrap_or(self.tokens.len())
    }

    /// What sqlparser could not read, in PostgreSQL's words.
    pub(crate) fn parser_error(&self, error: &ParserError) -> SqlError {
        match error {
            ParserError::RecursionLimitExceeded => super::limits::too_deep(),
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => self
                .syntax_error(location_in(message).map_or(self.tokens.len(), |l| self.token_at(l))),
        }
    }
}

/// Tokens of a message, without space and comments, unquoted words folded.
pub(crate) fn tokenize(message: &str) -> Result<Vec<TokenWithSpan>> {
    let grammar = Grammar::new(0);
    let mut tokens = Vec::new();
    let result = Tokenizer::new(&grammar, message).tokenize_with_location_into_buf(&mut tokens);
    if let Err(error) = result {
        // The token that could not be ended begins where the last one ended.
        let start = tokens
            .last()
            .map_or(Location { line: 1, column: 1 }, |last| last.span.end);
        return Err(tokenizer_error(message, &error, start));
    }
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    for token in &mut tokens {
        if let Token::Word(word) = &mut token.token {
            if word.quote_style.is_none() {
                word.value.make_ascii_lowercase();
            }
            if word.value.len() > IDENTIFIER_BYTES_MAX {
                word.value
                    .truncate(word.value.floor_char_boundary(IDENTIFIER_BYTES_MAX));
            }
        }
    }
    check(message, &tokens)?;
    respell(temporal::respell(tokens)).map_err(|(collation, at)| {
        let position = Lines::of(message).offset(at) + 1;
        SqlError::unsupported(format!("collation \"{collation}\"")).at(position)
    })
}

/// What sqlparser lets pass and PostgreSQL does not: an empty quoted name, letters glued to a
/// number, and placeholders that are not `$1`.
fn check(message: &str, tokens: &[TokenWithSpan]) -> Result<()> {
    let lines = Lines::of(message);
    let error = |text: String, at: Location| {
        Err(SqlError::new(SqlState::SYNTAX_ERROR, text).at(lines.offset(at) + 1))
    };
    for (index, token) in tokens.iter().enumerate() {
        let start = token.span.start;
        let near =
            |end: Location| slice(message, lines.offset(start), lines.offset(end)).to_owned();
        match &token.token {
            Token::Word(word) if word.quote_style.is_some() && word.value.is_empty() => {
                return error(
                    "zero-length delimited identifier at or near \"\"\"\"".into(),
                    start,
                );
            }
            Token::Number(..) => {
                if let Some(TokenWithSpan {
                    token: Token::Word(_),
                    span,
                }) = tokens.get(index + 1)
                    && span.start == token.span.end
                {
                    let near = near(span.end);
                    return error(
                        format!("trailing junk after numeric literal at or near \"{near}\""),
                        start,
                    );
                }
            }
            // The parser would take it for `=`.
            Token::DoubleEq | Token::Spaceship => {
                let message = format!("operator does not exist: {}", token.token);
                return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
                    .at(lines.offset(start) + 1));
            }
            Token::Placeholder(name) => {
                let number = name.strip_prefix('$').unwrap_or_default();
                if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                    let near = near(token.span.end);
                    return error(format!("syntax error at or near \"{near}\""), start);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What could not even be cut into tokens. PostgreSQL quotes the rest of the text.
fn tokenizer_error(message: &str, error: &TokenizerError, start: Location) -> SqlError {
    let offset = Lines::of(message).offset(start);
    let rest: String = message.chars().skip(offset).collect();
    let what = error.message.to_ascii_lowercase();
    let fault = if what.contains("dollar") {
        "unterminated dollar-quoted string"
    } else if what.contains("comment") {
        "unterminated /* comment"
    } else if what.contains("expected close delimiter '\"'") || rest.starts_with('"') {
        "unterminated quoted identifier"
    } else if what.contains("unicode") {
        "invalid Unicode escape"
    } else if what.contains("unterminated") {
        "unterminated quoted string"
    } else {
        "syntax error"
    };
    if rest.is_empty() {
        return SqlError::new(SqlState::SYNTAX_ERROR, format!("{fault} at end of input"))
            .at(offset + 1);
    }
    SqlError::new(
        SqlState::SYNTAX_ERROR,
        format!("{fault} at or near \"{rest}\""),
    )
    .at(offset + 1)
}

/// The location that sqlparser writes at the end of its messages.
fn location_in(message: &str) -> Option<Location> {
    let (_, place) = message.rsplit_once("Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let digits = column
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(column.len());
    Some(Location {
        line: line.parse().ok()?,
        column: column[..digits].parse().ok()?,
    })
}

/// A location seen from another one.
fn relative(location: Location, from: Location) -> Location {
    Location {
        line: location.line - from.line + 1,
        column: if location.line == from.line {
            location.column - from.column + 1
        } else {
            location.column
        },
    }
}

/// Where lines begin, in characters.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text
            .chars()
            .enumerate()
            .filter(|(_, c)| *c == '\n')
            .map(|(at, _)| at + 1);
        Lines(std::iter::once(0).chain(breaks).collect())
    }

    /// Characters before a location.
    fn offset(&self, location: Location) -> usize {
        let line = (location.line.max(1) as usize - 1).min(self.0.len() - 1);
        self.0[line] + (location.column.max(1) as usize - 1)
    }
}

/// The text between two character offsets.
fn slice(text: &str, start: usize, end: usize) -> &str {
    let byte = |offset: usize| {
        text.char_indices()
            .nth(offset)
            .map_or(text.len(), |(at, _)| at)
    };
    if text.is_ascii() {
        return &text[start.min(text.len())..end.min(text.len())];
    }
    &text[byte(start)..byte(end)]
}

/// Where a name that is written like this first stands in a text, in characters from 1: the parts
/// are joined by periods there. For errors that know a name and no place.
pub(crate) fn position_of(text: &str, parts: &[&str]) -> Option<usize> {
    if parts.is_empty() {
        return None;
    }
    let tokens = tokenize(text).ok()?;
    let is = |token: &Token, part: &str| matches!(token, Token::Word(word) if word.value == part);
    let found = tokens.windows(parts.len() * 2 - 1).find(|window| {
        window
            .iter()
            .enumerate()
            .all(|(index, token)| match index % 2 {
                0 => is(&token.token, parts[index / 2]),
                _ => token.token == Token::Period,
            })
    })?;
    Some(Lines::of(text).offset(found[0].span.start) + 1)
}

/// A line and a column, both from 1, as characters from 1.
pub(crate) fn position_of_location(text: &str, line: u64, column: u64) -> Option<usize> {
    let position = Lines::of(text).offset(Location { line, column }) + 1;
    (line > 0 && position <= text.chars().count() + 1).then_some(position)
}
