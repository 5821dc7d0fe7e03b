//! `quote_ident`, `quote_literal`, `quote_nullable`.

use datafusion::arrow::datatypes::DataType;

use super::simple::Simple;
use crate::dialect::is_quoted;

/// The functions.
pub(super) fn functions() -> Vec<Simple> {
    let text = || vec![vec![DataType::Utf8]];
    let any = || vec![vec![DataType::Utf8], vec![DataType::Int64]];
    vec![
        Simple::new("quote_ident", text(), |row| Ok(row[0].map(quote_ident))),
        Simple::new("quote_literal", any(), |row| Ok(row[0].map(quote_literal))),
        Simple::new("quote_nullable", any(), |row| {
            Ok(Some(
                row[0].map_or_else(|| "NULL".to_owned(), quote_literal),
            ))
        }),
    ]
}

/// A name as it must be written: quoted where it would be folded or taken for a keyword.
pub(super) fn quote_ident(name: &str) -> String {
    if is_quoted(name) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// A string constant. Backslashes make it one with escapes.
pub(super) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        return format!("E'{}'", quoted.replace('\\', "\\\\"));
    }
    format!("'{quoted}'")
}
