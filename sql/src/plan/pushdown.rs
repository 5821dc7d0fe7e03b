//! Filters of a query → ranges of keys and times, which storage applies exactly, and conditions
//! for zone maps, which only leave packs out.
//!
//! A filter is *exact* when storage returns no row that it refuses; DataFusion then drops it.
//! Anything that is not understood here is left to DataFusion, so that a gap costs time and never
//! rows.

use std::cmp::Ordering;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use slicedb_storage::search::is_searchable;
use slicedb_storage::{Compare, KeyRange, ScanRequest, TableDef, Value};

/// Keys of an `IN` list that become ranges, at most; more are left to zone maps and DataFusion.
const KEYS_MAX: usize = 1024;

/// One understood filter.
#[derive(Debug, Clone, PartialEq)]
enum Condition {
    /// The column is in one of these ranges, ascending and disjoint.
    In(usize, Vec<KeyRange>),
    /// The column compares so.
    Zone(usize, Compare, Value),
}

/// What storage can do for a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// Every row it returns passes.
    Exact,
    /// It leaves out some that do not.
    Inexact,
    /// Nothing.
    None,
}

/// What storage can do for `filter`.
pub(crate) fn support(def: &TableDef, filter: &Expr) -> Support {
    let conditions = conditions(def, filter);
    match &conditions[..] {
        [] => Support::None,
        [Condition::In(column, ranges)]
            if is_exact(def, *column, ranges) && !is_conjunction(filter) =>
        {
            Support::Exact
        }
        _ => Support::Inexact,
    }
}

/// Adds what the filters ask to a request.
pub(crate) fn apply<'a>(
    def: &TableDef,
    filters: impl IntoIterator<Item = &'a Expr>,
    request: &mut ScanRequest,
) {
    let conditions = filters.into_iter().map(|filter| conditions(def, filter));
    for condition in conditions.flatten() {
        match condition {
            Condition::In(column, ranges) if Some(column) == def.time_column() => {
                let bound = |value: &Option<Value>, open: i64| match value {
                    Some(Value::Int(value)) => {
                        (*value).clamp(i64::MIN.into(), i64::MAX.into()) as i64
                    }
                    _ => open,
                };
                let (from, to) = request.time.unwrap_or((i64::MIN, i64::MAX));
                let least = ranges.first().map_or(i64::MAX, |r| bound(&r.min, i64::MIN));
                let greatest = ranges.last().map_or(i64::MIN, |r| bound(&r.max, i64::MAX));
                request.time = Some((from.max(least), to.min(greatest)));
            }
            Condition::In(column, ranges) if Some(column) == def.key_column() => {
                request.keys = Some(match request.keys.take() {
                    Some(earlier) => intersection(&earlier, &ranges),
                    None => ranges,
                });
            }
            Condition::In(column, ranges) => {
                if let Some(min) = ranges.first().and_then(|r| r.min.clone()) {
                    request.zones.push((column, Compare::GtEq, min));
                }
                if let Some(max) = ranges.last().and_then(|r| r.max.clone()) {
                    request.zones.push((column, Compare::LtEq, max));
                }
            }
            Condition::Zone(column, compare, value) => request.zones.push((column, compare, value)),
        }
    }
}

fn is_exact(def: &TableDef, column: usize, ranges: &[KeyRange]) -> bool {
    let searchable = is_searchable(def.schema.field(column).data_type());
    let one_range = Some(column) == def.time_column() && ranges.len() == 1;
    one_range || (Some(column) == def.key_column() && searchable)
}

fn conditions(def: &TableDef, filter: &Expr) -> Vec<Condition> {
    match filter {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => {
            let mut both = conditions(def, left);
            both.extend(conditions(def, right));
            both
        }
        // DataFusion writes a short `IN` so.
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => match (whole(def, left), whole(def, right)) {
            (Some((a, mut ranges)), Some((b, more))) if a == b => {
                ranges.extend(more);
                vec![Condition::In(a, united(ranges))]
            }
            _ => Vec::new(),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let comparison = match (column(def, left), column(def, right)) {
                (Some(column), None) => literal(def, column, right).map(|v| (column, *op, v)),
                (None, Some(column)) => {
                    literal(def, column, left).and_then(|v| Some((column, op.swap()?, v)))
                }
                _ => None,
            };
            comparison
                .and_then(|(column, op, value)| compare(def, column, op, value))
                .into_iter()
                .collect()
        }
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) => {
            let Some(column) = column(def, expr) else {
                return Vec::new();
            };
            match (literal(def, column, low), literal(def, column, high)) {
                (Some(min), Some(max)) => vec![range(column, Some(min), Some(max))],
                _ => Vec::new(),
            }
        }
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) if list.len() <= KEYS_MAX => {
            let Some(column) = column(def, expr) else {
                return Vec::new();
            };
            let values: Option<Vec<Value>> =
                list.iter().map(|item| literal(def, column, item)).collect();
            match values {
                Some(values) if is_searchable(def.schema.field(column).data_type()) => {
                    vec![Condition::In(column, points(values))]
                }
                _ => Vec::new(),
            }
        }
        Expr::IsNull(inner) => {
            let is_null = |c| Condition::Zone(c, Compare::IsNull, Value::Bool(true));
            column(def, inner).map(is_null).into_iter().collect()
        }
        Expr::IsNotNull(inner) => {
            let is_not_null = |c| Condition::Zone(c, Compare::IsNotNull, Value::Bool(true));
            column(def, inner).map(is_not_null).into_iter().collect()
        }
        // `WHERE paid` and `WHERE NOT paid`.
        Expr::Column(_) => boolean(def, filter, true),
        Expr::Not(inner) => boolean(def, inner, false),
        _ => Vec::new(),
    }
}

/// The ranges that are all that a filter says: of a part of it, an OR may not be made.
fn whole(def: &TableDef, filter: &Expr) -> Option<(usize, Vec<KeyRange>)> {
    if is_conjunction(filter) {
        return None;
    }
    match conditions(def, filter).pop() {
        Some(Condition::In(column, ranges)) => Some((column, ranges)),
        _ => None,
    }
}

/// Whether it may say more than the one condition that is understood.
fn is_conjunction(filter: &Expr) -> bool {
    matches!(filter, Expr::BinaryExpr(binary) if binary.op == Operator::And)
}

fn boolean(def: &TableDef, expr: &Expr, value: bool) -> Vec<Condition> {
    let is_boolean = |c: &usize| *def.schema.field(*c).data_type() == DataType::Boolean;
    let condition = |c| Condition::Zone(c, Compare::Eq, Value::Bool(value));
    column(def, expr)
        .filter(is_boolean)
        .map(condition)
        .into_iter()
        .collect()
}

fn column(def: &TableDef, expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Column(column) => def.schema.index_of(column.name()).ok(),
        // The session's view of timestamptz differs from the stored one in the zone alone.
        Expr::Cast(cast) => {
            let inner = column(def, &cast.expr)?;
            let (stored, wanted) = (def.schema.field(inner).data_type(), cast.field.data_type());
            let same = matches!(
                (stored, wanted),
                (
                    DataType::Timestamp(TimeUnit::Microsecond, Some(_)),
                    DataType::Timestamp(TimeUnit::Microsecond, Some(_))
                )
            );
            same.then_some(inner)
        }
        _ => None,
    }
}

fn compare(def: &TableDef, column: usize, op: Operator, value: Value) -> Option<Condition> {
    let is_integer = matches!(value, Value::Int(_));
    let ranged = is_searchable(def.schema.field(column).data_type());
    let next = |value: &Value, step: i128| match value {
        Value::Int(v) => Some(Value::Int(v + step)),
        _ => None,
    };
    Some(match op {
        Operator::Eq if ranged => range(column, Some(value.clone()), Some(value)),
        Operator::GtEq if ranged => range(column, Some(value), None),
        Operator::LtEq if ranged => range(column, None, Some(value)),
        Operator::Gt if ranged && is_integer => range(column, next(&value, 1), None),
        Operator::Lt if ranged && is_integer => range(column, None, next(&value, -1)),
        Operator::Eq => Condition::Zone(column, Compare::Eq, value),
        Operator::Lt => Condition::Zone(column, Compare::Lt, value),
        Operator::LtEq => Condition::Zone(column, Compare::LtEq, value),
        Operator::Gt => Condition::Zone(column, Compare::Gt, value),
        Operator::GtEq => Condition::Zone(column, Compare::GtEq, value),
        _ => return None,
    })
}

fn range(column: usize, min: Option<Value>, max: Option<Value>) -> Condition {
    Condition::In(column, vec![KeyRange { min, max }])
}

fn points(mut values: Vec<Value>) -> Vec<KeyRange> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    values.dedup();
    values
        .into_iter()
        .map(|v| KeyRange {
            min: Some(v.clone()),
            max: Some(v),
        })
        .collect()
}

/// The same values in ranges that are ascending and disjoint.
fn united(mut ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    // Less than any value is no value: open at the start.
    ranges.sort_by(|a, b| a.min.partial_cmp(&b.min).unwrap_or(Ordering::Equal));
    let mut disjoint: Vec<KeyRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match disjoint.last_mut() {
            Some(last) if last.max.is_none() || range.min <= last.max => {
                let reaches = range.max.is_none() || range.max > last.max;
                if last.max.is_some() && reaches {
                    last.max = range.max;
                }
            }
            _ => disjoint.push(range),
        }
    }
    disjoint
}

fn intersection(a: &[KeyRange], b: &[KeyRange]) -> Vec<KeyRange> {
    let mut both = Vec::new();
    for left in a {
        for right in b {
            let min = match (&left.min, &right.min) {
                (Some(x), Some(y)) => Some(if x < y { y.clone() } else { x.clone() }),
                (x, y) => x.clone().or_else(|| y.clone()),
            };
            let max = match (&left.max, &right.max) {
                (Some(x), Some(y)) => Some(if x < y { x.clone() } else { y.clone() }),
                (x, y) => x.clone().or_else(|| y.clone()),
            };
            let is_empty = matches!((&min, &max), (Some(min), Some(max)) if min > max);
            if !is_empty {
                both.push(KeyRange { min, max });
            }
        }
    }
    both
}

/// The value of a literal in the units of the column; `None` when it is no literal of its type.
fn literal(def: &TableDef, column: usize, expr: &Expr) -> Option<Value> {
    let value = match expr {
        Expr::Literal(value, _) => value,
        _ => return None,
    };
    let column_type = def.schema.field(column).data_type();
    use ScalarValue as S;
    Some(match (column_type, value) {
        (DataType::Int16, S::Int16(Some(v))) => Value::Int((*v).into()),
        (DataType::Int32, S::Int32(Some(v))) => Value::Int((*v).into()),
        (DataType::Int64, S::Int64(Some(v))) => Value::Int((*v).into()),
        (DataType::Date32, S::Date32(Some(v))) => Value::Int((*v).into()),
        (DataType::Time64(TimeUnit::Microsecond), S::Time64Microsecond(Some(v))) => {
            Value::Int((*v).into())
        }
        (DataType::Timestamp(TimeUnit::Microsecond, a), S::TimestampMicrosecond(Some(v), b))
            if a.is_some() == b.is_some() =>
        {
            Value::Int((*v).into())
        }
        (DataType::Decimal128(_, a), S::Decimal128(Some(v), _, b)) if a == b => Value::Int(*v),
        (DataType::Float64, S::Float64(Some(v))) => Value::Float(*v),
        (DataType::Float32, S::Float32(Some(v))) => Value::Float((*v).into()),
        (DataType::Utf8, S::Utf8(Some(v)) | S::LargeUtf8(Some(v)) | S::Utf8View(Some(v))) => {
            Value::Text(v.clone())
        }
        (DataType::Binary, S::Binary(Some(v))) => Value::Bytes(v.clone()),
        (DataType::FixedSizeBinary(_), S::FixedSizeBinary(_, Some(v))) => Value::Bytes(v.clone()),
        (DataType::Boolean, S::Boolean(Some(v))) => Value::Bool(*v),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(ranges: &[KeyRange], key: i128) -> bool {
        let key = Value::Int(key);
        ranges.iter().any(|range| {
            range.min.as_ref().is_none_or(|min| *min <= key)
                && range.max.as_ref().is_none_or(|max| key <= *max)
        })
    }

    fn bound() -> impl Strategy<Value = Option<Value>> {
        prop::option::weighted(0.9, (0..20_i128).prop_map(Value::Int))
    }

    proptest! {
        #[test]
        fn united_ranges_hold_what_each_held(bounds in prop::collection::vec((bound(), bound()), 0..8)) {
            let ranges: Vec<KeyRange> = bounds
                .into_iter()
                .filter(|(min, max)| min.is_none() || max.is_none() || min <= max)
                .map(|(min, max)| KeyRange { min, max })
                .collect();
            let united = united(ranges.clone());
            for key in -1..21 {
                prop_assert_eq!(holds(&ranges, key), holds(&united, key));
            }
            for pair in united.windows(2) {
                prop_assert!(pair[0].max.is_some() && pair[0].max < pair[1].min);
            }
        }
    }
}
