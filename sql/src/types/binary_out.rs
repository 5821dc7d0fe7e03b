//! Values in PostgreSQL's binary form: what its `*_send` functions write.
//!
//! ```text
//! bool u8 | int2/4/8, float4/8 be | oid u32 be | text, json, bytea as they are | jsonb 01 text
//! date i32 be days since 2000 | time i64 be us | timestamp i64 be us since 2000
//! interval i64 be us, i32 be days, i32 be months | uuid 16 bytes | numeric: see `numeric`
//! array i32 dimensions, i32 has nulls, u32 element oid, per dimension (i32 length, i32 lower
//!       bound), per element (i32 length or -1, value)
//! ```

use arrow::datatypes::IntervalMonthDayNano;

use super::calendar::{DAY_US, DAYS_TO_2000};
use super::encoder::{Cells, Encoder, displayed};
use super::{PgType, numeric, text_out};

/// Appends the binary form of a row that is not NULL.
pub(super) fn write(cells: &Cells, row: usize, out: &mut Vec<u8>) {
    match cells {
        Cells::Null => {}
        Cells::Bool(values) => out.push(u8::from(values.value(row))),
        Cells::Int2(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
        Cells::Int4(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
        Cells::Int8(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
        Cells::Oid(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
        Cells::Float4(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
        Cells::Float8(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
        Cells::Decimal {
            values,
            scale,
            trim,
        } => {
            numeric::write_binary(values.value(row), *scale, *trim, out);
        }
        Cells::Decimal256 { values, scale } => {
            numeric::write_binary_digits(&values.value(row).to_string(), *scale, out);
        }
        Cells::Text(_) | Cells::LargeText(_) | Cells::TextView(_) => {
            out.extend_from_slice(cells.text(row).unwrap_or_default().as_bytes());
        }
        Cells::Jsonb(text) => {
            out.push(1);
            out.extend_from_slice(text.text(row).unwrap_or_default().as_bytes());
        }
        Cells::Padded { text, width } => {
            text_out::write_padded(text.text(row).unwrap_or(""), *width, out);
        }
        Cells::Bytes(_)
        | Cells::LargeBytes(_)
        | Cells::BytesView(_)
        | Cells::FixedBytes(_)
        | Cells::Uuid(_) => out.extend_from_slice(cells.bytes(row).unwrap_or_default()),
        Cells::Date(values) => {
            let days = match values.value(row) {
                infinite @ (i32::MIN | i32::MAX) => infinite,
                days => days.saturating_sub(DAYS_TO_2000),
            };
            out.extend_from_slice(&days.to_be_bytes());
        }
        Cells::Time(values) => out.extend_from_slice(&values.value(row).to_be_bytes()),
        Cells::Timestamp(values) | Cells::Timestamptz(values) => {
            let micros = match values.value(row) {
                infinite @ (i64::MIN | i64::MAX) => infinite,
                micros => micros.saturating_sub(i64::from(DAYS_TO_2000) * DAY_US),
            };
            out.extend_from_slice(&micros.to_be_bytes());
        }
        Cells::Interval(values) => {
            let IntervalMonthDayNano {
                months,
                days,
                nanoseconds,
            } = values.value(row);
            out.extend_from_slice(&(nanoseconds / 1000).to_be_bytes());
            out.extend_from_slice(&days.to_be_bytes());
            out.extend_from_slice(&months.to_be_bytes());
        }
        Cells::List {
            offsets,
            items,
            element,
        } => {
            write_array(
                items,
                element,
                offsets[row] as usize..offsets[row + 1] as usize,
                out,
            );
        }
        Cells::Displayed(array) => out.extend_from_slice(displayed(array, row).as_bytes()),
    }
}

fn write_array(items: &Encoder, element: &PgType, rows: std::ops::Range<usize>, out: &mut Vec<u8>) {
    let nulls = rows.clone().any(|row| items.is_null(row));
    let dimensions = u32::from(!rows.is_empty());
    for word in [dimensions, u32::from(nulls), element.oid()] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    if rows.is_empty() {
        return;
    }
    for word in [rows.len() as i32, 1] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    for row in rows {
        if items.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        items.write(row, out);
        let length = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}
