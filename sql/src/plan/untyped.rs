//! Values that PostgreSQL does not compare or unite, and strings that have no type yet.
//!
//! DataFusion compares text with a number by reading the text, and unites the two as text. In
//! PostgreSQL only a quoted string takes the other's type; an expression of type text does not.
//! The rule runs before types are settled.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{Alias, Between, BinaryExpr, InList, InSubquery};
use datafusion::logical_expr::{
    Cast, Expr, ExprSchemable, LogicalPlan, Operator, Projection, Union,
};
use datafusion::optimizer::AnalyzerRule;

use crate::error::{SqlError, SqlState};
use crate::types::PgType;

const HINT: &str = "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// The rule.
#[derive(Debug)]
pub(crate) struct Untyped;

impl AnalyzerRule for Untyped {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            check(&plan)?;
            match plan {
                LogicalPlan::Union(union) => united(union),
                other => Ok(Transformed::no(other)),
            }
        })
        .data()
    }

    fn name(&self) -> &str {
        "untyped"
    }
}

/// Refuses comparisons of text with something else.
fn check(plan: &LogicalPlan) -> Result<()> {
    let schema = match plan.inputs()[..] {
        [input] => input.schema(),
        _ => plan.schema(),
    };
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            match expr {
                Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
                    compare(left, *op, right, schema)?;
                }
                Expr::Between(Between {
                    expr, low, high, ..
                }) => {
                    compare(expr, Operator::GtEq, low, schema)?;
                    compare(expr, Operator::LtEq, high, schema)?;
                }
                Expr::InList(InList { expr, list, .. }) => {
                    for item in list {
                        compare(expr, Operator::Eq, item, schema)?;
                    }
                }
                Expr::InSubquery(InSubquery { expr, subquery, .. }) => {
                    let inner = subquery.subquery.schema();
                    if let Some(field) = inner.fields().first() {
                        let other = PgType::of_field(field);
                        refuse(&typed(expr, schema), Operator::Eq, &Some(other))?;
                    }
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn compare(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Result<()> {
    refuse(&typed(left, schema), op, &typed(right, schema))
}

fn refuse(left: &Option<PgType>, op: Operator, right: &Option<PgType>) -> Result<()> {
    let (Some(left), Some(right)) = (left, right) else {
        return Ok(());
    };
    if kind(left) == kind(right) {
        return Ok(());
    }
    let op = match op {
        Operator::NotEq => "<>".to_owned(),
        Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => "=".to_owned(),
        other => other.to_string(),
    };
    let message = format!(
        "operator does not exist: {} {op} {}",
        name(left),
        name(right)
    );
    let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(HINT);
    Err(DataFusionError::External(Box::new(error)))
}

fn name(ty: &PgType) -> String {
    match ty {
        PgType::Array(_) => ty.name(),
        other => other.base_name().to_owned(),
    }
}

/// Types of one kind can be compared and united.
#[derive(PartialEq)]
enum Kind {
    Text,
    Bool,
    Number,
    /// Expressions over uuid are bytes here.
    Bytes,
    Day,
    Duration,
    Summary,
    Array,
}

fn kind(ty: &PgType) -> Kind {
    match ty {
        PgType::Text
        | PgType::Varchar(_)
        | PgType::Char(_)
        | PgType::Name
        | PgType::Json
        | PgType::Jsonb
        | PgType::Unknown
        | PgType::Void => Kind::Text,
        PgType::Bool => Kind::Bool,
        PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Float4
        | PgType::Float8
        | PgType::Numeric { .. }
        | PgType::Oid => Kind::Number,
        PgType::Bytea | PgType::Uuid => Kind::Bytes,
        PgType::Date | PgType::Timestamp | PgType::Timestamptz => Kind::Day,
        PgType::Time | PgType::Interval => Kind::Duration,
        PgType::Summary(_) => Kind::Summary,
        PgType::Array(_) => Kind::Array,
    }
}

/// The type of an expression; none for a quoted string, a parameter or NULL, or where it cannot be
/// told yet.
fn typed(expr: &Expr, schema: &DFSchema) -> Option<PgType> {
    match expr {
        Expr::Alias(Alias { expr, .. }) => return typed(expr, schema),
        Expr::Placeholder(_)
        | Expr::Literal(
            ScalarValue::Utf8(_)
            | ScalarValue::Utf8View(_)
            | ScalarValue::LargeUtf8(_)
            | ScalarValue::Null,
            _,
        ) => return None,
        // An integer constant is an integer where it fits.
        Expr::Literal(ScalarValue::Int64(Some(number)), _) if i32::try_from(*number).is_ok() => {
            return Some(PgType::Int4);
        }
        _ => {}
    }
    let (_, field) = expr.to_field(schema).ok()?;
    match field.data_type() {
        DataType::Null | DataType::Struct(_) | DataType::Map(..) => None,
        _ => Some(PgType::of_field(&field)),
    }
}

/// Quoted strings in a UNION take the type that another input has.
fn united(union: Union) -> Result<Transformed<LogicalPlan>> {
    let mut inputs = union.inputs.clone();
    let mut changed = false;
    for column in 0..union.schema.fields().len() {
        let mut wanted: Option<FieldRef> = None;
        for input in &inputs {
            let Some(ty) = column_type(input, column) else {
                continue;
            };
            match &wanted {
                Some(first) if kind(&PgType::of_field(first)) != kind(&ty) => {
                    let first = name(&PgType::of_field(first));
                    let message =
                        format!("UNION types {first} and {} cannot be matched", name(&ty));
                    let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message);
                    return Err(DataFusionError::External(Box::new(error)));
                }
                Some(_) => {}
                None => wanted = Some(input.schema().fields()[column].clone()),
            }
        }
        let Some(wanted) = wanted.filter(|field| kind(&PgType::of_field(field)) != Kind::Text)
        else {
            continue;
        };
        for input in &mut inputs {
            let LogicalPlan::Projection(projection) = input.as_ref() else {
                continue;
            };
            let expr = &projection.expr[column];
            let name = expr.schema_name().to_string();
            let inner = expr.clone().unalias();
            if !matches!(inner, Expr::Literal(ScalarValue::Utf8(Some(_)), _)) {
                continue;
            }
            // A number's digits are its own, not those of the column.
            let cast = match PgType::of_field(&wanted) {
                PgType::Numeric { .. } => Cast::new(Box::new(inner), PgType::NUMERIC.arrow()),
                _ => {
                    let field = wanted.as_ref().clone().with_name("").with_nullable(true);
                    Cast::new_from_field(Box::new(inner), Arc::new(field))
                }
            };
            let cast = Expr::Cast(cast);
            let mut items = projection.expr.clone();
            items[column] = cast.alias(name);
            let projection = Projection::try_new(items, projection.input.clone())?;
            *input = Arc::new(LogicalPlan::Projection(projection));
            changed = true;
        }
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let union = Union::try_new_with_loose_types(inputs)?;
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}

/// The type of a column of an input; none where it is a quoted string, NULL or not told yet.
fn column_type(input: &LogicalPlan, column: usize) -> Option<PgType> {
    match input {
        LogicalPlan::Projection(projection) => {
            typed(&projection.expr[column], projection.input.schema())
        }
        LogicalPlan::Values(values) => {
            let cells = values.values.iter().map(|row| &row[column]);
            cells
                .filter_map(|cell| typed(cell, &DFSchema::empty()))
                .next()
        }
        other => {
            let field = &other.schema().fields()[column];
            (*field.data_type() != DataType::Null).then(|| PgType::of_field(field))
        }
    }
}
