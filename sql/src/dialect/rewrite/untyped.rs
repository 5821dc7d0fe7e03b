//! VALUES: quoted strings and NULLs take the type that other rows have in their column, and rows with
//! subqueries, which DataFusion would not run there, become a UNION of SELECTs.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, ExactNumberInfo, Expr, Ident, Query, SelectItem, SetExpr, SetOperator, SetQuantifier,
    Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::build::{cast_to, empty_select, take};
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
        {
            let rows = values.rows.iter_mut();
            let selects = rows.map(|row| selected(std::mem::take(&mut row.content)));
            if let Some(union) = selects.reduce(|left, right| SetExpr::SetOperation {
                op: SetOperator::Union,
                set_quantifier: SetQuantifier::All,
                left: Box::new(left),
                right: Box::new(right),
            }) {
                *query.body = union;
            }
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

/// A row as a SELECT, with the names that VALUES gives.
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
