//! Values on their way into a column: what PostgreSQL assigns, and what it refuses.
//!
//! Every value of an INSERT or UPDATE passes through a function of its column. A quoted string, a
//! NULL or a parameter has no type of its own and takes the column's; anything else needs a cast
//! that PostgreSQL makes on assignment (`pg_cast.castcontext` of `a` or `i`, and text from
//! everything). The result has the column's type and may be NULL: who stores it checks that.

use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DataFusionError, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::sqlparser::ast::{self, Expr, Visit, Visitor};

use super::placeholders;
use super::write::convert;
use crate::catalog::TableEntry;
use crate::dialect;
use crate::error::{SqlError, SqlState};
use crate::types::{FormatSettings, PgType};

/// Before the number of the column in the function's name. No name that is typed has it.
const PREFIX: &str = "assign\u{1}";

/// The functions of a table's columns, in order.
pub(super) fn functions(
    entry: &TableEntry,
    zone: &Arc<str>,
    settings: &FormatSettings,
) -> Vec<Arc<ScalarUDF>> {
    let function = |(number, field): (usize, &Arc<Field>)| {
        let field = match field.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone()));
                field.as_ref().clone().with_data_type(zoned)
            }
            _ => field.as_ref().clone(),
        };
        Arc::new(ScalarUDF::from(Assign {
            name: format!("{PREFIX}{number}"),
            field: Arc::new(field.with_nullable(true)),
            ty: entry.columns[number].ty.clone(),
            settings: settings.clone(),
            signature: Signature::any(1, Volatility::Immutable),
        }))
    };
    let fields = entry.def.schema.fields().iter().enumerate();
    fields.map(function).collect()
}

/// A value as one of a column, by the column's number.
pub(super) fn to_column(number: usize, value: Expr) -> Expr {
    dialect::call(&format!("{PREFIX}{number}"), vec![value])
}

/// Parameters that stand alone where a column's value is wanted have the column's type.
pub(super) fn fill<T: Visit>(tree: &T, entry: &TableEntry, given: &mut Vec<Option<PgType>>) {
    struct Assigned<'a> {
        entry: &'a TableEntry,
        given: &'a mut Vec<Option<PgType>>,
    }
    impl Visitor for Assigned<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && let Some(name) = function.name.0.last().and_then(|part| part.as_ident())
                && let Some(number) = name.value.strip_prefix(PREFIX)
                && let Some(column) = number
                    .parse()
                    .ok()
                    .and_then(|n: usize| self.entry.columns.get(n))
                && let ast::FunctionArguments::List(list) = &function.args
                && let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value))] =
                    &list.args[..]
                && let Some(number) = placeholders::number(value)
            {
                placeholders::fill_one(self.given, number, column.ty.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let _ = tree.visit(&mut Assigned { entry, given });
}

#[derive(Debug)]
struct Assign {
    name: String,
    /// The column, in the session's zone.
    field: FieldRef,
    ty: PgType,
    settings: FormatSettings,
    signature: Signature,
}

// Within a statement the name tells the column.
impl PartialEq for Assign {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.field == other.field
    }
}

impl Eq for Assign {}

impl Hash for Assign {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Assign {
    fn values(&self, values: &ArrayRef) -> PlanResult<ArrayRef> {
        if *values.data_type() == DataType::Null {
            return Ok(new_null_array(self.field.data_type(), values.len()));
        }
        let values = convert(values, &self.ty, &self.settings)
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        match values.data_type() == self.field.data_type() {
            true => Ok(values),
            false => Ok(cast(&values, self.field.data_type())?),
        }
    }
}

impl ScalarUDFImpl for Assign {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> PlanResult<FieldRef> {
        let constant = args.scalar_arguments.first().copied().flatten();
        let is_string = matches!(
            constant,
            Some(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) | ScalarValue::LargeUtf8(_))
        );
        if let Some(from) = args.arg_fields.first()
            && !is_string
            && !is_assignable(from, &self.ty)
        {
            // An integer constant is an integer where it fits.
            let from = match constant {
                Some(ScalarValue::Int64(Some(n))) if i32::try_from(*n).is_ok() => PgType::Int4,
                _ => PgType::of_field(from),
            };
            let message = format!(
                "column \"{}\" is of type {} but expression is of type {}",
                self.field.name(),
                plain_name(&self.ty),
                plain_name(&from)
            );
            let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message)
                .with_hint("You will need to rewrite or cast the expression.");
            return Err(DataFusionError::External(Box::new(error)));
        }
        Ok(self.field.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        match args.args.first() {
            Some(ColumnarValue::Array(values)) => Ok(ColumnarValue::Array(self.values(values)?)),
            Some(ColumnarValue::Scalar(value)) => {
                let values = self.values(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &values, 0,
                )?))
            }
            None => Err(DataFusionError::Internal("an assignment of nothing".into())),
        }
    }
}

/// Whether PostgreSQL makes this cast on assignment.
fn is_assignable(from: &Field, to: &PgType) -> bool {
    let is_untyped = match from.data_type() {
        DataType::Null => true,
        DataType::List(item) => *item.data_type() == DataType::Null,
        _ => false,
    };
    // What expressions make of uuid and json has lost its name, but not its form.
    is_untyped || *from.data_type() == to.arrow() || is_cast(&PgType::of_field(from), to)
}

fn is_cast(from: &PgType, to: &PgType) -> bool {
    use PgType::{
        Array, Char, Date, Float4, Float8, Int2, Int4, Int8, Interval, Json, Jsonb, Name, Numeric,
        Oid, Text, Time, Timestamp, Timestamptz, Unknown, Varchar, Void,
    };
    let is_number = |ty: &PgType| {
        matches!(
            ty,
            Int2 | Int4 | Int8 | Float4 | Float8 | Numeric { .. } | Oid
        )
    };
    match (from, to) {
        (Unknown | Void, _) | (_, Text | Varchar(_) | Char(_) | Name) => true,
        // An expression over JSON is text here.
        (Text | Json | Jsonb, Json | Jsonb) => true,
        (Date, Timestamp | Timestamptz)
        | (Timestamp, Date | Time | Timestamptz)
        | (Timestamptz, Date | Time | Timestamp)
        | (Time, Interval)
        | (Interval, Time) => true,
        (Array(from), Array(to)) => is_cast(from, to),
        (from, to) => {
            is_number(from) && is_number(to)
                || std::mem::discriminant(from) == std::mem::discriminant(to)
        }
    }
}

/// The name of a type without its length, as PostgreSQL tells it in these messages.
fn plain_name(ty: &PgType) -> String {
    match ty {
        PgType::Array(element) => format!("{}[]", plain_name(element)),
        other => other.base_name().to_owned(),
    }
}
