//! `SET`, `SHOW` and `RESET`, with their spellings of several words.
//!
//! Whether a setting exists and takes the value is the session's to say.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{SetValue, Statement};
use super::transaction;
use crate::error::Result;

/// `SET …`.
pub(crate) fn parse_set(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["set"])?;
    if at.take(&["session", "characteristics", "as", "transaction"]) {
        return Ok(Statement::SetSessionCharacteristics(transaction::modes(
            at, true,
        )?));
    }
    if at.sees(&["transaction", "snapshot"]) {
        return at.unsupported("SET TRANSACTION SNAPSHOT");
    }
    if at.take(&["transaction"]) {
        return Ok(Statement::SetTransaction(transaction::modes(at, true)?));
    }
    if at.sees(&["constraints"]) {
        return at.unsupported("SET CONSTRAINTS");
    }
    // `session` may be the name of the setting's class: SET session.x = 1.
    let prefix = at.peek_nth(1) != Some(&Token::Period) && !at.sees(&["session", "authorization"]);
    let local = prefix && at.take_one_of(&["session", "local"]) == Some("local");
    let (name, value) = if at.take(&["time", "zone"]) {
        ("timezone".to_owned(), time_zone(at)?)
    } else if at.take(&["names"]) {
        let value = match at.take_string() {
            Some(encoding) => SetValue::Values(vec![encoding]),
            None => {
                at.take(&["default"]);
                SetValue::Default
            }
        };
        ("client_encoding".to_owned(), value)
    } else if at.take(&["schema"]) {
        (
            "search_path".to_owned(),
            SetValue::Values(vec![at.string()?]),
        )
    } else if at.take(&["session", "authorization"]) {
        ("session_authorization".to_owned(), one_value(at)?)
    } else if at.take(&["role"]) {
        ("role".to_owned(), one_value(at)?)
    } else {
        let name = setting_name(at)?;
        if !at.take_token(&Token::Eq) {
            at.expect(&["to"])?;
        }
        (name, values(at)?)
    };
    Ok(Statement::Set { name, value, local })
}

/// `SHOW …`.
pub(crate) fn parse_show(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["show"])?;
    Ok(Statement::Show(shown_name(at)?))
}

/// `RESET …`.
pub(crate) fn parse_reset(at: &mut Cursor<'_>) -> Result<Statement> {
    at.expect(&["reset"])?;
    Ok(Statement::Reset(shown_name(at)?))
}

/// The name after SHOW and RESET.
fn shown_name(at: &mut Cursor<'_>) -> Result<String> {
    Ok(if at.take(&["all"]) {
        "all".into()
    } else if at.take(&["time", "zone"]) {
        "timezone".into()
    } else if at.take(&["transaction", "isolation", "level"]) {
        "transaction_isolation".into()
    } else if at.take(&["session", "authorization"]) {
        "session_authorization".into()
    } else {
        setting_name(at)?
    })
}

/// `name`, `class.name`.
fn setting_name(at: &mut Cursor<'_>) -> Result<String> {
    let mut name = at.name()?;
    while at.take_token(&Token::Period) {
        name.push('.');
        name.push_str(&at.name()?);
    }
    // Names of settings do not tell cases apart, not even quoted ones.
    Ok(name.to_ascii_lowercase())
}

fn values(at: &mut Cursor<'_>) -> Result<SetValue> {
    if at.take(&["default"]) {
        return Ok(SetValue::Default);
    }
    Ok(SetValue::Values(at.list(value)?))
}

fn one_value(at: &mut Cursor<'_>) -> Result<SetValue> {
    if at.take(&["default"]) {
        return Ok(SetValue::Default);
    }
    Ok(SetValue::Values(vec![value(at)?]))
}

/// A string, a number or a word; `on` and `true` are words too.
fn value(at: &mut Cursor<'_>) -> Result<String> {
    if let Some(value) = at.take_string().or_else(|| at.take_number()) {
        return Ok(value);
    }
    match at.take_one_of(&["on", "true", "false"]) {
        Some(word) => Ok(word.to_owned()),
        None => at.name(),
    }
}

/// What follows SET TIME ZONE: also a number of hours, or an interval.
fn time_zone(at: &mut Cursor<'_>) -> Result<SetValue> {
    if at.take_one_of(&["default", "local"]).is_some() {
        return Ok(SetValue::Default);
    }
    if at.take(&["interval"]) {
        let offset = at.string()?;
        if at.take(&["hour"]) && at.take(&["to"]) {
            at.expect(&["minute"])?;
        }
        return Ok(SetValue::Values(vec![offset]));
    }
    Ok(SetValue::Values(vec![value(at)?]))
}
