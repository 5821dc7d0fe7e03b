//! Names of output columns.
//!
//! PostgreSQL names a column that has no alias by what computes it (`FigureColname` in
//! `parse_target.c`) and does not mind two of the same name; DataFusion does. So every such column
//! gets its PostgreSQL name as an alias, and where that alias would be a second one of its name, or
//! would capture a name that means an input column, a mark and a number are appended. The mark
//! cannot occur in a name that was typed, so that [`output_name`] finds the true name again, also of
//! columns that come out of a subquery through `*`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, Visit, VisitMut, Visitor,
    VisitorMut,
};

/// Between the true name of a column and what makes it unique.
const MARK: char = '\u{1}';

/// The name without what makes it unique.
pub fn output_name(field: &str) -> &str {
    field.split(MARK).next().unwrap_or(field)
}

/// Names the columns of the outermost query.
pub(super) fn name_top(query: &mut Query) -> Option<Vec<String>> {
    let SetExpr::Select(select) = &mut *query.body else {
        return names_of(leftmost(&query.body)?);
    };
    let names = names_of(&select.projection);
    let order_by = match &mut query.order_by {
        Some(ast::OrderBy {
            kind: OrderByKind::Expressions(items),
            ..
        }) => &mut items[..],
        _ => &mut [],
    };
    let captured = captured(select, order_by);
    let renamed = name_items(&mut select.projection, &captured, true);
    // ORDER BY a name means the output column of that name.
    for item in order_by {
        if let Expr::Identifier(ident) = &mut item.expr
            && let Some((_, alias)) = renamed.iter().find(|(name, _)| *name == ident.value)
        {
            *ident = quoted(alias.clone());
        }
    }
    names
}

/// Names the columns of all queries within: derived tables, WITH queries, subqueries.
pub(super) fn name_inner<T: VisitMut>(tree: &mut T) {
    let _ = tree.visit(&mut Inner);
}

/// Names the columns of a RETURNING.
pub(super) fn name_returning(returning: &mut Option<Vec<SelectItem>>) -> Option<Vec<String>> {
    let items = returning.as_mut()?;
    let names = names_of(items);
    name_items(items, &HashSet::new(), true);
    names
}

struct Inner;

impl VisitorMut for Inner {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_items(&mut select.projection, &HashSet::new(), false);
        ControlFlow::Continue(())
    }
}

/// The items that name the columns of a set operation.
fn leftmost(mut body: &SetExpr) -> Option<&[SelectItem]> {
    loop {
        body = match body {
            SetExpr::Select(select) => return Some(&select.projection),
            SetExpr::SetOperation { left, .. } => left,
            SetExpr::Query(query) => &query.body,
            _ => return None,
        }
    }
}

/// The true names of some items; none if one of them is a `*`.
fn names_of(items: &[SelectItem]) -> Option<Vec<String>> {
    items
        .iter()
        .map(|item| match item {
            SelectItem::UnnamedExpr(expr) => Some(column_name(expr)),
            SelectItem::ExprWithAlias { alias, .. } => Some(output_name(&alias.value).to_owned()),
            _ => None,
        })
        .collect()
}

/// Gives aliases to items. Returns the true names that got a mark, with their aliases.
///
/// In the outermost query a `*` may bring any name, so that everything beside it gets a mark; names
/// of inner queries are referred to from outside, so they get one only where they must.
fn name_items(
    items: &mut [SelectItem],
    captured: &HashSet<String>,
    top: bool,
) -> Vec<(String, String)> {
    let wildcard = items
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_)));
    let some_wildcard = wildcard
        || items
            .iter()
            .any(|item| matches!(item, SelectItem::QualifiedWildcard(..)));
    let mut seen = HashSet::new();
    let mut renamed = Vec::new();
    for (index, item) in items.iter_mut().enumerate() {
        let (expr, alias) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.clone())),
            _ => continue,
        };
        if alias.as_ref().is_some_and(|alias| alias.contains(MARK)) {
            continue;
        }
        let plain = match expr {
            // These become calls, which DataFusion names otherwise.
            Expr::Identifier(ident) => {
                ident.quote_style.is_some() || !crate::dialect::words::is_value(&ident.value)
            }
            Expr::CompoundIdentifier(_) => true,
            _ => false,
        };
        let is_alias = alias.is_some();
        let name = alias.unwrap_or_else(|| column_name(expr));
        let beside_wildcard = if top {
            some_wildcard
        } else {
            wildcard && plain && !is_alias
        };
        let again = !seen.insert(name.clone());
        let mark = again || beside_wildcard || (!plain && captured.contains(&name));
        if !mark && (plain || is_alias) {
            continue;
        }
        let unique = if mark {
            format!("{name}{MARK}{index}")
        } else {
            name.clone()
        };
        if mark {
            renamed.push((name, unique.clone()));
        }
        let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
        *item = SelectItem::ExprWithAlias {
            expr,
            alias: quoted(unique),
        };
    }
    renamed
}

fn quoted(name: String) -> Ident {
    Ident::with_quote('"', name)
}

/// Names that mean input columns in HAVING and within expressions of ORDER BY, where DataFusion
/// would look at the output first.
fn captured(select: &Select, order_by: &[ast::OrderByExpr]) -> HashSet<String> {
    #[derive(Default)]
    struct Names(HashSet<String>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(ident) => self.0.insert(ident.value.clone()),
                Expr::CompoundIdentifier(parts) => parts
                    .last()
                    .is_some_and(|ident| self.0.insert(ident.value.clone())),
                _ => false,
            };
            ControlFlow::Continue(())
        }
    }
    let mut names = Names::default();
    let _ = select.having.visit(&mut names);
    for item in order_by {
        if !matches!(item.expr, Expr::Identifier(_)) {
            let _ = item.expr.visit(&mut names);
        }
    }
    names.0
}

/// How good a name is: PostgreSQL takes a cast's or a CASE's own name only where what is inside
/// has none.
#[derive(PartialEq, PartialOrd)]
enum Strength {
    None,
    Weak,
    Strong,
}

/// The name of a column that has no alias.
fn column_name(expr: &Expr) -> String {
    match figure(expr) {
        (Strength::None, _) => "?column?".to_owned(),
        (_, name) => name,
    }
}

fn figure(expr: &Expr) -> (Strength, String) {
    let strong = |name: &str| (Strength::Strong, name.to_owned());
    let none = || (Strength::None, String::new());
    let or = |inner: (Strength, String), name: &str| match inner {
        (Strength::Strong, _) => inner,
        _ => (Strength::Weak, name.to_owned()),
    };
    match expr {
        Expr::Identifier(ident) => strong(&ident.value),
        Expr::CompoundIdentifier(parts) => {
            parts.last().map_or_else(none, |ident| strong(&ident.value))
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                ast::AccessExpr::Dot(Expr::Identifier(ident)) => Some(ident),
                _ => None,
            });
            field.map_or_else(|| figure(root), |ident| strong(&ident.value))
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Function(function) => match function.name.0.last().and_then(|part| part.as_ident()) {
            Some(ident) => strong(&ident.value),
            None => none(),
        },
        Expr::Cast {
            expr, data_type, ..
        } => or(figure(expr), &super::types::internal_name(data_type)),
        Expr::TypedString(string) => (
            Strength::Weak,
            super::types::internal_name(&string.data_type),
        ),
        Expr::Interval(_) => (Strength::Weak, "interval".to_owned()),
        Expr::Case { else_result, .. } => or(
            else_result.as_ref().map_or_else(none, |expr| figure(expr)),
            "case",
        ),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring {
            shorthand: true, ..
        } => strong("substr"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::IsNormalized { negated: false, .. } => strong("is_normalized"),
        Expr::Subquery(query) => match leftmost(&query.body) {
            Some([SelectItem::ExprWithAlias { alias, .. }, ..]) => {
                strong(output_name(&alias.value))
            }
            Some([SelectItem::UnnamedExpr(expr), ..]) => figure(expr),
            Some(_) => none(),
            None => strong("column1"),
        },
        _ => none(),
    }
}
