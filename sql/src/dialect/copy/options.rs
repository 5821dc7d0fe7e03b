//! The options of `COPY`, checked in PostgreSQL's order and words (`ProcessCopyOptions`).

use super::{CopyDirection, CopyFormat, CopyHeader, CopyOptions, ForceColumns};
use crate::error::{Result, SqlError, SqlState};

/// An option as it was written.
pub(super) struct RawOption {
    pub(super) name: String,
    pub(super) value: RawValue,
    pub(super) position: usize,
}

/// The value of an option as it was written.
pub(super) enum RawValue {
    None,
    All,
    Text(String),
    Names(Vec<String>),
}

/// What was said, each at most once.
#[derive(Default)]
struct Given {
    format: Option<CopyFormat>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<CopyHeader>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<ForceColumns>,
    force_not_null: Option<ForceColumns>,
    force_null: Option<ForceColumns>,
    freeze: Option<bool>,
    encoding: Option<String>,
}

/// The options of a COPY, checked against each other.
pub(super) fn check(raw: Vec<RawOption>, direction: CopyDirection) -> Result<CopyOptions> {
    let mut given = Given::default();
    for option in raw {
        let position = option.position;
        given
            .take(option, direction)
            .map_err(|error| error.at(position))?;
    }
    given.options(direction)
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            "conflicting or redundant options",
        )),
    }
}

impl Given {
    fn take(&mut self, option: RawOption, direction: CopyDirection) -> Result<()> {
        let RawOption { name, value, .. } = option;
        match name.as_str() {
            "format" => {
                let format = match text(&name, value)?.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    other => {
                        return Err(invalid(format!("COPY format \"{other}\" not recognized")));
                    }
                };
                set(&mut self.format, format)
            }
            "freeze" => set(&mut self.freeze, boolean(&name, value)?),
            "delimiter" => set(&mut self.delimiter, text(&name, value)?),
            "null" => set(&mut self.null, text(&name, value)?),
            "header" => set(&mut self.header, header(value, direction)?),
            "quote" => set(&mut self.quote, text(&name, value)?),
            "escape" => set(&mut self.escape, text(&name, value)?),
            "force_quote" => set(&mut self.force_quote, columns(&name, value)?),
            "force_not_null" => set(&mut self.force_not_null, columns(&name, value)?),
            "force_null" => set(&mut self.force_null, columns(&name, value)?),
            "encoding" => set(&mut self.encoding, text(&name, value)?),
            _ => Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                format!("option \"{name}\" not recognized"),
            )),
        }
    }

    fn options(self, direction: CopyDirection) -> Result<CopyOptions> {
        let format = self.format.unwrap_or(CopyFormat::Text);
        let csv = format == CopyFormat::Csv;
        let binary = format == CopyFormat::Binary;
        let mut options = CopyOptions::new(format);

        if binary && self.delimiter.is_some() {
            return Err(syntax("cannot specify DELIMITER in BINARY mode"));
        }
        if binary && self.null.is_some() {
            return Err(syntax("cannot specify NULL in BINARY mode"));
        }
        if let Some(null) = &self.null {
            options.null.clone_from(null);
        }
        if let Some(delimiter) = &self.delimiter {
            options.delimiter = byte(
                delimiter,
                "COPY delimiter must be a single one-byte character",
            )?;
        }
        if matches!(options.delimiter, b'\n' | b'\r') {
            return Err(invalid(
                "COPY delimiter cannot be newline or carriage return",
            ));
        }
        if options.null.contains(['\n', '\r']) {
            return Err(invalid(
                "COPY null representation cannot use newline or carriage return",
            ));
        }
        let letters = b"\\.abcdefghijklmnopqrstuvwxyz0123456789";
        if !csv && !binary && letters.contains(&options.delimiter) {
            let shown = char::from(options.delimiter);
            return Err(invalid(format!("COPY delimiter cannot be \"{shown}\"")));
        }
        if let Some(header) = self.header {
            if binary && header != CopyHeader::Absent {
                return Err(syntax("cannot specify HEADER in BINARY mode"));
            }
            options.header = header;
        }
        if !csv && self.quote.is_some() {
            return Err(only("COPY quote available only in CSV mode"));
        }
        if let Some(quote) = &self.quote {
            options.quote = byte(quote, "COPY quote must be a single one-byte character")?;
        }
        if csv && options.delimiter == options.quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        if !csv && self.escape.is_some() {
            return Err(only("COPY escape available only in CSV mode"));
        }
        options.escape = match &self.escape {
            Some(escape) => byte(escape, "COPY escape must be a single one-byte character")?,
            None => options.quote,
        };
        self.force_columns(&mut options, direction)?;
        if !binary && options.null.as_bytes().contains(&options.delimiter) {
            return Err(only(
                "COPY delimiter must not appear in the NULL specification",
            ));
        }
        if csv && options.null.as_bytes().contains(&options.quote) {
            return Err(only(
                "CSV quote character must not appear in the NULL specification",
            ));
        }
        if let Some(encoding) = self.encoding {
            let name: String = encoding
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect::<String>()
                .to_ascii_lowercase();
            if !matches!(name.as_str(), "utf8" | "unicode") {
                return Err(
                    SqlError::unsupported(format!("COPY encoding \"{encoding}\""))
                        .with_hint("Data must be UTF8."),
                );
            }
        }
        Ok(options)
    }

    /// The options that name columns.
    fn force_columns(&self, options: &mut CopyOptions, direction: CopyDirection) -> Result<()> {
        let csv = options.format == CopyFormat::Csv;
        let out = direction == CopyDirection::Out;
        if let Some(columns) = &self.force_quote {
            if !csv {
                return Err(only("COPY force quote available only in CSV mode"));
            }
            if !out {
                return Err(only("COPY force quote only available using COPY TO"));
            }
            options.force_quote = columns.clone();
        }
        if let Some(columns) = &self.force_not_null {
            if !csv {
                return Err(only("COPY force not null available only in CSV mode"));
            }
            if out {
                return Err(only("COPY force not null only available using COPY FROM"));
            }
            options.force_not_null = columns.clone();
        }
        if let Some(columns) = &self.force_null {
            if !csv {
                return Err(only("COPY force null available only in CSV mode"));
            }
            if out {
                return Err(only("COPY force null only available using COPY FROM"));
            }
            options.force_null = columns.clone();
        }
        Ok(())
    }
}

fn syntax(message: &str) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, message)
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// PostgreSQL answers 0A000 where an option does not go with the format.
fn only(message: &str) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}

fn text(name: &str, value: RawValue) -> Result<String> {
    match value {
        RawValue::Text(text) => Ok(text),
        _ => Err(syntax(&format!("{name} requires a parameter"))),
    }
}

fn byte(text: &str, fault: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(only(fault)),
    }
}

fn boolean(name: &str, value: RawValue) -> Result<bool> {
    let text = match value {
        RawValue::None => return Ok(true),
        RawValue::Text(text) => text.to_ascii_lowercase(),
        _ => String::new(),
    };
    match text.as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(syntax(&format!("{name} requires a Boolean value"))),
    }
}

fn header(value: RawValue, direction: CopyDirection) -> Result<CopyHeader> {
    if let RawValue::Text(text) = &value
        && text.eq_ignore_ascii_case("match")
    {
        return match direction {
            CopyDirection::In => Ok(CopyHeader::Match),
            CopyDirection::Out => Err(only("cannot use \"match\" with HEADER in COPY TO")),
        };
    }
    let fault = |_| syntax("header requires a Boolean value or \"match\"");
    Ok(if boolean("header", value).map_err(fault)? {
        CopyHeader::Present
    } else {
        CopyHeader::Absent
    })
}

fn columns(name: &str, value: RawValue) -> Result<ForceColumns> {
    match value {
        RawValue::All => Ok(ForceColumns::All),
        RawValue::Names(names) => Ok(ForceColumns::Columns(names)),
        _ => Err(invalid(format!(
            "argument to option \"{name}\" must be a list of column names"
        ))),
    }
}
