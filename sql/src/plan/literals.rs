//! Text literals where another type is wanted, read as PostgreSQL reads them.
//!
//! DataFusion casts such a literal with Arrow's parser, which knows fewer spellings of dates and
//! numbers and words its errors otherwise. This rule runs after types are settled and before
//! anything is folded: what it leaves is a literal of the wanted type, so that comparisons with
//! columns can be pushed down.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use crate::types::{ColumnBuilder, FormatSettings, PgType};

/// The rule, with the session's settings.
#[derive(Debug)]
pub(crate) struct TextLiterals(pub(crate) FormatSettings);

impl AnalyzerRule for TextLiterals {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| self.read(expr))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "text_literals"
    }
}

impl TextLiterals {
    /// A text literal that is cast, as a literal of the type.
    pub(super) fn read(&self, expr: Expr) -> Result<Transformed<Expr>> {
        let Expr::Cast(Cast { expr: inner, field }) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let text = match inner.as_ref() {
            Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text), _) => text,
            _ => return Ok(Transformed::no(expr)),
        };
        let Some(ty) = readable(field) else {
            return Ok(Transformed::no(expr));
        };
        let mut builder = ColumnBuilder::new(&ty, 1, &self.0);
        match text {
            Some(text) => {
                let read = builder.append_text(text.as_bytes());
                read.map_err(|e| DataFusionError::External(Box::new(e)))?;
            }
            None => builder.append_null(),
        }
        let value = ScalarValue::try_from_array(&builder.finish(), 0)?;
        let value = if value.data_type() == *field.data_type() {
            value
        } else {
            value.cast_to(field.data_type())?
        };
        Ok(Transformed::yes(Expr::Literal(value, None)))
    }
}

/// The PostgreSQL type of a field, where reading text as it makes a difference.
fn readable(field: &FieldRef) -> Option<PgType> {
    match field.data_type() {
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Date32
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Interval(_)
        | DataType::Binary
        | DataType::List(_) => Some(PgType::of_field(field)),
        // Functions that pass a uuid on may have lost its name.
        DataType::FixedSizeBinary(16) => Some(PgType::Uuid),
        _ => None,
    }
}
