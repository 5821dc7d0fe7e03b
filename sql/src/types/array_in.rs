//! Arrays from text: `{1,NULL,"a \"b\""}`, of one dimension.

use super::builder::ColumnBuilder;
use super::fault::Read;
use crate::error::{SqlError, SqlState};

/// Appends the elements of an array; on an error some may be appended already.
pub(super) fn append(items: &mut ColumnBuilder, text: &str) -> Read<()> {
    let malformed = |detail: &str| {
        SqlError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("malformed array literal: \"{text}\""),
        )
        .with_detail(detail)
    };
    let trimmed = text.trim_matches(is_blank);
    if trimmed.starts_with('[') {
        return Err(SqlError::unsupported("an array literal with bounds"));
    }
    let Some(mut rest) = trimmed.strip_prefix('{') else {
        return Err(malformed(
            "Array value must start with \"{\" or dimension information.",
        ));
    };
    rest = rest.trim_start_matches(is_blank);
    if let Some(after) = rest.strip_prefix('}') {
        return end(after).ok_or_else(|| malformed("Junk after closing right brace."));
    }
    let mut element = String::new();
    loop {
        rest = rest.trim_start_matches(is_blank);
        if rest.starts_with('{') {
            return Err(SqlError::unsupported("an array of several dimensions"));
        }
        let quoted = rest.starts_with('"');
        element.clear();
        rest = if quoted {
            read_quoted(&rest[1..], &mut element)
        } else {
            read_bare(rest, &mut element)
        }
        .ok_or_else(|| malformed("Unexpected end of input."))?;
        if !quoted && element.is_empty() {
            let found = rest.chars().next().unwrap_or('}');
            return Err(malformed(&format!("Unexpected \"{found}\" character.")));
        }
        if !quoted && element.eq_ignore_ascii_case("null") {
            items.append_null();
        } else {
            // A bare `\N`-like element was unescaped by now, which only matters to the word NULL.
            items.append_text(element.as_bytes())?;
        }
        rest = rest.trim_start_matches(is_blank);
        match rest.chars().next() {
            Some(',') => rest = &rest[1..],
            Some('}') => {
                return end(&rest[1..]).ok_or_else(|| malformed("Junk after closing right brace."));
            }
            Some(_) if quoted => return Err(malformed("Unexpected array element.")),
            Some('"') => return Err(malformed("Unexpected array element.")),
            Some(other) => return Err(malformed(&format!("Unexpected \"{other}\" character."))),
            None => return Err(malformed("Unexpected end of input.")),
        }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

fn end(rest: &str) -> Option<()> {
    rest.trim_start_matches(is_blank).is_empty().then_some(())
}

/// Reads up to the closing quote; None if there is none.
fn read_quoted<'a>(text: &'a str, element: &mut String) -> Option<&'a str> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some(&text[at + 1..]),
            '\\' => element.push(chars.next()?.1),
            _ => element.push(c),
        }
    }
    None
}

/// Reads up to a comma, brace or quote, without blanks at the end; None if the text ends first.
fn read_bare<'a>(text: &'a str, element: &mut String) -> Option<&'a str> {
    let mut kept = 0; // length without blanks at the end; an escaped blank stays
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | '{' | '}' | '"' => {
                element.truncate(kept);
                return Some(&text[at..]);
            }
            '\\' => {
                element.push(chars.next()?.1);
                kept = element.len();
            }
            _ => {
                element.push(c);
                if !is_blank(c) {
                    kept = element.len();
                }
            }
        }
    }
    None
}
