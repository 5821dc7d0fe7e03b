//! `LATEST ON` and `ASOF JOIN`, which sqlparser does not read, in words that it does read and
//! PostgreSQL does not have. The rewriting of queries knows them again.
//!
//! | written | becomes |
//! |---|---|
//! | `from t where c latest on ts partition by k` | `from t where c qualify "latest"(ts, k)` |
//! | `a asof join b on c` | `a semi join b on c` |
//! | `a asof left join b on c` | `a anti join b on c` |
//!
//! The function's name has a mark that cannot be typed, and the joins' words keep their text: whoever
//! types `qualify` or `semi join` hears that it is a syntax error.

use std::ops::Range;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// The function that stands for `LATEST ON`.
pub(super) const LATEST: &str = "latest\u{1}";

/// The tokens respelled.
pub(super) fn respell(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| is(token, &["latest", "asof"])) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        at += if is(&rest[0], &["latest"]) {
            latest(rest, &mut out)
        } else if is(&rest[0], &["asof"]) {
            asof(rest, &mut out)
        } else {
            out.push(rest[0].clone());
            1
        };
    }
    out
}

/// Where the columns of a `LATEST ON` stand.
struct Latest {
    time: Range<usize>,
    keys: Vec<Range<usize>>,
    end: usize,
}

impl Latest {
    /// The one that begins here.
    fn of(tokens: &[TokenWithSpan]) -> Option<Latest> {
        words(tokens.get(1..)?, &["on"])?;
        let time = 2..2 + column(&tokens[2..])?;
        let mut end = time.end;
        end += words(&tokens[end..], &["partition", "by"])?;
        let mut keys = Vec::new();
        loop {
            let key = end..end + column(&tokens[end..])?;
            end = key.end;
            keys.push(key);
            if tokens
                .get(end)
                .is_none_or(|token| token.token != Token::Comma)
            {
                return Some(Latest { time, keys, end });
            }
            end += 1;
        }
    }
}

/// Takes `LATEST ON time PARTITION BY keys`, if it stands here: how many tokens.
fn latest(tokens: &[TokenWithSpan], out: &mut Vec<TokenWithSpan>) -> usize {
    let span = tokens[0].span;
    let put = |token: Token| TokenWithSpan { token, span };
    let Some(Latest { time, keys, end }) = Latest::of(tokens) else {
        out.push(tokens[0].clone());
        return 1;
    };
    out.push(put(Token::make_keyword("qualify")));
    out.push(put(Token::make_word(LATEST, Some('"'))));
    out.push(put(Token::LParen));
    out.extend_from_slice(&tokens[time]);
    for key in keys {
        out.push(put(Token::Comma));
        out.extend_from_slice(&tokens[key]);
    }
    out.push(put(Token::RParen));
    end
}

/// Takes `ASOF [INNER | LEFT [OUTER]]` before `JOIN`: how many tokens.
fn asof(tokens: &[TokenWithSpan], out: &mut Vec<TokenWithSpan>) -> usize {
    let forms: [(&[&str], Keyword); 4] = [
        (&["join"], Keyword::SEMI),
        (&["inner", "join"], Keyword::SEMI),
        (&["left", "join"], Keyword::ANTI),
        (&["left", "outer", "join"], Keyword::ANTI),
    ];
    let found = forms
        .iter()
        .find(|(form, _)| words(&tokens[1..], form).is_some());
    let Some((form, keyword)) = found else {
        out.push(tokens[0].clone());
        return 1;
    };
    if form.len() == 1 && has_match_condition(&tokens[2..]) {
        // This form sqlparser reads.
        out.push(tokens[0].clone());
        return 1;
    }
    let word = Word {
        value: "asof".to_owned(),
        quote_style: None,
        keyword: *keyword,
    };
    out.push(TokenWithSpan {
        token: Token::Word(word),
        span: tokens[0].span,
    });
    form.len()
}

/// Whether the condition of the join whose right side begins here begins with `MATCH_CONDITION`.
fn has_match_condition(tokens: &[TokenWithSpan]) -> bool {
    let mut depth = 0usize;
    for token in tokens {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return false,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => return false,
            _ if depth > 0 => {}
            _ if is(token, &["match_condition"]) => return true,
            _ if is(token, &["on", "using", "join", "where", "group", "order"]) => return false,
            _ => {}
        }
    }
    false
}

/// The length of a column's name: `ts`, `t.ts`.
fn column(tokens: &[TokenWithSpan]) -> Option<usize> {
    let is_word = |at: usize| {
        tokens
            .get(at)
            .is_some_and(|token| matches!(token.token, Token::Word(_)))
    };
    let mut length = 1;
    if !is_word(0) {
        return None;
    }
    while tokens
        .get(length)
        .is_some_and(|token| token.token == Token::Period)
        && is_word(length + 1)
    {
        length += 2;
    }
    Some(length)
}

/// How many tokens these words are, if they stand here.
fn words(tokens: &[TokenWithSpan], words: &[&str]) -> Option<usize> {
    let stand = tokens.len() >= words.len()
        && words
            .iter()
            .zip(tokens)
            .all(|(word, token)| is(token, &[word]));
    stand.then_some(words.len())
}

fn is(token: &TokenWithSpan, words: &[&str]) -> bool {
    matches!(&token.token, Token::Word(word)
        if word.quote_style.is_none() && words.contains(&word.value.as_str()))
}
