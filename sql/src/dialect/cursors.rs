//! Cursors: `DECLARE`, `FETCH`, `MOVE`, `CLOSE`.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::query;
use super::statement::Statement;
use crate::error::Result;

/// `DECLARE name CURSOR FOR query`.
#[derive(Debug, Clone)]
pub struct Declare {
    /// The cursor's name.
    pub name: String,
    /// Rows come in binary format.
    pub binary: bool,
    /// `SCROLL`, `NO SCROLL`, or neither.
    pub scroll: Option<bool>,
    /// Lives on after the transaction.
    pub hold: bool,
    /// What it reads.
    pub query: Box<ast::Query>,
    /// The query's text.
    pub text: String,
}

/// `FETCH direction FROM cursor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Which rows.
    pub direction: FetchDirection,
    /// The cursor's name.
    pub cursor: String,
}

/// Which rows a `FETCH` is for. `NEXT` is `Forward(Rows(1))`, `PRIOR` is `Backward(Rows(1))`,
/// `FIRST` is `Absolute(1)`, `LAST` is `Absolute(-1)`; a negative count goes the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchDirection {
    /// The next rows.
    Forward(FetchCount),
    /// The rows before, nearest first.
    Backward(FetchCount),
    /// The row of this number, from 1; from the end when negative; before the first when 0.
    Absolute(i64),
    /// The row so many on; the current one again when 0.
    Relative(i64),
}

/// How many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchCount {
    /// So many; 0 gives the current row again.
    Rows(u64),
    /// All that are left.
    All,
}

/// One of the four.
pub(crate) fn parse(at: &mut Cursor<'_>) -> Result<Statement> {
    match at.take_one_of(&["declare", "fetch", "move", "close"]) {
        Some("declare") => declare(at),
        Some("fetch") => Ok(Statement::Fetch(fetch(at)?)),
        Some("move") => Ok(Statement::Move(fetch(at)?)),
        _ => Ok(Statement::Close(if at.take(&["all"]) {
            None
        } else {
            Some(at.name()?)
        })),
    }
}

fn declare(at: &mut Cursor<'_>) -> Result<Statement> {
    let name = at.name()?;
    let (mut binary, mut scroll) = (false, None);
    loop {
        if at.take(&["binary"]) {
            binary = true;
        } else if at.take(&["no", "scroll"]) {
            scroll = Some(false);
        } else if at.take(&["scroll"]) {
            scroll = Some(true);
        } else if at.take_one_of(&["insensitive", "asensitive"]).is_none() {
            break;
        }
    }
    at.expect(&["cursor"])?;
    let hold = at.take(&["with", "hold"]);
    if !hold {
        at.take(&["without", "hold"]);
    }
    at.expect(&["for"])?;
    let start = at.index;
    let query = query::query(at)?;
    let text = at.source.text_of(start..at.index).to_owned();
    Ok(Statement::Declare(Declare {
        name,
        binary,
        scroll,
        hold,
        query,
        text,
    }))
}

fn fetch(at: &mut Cursor<'_>) -> Result<Fetch> {
    let direction = direction(at)?;
    at.take_one_of(&["from", "in"]);
    Ok(Fetch {
        direction,
        cursor: at.name()?,
    })
}

fn direction(at: &mut Cursor<'_>) -> Result<FetchDirection> {
    use FetchDirection::{Absolute, Backward, Forward, Relative};
    // A cursor may be called like a direction: FETCH next.
    let is_cursor = at.peek_nth(1).is_none();
    let one = FetchCount::Rows(1);
    if is_cursor {
        return Ok(Forward(one));
    }
    let word = at.take_one_of(&[
        "next", "prior", "first", "last", "absolute", "relative", "forward", "backward", "all",
    ]);
    Ok(match word {
        Some("next") => Forward(one),
        Some("prior") => Backward(one),
        Some("first") => Absolute(1),
        Some("last") => Absolute(-1),
        Some("absolute") => Absolute(integer(at)?),
        Some("relative") => Relative(integer(at)?),
        Some("all") => Forward(FetchCount::All),
        Some(word) => {
            let forward = word == "forward";
            if at.take(&["all"]) {
                if forward {
                    Forward(FetchCount::All)
                } else {
                    Backward(FetchCount::All)
                }
            } else {
                let rows = if matches!(at.peek(), Some(Token::Word(_))) {
                    1
                } else {
                    integer(at)?
                };
                toward(forward, rows)
            }
        }
        None if matches!(at.peek(), Some(Token::Word(_))) => Forward(one),
        None => toward(true, integer(at)?),
    })
}

/// So many rows one way; a negative number goes the other.
fn toward(forward: bool, rows: i64) -> FetchDirection {
    let count = FetchCount::Rows(rows.unsigned_abs());
    if forward == (rows >= 0) {
        FetchDirection::Forward(count)
    } else {
        FetchDirection::Backward(count)
    }
}

fn integer(at: &mut Cursor<'_>) -> Result<i64> {
    let start = at.index;
    let number = at
        .take_number()
        .and_then(|number| number.parse::<i32>().ok());
    number
        .map(i64::from)
        .ok_or_else(|| at.source.syntax_error(start))
}
