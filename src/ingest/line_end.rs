//! [`LineEnds`]: which line ends the data has, and where it ends itself.
//!
//! The first line end of the data settles all; another one is a fault, because half of a table
//! with doubled lines is worse than none (as PostgreSQL decides).

use slicedb_sql::error::{SqlError, SqlState};

/// The line ends of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Unknown,
    LineFeed,
    CarriageReturn,
    Both,
}

/// What a line end, or something like one, turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The line ends; so many bytes belong to its end.
    Line(usize),
    /// More bytes have to come before it can be told.
    Unclear,
}

/// What a backslash and a point turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// The data ends here.
    End,
    /// Something else follows.
    Corrupt,
    /// A line end follows, but not the one that the data has.
    OtherLineEnd,
    /// More bytes have to come before it can be told.
    Unclear,
}

/// Watches the line ends of one COPY.
#[derive(Debug)]
pub(super) struct LineEnds {
    style: Style,
    csv: bool,
}

impl LineEnds {
    pub(super) fn new(csv: bool) -> LineEnds {
        LineEnds {
            style: Style::Unknown,
            csv,
        }
    }

    /// A line feed outside of quotes.
    #[inline]
    pub(super) fn line_feed(&mut self) -> Result<Ended, SqlError> {
        match self.style {
            Style::LineFeed => {}
            Style::Unknown => self.style = Style::LineFeed,
            Style::CarriageReturn | Style::Both => return Err(self.fault("newline", "\\n")),
        }
        Ok(Ended::Line(1))
    }

    /// A carriage return outside of quotes and what follows it; `last` if nothing ever will.
    pub(super) fn carriage_return(&mut self, after: &[u8], last: bool) -> Result<Ended, SqlError> {
        match (self.style, after.first()) {
            (Style::LineFeed, _) => Err(self.fault("carriage return", "\\r")),
            (Style::CarriageReturn, _) => Ok(Ended::Line(1)),
            (Style::Unknown | Style::Both, Some(b'\n')) => {
                self.style = Style::Both;
                Ok(Ended::Line(2))
            }
            (_, None) if !last => Ok(Ended::Unclear),
            (Style::Both, _) => Err(self.fault("carriage return", "\\r")),
            (Style::Unknown, _) => {
                self.style = Style::CarriageReturn;
                Ok(Ended::Line(1))
            }
        }
    }

    /// What follows `\.`; `last` if nothing else ever will.
    pub(super) fn marker(&self, after: &[u8], last: bool) -> Marker {
        match (self.style, after) {
            (_, []) | (Style::Both, [b'\r']) if !last => Marker::Unclear,
            (Style::Both, [b'\r', b'\n', ..]) => Marker::End,
            (Style::Both, [b'\n', ..] | [b'\r', b'\r', ..]) => Marker::OtherLineEnd,
            (Style::Both, _) => Marker::Corrupt,
            (Style::LineFeed | Style::Unknown, [b'\n', ..]) => Marker::End,
            (Style::CarriageReturn | Style::Unknown, [b'\r', ..]) => Marker::End,
            (_, [b'\r' | b'\n', ..]) => Marker::OtherLineEnd,
            _ => Marker::Corrupt,
        }
    }

    /// Whether a line feed inside of quotes counts as a line, or a carriage return does.
    pub(super) fn counts(&self, byte: u8) -> bool {
        byte == if self.style == Style::LineFeed {
            b'\n'
        } else {
            b'\r'
        }
    }

    #[cold]
    fn fault(&self, what: &str, escape: &str) -> SqlError {
        let (kind, hint) = if self.csv {
            (
                "unquoted",
                format!("Use quoted CSV field to represent {what}."),
            )
        } else {
            ("literal", format!("Use \"{escape}\" to represent {what}."))
        };
        SqlError::new(
            SqlState::BAD_COPY_FILE_FORMAT,
            format!("{kind} {what} found in data"),
        )
        .with_hint(hint)
    }
}
