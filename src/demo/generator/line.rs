//! One CSV line under construction, in a buffer of fixed size.
//!
//! Formatting is most of the generator's time, and the generator shares the machine with the
//! server that it feeds; hence our own digits instead of `write!` (about 10 times slower here).
//! Fields are numbers and bare words, which never need quotes.

use chrono::{DateTime, Datelike, Timelike};

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// The longest line: six 20-digit numbers, a timestamp, three words and the commas stay below.
pub(crate) const LINE_BYTES_MAX: usize = 256;

/// A short word padded to 16 bytes, so that writing it is one copy of constant size.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    bytes: [u8; 16],
    len: u8,
}

impl Word {
    /// `text` of at most 16 bytes.
    pub(crate) const fn new(text: &str) -> Self {
        let text = text.as_bytes();
        assert!(text.len() <= 16);
        let mut bytes = [0; 16];
        let mut at = 0;
        while at < text.len() {
            bytes[at] = text[at];
            at += 1;
        }
        Self {
            bytes,
            len: text.len() as u8,
        }
    }
}

/// The text of a minute, `2026-11-23 00:37:`, shared by all of its rows.
#[derive(Clone, Copy)]
pub(crate) struct MinuteText {
    minute: i64,
    text: [u8; 17],
}

impl MinuteText {
    /// The text of `minute`, counted from 1970-01-01 00:00 UTC; years 0 to 9999.
    pub(crate) fn new(minute: i64) -> Self {
        let time = DateTime::from_timestamp(minute * 60, 0).unwrap_or_default();
        let mut text = *b"0000-00-00 00:00:";
        let year = time.year().clamp(0, 9999) as u64;
        let parts = [
            (0, year / 100),
            (2, year % 100),
            (5, u64::from(time.month())),
            (8, u64::from(time.day())),
            (11, u64::from(time.hour())),
            (14, u64::from(time.minute())),
        ];
        for (at, value) in parts {
            text[at..at + 2].copy_from_slice(pair(value));
        }
        Self { minute, text }
    }
}

/// A line that grows field by field.
pub(crate) struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    len: usize,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; LINE_BYTES_MAX],
            len: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    pub(crate) fn word(&mut self, word: &Word) {
        self.bytes[self.len..self.len + 16].copy_from_slice(&word.bytes);
        self.len += usize::from(word.len);
    }

    pub(crate) fn integer(&mut self, value: u64) {
        let digits = value.checked_ilog10().unwrap_or(0) as usize + 1;
        self.digits(value, digits);
    }

    /// `value` in exactly `digits` digits, with leading zeros.
    pub(crate) fn digits(&mut self, mut value: u64, digits: usize) {
        let field = &mut self.bytes[self.len..self.len + digits];
        let mut at = digits;
        while at >= 2 {
            at -= 2;
            field[at..at + 2].copy_from_slice(pair(value % 100));
            value /= 100;
        }
        if at == 1 {
            field[0] = b'0' + (value % 10) as u8;
        }
        self.len += digits;
    }

    /// Cents as an amount: 1234 is `12.34`.
    pub(crate) fn cents(&mut self, cents: u64) {
        self.integer(cents / 100);
        self.byte(b'.');
        self.digits(cents % 100, 2);
    }

    /// Microseconds since 1970 as `2026-11-23 00:37:35.123456+00`; `near` saves the calendar
    /// when the timestamp lies in its minute.
    pub(crate) fn timestamp(&mut self, micros: i64, near: &MinuteText) {
        let minute = micros.div_euclid(60_000_000);
        let rest = micros.rem_euclid(60_000_000) as u64;
        let text = if minute == near.minute {
            *near
        } else {
            MinuteText::new(minute)
        };
        self.bytes[self.len..self.len + 17].copy_from_slice(&text.text);
        self.len += 17;
        self.digits(rest / 1_000_000, 2);
        self.byte(b'.');
        self.digits(rest % 1_000_000, 6);
        self.bytes[self.len..self.len + 3].copy_from_slice(b"+00");
        self.len += 3;
    }
}

fn pair(value: u64) -> &'static [u8] {
    let at = value as usize * 2;
    &PAIRS[at..at + 2]
}
