//! `format(pattern, value, …)`: `%s` a text, `%I` a name, `%L` a literal, each with a position and a
//! width, as <https://www.postgresql.org/docs/16/functions-string.html#FUNCTIONS-STRING-FORMAT> has it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::fault;
use super::quote::{quote_ident, quote_literal};
use crate::error::SqlState;
use crate::types::{Encoder, Format as Wire, FormatSettings};

/// NULL where a value is needed.
const NULL_VALUE_NOT_ALLOWED: SqlState = SqlState(*b"22004");
/// The widest that a value is filled up to.
const WIDTH_MAX: usize = 10_000;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Format {
    signature: Signature,
}

impl Format {
    pub(super) fn new() -> Self {
        Format {
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Format {
    fn name(&self) -> &str {
        "format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().zip(&args.arg_fields);
        let columns = columns
            .map(|(arg, field)| texts(&arg.clone().into_array(rows)?, field))
            .collect::<Result<Vec<_>>>()?;
        let Some((patterns, values)) = columns.split_first() else {
            return Err(fault(
                SqlState::UNDEFINED_FUNCTION,
                "function format() does not exist",
            ));
        };
        let mut out = StringBuilder::new();
        for row in 0..rows {
            if patterns.is_null(row) {
                out.append_null();
                continue;
            }
            let value = |index: usize| {
                let column = values.get(index)?;
                Some(column.is_valid(row).then(|| column.value(row)))
            };
            out.append_value(formatted(patterns.value(row), value)?);
        }
        let out: ArrayRef = Arc::new(out.finish());
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

/// Values as the text that they print as.
fn texts(values: &ArrayRef, field: &FieldRef) -> Result<StringArray> {
    if values.data_type() == &DataType::Null {
        return Ok(StringArray::new_null(values.len()));
    }
    if let DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 = values.data_type() {
        return Ok(cast(values, &DataType::Utf8)?.to_data().into());
    }
    let settings = FormatSettings::default();
    let encoder = Encoder::new(field, values, Wire::Text, &settings)
        .map_err(|e| datafusion::error::DataFusionError::External(Box::new(e)))?;
    let mut text = Vec::new();
    let mut out = StringBuilder::new();
    for row in 0..values.len() {
        if encoder.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        encoder.write(row, &mut text);
        out.append_value(String::from_utf8_lossy(&text));
    }
    Ok(out.finish())
}

/// Where a specifier takes a number from.
type Number = Option<usize>;

fn formatted<'a>(
    pattern: &str,
    value: impl Fn(usize) -> Option<Option<&'a str>>,
) -> Result<String> {
    let mut out = String::new();
    let mut rest = pattern;
    // The value that a specifier without a position takes.
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        if let (Some(position), after) = digits(rest)
            && let Some(after) = after.strip_prefix('$')
        {
            let missing = "format specifies argument 0, but arguments are numbered from 1";
            next = position.checked_sub(1).ok_or_else(|| invalid(missing))?;
            rest = after;
        }
        let mut left = false;
        while let Some(after) = rest.strip_prefix('-') {
            left = true;
            rest = after;
        }
        let width = match rest.strip_prefix('*') {
            Some(after) => {
                let width = value(next).ok_or_else(too_few)?;
                next += 1;
                rest = after;
                let width: i64 = width
                    .map_or(Ok(0), str::parse)
                    .map_err(|_| invalid("the width of a format() specifier must be an integer"))?;
                left |= width < 0;
                usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX)
            }
            None => {
                let (width, after) = digits(rest);
                rest = after;
                width.unwrap_or(0)
            }
        };
        let kind = rest
            .chars()
            .next()
            .ok_or_else(|| invalid("unterminated format() type specifier"))?;
        rest = &rest[kind.len_utf8()..];
        if !matches!(kind, 's' | 'I' | 'L') {
            let message = format!("unrecognized format() type specifier \"{kind}\"");
            return Err(invalid(&message));
        }
        let text = match (kind, value(next).ok_or_else(too_few)?) {
            ('s', text) => text.unwrap_or_default().to_owned(),
            ('I', Some(name)) => quote_ident(name),
            ('I', None) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(fault(NULL_VALUE_NOT_ALLOWED, message));
            }
            (_, text) => text.map_or_else(|| "NULL".to_owned(), quote_literal),
        };
        next += 1;
        let fill = width.min(WIDTH_MAX).saturating_sub(text.chars().count());
        let fill = " ".repeat(fill);
        if left {
            out.push_str(&text);
            out.push_str(&fill);
        } else {
            out.push_str(&fill);
            out.push_str(&text);
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn digits(text: &str) -> (Number, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

fn too_few() -> datafusion::error::DataFusionError {
    invalid("too few arguments for format()")
}

fn invalid(message: &str) -> datafusion::error::DataFusionError {
    fault(SqlState::INVALID_PARAMETER_VALUE, message)
}

#[cfg(test)]
mod tests {
    use super::formatted;

    #[test]
    fn specifiers_take_values_by_order_or_position() {
        let values = [Some("a b"), None, Some("O'Hara"), Some("-5")];
        let value = |index: usize| values.get(index).copied();
        for (pattern, text) in [
            ("plain 100%%", "plain 100%"),
            ("%s|%s|%s", "a b||O'Hara"),
            ("%I %3$L %2$L", "\"a b\" 'O''Hara' NULL"),
            ("%3$s, %1$s", "O'Hara, a b"),
            ("[%6s][%-6s]", "[   a b][      ]"),
            ("%1$s %s", "a b "),
        ] {
            match formatted(pattern, value) {
                Ok(got) => assert_eq!(got, text, "{pattern}"),
                Err(_) => assert_eq!(text, "", "{pattern}"),
            }
        }
        for pattern in ["%s %s %s %s %s", "%", "%2$I", "%x", "%0$s", "%9$s"] {
            assert!(formatted(pattern, value).is_err(), "{pattern}");
        }
    }
}
