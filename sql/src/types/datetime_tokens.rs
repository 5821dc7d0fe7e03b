//! The words of dates, times and intervals.
//!
//! PostgreSQL reads dates in any layout by first cutting the text into tokens and then asking what
//! each can mean (see "Date/Time Input Interpretation" in its manual, appendix B). This file cuts;
//! `datetime_fields` and `interval_in` interpret.

/// A piece of the text, in lower case.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `2024`, `20240102`, `12.5`: digits, perhaps with one point.
    Number(String),
    /// `2024-01-02`, `2-jan-2024`, `america/new_york`: joined by hyphens, slashes or points.
    Date(String),
    /// `12:34:56.7`
    Time(String),
    /// `+02:30`, `-1`: a sign and digits.
    Signed(String),
    /// `january`, `pm`, `utc`
    Word(String),
    /// `-infinity`: a sign and letters.
    SignedWord(String),
}

/// Longer texts are no dates.
const TOKENS_MAX: usize = 25;
const TEXT_BYTES_MAX: usize = 128 + TOKENS_MAX;

/// Letters and digits of a token, in front of the rest of the text.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn peek(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    fn take(&mut self, into: &mut String, wanted: impl Fn(u8) -> bool) {
        while let Some(byte) = self.rest.first().copied().filter(|byte| wanted(*byte)) {
            into.push(byte.to_ascii_lowercase().into());
            self.rest = &self.rest[1..];
        }
    }

    fn take_one(&mut self, into: &mut String) {
        if let Some((byte, rest)) = self.rest.split_first() {
            into.push(byte.to_ascii_lowercase().into());
            self.rest = rest;
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// Cuts a text into tokens; None if it holds anything that dates do not. `is_keyword` tells words
/// that a digit may follow at once, as in `T04`, from names of zones.
pub(super) fn tokens(text: &str, is_keyword: impl Fn(&str) -> bool) -> Option<Vec<Token>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut tokens = Vec::new();
    let mut cursor = Cursor {
        rest: text.as_bytes(),
    };
    while let Some(byte) = cursor.rest.first().copied() {
        if is_blank(byte) {
            cursor.rest = &cursor.rest[1..];
            continue;
        }
        if tokens.len() == TOKENS_MAX {
            return None;
        }
        let mut token = String::new();
        let kind = match byte {
            b'0'..=b'9' => number(&mut cursor, &mut token),
            b'.' => {
                cursor.take_one(&mut token);
                cursor.take(&mut token, is_digit);
                Token::Number
            }
            b'a'..=b'z' | b'A'..=b'Z' => word(&mut cursor, &mut token, &is_keyword),
            b'+' | b'-' => signed(&mut cursor, &mut token)?,
            _ if byte.is_ascii_punctuation() => {
                cursor.rest = &cursor.rest[1..];
                continue;
            }
            _ => return None,
        };
        tokens.push(kind(token));
    }
    Some(tokens)
}

/// A token that begins with a digit.
fn number(cursor: &mut Cursor<'_>, token: &mut String) -> fn(String) -> Token {
    cursor.take(token, is_digit);
    match cursor.peek() {
        b':' => {
            cursor.take(token, |byte| is_digit(byte) || matches!(byte, b':' | b'.'));
            Token::Time
        }
        separator @ (b'-' | b'/' | b'.') => {
            cursor.take_one(token);
            if !is_digit(cursor.peek()) {
                cursor.take(token, |byte| {
                    byte.is_ascii_alphanumeric() || byte == separator
                });
                return Token::Date;
            }
            cursor.take(token, is_digit);
            if cursor.peek() == separator {
                cursor.take(token, |byte| is_digit(byte) || byte == separator);
                return Token::Date;
            }
            // 12.5 is a number, 12/5 half a date.
            if separator == b'.' {
                Token::Number
            } else {
                Token::Date
            }
        }
        _ => Token::Number,
    }
}

/// A token that begins with a letter.
fn word(
    cursor: &mut Cursor<'_>,
    token: &mut String,
    is_keyword: impl Fn(&str) -> bool,
) -> fn(String) -> Token {
    cursor.take(token, |byte| byte.is_ascii_alphabetic());
    let joined = match cursor.peek() {
        b'-' | b'/' | b'.' => true,
        b'+' | b'0'..=b'9' => !is_keyword(token),
        _ => false,
    };
    if !joined {
        return Token::Word;
    }
    cursor.take(token, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'/' | b'_' | b'.' | b':')
    });
    Token::Date
}

/// A token that begins with a sign, which blanks may follow.
fn signed(cursor: &mut Cursor<'_>, token: &mut String) -> Option<fn(String) -> Token> {
    cursor.take_one(token);
    while is_blank(cursor.peek()) {
        cursor.rest = &cursor.rest[1..];
    }
    match cursor.peek() {
        b'0'..=b'9' => {
            cursor.take(token, |byte| {
                is_digit(byte) || matches!(byte, b':' | b'.' | b'-')
            });
            Some(Token::Signed)
        }
        b'a'..=b'z' | b'A'..=b'Z' => {
            cursor.take(token, |byte| byte.is_ascii_alphabetic());
            Some(Token::SignedWord)
        }
        _ => None,
    }
}
