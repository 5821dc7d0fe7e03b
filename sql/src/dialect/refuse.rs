//! What sqlparser reads and PostgreSQL does not, or we do not: refused where it stands.
//!
//! DataFusion ignores many of these fields, so that without this file `FOR UPDATE` would not lock
//! and `TABLESAMPLE` would not sample. Fields added by a later sqlparser are found by the tests that
//! list them.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, GroupByExpr, JoinOperator, LimitClause, LockType,
    OrderByKind, Query, Select, SelectFlavor, SelectItem, SetExpr, SetQuantifier, Spanned,
    TableFactor, Value, ValueWithSpan, Visit, Visitor, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Token};

use super::rewrite::is_latest;
use super::source::Source;
use super::words;
use crate::error::{Result, SqlError};

/// Refuses what a tree must not have.
pub(crate) fn check<T: Visit>(tree: &T, source: &Source<'_>) -> Result<()> {
    match tree.visit(&mut Refuse { source, arrays: 0 }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// A syntax error at the first of these words in a statement.
pub(crate) fn foreign(source: &Source<'_>, word: &str) -> SqlError {
    source.syntax_error(find(source, word))
}

/// The first token that is this unquoted word; the first token for none.
fn find(source: &Source<'_>, word: &str) -> usize {
    place(source, word).unwrap_or(0)
}

fn place(source: &Source<'_>, word: &str) -> Option<usize> {
    let is = |token: &Token| matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value == word);
    source.tokens.iter().position(|token| is(&token.token))
}

struct Refuse<'a> {
    source: &'a Source<'a>,
    /// ARRAY constructors around the current expression: only within one needs no word.
    arrays: usize,
}

type Flow = ControlFlow<SqlError>;

impl Refuse<'_> {
    fn foreign(&self, word: &str) -> Flow {
        ControlFlow::Break(foreign(self.source, word))
    }

    /// Whether a word was typed somewhere.
    fn has(&self, word: &str) -> bool {
        place(self.source, word).is_some()
    }

    fn unsupported(&self, what: &str, word: &str) -> Flow {
        let position = self.source.position(find(self.source, word));
        ControlFlow::Break(SqlError::unsupported(what).at(position))
    }

    /// A syntax error at a location, which may be unknown.
    fn foreign_at(&self, location: Location) -> Flow {
        ControlFlow::Break(match location.line {
            0 => self.source.syntax_error(0),
            _ => self.source.syntax_error(self.source.token_at(location)),
        })
    }

    fn unsupported_at(&self, what: &str, location: Location) -> Flow {
        let error = SqlError::unsupported(what);
        ControlFlow::Break(match location.line {
            0 => error,
            _ => error.at(self.source.position(self.source.token_at(location))),
        })
    }

    fn wildcard(&self, options: &WildcardAdditionalOptions) -> Flow {
        let word = if options.opt_ilike.is_some() {
            "ilike"
        } else if options.opt_exclude.is_some() {
            "exclude"
        } else if options.opt_except.is_some() {
            "except"
        } else if options.opt_replace.is_some() {
            "replace"
        } else if options.opt_rename.is_some() {
            "rename"
        } else {
            return ControlFlow::Continue(());
        };
        self.foreign(word)
    }

    fn join(&self, operator: &JoinOperator) -> Flow {
        match operator {
            JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
            | JoinOperator::Right(_)
            | JoinOperator::RightOuter(_)
            | JoinOperator::FullOuter(_)
            | JoinOperator::CrossJoin(_) => ControlFlow::Continue(()),
            // These stand for ASOF JOIN, unless they were typed.
            JoinOperator::Semi(_) if !self.has("semi") => ControlFlow::Continue(()),
            JoinOperator::Anti(_) if !self.has("anti") => ControlFlow::Continue(()),
            JoinOperator::Semi(_) | JoinOperator::LeftSemi(_) | JoinOperator::RightSemi(_) => {
                self.foreign("semi")
            }
            JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) | JoinOperator::RightAnti(_) => {
                self.foreign("anti")
            }
            JoinOperator::CrossApply | JoinOperator::OuterApply => self.foreign("apply"),
            JoinOperator::AsOf { .. } => ControlFlow::Continue(()),
            JoinOperator::StraightJoin(_) => self.foreign("straight_join"),
            JoinOperator::ArrayJoin
            | JoinOperator::LeftArrayJoin
            | JoinOperator::InnerArrayJoin => self.foreign("array"),
        }
    }
}

impl Visitor for Refuse<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        if let Some(lock) = query.locks.first() {
            let what = match lock.lock_type {
                LockType::Share => "SELECT FOR SHARE",
                LockType::Update => "SELECT FOR UPDATE",
            };
            return self.unsupported(what, "for");
        }
        if query.for_clause.is_some() {
            return self.foreign("for");
        }
        if query.settings.is_some() {
            return self.foreign("settings");
        }
        if query.format_clause.is_some() {
            return self.foreign("format");
        }
        if !query.pipe_operators.is_empty() {
            return self.foreign("|>");
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties {
                return self.unsupported("WITH TIES", "ties");
            }
            if fetch.percent {
                return self.foreign("percent");
            }
        }
        match &query.limit_clause {
            Some(LimitClause::OffsetCommaLimit { .. }) => return self.foreign("limit"),
            Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty() => {
                return self.foreign("by");
            }
            _ => {}
        }
        if let Some(order_by) = &query.order_by {
            match &order_by.kind {
                OrderByKind::All(_) => return self.foreign("all"),
                OrderByKind::Expressions(items) => {
                    if items.iter().any(|item| item.with_fill.is_some()) {
                        return self.foreign("fill");
                    }
                }
            }
            if order_by.interpolate.is_some() {
                return self.foreign("interpolate");
            }
        }
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            if let SetExpr::Insert(_)
            | SetExpr::Update(_)
            | SetExpr::Delete(_)
            | SetExpr::Merge(_) = &*cte.query.body
            {
                return self.unsupported("a WITH query that changes rows", "with");
            }
            if cte.from.is_some() {
                return self.foreign("from");
            }
        }
        let mut waiting = vec![&*query.body];
        while let Some(body) = waiting.pop() {
            match body {
                SetExpr::SetOperation {
                    set_quantifier,
                    left,
                    right,
                    ..
                } => {
                    match set_quantifier {
                        SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None => {}
                        _ => return self.foreign("name"),
                    }
                    waiting.extend([&**left, &**right]);
                }
                SetExpr::Values(values) if values.explicit_row || values.value_keyword => {
                    return self.foreign(if values.explicit_row { "row" } else { "value" });
                }
                SetExpr::Table(_) => return self.foreign("table"),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        if select.into.is_some() {
            return self.unsupported("SELECT INTO", "into");
        }
        let group_by = match &select.group_by {
            GroupByExpr::All(_) => Some("all"),
            GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty() => Some("with"),
            GroupByExpr::Expressions(..) => None,
        };
        let foreign = [
            ("top", select.top.is_some()),
            ("exclude", select.exclude.is_some()),
            ("lateral", !select.lateral_views.is_empty()),
            ("prewhere", select.prewhere.is_some()),
            ("connect", !select.connect_by.is_empty()),
            ("cluster", !select.cluster_by.is_empty()),
            ("distribute", !select.distribute_by.is_empty()),
            ("sort", !select.sort_by.is_empty()),
            (
                "qualify",
                select.qualify.as_ref().is_some_and(|expr| !is_latest(expr)),
            ),
            ("as", select.value_table_mode.is_some()),
            (
                "select",
                select
                    .select_modifiers
                    .as_ref()
                    .is_some_and(|m| m.is_any_set()),
            ),
            ("from", select.flavor != SelectFlavor::Standard),
            (group_by.unwrap_or(""), group_by.is_some()),
        ];
        if let Some((word, _)) = foreign.iter().find(|(_, there)| *there) {
            return self.foreign(word);
        }
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                    self.wildcard(options)?;
                    if let Some(alias) = &options.opt_alias {
                        let name = self.source.token_at(alias.span.start);
                        let before = name.saturating_sub(1);
                        let is_as = self.source.text_of(before..name).eq_ignore_ascii_case("as");
                        let token = if is_as { before } else { name };
                        return ControlFlow::Break(self.source.syntax_error(token));
                    }
                }
                SelectItem::ExprWithAliases { .. } => return self.foreign("as"),
                SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => {}
            }
        }
        select
            .from
            .iter()
            .flat_map(|table| &table.joins)
            .try_for_each(|join| {
                if join.global {
                    return self.foreign("global");
                }
                self.join(&join.join_operator)
            })
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> Flow {
        match table {
            TableFactor::Table {
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                name,
                args,
                ..
            } => {
                let word = name.0.last().and_then(|part| part.as_ident());
                if args.is_none()
                    && word.is_some_and(|word| {
                        word.quote_style.is_none()
                            && words::is_reserved(&word.value)
                            && !words::is_value(&word.value)
                    })
                {
                    return self.foreign_at(name.span().start);
                }
                if sample.is_some() {
                    return self.unsupported("TABLESAMPLE", "tablesample");
                }
                if *with_ordinality {
                    return self.unsupported("WITH ORDINALITY", "ordinality");
                }
                if version.is_some()
                    || json_path.is_some()
                    || !(with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty())
                {
                    return self.foreign_at(name.span().end);
                }
                ControlFlow::Continue(())
            }
            TableFactor::Derived {
                sample: Some(_), ..
            } => self.unsupported("TABLESAMPLE", "tablesample"),
            TableFactor::Function {
                with_ordinality: true,
                ..
            }
            | TableFactor::UNNEST {
                with_ordinality: true,
                ..
            } => self.unsupported("WITH ORDINALITY", "ordinality"),
            TableFactor::UNNEST {
                with_offset: true, ..
            } => self.foreign("offset"),
            TableFactor::Derived { .. }
            | TableFactor::Function { .. }
            | TableFactor::UNNEST { .. } => ControlFlow::Continue(()),
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => table_with_joins
                .joins
                .iter()
                .try_for_each(|join| self.join(&join.join_operator)),
            TableFactor::JsonTable { .. } => self.unsupported("JSON_TABLE", "json_table"),
            TableFactor::XmlTable { .. } => self.unsupported("XMLTABLE", "xmltable"),
            TableFactor::TableFunction { .. } => self.foreign("table"),
            TableFactor::OpenJsonTable { .. } => self.foreign("openjson"),
            TableFactor::Pivot { .. } => self.foreign("pivot"),
            TableFactor::Unpivot { .. } => self.foreign("unpivot"),
            TableFactor::MatchRecognize { .. } => self.foreign("match_recognize"),
            TableFactor::SemanticView { .. } => self.foreign("semantic_view"),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        let foreign = match expr {
            Expr::JsonAccess { .. }
            | Expr::InUnnest { .. }
            | Expr::RLike { .. }
            | Expr::Convert { .. }
            | Expr::Prefixed { .. }
            | Expr::Struct { .. }
            | Expr::Named { .. }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::MatchAgainst { .. }
            | Expr::OuterJoin(_)
            | Expr::Prior(_)
            | Expr::Lambda(_)
            | Expr::MemberOf(_) => true,
            Expr::Like { any, .. } | Expr::ILike { any, .. } => *any,
            Expr::Cast {
                kind,
                format,
                array,
                data_type,
                ..
            } => {
                format.is_some()
                    || *array
                    || matches!(kind, CastKind::TryCast | CastKind::SafeCast)
                    || matches!(data_type, DataType::Unspecified)
            }
            // A reserved word is no column; DEFAULT stands for a value where one is assigned.
            Expr::Identifier(ident) => {
                let word = ident.value.as_str();
                ident.quote_style.is_none()
                    && word != "default"
                    && words::is_reserved(word)
                    && !words::is_value(word)
            }
            Expr::Function(function) => function.uses_odbc_syntax,
            Expr::TypedString(string) => string.uses_odbc_syntax,
            Expr::Array(array) => {
                self.arrays += 1;
                !array.named && self.arrays == 1
            }
            Expr::BinaryOp { op, .. } => matches!(
                op,
                BinaryOperator::Spaceship
                    | BinaryOperator::Xor
                    | BinaryOperator::DuckIntegerDivide
                    | BinaryOperator::MyIntegerDivide
                    | BinaryOperator::Match
                    | BinaryOperator::Regexp
                    | BinaryOperator::Assignment
            ),
            _ => false,
        };
        if foreign {
            self.foreign_at(expr.span().start)
        } else {
            ControlFlow::Continue(())
        }
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> Flow {
        if let Expr::Array(_) = expr {
            self.arrays -= 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> Flow {
        match &value.value {
            Value::Number(_, false)
            | Value::SingleQuotedString(_)
            | Value::DollarQuotedString(_)
            | Value::EscapedStringLiteral(_)
            | Value::UnicodeStringLiteral(_)
            | Value::NationalStringLiteral(_)
            | Value::Boolean(_)
            | Value::Null => ControlFlow::Continue(()),
            // `:name` and `@name` reach the tree as placeholders.
            Value::Placeholder(name) if name.starts_with('$') => ControlFlow::Continue(()),
            Value::SingleQuotedByteStringLiteral(_) | Value::HexStringLiteral(_) => {
                self.unsupported_at("a bit string constant", value.span.start)
            }
            _ => self.foreign_at(value.span.start),
        }
    }
}
