//! Types of arguments, and columns of them.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::error::DataFusionError;

use crate::error::{SqlError, SqlState};
use crate::functions::timezone;
use crate::types::PgType;

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arg {
    /// Any number, as `double precision`.
    Float,
    /// Any integer, as `bigint`.
    Int,
    /// A parameter that is a number: text is read as one, as PostgreSQL reads a bare string.
    Share,
    /// A parameter that is an integer, the same.
    Size,
    /// `timestamp with time zone`.
    Time,
    Text,
    /// Any array of numbers, as one of `double precision`.
    Floats,
    /// A value of any type.
    Any,
    /// A summary.
    Summary,
}

/// `double precision[]`
pub(super) fn floats_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))
}

fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

impl Arg {
    /// The type that an argument of this type is evaluated with, if it can be one.
    pub(super) fn coerce(self, ty: &DataType) -> Option<DataType> {
        match self {
            Arg::Float | Arg::Share if ty.is_numeric() || ty.is_null() => Some(DataType::Float64),
            Arg::Int | Arg::Size if ty.is_integer() || ty.is_null() => Some(DataType::Int64),
            Arg::Share if is_text(ty) => Some(DataType::Float64),
            Arg::Size if is_text(ty) => Some(DataType::Int64),
            Arg::Time => match ty {
                DataType::Timestamp(_, Some(zone)) => Some(DataType::Timestamp(
                    TimeUnit::Microsecond,
                    Some(zone.clone()),
                )),
                DataType::Null => Some(timezone::utc()),
                _ => None,
            },
            Arg::Text if is_text(ty) || ty.is_null() => Some(DataType::Utf8),
            Arg::Floats => match ty {
                DataType::List(item) | DataType::LargeList(item)
                    if item.data_type().is_numeric() || item.data_type().is_null() =>
                {
                    Some(floats_type())
                }
                DataType::Null => Some(floats_type()),
                ty if is_text(ty) => Some(floats_type()),
                _ => None,
            },
            Arg::Any => match ty {
                // A group keeps one value, not a buffer of views.
                DataType::Utf8View | DataType::LargeUtf8 => Some(DataType::Utf8),
                DataType::BinaryView | DataType::LargeBinary => Some(DataType::Binary),
                DataType::Null => Some(DataType::Utf8),
                other => Some(other.clone()),
            },
            Arg::Summary => match ty {
                DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::Null => Some(DataType::Binary),
                _ => None,
            },
            Arg::Float | Arg::Int | Arg::Share | Arg::Size | Arg::Text => None,
        }
    }
}

/// The types that a call is evaluated with, if its arguments can be these.
pub(super) fn coerce(takes: &[Arg], types: &[DataType]) -> Option<Vec<DataType>> {
    if takes.len() != types.len() {
        return None;
    }
    let pairs = takes.iter().zip(types);
    pairs.map(|(arg, ty)| arg.coerce(ty)).collect()
}

/// What a call says of which there is no such function.
pub(super) fn no_such_function<'a>(
    name: &str,
    types: impl Iterator<Item = &'a Field>,
) -> DataFusionError {
    let types: Vec<String> = types.map(|field| PgType::of_field(field).name()).collect();
    let message = format!("function {name}({}) does not exist", types.join(", "));
    let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(
        "No function matches the given name and argument types. You might need to add explicit type casts.",
    );
    DataFusionError::External(Box::new(error))
}

/// The same where only the Arrow types are known.
pub(super) fn no_such_call(name: &str, types: &[DataType]) -> DataFusionError {
    let fields: Vec<Field> = types
        .iter()
        .map(|ty| Field::new("", ty.clone(), true))
        .collect();
    no_such_function(name, fields.iter())
}

pub(super) fn floats(columns: &[ArrayRef], at: usize) -> Result<&Float64Array> {
    let column = columns.get(at);
    column
        .and_then(|column| column.as_primitive_opt::<Float64Type>())
        .ok_or_else(|| internal_datafusion_err!("argument {at} is no double precision"))
}

pub(super) fn ints(columns: &[ArrayRef], at: usize) -> Result<&Int64Array> {
    let column = columns.get(at);
    column
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .ok_or_else(|| internal_datafusion_err!("argument {at} is no bigint"))
}

/// Microseconds since 1970.
pub(super) fn times(columns: &[ArrayRef], at: usize) -> Result<&TimestampMicrosecondArray> {
    let column = columns.get(at);
    column
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| internal_datafusion_err!("argument {at} is no timestamptz"))
}

pub(super) fn texts(columns: &[ArrayRef], at: usize) -> Result<&StringArray> {
    let column = columns.get(at);
    column
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(|| internal_datafusion_err!("argument {at} is no text"))
}

/// Rows in which all of these arguments are there.
pub(super) fn complete_rows(
    columns: &[ArrayRef],
    wanted: &[usize],
) -> impl Iterator<Item = usize> + use<> {
    let rows = columns.first().map_or(0, |column| column.len());
    let nulls = NullBuffer::union_many(wanted.iter().map(|&at| columns[at].nulls()));
    (0..rows).filter(move |&row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)))
}
