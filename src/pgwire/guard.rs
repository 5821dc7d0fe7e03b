//! The framing guard: what a frontend message may look like, checked before it is decoded.
//!
//! ```text
//! before login:  length i32 be (counts itself) | code i32 be | rest      8 <= length <= 10,000
//! after login:   type u8 | length i32 be (counts itself, not the type) | body
//! ```
//!
//! pgwire's decoder takes the fields of a body on trust and panics when they are not there. So
//! [`check`] walks every body first, by the layouts of
//! <https://www.postgresql.org/docs/16/protocol-message-formats.html>: every string ends with a NUL
//! and is UTF-8, every count fits, and the body ends exactly where its fields do. A body that does
//! not is a broken or hostile client, and what follows may be anything: FATAL 08P01. Text that is
//! not UTF-8 is an honest mistake: ERROR 22021.

use slicedb_sql::error::{SqlError, SqlState};

use super::error::{End, Fault, violation};

/// The longest message without a payload, and the longest of any kind before login; PostgreSQL's.
pub(super) const SMALL_MESSAGE_BYTES_MAX: usize = 10_000;

/// Type byte and length.
pub(super) const HEADER_BYTES: usize = 5;

/// What a client may send once it has logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bind,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Terminate,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        Some(match byte {
            b'B' => Kind::Bind,
            b'C' => Kind::Close,
            b'd' => Kind::CopyData,
            b'c' => Kind::CopyDone,
            b'f' => Kind::CopyFail,
            b'D' => Kind::Describe,
            b'E' => Kind::Execute,
            b'H' => Kind::Flush,
            b'F' => Kind::FunctionCall,
            b'P' => Kind::Parse,
            b'Q' => Kind::Query,
            b'S' => Kind::Sync,
            b'X' => Kind::Terminate,
            _ => return None,
        })
    }

    // The least and the most that the length field may say.
    fn lengths(self, message_bytes_max: usize) -> (usize, usize) {
        match self {
            Kind::Flush | Kind::Sync | Kind::Terminate | Kind::CopyDone => (4, 4),
            Kind::CopyFail => (5, SMALL_MESSAGE_BYTES_MAX),
            Kind::Close | Kind::Describe => (6, SMALL_MESSAGE_BYTES_MAX),
            Kind::Execute => (9, SMALL_MESSAGE_BYTES_MAX),
            Kind::CopyData => (4, message_bytes_max),
            Kind::Query => (5, message_bytes_max),
            Kind::Parse => (8, message_bytes_max),
            Kind::Bind => (12, message_bytes_max),
            Kind::FunctionCall => (14, message_bytes_max),
        }
    }
}

/// The start of a message, with a length that its kind can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Bytes after the header.
    pub(super) body: usize,
}

impl Header {
    /// Bytes of the whole message.
    pub(super) fn total(&self) -> usize {
        HEADER_BYTES + self.body
    }
}

/// The header at the start of `input`; None when more bytes are needed. One byte is enough to
/// refuse an unknown type.
pub(super) fn header(input: &[u8], message_bytes_max: usize) -> Result<Option<Header>, SqlError> {
    let Some(&byte) = input.first() else {
        return Ok(None);
    };
    let kind =
        Kind::of(byte).ok_or_else(|| violation(format!("invalid frontend message type {byte}")))?;
    let Some(length) = input.get(1..).and_then(|rest| rest.first_chunk::<4>()) else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    let (least, most) = kind.lengths(message_bytes_max);
    match usize::try_from(length) {
        Ok(length) if (least..=most).contains(&length) => Ok(Some(Header {
            kind,
            body: length - 4,
        })),
        _ => Err(violation("invalid message length").with_detail(format!(
            "Message type \"{}\" has length {length}, allowed are {least} to {most}.",
            byte as char
        ))),
    }
}

/// The length of the packet at the start of `input`, before login; None when more bytes are needed.
pub(super) fn startup_length(input: &[u8]) -> Result<Option<usize>, SqlError> {
    let Some(length) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) if (8..=SMALL_MESSAGE_BYTES_MAX).contains(&length) => Ok(Some(length)),
        _ => Err(violation("invalid length of startup packet")),
    }
}

/// Whether the body of a message is laid out as its kind demands.
pub(super) fn check(kind: Kind, body: &[u8]) -> Result<(), Fault> {
    let mut walk = Walk(body);
    match kind {
        // Lengths say it all; and a function call is refused unread.
        Kind::Flush | Kind::Sync | Kind::Terminate | Kind::CopyDone => {}
        Kind::CopyData | Kind::FunctionCall => return Ok(()),
        Kind::Query | Kind::CopyFail => walk.text()?,
        Kind::Close | Kind::Describe => {
            walk.skip(1)?;
            walk.text()?;
        }
        Kind::Execute => {
            walk.text()?;
            walk.skip(4)?;
        }
        Kind::Parse => {
            walk.text()?;
            walk.text()?;
            let types = walk.count()?;
            walk.skip(4 * types)?;
        }
        Kind::Bind => {
            walk.text()?;
            walk.text()?;
            let formats = walk.count()?;
            walk.skip(2 * formats)?;
            for _ in 0..walk.count()? {
                walk.value()?;
            }
            let formats = walk.count()?;
            walk.skip(2 * formats)?;
        }
    }
    walk.end()
}

/// Whether what follows the protocol version of a startup packet is pairs of strings and a NUL.
pub(super) fn check_startup(pairs: &[u8]) -> Result<(), Fault> {
    let mut walk = Walk(pairs);
    while walk.0.first().is_some_and(|&byte| byte != 0) {
        walk.text()?;
        walk.text()?;
    }
    let layout = "invalid startup packet layout: expected terminator as last byte";
    match walk.0 {
        [0] => Ok(()),
        _ => Err(End::Fatal(violation(layout)).into()),
    }
}

// The part of a body that has not been walked yet.
struct Walk<'a>(&'a [u8]);

impl Walk<'_> {
    fn skip(&mut self, bytes: usize) -> Result<(), Fault> {
        self.0 = self
            .0
            .get(bytes..)
            .ok_or_else(|| broken("insufficient data left in message"))?;
        Ok(())
    }

    fn text(&mut self) -> Result<(), Fault> {
        let end = memchr::memchr(0, self.0).ok_or_else(|| broken("invalid string in message"))?;
        let (text, rest) = self.0.split_at(end);
        if let Err(error) = std::str::from_utf8(text) {
            return Err(not_utf8(text, error.valid_up_to()).into());
        }
        self.0 = &rest[1..];
        Ok(())
    }

    fn count(&mut self) -> Result<usize, Fault> {
        let count = self
            .0
            .first_chunk::<2>()
            .map(|bytes| u16::from_be_bytes(*bytes));
        self.skip(2)?;
        Ok(count.unwrap_or(0).into())
    }

    // A length and as many bytes; -1 is NULL.
    fn value(&mut self) -> Result<(), Fault> {
        let length = self
            .0
            .first_chunk::<4>()
            .map_or(0, |bytes| i32::from_be_bytes(*bytes));
        self.skip(4)?;
        match length {
            -1 => Ok(()),
            length => self.skip(usize::try_from(length).unwrap_or(usize::MAX)),
        }
    }

    fn end(&self) -> Result<(), Fault> {
        match self.0 {
            [] => Ok(()),
            _ => Err(broken("invalid message format")),
        }
    }
}

fn broken(message: &str) -> Fault {
    End::Fatal(violation(message)).into()
}

fn not_utf8(text: &[u8], at: usize) -> SqlError {
    // As many bytes as the first one announces, like PostgreSQL.
    let announced = match text[at] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    let bytes: Vec<String> = text[at..]
        .iter()
        .take(announced)
        .map(|byte| format!("{byte:#04x}"))
        .collect();
    let message = format!(
        "invalid byte sequence for encoding \"UTF8\": {}",
        bytes.join(" ")
    );
    SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
}

#[cfg(test)]
mod tests;
