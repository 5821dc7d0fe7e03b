//! Settings that a client sends with its StartupMessage.
//!
//! Everything that is not about who connects to what is a setting for the session, which knows their
//! names; `options` carries more of them, as arguments of a server process:
//! <https://www.postgresql.org/docs/16/libpq-connect.html#LIBPQ-CONNECT-OPTIONS>.

use std::collections::BTreeMap;

use slicedb_sql::error::{SqlError, SqlState};

/// The settings in `parameters`, in the order in which they apply.
pub(super) fn from_startup(
    mut parameters: BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, SqlError> {
    let options = parameters.remove("options").unwrap_or_default();
    if let Some(replication) = parameters.remove("replication")
        && !matches!(replication.as_str(), "false" | "off" | "no" | "0")
    {
        return Err(SqlError::unsupported("replication"));
    }
    let mut settings = parse_options(&options)?;
    settings.extend(parameters);
    for (name, value) in &mut settings {
        if name.eq_ignore_ascii_case("client_encoding") {
            *value = encoding(value)?;
        }
    }
    Ok(settings)
}

// Clients write utf8, UTF-8, 'utf-8', unicode.
fn encoding(value: &str) -> Result<String, SqlError> {
    let name: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    match name.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" => Ok("UTF8".to_owned()),
        _ => {
            let message = format!("invalid value for parameter \"client_encoding\": \"{value}\"");
            Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .with_detail("The only client encoding is UTF8."))
        }
    }
}

fn parse_options(options: &str) -> Result<Vec<(String, String)>, SqlError> {
    let mut settings = Vec::new();
    let mut arguments = arguments(options).into_iter();
    while let Some(argument) = arguments.next() {
        let setting = match argument.strip_prefix("--") {
            Some(setting) => Some(setting.to_owned()),
            None if argument == "-c" => arguments.next(),
            None => argument.strip_prefix("-c").map(str::to_owned),
        };
        let pair = setting
            .as_deref()
            .and_then(|setting| setting.split_once('='));
        let (name, value) = pair.ok_or_else(|| {
            let message = format!("invalid command-line argument for server process: {argument}");
            SqlError::new(SqlState::SYNTAX_ERROR, message)
        })?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

// Separated by white space; a backslash takes the next character as it is.
fn arguments(options: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut argument: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => arguments.extend(argument.take()),
            '\\' => argument.get_or_insert_default().extend(characters.next()),
            _ => argument.get_or_insert_default().push(character),
        }
    }
    arguments.extend(argument);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, SqlError> {
        from_startup(
            pairs
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        )
    }

    #[test]
    fn options_come_before_parameters() {
        let got = settings(&[
            (
                "options",
                r"-c statement_timeout=5s --search-path=a\ b -cgeqo=off",
            ),
            ("DateStyle", "ISO"),
        ]);
        let want = [
            ("statement_timeout", "5s"),
            ("search_path", "a b"),
            ("geqo", "off"),
            ("DateStyle", "ISO"),
        ];
        let want: Vec<_> = want
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(got, Ok(want));
    }

    #[test]
    fn other_arguments_are_refused() {
        for options in ["-d 5", "x", "-c", "-c x", "--", r"\"] {
            let error = settings(&[("options", options)]).unwrap_err();
            assert_eq!(error.state, SqlState::SYNTAX_ERROR, "{options}");
        }
    }

    #[test]
    fn the_encoding_is_utf8() {
        for name in ["utf8", "UTF-8", "'utf-8'", "Unicode"] {
            let got = settings(&[("client_encoding", name)]).unwrap();
            assert_eq!(got, [("client_encoding".to_owned(), "UTF8".to_owned())]);
        }
        let error = settings(&[("options", "-c client_encoding=LATIN1")]).unwrap_err();
        assert_eq!(error.state, SqlState::INVALID_PARAMETER_VALUE);
    }

    #[test]
    fn replication_is_not_offered() {
        assert_eq!(settings(&[("replication", "false")]), Ok(vec![]));
        assert!(settings(&[("replication", "database")]).is_err());
    }
}
