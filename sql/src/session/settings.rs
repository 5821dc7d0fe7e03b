//! Settings of a session: what `SET` changes, `SHOW` tells and a rollback takes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::server_settings::{ServerSettings, Unit};
use crate::error::{Result, SqlError, SqlState};
use crate::types::{ByteaOutput, DateStyle, FormatSettings, IntervalStyle, Zone};

/// A setting that every session has.
pub struct Setting {
    /// Its name, as `SHOW ALL` spells it.
    pub name: &'static str,
    /// Its value in a new session.
    pub default: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether the client is told of every change (ParameterStatus).
    pub reported: bool,
    /// What it is for.
    pub about: &'static str,
}

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Text,
    /// A truth value.
    Bool,
    /// A number between both.
    Integer(i64, i64),
    /// A time in milliseconds, with or without a unit; 0 is never.
    Milliseconds,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A time zone.
    Zone,
    /// A layout and order of dates.
    DateStyle,
    /// UTF8 and its other names.
    Encoding,
    /// It cannot be set.
    Fixed,
}

macro_rules! settings {
    ($($name:literal, $default:expr, $kind:expr, $reported:literal, $about:literal;)*) => {
        /// All settings, by name.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: $name, default: $default, kind: $kind, reported: $reported, about: $about,
        }),*];
    };
}

/// The PostgreSQL version whose behaviour clients may expect.
pub const SERVER_VERSION: &str = "16.9";
const LEVELS: &[&str] = &["read committed", "repeatable read"];
const PLAN_CACHE_MODES: &[&str] = &["auto", "force_generic_plan", "force_custom_plan"];
const MESSAGES: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
];

settings! {
    "application_name", "", Kind::Text, true, "Name of the client, for logs.";
    "bytea_output", "hex", Kind::OneOf(&["hex", "escape"]), false, "How bytea is printed.";
    "client_encoding", "UTF8", Kind::Encoding, true, "The client's encoding; only UTF8.";
    "client_min_messages", "notice", Kind::OneOf(MESSAGES), false, "The least severity of messages that are sent.";
    "DateStyle", "ISO, MDY", Kind::DateStyle, true, "How dates are printed, and the order in which they are read.";
    "default_transaction_isolation", "read committed", Kind::OneOf(LEVELS), false, "Isolation of new transactions.";
    "default_transaction_read_only", "off", Kind::Bool, true, "Whether new transactions refuse writes.";
    "extra_float_digits", "1", Kind::Integer(-15, 3), false, "Digits of floats beyond the usual; above 0 is exact.";
    "integer_datetimes", "on", Kind::Fixed, true, "Times are integers on the wire.";
    "in_hot_standby", "off", Kind::Fixed, true, "This server is no replica.";
    "IntervalStyle", "postgres", Kind::OneOf(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]), true, "How intervals are printed.";
    "is_superuser", "on", Kind::Fixed, true, "Whether the role may do everything.";
    "lock_timeout", "0", Kind::Milliseconds, false, "Accepted; no statement waits for locks.";
    "max_identifier_length", "63", Kind::Fixed, false, "Bytes of a name.";
    "plan_cache_mode", "auto", Kind::OneOf(PLAN_CACHE_MODES), false, "Whether prepared queries keep a generic plan: auto is from the second run on.";
    "row_security", "on", Kind::Bool, false, "Accepted; there are no policies yet.";
    "scram_iterations", "4096", Kind::Fixed, true, "Told because drivers ask.";
    "search_path", "\"$user\", public", Kind::Text, true, "Accepted; names without a schema are looked for in public and pg_catalog.";
    "server_encoding", "UTF8", Kind::Fixed, true, "The encoding of all text.";
    "server_version", SERVER_VERSION, Kind::Fixed, true, "The PostgreSQL version whose behaviour clients may expect.";
    "server_version_num", "160009", Kind::Fixed, false, "The same as a number.";
    "session_authorization", "slicedb", Kind::Fixed, true, "The role that logged in.";
    "slicedb.use_aggregates", "on", Kind::Bool, false, "Whether queries over a table are answered from its continuous aggregates where that gives the same.";
    "standard_conforming_strings", "on", Kind::Fixed, true, "Backslashes in plain strings are characters.";
    "statement_timeout", "0", Kind::Milliseconds, false, "A statement ends after this long; 0 is never.";
    "synchronous_commit", "on", Kind::OneOf(&["on", "remote_apply", "remote_write", "local"]), false, "Commits are always durable when acknowledged.";
    "TimeZone", "UTC", Kind::Zone, true, "The zone in which timestamptz is printed and days begin.";
    "transaction_isolation", "read committed", Kind::OneOf(LEVELS), false, "Isolation of this transaction.";
    "transaction_read_only", "off", Kind::Bool, false, "Whether this transaction refuses writes.";
}

/// The values that differ from the defaults, and the server's settings beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    server: ServerSettings,
    // Shared by the copies that a session and its statements keep, until one of them changes.
    values: Arc<BTreeMap<&'static str, String>>,
    /// Settings with a dot in their name belong to applications and may be anything.
    custom: Arc<BTreeMap<String, String>>,
}

impl Settings {
    /// The defaults, on a server with these settings.
    pub fn new(server: ServerSettings) -> Self {
        Settings {
            server,
            ..Settings::default()
        }
    }

    /// The settings of the server.
    pub fn server(&self) -> &ServerSettings {
        &self.server
    }

    /// The setting of this name, whatever its case.
    pub fn find(name: &str) -> Option<&'static Setting> {
        SETTINGS
            .iter()
            .find(|setting| setting.name.eq_ignore_ascii_case(name))
    }

    /// A value.
    ///
    /// # Errors
    /// 42704 when there is no such setting.
    pub fn get(&self, name: &str) -> Result<String> {
        if let Some(setting) = Self::find(name) {
            return Ok(self.value(setting).to_owned());
        }
        if let Some(setting) = self.server.find(name) {
            return Ok(setting.plain());
        }
        let custom = self.custom.get(&name.to_ascii_lowercase());
        custom.cloned().ok_or_else(|| unknown(name))
    }

    /// A value as `SHOW` prints it: with a unit where it has one.
    ///
    /// # Errors
    /// 42704 when there is no such setting.
    pub fn shown(&self, name: &str) -> Result<String> {
        let value = self.get(name)?;
        if let Some(setting) = self.server.find(name) {
            return Ok(setting.shown());
        }
        let is_time = Self::find(name).is_some_and(|s| s.kind == Kind::Milliseconds);
        Ok(match value.parse() {
            Ok(ms) if is_time => Unit::Milliseconds.shown(ms),
            _ => value,
        })
    }

    /// The name of a setting as it is spelled.
    pub fn spelled<'a>(&'a self, name: &'a str) -> &'a str {
        let server = || self.server.find(name).map(|setting| setting.name);
        let own = Self::find(name).map(|setting| setting.name);
        own.or_else(server).unwrap_or(name)
    }

    /// The value of a known setting.
    pub fn value(&self, setting: &'static Setting) -> &str {
        self.values
            .get(setting.name)
            .map_or(setting.default, String::as_str)
    }

    /// Sets a value, or the default with `None`.
    ///
    /// # Errors
    /// 42704 when there is no such setting, 22023 when it cannot have the value, 55P02 when it
    /// cannot be set.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let Some(setting) = Self::find(name) else {
            if let Some(setting) = self.server.find(name) {
                let message = format!(
                    "parameter \"{}\" cannot be changed without restarting the server",
                    setting.name
                );
                return Err(SqlError::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message));
            }
            if !name.contains('.') {
                return Err(unknown(name));
            }
            let custom = Arc::make_mut(&mut self.custom);
            match value {
                Some(value) => custom.insert(name.to_ascii_lowercase(), value.to_owned()),
                None => custom.remove(&name.to_ascii_lowercase()),
            };
            return Ok(());
        };
        match value {
            Some(value) => {
                let value = self.checked(setting, value)?;
                Arc::make_mut(&mut self.values).insert(setting.name, value);
            }
            None => {
                Arc::make_mut(&mut self.values).remove(setting.name);
            }
        }
        Ok(())
    }

    /// Puts the value of a known setting in its place, unchecked.
    pub(super) fn tell(&mut self, name: &'static str, value: &str) {
        if self.get(name).ok().as_deref() != Some(value) {
            Arc::make_mut(&mut self.values).insert(name, value.to_owned());
        }
    }

    fn checked(&self, setting: &'static Setting, value: &str) -> Result<String> {
        let invalid = || {
            let message = format!(
                "invalid value for parameter \"{}\": \"{value}\"",
                setting.name
            );
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
        };
        Ok(match setting.kind {
            Kind::Text => value.to_owned(),
            Kind::Bool => match value.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" | "t" | "y" => "on".to_owned(),
                "off" | "false" | "no" | "0" | "f" | "n" => "off".to_owned(),
                _ => {
                    let message =
                        format!("parameter \"{}\" requires a Boolean value", setting.name);
                    return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
                }
            },
            Kind::Integer(least, greatest) => {
                let number: i64 = value.trim().parse().map_err(|_| invalid())?;
                if !(least..=greatest).contains(&number) {
                    let message = format!(
                        "{number} is outside the valid range for parameter \"{}\" ({least} .. {greatest})",
                        setting.name
                    );
                    return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
                }
                number.to_string()
            }
            Kind::Milliseconds => milliseconds(value).ok_or_else(invalid)?.to_string(),
            Kind::OneOf(values) => {
                let value = value.to_ascii_lowercase();
                let known = values.iter().find(|v| **v == value);
                known.ok_or_else(|| {
                    invalid().with_hint(format!("Available values: {}.", values.join(", ")))
                })?;
                value
            }
            Kind::Zone => Zone::parse(value).ok_or_else(invalid)?.to_string(),
            Kind::DateStyle => self
                .date_style()
                .changed_by(value)
                .ok_or_else(invalid)?
                .to_string(),
            Kind::Encoding => match value.to_ascii_uppercase().replace(['-', '_'], "").as_str() {
                "UTF8" | "UNICODE" => "UTF8".to_owned(),
                _ => return Err(invalid().with_hint("The server speaks UTF8 only.")),
            },
            Kind::Fixed => {
                let message = format!("parameter \"{}\" cannot be changed", setting.name);
                return Err(SqlError::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message));
            }
        })
    }

    /// `statement_timeout`; `None` is never.
    pub fn statement_timeout(&self) -> Option<Duration> {
        let ms = self
            .get("statement_timeout")
            .ok()
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        (ms > 0).then(|| Duration::from_millis(ms))
    }

    /// The session's zone.
    pub fn time_zone(&self) -> Zone {
        self.get("TimeZone")
            .ok()
            .and_then(|value| Zone::parse(&value))
            .unwrap_or(Zone::UTC)
    }

    fn date_style(&self) -> DateStyle {
        let value = self.get("DateStyle").unwrap_or_default();
        DateStyle::default().changed_by(&value).unwrap_or_default()
    }

    /// How values are read and printed.
    pub fn format(&self, now_us: i64) -> FormatSettings {
        let is = |name: &str, value: &str| self.get(name).is_ok_and(|v| v == value);
        FormatSettings {
            time_zone: self.time_zone(),
            date_style: self.date_style(),
            interval_style: match self.get("IntervalStyle").unwrap_or_default().as_str() {
                "postgres_verbose" => IntervalStyle::PostgresVerbose,
                "sql_standard" => IntervalStyle::SqlStandard,
                "iso_8601" => IntervalStyle::Iso8601,
                _ => IntervalStyle::Postgres,
            },
            extra_float_digits: self
                .get("extra_float_digits")
                .ok()
                .and_then(|v| v.parse().ok())
                .unwrap_or(1),
            bytea_output: if is("bytea_output", "escape") {
                ByteaOutput::Escape
            } else {
                ByteaOutput::Hex
            },
            now_us: Some(now_us),
        }
    }

    /// Settings of `self` whose value differs from `before` and that the client is told of.
    pub fn reported_changes(&self, before: &Settings) -> Vec<(String, String)> {
        let reported = SETTINGS.iter().filter(|setting| setting.reported);
        let changed = reported.filter(|setting| self.value(setting) != before.value(setting));
        changed
            .map(|setting| (setting.name.to_owned(), self.value(setting).to_owned()))
            .collect()
    }
}

/// `250`, `250ms`, `2s`, `1min`, `1h`, `1d`.
fn milliseconds(value: &str) -> Option<i64> {
    let value = value.trim();
    let digits = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1.0,
        "us" => 0.001,
        "s" => 1e3,
        "min" => 60e3,
        "h" => 3600e3,
        "d" => 86_400e3,
        _ => return None,
    };
    let ms = number.parse::<f64>().ok()? * factor;
    (0.0..=f64::from(i32::MAX))
        .contains(&ms)
        .then(|| ms.round() as i64)
}

fn unknown(name: &str) -> SqlError {
    let message = format!("unrecognized configuration parameter \"{name}\"");
    SqlError::new(SqlState::UNDEFINED_OBJECT, message)
}
