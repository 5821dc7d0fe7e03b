//! A place among a statement's tokens: what our own small parsers are written with.
//!
//! Expressions, types and queries are handed to sqlparser from the current token on, which then
//! continues where sqlparser stopped.

use datafusion::sql::sqlparser::ast::{self, Visit};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::grammar::Grammar;
use super::source::Source;
use super::table::TableName;
use super::{expansion, limits, refuse, words};
use crate::error::{Result, SqlError, SqlState};
use crate::types::PgType;

/// Guarded calls of sqlparser within each other. One bracket takes up to four of them; the
/// brackets are limited before.
const RECURSION_MAX: usize = 300;

/// A place among the tokens of a statement.
pub(crate) struct Cursor<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) index: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(source: &'a Source<'a>) -> Self {
        Cursor { source, index: 0 }
    }

    /// The token here.
    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.peek_nth(0)
    }

    /// The token `n` further on.
    pub(crate) fn peek_nth(&self, n: usize) -> Option<&'a Token> {
        self.source
            .tokens
            .get(self.index + n)
            .map(|token| &token.token)
    }

    /// Where we are, in characters from 1.
    pub(crate) fn position(&self) -> usize {
        self.source.position(self.index)
    }

    /// A syntax error here.
    pub(crate) fn syntax_error<T>(&self) -> Result<T> {
        Err(self.source.syntax_error(self.index))
    }

    /// A 0A000 here.
    pub(crate) fn unsupported<T>(&self, what: &str) -> Result<T> {
        Err(SqlError::unsupported(what).at(self.position()))
    }

    /// The unquoted word here.
    pub(crate) fn word(&self) -> Option<&'a str> {
        self.word_nth(0)
    }

    /// The unquoted word `n` further on.
    pub(crate) fn word_nth(&self, n: usize) -> Option<&'a str> {
        match self.peek_nth(n) {
            Some(Token::Word(word)) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    /// Whether these words stand here.
    pub(crate) fn sees(&self, words: &[&str]) -> bool {
        words
            .iter()
            .enumerate()
            .all(|(n, word)| self.word_nth(n) == Some(word))
    }

    /// Takes these words if they stand here.
    pub(crate) fn take(&mut self, words: &[&str]) -> bool {
        let seen = self.sees(words);
        if seen {
            self.index += words.len();
        }
        seen
    }

    /// Takes these words, which must stand here.
    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<()> {
        for word in words {
            if !self.take(&[word]) {
                return self.syntax_error();
            }
        }
        Ok(())
    }

    /// Takes one of these words, if one stands here.
    pub(crate) fn take_one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|word| self.take(&[word]))
    }

    /// Takes a token if it stands here.
    pub(crate) fn take_token(&mut self, token: &Token) -> bool {
        let seen = self.peek() == Some(token);
        self.index += usize::from(seen);
        seen
    }

    /// Takes a token, which must stand here.
    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.take_token(token) {
            Ok(())
        } else {
            self.syntax_error()
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<()> {
        if self.index < self.source.tokens.len() {
            self.syntax_error()
        } else {
            Ok(())
        }
    }

    /// A name: quoted, or a word that is not reserved.
    pub(crate) fn name(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(word))
                if word.quote_style.is_some() || !words::is_reserved(&word.value) =>
            {
                self.index += 1;
                Ok(word.value.clone())
            }
            _ => self.syntax_error(),
        }
    }

    /// `(a, b)`.
    pub(crate) fn names_in_brackets(&mut self) -> Result<Vec<String>> {
        self.expect_token(&Token::LParen)?;
        let names = self.list(Cursor::name)?;
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    /// `a, b`, at least one.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A table, with or without its schema.
    pub(crate) fn table_name(&mut self) -> Result<TableName> {
        let position = self.position();
        let start = self.index;
        let mut parts = vec![self.name()?];
        while self.take_token(&Token::Period) {
            // After a period every word is a name.
            match self.peek() {
                Some(Token::Word(word)) => parts.push(word.value.clone()),
                _ => return self.syntax_error(),
            }
            self.index += 1;
        }
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        if !parts.is_empty() {
            let text = self.source.text_of(start..self.index);
            return Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("cross-database references are not implemented: \"{text}\""),
            )
            .at(position));
        }
        Ok(TableName {
            schema,
            name,
            position,
        })
    }

    /// The string constant here, if one stands here.
    pub(crate) fn take_string(&mut self) -> Option<String> {
        let text = match self.peek()? {
            Token::SingleQuotedString(text)
            | Token::EscapedStringLiteral(text)
            | Token::UnicodeStringLiteral(text) => text.clone(),
            Token::DollarQuotedString(text) => text.value.clone(),
            _ => return None,
        };
        self.index += 1;
        Some(text)
    }

    /// A string constant, which must stand here.
    pub(crate) fn string(&mut self) -> Result<String> {
        self.take_string().map_or_else(|| self.syntax_error(), Ok)
    }

    /// The number here, with its sign, if one stands here.
    pub(crate) fn take_number(&mut self) -> Option<String> {
        let sign = match self.peek()? {
            Token::Minus => Some("-"),
            Token::Plus => Some(""),
            _ => None,
        };
        let Token::Number(digits, _) = self.peek_nth(usize::from(sign.is_some()))? else {
            return None;
        };
        self.index += 1 + usize::from(sign.is_some());
        Some(format!("{}{digits}", sign.unwrap_or("")))
    }

    /// Hands the tokens from here on to sqlparser.
    pub(crate) fn sqlparser<T: Visit>(
        &mut self,
        parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
    ) -> Result<T> {
        self.sqlparser_until(self.source.tokens.len(), parse)
    }

    /// Hands the tokens from here to `end` to sqlparser.
    pub(crate) fn sqlparser_until<T: Visit>(
        &mut self,
        end: usize,
        parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
    ) -> Result<T> {
        let tokens = self.source.tokens[self.index.min(end)..end].to_vec();
        let grammar = Grammar::new(tokens.len());
        let mut parser = Parser::new(&grammar)
            .with_recursion_limit(RECURSION_MAX)
            .with_tokens_with_locations(tokens);
        let result = parse(&mut parser).map_err(|error| {
            let fault = self.source.parser_error(&error);
            // The end of the part is a place in the middle of the statement.
            if fault.message.ends_with("end of input") && end < self.source.tokens.len() {
                return self.source.syntax_error(end);
            }
            fault
        })?;
        self.index += parser.index();
        limits::check_tree(&result)?;
        expansion::check(&result)?;
        refuse::check(&result, self.source)?;
        Ok(result)
    }

    /// An expression.
    pub(crate) fn expr(&mut self) -> Result<ast::Expr> {
        self.sqlparser(|parser| parser.parse_expr())
    }

    /// A type.
    pub(crate) fn data_type(&mut self) -> Result<PgType> {
        let position = self.position();
        let ty = self.sqlparser(|parser| parser.parse_data_type())?;
        PgType::from_ast(&ty).map_err(|error| match error.position {
            Some(_) => error,
            None => error.at(position),
        })
    }
}
