//! What a statement may cost before anything is planned.
//!
//! A query of a few kilobytes can overflow the stack of the whole process: `1+1+…` becomes a tree
//! as deep as it is long, and cloning or dropping that tree recurses. So: the text, its tokens and
//! its brackets are counted **before** parsing, by loops that do not recurse; and the tree is
//! measured right after, on the stack that parsed it, which is large enough for any tree that
//! passed the first check. What leaves [`parse`](super::parse) can be cloned, printed and
//! dropped on a thread of 2 MiB. Chains of operators are measured in the tree because tokens alone
//! do not tell how deep it becomes; breadth that costs planning time is limited in the same pass.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Result, SqlError, SqlState};

/// Length of a message.
pub(crate) const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Tokens of a message, so that an IN list of [`IN_LIST_MAX`] fits.
pub(crate) const TOKENS_MAX: usize = 30_000;
/// Brackets and CASEs within each other.
pub(crate) const NESTING_MAX: usize = 50;
/// Operators, calls and parentheses above one value: `1+1+1` has two.
pub(crate) const OPERATORS_MAX: usize = 500;
/// SELECTs that UNION, INTERSECT and EXCEPT combine, in one statement.
pub(crate) const UNION_ARMS_MAX: usize = 64;
/// Joins, commas in FROM included, in one SELECT.
pub(crate) const JOINS_MAX: usize = 32;
/// Values of an IN list.
pub(crate) const IN_LIST_MAX: usize = 10_000;
/// WITH queries of a statement.
pub(crate) const CTES_MAX: usize = 32;
/// Queries and tables of a statement, with each `WITH` query in the place of its name.
pub(crate) const EXPANDED_MAX: u64 = 5_000;
/// Columns of a CUBE, as in PostgreSQL.
pub(crate) const CUBE_MAX: usize = 12;
/// Sets that a GROUP BY has, as in PostgreSQL.
pub(crate) const GROUPING_SETS_MAX: usize = 4_096;
/// `[]` after one type or value.
const SUBSCRIPTS_MAX: usize = 32;
/// How often the parser may read one token again.
const TRIES_MAX: usize = 64;

/// The text, before it is looked at.
pub(crate) fn check_text(message: &str) -> Result<()> {
    if message.len() > TEXT_BYTES_MAX {
        return Err(limit(SqlState::PROGRAM_LIMIT_EXCEEDED, "message too long")
            .with_detail(format!(
                "A message may have {TEXT_BYTES_MAX} bytes, this one has {}.",
                message.len()
            ))
            .with_hint("Use COPY to load data."));
    }
    Ok(())
}

/// The tokens, before they are parsed. What gets through is safe to parse on
/// [`PARSE_STACK_BYTES`](super::parse::PARSE_STACK_BYTES).
pub(crate) fn check_tokens(tokens: &[TokenWithSpan]) -> Result<()> {
    if tokens.len() > TOKENS_MAX {
        return Err(limit(SqlState::PROGRAM_LIMIT_EXCEEDED, "message too long")
            .with_detail(format!(
                "A message may have {TOKENS_MAX} tokens, this one has {}.",
                tokens.len()
            ))
            .with_hint("Use COPY to load data."));
    }
    let mut brackets: Vec<Bracket> = Vec::new();
    let (mut cases, mut subscripts) = (0usize, 0usize);
    let mut previous = &Token::SemiColon;
    for TokenWithSpan { token, .. } in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                let bracket = Bracket::new(brackets.last_mut(), token, previous);
                brackets.push(bracket);
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                brackets.pop();
            }
            // A CASE that a bracket closes too early is an error; it must not count for ever.
            Token::SemiColon => {
                brackets.clear();
                cases = 0;
            }
            _ if is_word(token, "case") => cases += 1,
            _ if is_word(token, "end") => cases = cases.saturating_sub(1),
            _ => {}
        }
        match (previous, token) {
            // `[]` and `[3]`, one behind the other.
            (Token::LBracket | Token::Number(..), Token::RBracket) => subscripts += 1,
            (Token::RBracket, Token::LBracket) | (Token::LBracket, Token::Number(..)) => {}
            _ => subscripts = 0,
        }
        let tries = match brackets.last_mut() {
            Some(bracket) => bracket.tries(token, previous),
            None => 1,
        };
        // sqlparser reads this with an unguarded recursion; no meaning has it twice.
        let interval_twice = is_word(token, "interval") && is_word(previous, "interval");
        let generic = *token == Token::Lt && is_word(previous, "array");
        if brackets.len() + cases > NESTING_MAX
            || subscripts > SUBSCRIPTS_MAX
            || tries > TRIES_MAX
            || interval_twice
            || generic
        {
            return Err(too_deep());
        }
        previous = token;
    }
    Ok(())
}

/// An open bracket.
///
/// A bracket in FROM is read as a subquery first and, if it is none, as joined tables: a subquery
/// behind `n` such brackets is read up to `n` times, and one within it that often again. No expression
/// need be among them, so that the steps of [`Grammar`](super::grammar::Grammar) do not count it.
struct Bracket {
    /// Whether a table may begin here.
    is_table: bool,
    /// Brackets of tables that follow each other, this one included.
    run: usize,
    /// How often what stands here may be read.
    tries: usize,
    /// FROM has come, so that a comma may be followed by a table.
    seen_from: bool,
}

impl Bracket {
    fn new(outer: Option<&mut Bracket>, token: &Token, previous: &Token) -> Self {
        let (outer_table, outer_run, tries, seen_from) = match outer {
            Some(outer) => (outer.is_table, outer.run, outer.tries, outer.seen_from),
            None => (false, 0, 1, true),
        };
        let follows = outer_table && *previous == Token::LParen;
        let is_table = *token == Token::LParen
            && (follows
                || is_word(previous, "from")
                || is_word(previous, "join")
                || (seen_from && *previous == Token::Comma));
        Bracket {
            is_table,
            run: if follows { outer_run + 1 } else { 1 },
            tries,
            seen_from: false,
        }
    }

    /// Takes a token in; how often it may be read.
    fn tries(&mut self, token: &Token, previous: &Token) -> usize {
        if is_word(token, "from") {
            self.seen_from = true;
        }
        let query = ["select", "with", "values", "table"]
            .iter()
            .any(|word| is_word(token, word));
        if query && self.is_table && *previous == Token::LParen {
            self.tries = self.tries.saturating_mul(self.run);
        }
        self.tries
    }
}

/// Brackets in brackets, or a tree too deep for other reasons.
pub(crate) fn too_deep() -> SqlError {
    limit(SqlState::STATEMENT_TOO_COMPLEX, "statement too complex").with_detail(format!(
        "Brackets and CASE may be nested {NESTING_MAX} deep."
    ))
}

fn limit(state: SqlState, message: &str) -> SqlError {
    SqlError::new(state, message)
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value == word)
}

/// The tree, before it leaves the stack that parsed it.
pub(crate) fn check_tree<T: Visit>(tree: &T) -> Result<()> {
    match tree.visit(&mut Measure::default()) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

#[derive(Default)]
struct Measure {
    /// Expressions around the current one.
    depth: usize,
    arms: usize,
    ctes: usize,
}

impl Measure {
    fn refuse(&self, detail: String) -> ControlFlow<SqlError> {
        ControlFlow::Break(
            limit(SqlState::STATEMENT_TOO_COMPLEX, "statement too complex").with_detail(detail),
        )
    }
}

impl Visitor for Measure {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<SqlError> {
        if self.depth > OPERATORS_MAX {
            return self
                .refuse(format!("A chain of operators may have {OPERATORS_MAX}."))
                .map_break(|error| {
                    error.with_hint("Use IN (…) or = ANY (array) for chains of OR.")
                });
        }
        self.depth += 1;
        match expr {
            ast::Expr::InList { list, .. } if list.len() > IN_LIST_MAX => {
                self.refuse(format!("An IN list may have {IN_LIST_MAX} values."))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, _: &ast::Expr) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<SqlError> {
        self.ctes += query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        if self.ctes > CTES_MAX {
            return self.refuse(format!("A statement may have {CTES_MAX} WITH queries."));
        }
        let operators = set_operators(&query.body);
        if operators > 0 {
            self.arms += operators + usize::from(self.arms == 0);
        }
        if self.arms > UNION_ARMS_MAX {
            return self.refuse(format!(
                "UNION, INTERSECT and EXCEPT may combine {UNION_ARMS_MAX} queries of a statement."
            ));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<SqlError> {
        let joins: usize =
            select.from.iter().map(joins).sum::<usize>() + select.from.len().saturating_sub(1);
        if joins > JOINS_MAX {
            return self.refuse(format!("A SELECT may have {JOINS_MAX} joins."));
        }
        if let ast::GroupByExpr::Expressions(items, _) = &select.group_by {
            let mut sets = 1_usize;
            for item in items {
                sets = sets.saturating_mul(match item {
                    ast::Expr::Cube(columns) if columns.len() > CUBE_MAX => {
                        let message = format!("CUBE is limited to {CUBE_MAX} elements");
                        return ControlFlow::Break(limit(SqlState::TOO_MANY_COLUMNS, &message));
                    }
                    ast::Expr::Cube(columns) => 1 << columns.len(),
                    ast::Expr::Rollup(columns) => columns.len() + 1,
                    ast::Expr::GroupingSets(sets) => sets.len().max(1),
                    _ => 1,
                });
            }
            if sets > GROUPING_SETS_MAX {
                let message =
                    format!("too many grouping sets present (maximum {GROUPING_SETS_MAX})");
                return ControlFlow::Break(limit(SqlState::STATEMENT_TOO_COMPLEX, &message));
            }
        }
        ControlFlow::Continue(())
    }
}

/// Set operators of one query body; those of queries in brackets are counted when they are
/// visited.
fn set_operators(body: &ast::SetExpr) -> usize {
    let mut operators = 0;
    let mut waiting = vec![body];
    while let Some(body) = waiting.pop() {
        if let ast::SetExpr::SetOperation { left, right, .. } = body {
            operators += 1;
            waiting.extend([&**left, &**right]);
        }
    }
    operators
}

/// Joins of one item of FROM, with those in its brackets.
fn joins(table: &ast::TableWithJoins) -> usize {
    let nested = |factor: &ast::TableFactor| match factor {
        ast::TableFactor::NestedJoin {
            table_with_joins, ..
        } => joins(table_with_joins),
        _ => 0,
    };
    table.joins.len()
        + nested(&table.relation)
        + table
            .joins
            .iter()
            .map(|join| nested(&join.relation))
            .sum::<usize>()
}
