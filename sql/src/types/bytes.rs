//! `bytea` and `uuid`: bytes as text, both ways.

use super::ByteaOutput;
use super::fault::{Read, syntax};
use crate::error::{SqlError, SqlState};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `\x6162` or `ab\000`.
pub(super) fn write(bytes: &[u8], style: ByteaOutput, out: &mut Vec<u8>) {
    match style {
        ByteaOutput::Hex => {
            out.extend_from_slice(b"\\x");
            write_hex(bytes, out);
        }
        ByteaOutput::Escape => {
            for byte in bytes {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    b' '..=b'~' => out.push(*byte),
                    _ => out.extend_from_slice(&[
                        b'\\',
                        b'0' + (byte >> 6),
                        b'0' + (byte >> 3 & 7),
                        b'0' + (byte & 7),
                    ]),
                }
            }
        }
    }
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

/// Appends `6ecd8c99-4036-403d-bf84-cf8400f67836`.
pub(super) fn write_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for length in [4, 2, 2, 2, 6] {
        if from > 0 {
            out.push(b'-');
        }
        write_hex(&bytes[from..from + length], out);
        from += length;
    }
}

/// Reads either form of `bytea` and appends its bytes; on an error some may be appended already.
pub(super) fn read(text: &[u8], out: &mut Vec<u8>) -> Read<()> {
    match text.strip_prefix(b"\\x") {
        Some(digits) => read_hex(digits, out),
        None => read_escaped(text, out),
    }
}

/// Pairs of digits, with blanks between pairs.
fn read_hex(mut text: &[u8], out: &mut Vec<u8>) -> Read<()> {
    let invalid = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    while let [first, rest @ ..] = text {
        if matches!(first, b' ' | b'\n' | b'\t' | b'\r') {
            text = rest;
            continue;
        }
        let digit = |byte: u8| {
            hex_digit(byte).ok_or_else(|| {
                invalid(format!(
                    "invalid hexadecimal digit: \"{}\"",
                    String::from_utf8_lossy(&[byte])
                ))
            })
        };
        let high = digit(*first)?;
        let [second, rest @ ..] = rest else {
            return Err(invalid(
                "invalid hexadecimal data: odd number of digits".to_owned(),
            ));
        };
        out.push(high << 4 | digit(*second)?);
        text = rest;
    }
    Ok(())
}

/// Bytes as they are, `\\` for a backslash, `\123` for any byte in octal.
fn read_escaped(mut text: &[u8], out: &mut Vec<u8>) -> Read<()> {
    loop {
        text = match text {
            [] => return Ok(()),
            [b'\\', b'\\', rest @ ..] => {
                out.push(b'\\');
                rest
            }
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                rest @ ..,
            ] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [b'\\', ..] => {
                return Err(SqlError::new(
                    SqlState::INVALID_TEXT_REPRESENTATION,
                    "invalid input syntax for type bytea",
                ));
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// Reads a uuid: 32 digits, a hyphen allowed after every four, braces allowed around it.
pub(super) fn read_uuid(text: &[u8]) -> Read<[u8; 16]> {
    let inner = match text {
        [b'{', inner @ .., b'}'] => inner,
        _ => text,
    };
    parse_uuid(inner).ok_or_else(|| syntax("uuid", text))
}

fn parse_uuid(mut text: &[u8]) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let [high, low, rest @ ..] = text else {
            return None;
        };
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
        text = match rest {
            [b'-', rest @ ..] if i % 2 == 1 && i < 15 => rest,
            rest => rest,
        };
    }
    text.is_empty().then_some(bytes)
}

pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
