//! The arguments of `time_bucket`: which types go together, and one row of them.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::bucket::{Bucketer, DAY_US, Width};
use crate::error::{SqlError, SqlState};
use crate::functions::{fault, timezone};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
    )
}

fn no_such_function(types: &[DataType]) -> DataFusionError {
    let types: Vec<String> = types
        .iter()
        .map(|ty| crate::types::PgType::of_arrow(ty).name())
        .collect();
    fault(
        SqlState::UNDEFINED_FUNCTION,
        format!("function time_bucket({}) does not exist", types.join(", ")),
    )
}

/// The types that a call is evaluated with.
pub(super) fn coerce(types: &[DataType]) -> Result<Vec<DataType>> {
    let (Some(width), Some(value)) = (types.first(), types.get(1)) else {
        return Err(no_such_function(types));
    };
    if value.is_integer() {
        return coerce_numbers(types);
    }
    let value = match value {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        // Text is taken for an instant, as PostgreSQL resolves it.
        DataType::Null => timezone::utc(),
        ty if is_text(ty) => timezone::utc(),
        _ => return Err(no_such_function(types)),
    };
    if !(matches!(width, DataType::Interval(_) | DataType::Null) || is_text(width)) {
        return Err(no_such_function(types));
    }
    let has_zone = matches!(&value, DataType::Timestamp(_, Some(_)));
    let mut out = vec![INTERVAL, value.clone()];
    match &types[2..] {
        [] => {}
        [DataType::Interval(_)] => out.push(INTERVAL),
        [DataType::Timestamp(..) | DataType::Date32 | DataType::Date64] => out.push(value),
        [zone] if has_zone && (is_text(zone) || *zone == DataType::Null) => {
            out.push(DataType::Utf8)
        }
        [text] if is_text(text) => {
            let error = SqlError::new(SqlState::AMBIGUOUS_FUNCTION, "function time_bucket is not unique")
                .with_hint("Could not choose a best candidate function. You might need to add explicit type casts.");
            return Err(DataFusionError::External(Box::new(error)));
        }
        [DataType::Null] => out.push(value),
        [zone, rest @ ..]
            if has_zone && rest.len() <= 2 && (is_text(zone) || *zone == DataType::Null) =>
        {
            out.push(DataType::Utf8);
            out.push(value);
            if rest.len() == 2 {
                out.push(INTERVAL);
            }
        }
        _ => return Err(no_such_function(types)),
    }
    Ok(out)
}

/// Numbers take the type of the value: a constant beside a column is no wider than the column.
fn coerce_numbers(types: &[DataType]) -> Result<Vec<DataType>> {
    let value = match types[1] {
        DataType::Int16 => DataType::Int16,
        DataType::Int32 => DataType::Int32,
        _ => DataType::Int64,
    };
    if types.len() > 3
        || !types
            .iter()
            .all(|ty| ty.is_integer() || *ty == DataType::Null)
    {
        return Err(no_such_function(types));
    }
    Ok(vec![value; types.len()])
}

/// The arguments beside the value, as columns of one length.
pub(super) struct Arguments {
    columns: Vec<ArrayRef>,
}

impl Arguments {
    /// Scalars become columns of `rows` rows; the value itself, argument 1, is left out.
    pub(super) fn new(args: &[ColumnarValue], rows: usize) -> Result<Self> {
        let others = args.iter().enumerate().filter(|(index, _)| *index != 1);
        let columns = others.map(|(_, arg)| match arg {
            ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(rows),
            ColumnarValue::Array(array) => Ok(array.clone()),
        });
        Ok(Arguments {
            columns: columns.collect::<Result<_>>()?,
        })
    }

    /// What a row does to its time; none if that is NULL. An origin or offset that is NULL is one
    /// that was not given, but only in the form with a zone: the others are strict.
    pub(super) fn bucketer(&self, row: usize, is_date: bool) -> Result<Option<Bucketer>> {
        let width = self.columns[0].as_primitive::<IntervalMonthDayNanoType>();
        if width.is_null(row) {
            return Ok(None);
        }
        let mut bucketer = Bucketer::new(Width::of(width.value(row))?);
        if is_date {
            bucketer.check_days()?;
        }
        let Some(third) = self.columns.get(1) else {
            return Ok(Some(bucketer));
        };
        if third.is_null(row) {
            return Ok(None);
        }
        if third.data_type() != &DataType::Utf8 {
            set(&mut bucketer, third, row);
            return Ok(Some(bucketer));
        }
        let zone = timezone::zone(third.as_string::<i32>().value(row))?;
        for column in self.columns[2..]
            .iter()
            .filter(|column| column.is_valid(row))
        {
            set(&mut bucketer, column, row);
        }
        bucketer.origin = bucketer.origin.map(|origin| timezone::local(&zone, origin));
        bucketer.zone = Some(zone);
        Ok(Some(bucketer))
    }
}

/// An origin or an offset, which their types tell apart.
fn set(bucketer: &mut Bucketer, column: &ArrayRef, row: usize) {
    match column.data_type() {
        DataType::Interval(_) => {
            bucketer.offset = Some(column.as_primitive::<IntervalMonthDayNanoType>().value(row));
        }
        DataType::Date32 => {
            bucketer.origin =
                Some(i64::from(column.as_primitive::<Date32Type>().value(row)) * DAY_US);
        }
        _ => bucketer.origin = Some(column.as_primitive::<TimestampMicrosecondType>().value(row)),
    }
}
