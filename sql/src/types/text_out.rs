//! Values as text, exactly as PostgreSQL prints them.

use super::encoder::{Cells, Encoder, displayed};
use super::{FormatSettings, bytes, datetime_out, float_out, interval_out, numbers, numeric};

/// Appends the text of a row that is not NULL.
pub(super) fn write(cells: &Cells, row: usize, settings: &FormatSettings, out: &mut Vec<u8>) {
    match cells {
        Cells::Null => {}
        Cells::Bool(values) => out.push(if values.value(row) { b't' } else { b'f' }),
        Cells::Int2(values) => numbers::write_int(values.value(row).into(), out),
        Cells::Int4(values) => numbers::write_int(values.value(row).into(), out),
        Cells::Int8(values) => numbers::write_int(values.value(row), out),
        Cells::Oid(values) => numbers::write_int(values.value(row).into(), out),
        Cells::Float4(values) => {
            float_out::write_f32(values.value(row), settings.extra_float_digits, out);
        }
        Cells::Float8(values) => {
            float_out::write_f64(values.value(row), settings.extra_float_digits, out);
        }
        Cells::Decimal {
            values,
            scale,
            trim,
        } => {
            numeric::write(values.value(row), *scale, *trim, out);
        }
        Cells::Decimal256 { values, scale } => {
            numeric::write_digits(&values.value(row).to_string(), *scale, out);
        }
        Cells::Text(_) | Cells::LargeText(_) | Cells::TextView(_) | Cells::Jsonb(_) => {
            out.extend_from_slice(cells.text(row).unwrap_or_default().as_bytes());
        }
        Cells::Padded { text, width } => write_padded(text.text(row).unwrap_or(""), *width, out),
        Cells::Bytes(_) | Cells::LargeBytes(_) | Cells::BytesView(_) | Cells::FixedBytes(_) => {
            bytes::write(
                cells.bytes(row).unwrap_or_default(),
                settings.bytea_output,
                out,
            );
        }
        Cells::Uuid(values) => bytes::write_uuid(values.value(row), out),
        Cells::Date(values) => datetime_out::write_date(values.value(row), settings, out),
        Cells::Time(values) => datetime_out::write_time(values.value(row), out),
        Cells::Timestamp(values) => datetime_out::write_timestamp(values.value(row), settings, out),
        Cells::Timestamptz(values) => {
            datetime_out::write_timestamptz(values.value(row), settings, out);
        }
        Cells::Interval(values) => interval_out::write(values.value(row), settings, out),
        Cells::List { offsets, items, .. } => {
            write_array(items, offsets[row] as usize..offsets[row + 1] as usize, out);
        }
        Cells::Displayed(array) => out.extend_from_slice(displayed(array, row).as_bytes()),
    }
}

/// Text with blanks up to a number of characters.
pub(super) fn write_padded(text: &str, width: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    let blanks = width.saturating_sub(text.chars().count());
    out.resize(out.len() + blanks, b' ');
}

/// `{1,NULL,"a b"}`
fn write_array(items: &Encoder, rows: std::ops::Range<usize>, out: &mut Vec<u8>) {
    out.push(b'{');
    for row in rows.clone() {
        if row > rows.start {
            out.push(b',');
        }
        if items.is_null(row) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        let start = out.len();
        items.write(row, out);
        // A list within a list is a further dimension, not a text to quote.
        if !items.is_list() && needs_quotes(&out[start..]) {
            let text = out.split_off(start);
            out.push(b'"');
            for byte in text {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
    out.push(b'}');
}

fn needs_quotes(text: &[u8]) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case(b"null")
        || text.iter().any(|byte| {
            matches!(
                byte,
                b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t'..=b'\r'
            )
        })
}
