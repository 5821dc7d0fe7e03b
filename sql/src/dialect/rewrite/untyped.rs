//! VALUES: quoted strings and NULLs take the type that other rows have in their column, and rows with
//! subqueries, which DataFusion would not run there, become a UNION of SELECTs in their order.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, ExactNumberInfo, Expr, Ident, OrderBy, OrderByExpr, OrderByKind, OrderByOptions,
    Query, SelectItem, SetExpr, SetOperator, SetQuantifier, TableAliasColumnDef, Value, Visit,
    VisitMut, Visitor, VisitorMut,
};

use super::build::{cast_to, derived, empty_query, empty_select, number, take};
use crate::types::PgType;

/// Casts them, as far as the other rows tell their type themselves.
pub(super) fn by_other_rows<T: VisitMut>(tree: &mut T) {
    let _ = tree.visit(&mut Untyped);
}

struct Untyped;

impl VisitorMut for Untyped {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Values(values) = &mut *query.body
            && values.rows.len() > 1
        {
            let width = values.rows.iter().map(|row| row.content.len()).min();
            for column in 0..width.unwrap_or(0) {
                let cells = values.rows.iter_mut().map(|row| &mut row.content[column]);
                unite(cells.collect());
            }
        }
        if let SetExpr::Values(values) = &mut *query.body
            && values.rows.iter().any(|row| has_query(&row.content))
            && let Some(width) = values.rows.first().map(|row| row.content.len())
            && values.rows.iter().all(|row| row.content.len() == width)
        {
            let rows = values.rows.iter_mut();
            let rows = rows.map(|row| std::mem::take(&mut row.content)).collect();
            in_turn(query, rows, width);
        }
        ControlFlow::Continue(())
    }
}

/// Casts the cells of a column that have no type.
fn unite(cells: Vec<&mut Expr>) {
    let types: Vec<DataType> = cells.iter().filter_map(|cell| type_of(cell)).collect();
    let cast = cells
        .iter()
        .find(|cell| !is_number(cell) && type_of(cell).is_some());
    let has_cast = cast.is_some();
    let widest = |ty: DataType| types.contains(&ty).then_some(ty);
    let wanted = cast
        .and_then(|cell| type_of(cell))
        .or_else(|| widest(NUMERIC))
        .or_else(|| widest(DataType::BigInt(None)))
        .or_else(|| types.first().cloned());
    // Lengths and digits are those of one cell, not of the column.
    let wanted = match wanted.map(|ty| (PgType::from_ast(&ty), ty)) {
        None | Some((Ok(PgType::Text | PgType::Varchar(_) | PgType::Char(_)), _)) => return,
        Some((Ok(PgType::Numeric { .. }), _)) => NUMERIC,
        Some((_, ty)) => ty,
    };
    let has_untyped = cells.iter().any(|cell| is_untyped(cell));
    for cell in cells {
        // Where one number is cast all must be, for DataFusion to see one type.
        let is_number = wanted == NUMERIC && (has_untyped || has_cast) && is_number(cell);
        if is_untyped(cell) || is_number {
            *cell = cast_to(take(cell), wanted.clone());
        }
    }
}

const NUMERIC: DataType = DataType::Numeric(ExactNumberInfo::None);

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => is_number(inner),
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        _ => false,
    }
}

fn has_query(row: &Vec<Expr>) -> bool {
    struct Found;
    impl Visitor for Found {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    row.visit(&mut Found).is_break()
}

/// The column that tells the place of a row.
const PLACE: &str = "?place?";

/// Makes rows that are SELECTs the body of a query, which returns them in their order.
fn in_turn(query: &mut Query, rows: Vec<Vec<Expr>>, width: usize) {
    let selects = rows.into_iter().enumerate().map(|(place, mut row)| {
        row.push(number(place as u64));
        selected(row)
    });
    let Some(union) = selects.reduce(|left, right| SetExpr::SetOperation {
        op: SetOperator::Union,
        set_quantifier: SetQuantifier::All,
        left: Box::new(left),
        right: Box::new(right),
    }) else {
        return;
    };
    let mut rows = empty_query();
    rows.body = Box::new(union);
    let names = (1..=width).map(|number| format!("column{number}"));
    let columns = names.clone().chain([PLACE.to_owned()]);
    let columns = columns.map(|name| TableAliasColumnDef {
        name: Ident::with_quote('"', name),
        data_type: None,
    });
    let mut outer = empty_select();
    outer.from = vec![derived(Box::new(rows), "values", columns.collect())];
    let items = names.map(|name| SelectItem::UnnamedExpr(Expr::Identifier(Ident::new(name))));
    outer.projection = items.collect();
    *query.body = SetExpr::Select(Box::new(outer));
    query.order_by.get_or_insert(OrderBy {
        kind: OrderByKind::Expressions(vec![OrderByExpr {
            expr: Expr::Identifier(Ident::with_quote('"', PLACE)),
            options: OrderByOptions::default(),
            with_fill: None,
        }]),
        interpolate: None,
    });
}

/// A row as a SELECT.
fn selected(row: Vec<Expr>) -> SetExpr {
    let items = row.into_iter().enumerate();
    let items = items.map(|(number, expr)| SelectItem::ExprWithAlias {
        expr,
        alias: Ident::new(format!("column{}", number + 1)),
    });
    let mut select = empty_select();
    select.projection = items.collect();
    SetExpr::Select(Box::new(select))
}

fn is_untyped(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_untyped(inner),
        Expr::Value(value) => !matches!(
            value.value,
            Value::Number(..) | Value::Boolean(_) | Value::Placeholder(_)
        ),
        _ => false,
    }
}

/// The type that an expression has by its looks.
fn type_of(expr: &Expr) -> Option<DataType> {
    match expr {
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => type_of(inner),
        Expr::Cast { data_type, .. } => Some(data_type.clone()),
        Expr::TypedString(string) => Some(string.data_type.clone()),
        Expr::Interval(_) => Some(DataType::Interval {
            fields: None,
            precision: None,
        }),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(match digits.parse::<i64>() {
                Ok(number) if i32::try_from(number).is_ok() => DataType::Int(None),
                Ok(_) => DataType::BigInt(None),
                Err(_) => DataType::Numeric(ExactNumberInfo::None),
            }),
            Value::Boolean(_) => Some(DataType::Boolean),
            _ => None,
        },
        _ => None,
    }
}
