//! sqlparser's PostgreSQL dialect, made finite.
//!
//! sqlparser tries some constructs in one way and then in another: a broken `CAST(CAST(CAST(…` of 30
//! levels is read a billion times, and so is a correct `f(f(f(…` in its own PostgreSQL dialect, which
//! allows arguments like `f('a': b)`. So this dialect counts expressions that are begun, ends the
//! parse when they are many more than the tokens, and has no such arguments. `IS DISTINCT FROM` binds
//! as in PostgreSQL. Everything else is sqlparser's [`PostgreSqlDialect`].

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// Expressions that may be begun for each token, and in all for the shortest texts.
const STEPS_PER_TOKEN: usize = 16;
const STEPS_MIN: usize = 4_000;

/// The dialect of one parse.
#[derive(Debug)]
pub(crate) struct Grammar {
    steps: Cell<usize>,
}

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

impl Grammar {
    /// For a text of so many tokens.
    pub(crate) fn new(tokens: usize) -> Self {
        Grammar {
            steps: Cell::new(STEPS_MIN + tokens * STEPS_PER_TOKEN),
        }
    }
}

macro_rules! as_postgres {
    ($($name:ident)*) => {
        $(fn $name(&self) -> bool {
            POSTGRES.$name()
        })*
    };
}

impl Dialect for Grammar {
    // sqlparser asks in places which dialect it is.
    fn dialect(&self) -> TypeId {
        POSTGRES.dialect()
    }

    fn parse_prefix(&self, _: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        match self.steps.get().checked_sub(1) {
            Some(left) => {
                self.steps.set(left);
                None
            }
            // The one error after which sqlparser does not try another way.
            None => Some(Err(ParserError::RecursionLimitExceeded)),
        }
    }

    /// `a IS DISTINCT FROM b AND c` is `(a IS DISTINCT FROM b) AND c`. sqlparser before 0.63 compares with
    /// `b AND c`.
    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        left: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        use Keyword::{DISTINCT, FROM, IS, NOT};
        let expression = if parser.parse_keywords(&[IS, DISTINCT, FROM]) {
            Expr::IsDistinctFrom
        } else if parser.parse_keywords(&[IS, NOT, DISTINCT, FROM]) {
            Expr::IsNotDistinctFrom
        } else {
            return None;
        };
        let right = parser.parse_subexpr(precedence);
        Some(right.map(|right| expression(Box::new(left.clone()), Box::new(right))))
    }

    fn supports_named_fn_args_with_colon_operator(&self) -> bool {
        false
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    /// `f(a := 1)`, as in TimescaleDB's older documentation.
    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        POSTGRES.is_delimited_identifier_start(c)
    }

    fn is_identifier_start(&self, c: char) -> bool {
        POSTGRES.is_identifier_start(c)
    }

    fn is_identifier_part(&self, c: char) -> bool {
        POSTGRES.is_identifier_part(c)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, c: char) -> bool {
        POSTGRES.is_custom_operator_part(c)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    as_postgres! {
        allow_extract_custom
        allow_extract_single_quotes
        supports_alter_column_type_using
        supports_array_typedef_with_brackets
        supports_bitwise_shift_operators
        supports_comma_separated_trim
        supports_comment_on
        supports_create_index_with_clause
        supports_create_table_like_parenthesized
        supports_empty_projections
        supports_explain_with_utility_options
        supports_factorial_operator
        supports_filter_during_aggregation
        supports_geometric_types
        supports_group_by_expr
        supports_insert_table_alias
        supports_interval_options
        supports_listen_notify
        supports_load_extension
        supports_nested_comments
        supports_notnull_operator
        supports_numeric_literal_underscores
        supports_select_wildcard_with_alias
        supports_set_names
        supports_string_escape_constant
        supports_unicode_string_literal
        supports_xml_expressions
    }
}
