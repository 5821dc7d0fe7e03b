//! The functions that need the catalog or the session.
//!
//! A function is a [`Spec`]: its name, the argument lists it takes, what it returns and a closure over
//! one row. All are strict, so that no argument is null. A statement gets its own set, bound to what
//! it sees; the functions describe things and are called for a row of a catalog, not for rows of data.
//!
//! | file | functions |
//! |---|---|
//! | `session` | who asks, and what it may do |
//! | `describe` | definitions and descriptions of what the catalogs list |
//! | `registry` | the `reg…` types, which are oids that know names |
//! | `size` | rows and bytes |
//! | `empty` | `ARRAY(SELECT …)` without rows |
//! | `arrays` | the numbers of an array's elements |

mod arrays;
mod describe;
mod empty;
mod registry;
mod session;
mod size;

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::Context;
use super::rows::Cell;
use crate::error::{SqlError, SqlState};
use crate::types::{ColumnBuilder, FormatSettings, PgType};

/// A function.
struct Spec {
    name: &'static str,
    /// The argument lists, which differ in length.
    takes: &'static [&'static [Param]],
    returns: Returns,
    row: fn(&Context, &[Arg<'_>]) -> crate::error::Result<Cell>,
}

/// The type of an argument.
#[derive(Clone, Copy)]
enum Param {
    Bool,
    Int,
    Oid,
    Text,
    /// An oid, or the name of what has it.
    Named,
}

/// An argument.
#[derive(Clone, Copy)]
enum Arg<'a> {
    Bool(bool),
    Int(i64),
    Oid(u32),
    Text(&'a str),
}

/// The type of a result.
#[derive(Clone, Copy)]
enum Returns {
    Bool,
    Int4,
    Int8,
    Oid,
    Text,
    Name,
    Names,
}

const GROUPS: [&[Spec]; 4] = [
    session::FUNCTIONS,
    describe::FUNCTIONS,
    registry::FUNCTIONS,
    size::FUNCTIONS,
];

/// Their names, where they are a [`Spec`].
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.into_iter().flatten().map(|spec| spec.name)
}

/// All of them for one statement.
pub(super) fn all(context: &Arc<Context>) -> Vec<Arc<ScalarUDF>> {
    let specs = GROUPS.into_iter().flatten();
    let functions = specs.map(|spec| {
        Arc::new(ScalarUDF::from(SystemFunction {
            spec,
            context: context.clone(),
        }))
    });
    functions
        .chain([empty::array_or_empty()])
        .chain([arrays::array_subscripts()])
        .collect()
}

struct SystemFunction {
    spec: &'static Spec,
    context: Arc<Context>,
}

impl std::fmt::Debug for SystemFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.spec.name)
    }
}

// Within a statement the name tells the function.
impl PartialEq for SystemFunction {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name && Arc::ptr_eq(&self.context, &other.context)
    }
}

impl Eq for SystemFunction {}

impl Hash for SystemFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
    }
}

impl ScalarUDFImpl for SystemFunction {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn signature(&self) -> &Signature {
        static STABLE: LazyLock<Signature> =
            LazyLock::new(|| Signature::user_defined(Volatility::Stable));
        static VOLATILE: LazyLock<Signature> =
            LazyLock::new(|| Signature::user_defined(Volatility::Volatile));
        // What does something is called when the statement runs, and not when it is planned.
        match self.spec.name {
            "pg_cancel_backend" | "set_config" => &VOLATILE,
            _ => &STABLE,
        }
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let Some(params) = self
            .spec
            .takes
            .iter()
            .find(|params| params.len() == given.len())
        else {
            let message = format!(
                "function {} does not take {} arguments",
                self.spec.name,
                given.len()
            );
            return Err(external(SqlError::new(
                SqlState::UNDEFINED_FUNCTION,
                message,
            )));
        };
        Ok(params
            .iter()
            .zip(given)
            .map(|(param, given)| param.arrow(given))
            .collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.spec.returns.ty().arrow())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.spec.returns.ty().field(self.spec.name, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args
            .args
            .iter()
            .map(|arg| Column::new(&arg.clone().into_array(rows)?));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut out = ColumnBuilder::new(&self.spec.returns.ty(), rows, &FormatSettings::default());
        for row in 0..rows {
            let args: Option<Vec<Arg<'_>>> =
                columns.iter().map(|column| column.value(row)).collect();
            let cell = match args {
                Some(args) => (self.spec.row)(&self.context, &args).map_err(external)?,
                None => Cell(None),
            };
            match cell.0 {
                Some(text) => out.append_text(text.as_bytes()).map_err(external)?,
                None => out.append_null(),
            }
        }
        let out = out.finish();
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl Param {
    fn arrow(self, given: &DataType) -> DataType {
        match self {
            Param::Bool => DataType::Boolean,
            Param::Int => DataType::Int64,
            Param::Oid => DataType::UInt32,
            Param::Text => DataType::Utf8,
            Param::Named if given.is_integer() => DataType::UInt32,
            Param::Named => DataType::Utf8,
        }
    }
}

impl Returns {
    fn ty(self) -> PgType {
        match self {
            Returns::Bool => PgType::Bool,
            Returns::Int4 => PgType::Int4,
            Returns::Int8 => PgType::Int8,
            Returns::Oid => PgType::Oid,
            Returns::Text => PgType::Text,
            Returns::Name => PgType::Name,
            Returns::Names => PgType::Array(Box::new(PgType::Name)),
        }
    }
}

/// The values of an argument.
enum Column {
    Bool(BooleanArray),
    Int(Int64Array),
    Oid(UInt32Array),
    Text(StringArray),
}

impl Column {
    fn new(array: &ArrayRef) -> Result<Column> {
        let wanted = match array.data_type() {
            DataType::Boolean => DataType::Boolean,
            DataType::UInt32 => DataType::UInt32,
            ty if ty.is_integer() => DataType::Int64,
            _ => DataType::Utf8,
        };
        let array = cast(array, &wanted)?.to_data();
        Ok(match wanted {
            DataType::Boolean => Column::Bool(array.into()),
            DataType::UInt32 => Column::Oid(array.into()),
            DataType::Int64 => Column::Int(array.into()),
            _ => Column::Text(array.into()),
        })
    }

    fn value(&self, row: usize) -> Option<Arg<'_>> {
        match self {
            Column::Bool(array) => array.is_valid(row).then(|| Arg::Bool(array.value(row))),
            Column::Int(array) => array.is_valid(row).then(|| Arg::Int(array.value(row))),
            Column::Oid(array) => array.is_valid(row).then(|| Arg::Oid(array.value(row))),
            Column::Text(array) => array.is_valid(row).then(|| Arg::Text(array.value(row))),
        }
    }
}

impl<'a> Arg<'a> {
    /// The text of an argument that is one.
    fn text(self) -> &'a str {
        match self {
            Arg::Text(text) => text,
            _ => "",
        }
    }

    fn int(self) -> i64 {
        match self {
            Arg::Int(int) => int,
            Arg::Oid(oid) => oid.into(),
            _ => 0,
        }
    }

    fn bool(self) -> bool {
        matches!(self, Arg::Bool(true))
    }

    /// The oid of an argument that is one, also as text; 0 is none.
    fn oid(self) -> u32 {
        match self {
            Arg::Oid(oid) => oid,
            Arg::Int(int) => int.try_into().unwrap_or(0),
            Arg::Text(text) => text.trim().parse().unwrap_or(0),
            Arg::Bool(_) => 0,
        }
    }
}
