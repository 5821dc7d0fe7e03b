//! What sqlparser does not read, or reads otherwise than PostgreSQL, spelled so that it does.
//!
//! | written | becomes | why |
//! |---|---|---|
//! | `a>=-1` | `a >= - 1` | an operator does not end in a sign, unless it is of rarer characters |
//! | `a isnull` | `a is null` | would be an alias |
//! | `table t` | `select * from t` | where a query may begin |
//! | `trim(leading from a)` | `trim(leading ' ' from a)` | blanks are what is trimmed |
//! | `from only t` | `from t` | no table has children |
//! | `collate "C"` | | text is compared byte by byte, which is what these collations do |
//!
//! Done with tokens, since some of it would not get as far as the syntax tree.

use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

/// The tokens respelled; or the name of a collation that there is not, and where it stands.
pub(super) fn respell(
    tokens: Vec<TokenWithSpan>,
) -> Result<Vec<TokenWithSpan>, (String, Location)> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let previous = out.last().map(|token| &token.token);
        let before = |words: &[&str]| previous.is_some_and(|token| is(token, words));
        let next_is_word =
            matches!(tokens.peek(), Some(next) if matches!(next.token, Token::Word(_)));
        let span = token.span;
        let keywords = |words: &[&str]| -> Vec<TokenWithSpan> {
            words
                .iter()
                .map(|word| TokenWithSpan {
                    token: Token::make_keyword(word),
                    span,
                })
                .collect()
        };
        match &token.token {
            Token::CustomBinaryOperator(operator) => match without_sign(operator) {
                Some((operator, sign)) => {
                    let middle = Location {
                        column: span.end.column - 1,
                        ..span.end
                    };
                    out.push(TokenWithSpan {
                        token: operator,
                        span: Span::new(span.start, middle),
                    });
                    out.push(TokenWithSpan {
                        token: sign,
                        span: Span::new(middle, span.end),
                    });
                }
                None => out.push(token),
            },
            word if is(word, &["isnull"]) => out.extend(keywords(&["is", "null"])),
            word if is(word, &["only"]) && next_is_word && before(&["from", "update", "join"]) => {}
            word if is(word, &["from"]) && before(&["leading", "trailing", "both"]) => {
                out.push(TokenWithSpan {
                    token: Token::SingleQuotedString(" ".to_owned()),
                    span,
                });
                out.push(token);
            }
            word if is(word, &["table"]) && begins_query(previous) => {
                out.extend(keywords(&["select"]));
                out.push(TokenWithSpan {
                    token: Token::Mul,
                    span,
                });
                out.extend(keywords(&["from"]));
            }
            word if is(word, &["collate"]) && next_is_word => {
                let start = tokens.peek().map_or(span.start, |next| next.span.start);
                let mut name = String::new();
                while let Some(TokenWithSpan {
                    token: Token::Word(word),
                    ..
                }) = tokens.next()
                {
                    name = word.value;
                    if tokens.next_if(|next| next.token == Token::Period).is_none() {
                        break;
                    }
                }
                if !matches!(name.as_str(), "default" | "C" | "POSIX" | "ucs_basic") {
                    return Err((name, start));
                }
            }
            _ => out.push(token),
        }
    }
    Ok(out)
}

fn is(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Word(word)
        if word.quote_style.is_none() && words.contains(&word.value.as_str()))
}

/// Whether a query may begin after this token.
fn begins_query(previous: Option<&Token>) -> bool {
    const BEFORE: &[&str] = &[
        "union",
        "intersect",
        "except",
        "all",
        "distinct",
        "as",
        "for",
        "explain",
        "analyze",
        "verbose",
    ];
    match previous {
        None | Some(Token::LParen | Token::SemiColon) => true,
        Some(token) => is(token, BEFORE),
    }
}

/// An operator that sqlparser took a sign for a part of.
fn without_sign(operator: &str) -> Option<(Token, Token)> {
    let (operator, sign) = match operator.strip_suffix('-') {
        Some(operator) => (operator, Token::Minus),
        None => (operator.strip_suffix('+')?, Token::Plus),
    };
    let operator = match operator {
        "<" => Token::Lt,
        ">" => Token::Gt,
        "=" => Token::Eq,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "<>" => Token::Neq,
        "+" => Token::Plus,
        "-" => Token::Minus,
        "*" => Token::Mul,
        "/" => Token::Div,
        _ => return None,
    };
    Some((operator, sign))
}
