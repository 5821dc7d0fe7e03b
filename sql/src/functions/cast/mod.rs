//! Casts as PostgreSQL makes them, where Arrow's differ: numbers are rounded and not cut, text is
//! written and read as a client would, and times pass through the session's zone.
//!
//! [`Convert`] is the cast as a function, which the planner puts in the place of DataFusion's;
//! [`convert`] is the same for values that are assigned to a column.

mod numbers;
mod times;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, StringBuilder};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

pub(crate) use numbers::{float_overflow, float_underflow, out_of_range};

use super::columns::evaluate;
use crate::error::Result;
use crate::plan::errors::from_datafusion;
use crate::types::{ColumnBuilder, Encoder, Format, FormatSettings, PgType};

/// What casts tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Int,
    Float,
    Decimal,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Duration,
    Uuid,
    Bytea,
    List,
    Other,
}

fn kind(ty: &DataType) -> Kind {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Boolean => Kind::Bool,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => Kind::Int,
        DataType::Float32 | DataType::Float64 => Kind::Float,
        DataType::Decimal128(..) | DataType::Decimal256(..) => Kind::Decimal,
        DataType::Date32 => Kind::Date,
        DataType::Time64(TimeUnit::Microsecond) => Kind::Time,
        DataType::Timestamp(TimeUnit::Microsecond, None) => Kind::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Kind::Timestamptz,
        DataType::Interval(IntervalUnit::MonthDayNano) => Kind::Interval,
        DataType::Duration(TimeUnit::Microsecond) => Kind::Duration,
        DataType::FixedSizeBinary(16) => Kind::Uuid,
        DataType::Binary => Kind::Bytea,
        DataType::List(_) => Kind::List,
        _ => Kind::Other,
    }
}

/// Whether PostgreSQL's cast is another than Arrow's.
pub(crate) fn differs(from: &DataType, to: &DataType) -> bool {
    use Kind::*;
    if from == to {
        return false;
    }
    match (kind(from), kind(to)) {
        (Text | Other, Text) | (Text, Other) | (Other, _) => false,
        // Of these Arrow's spelling is PostgreSQL's.
        (Bool | Int, Text) => false,
        (_, Text) => true,
        (Text, _) => true,
        (Float | Decimal, Int) | (Float, Decimal) | (Decimal, Float) => true,
        (Float, Float) => *to == DataType::Float32,
        (Date, Timestamp | Timestamptz) | (Timestamp | Timestamptz, Date | Time) => true,
        (Timestamp, Timestamptz) | (Timestamptz, Timestamp) => true,
        (Time, Interval) | (Interval, Time) | (Duration, Interval) => true,
        (List, List) => match (from, to) {
            (DataType::List(from), DataType::List(to)) => differs(from.data_type(), to.data_type()),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a cast keeps the text and checks that it is JSON.
pub(crate) fn is_checked_text(from: &DataType, to: &Field) -> bool {
    kind(from) == Kind::Text && matches!(PgType::of_field(to), PgType::Json | PgType::Jsonb)
}

/// The values of one field as those of another: a cast, or an assignment to a column.
pub(crate) fn convert(
    values: &ArrayRef,
    from: &Field,
    to: &Field,
    settings: &FormatSettings,
) -> Result<ArrayRef> {
    use Kind::*;
    let (source, target) = (values.data_type(), to.data_type());
    if is_checked_text(source, to) {
        return read(values, &PgType::of_field(to), settings);
    }
    if source == target {
        return Ok(values.clone());
    }
    if !differs(source, target) {
        return arrow_cast(values, target);
    }
    let zone = &settings.time_zone;
    let converted = match (kind(source), kind(target)) {
        // A uuid may come without its name in the metadata; no other type has sixteen bytes.
        (Text, Uuid) => read(values, &PgType::Uuid, settings)?,
        (Text, _) => read(values, &PgType::of_field(to), settings)?,
        (_, Text) => written(values, from, settings)?,
        (Float, Int) => numbers::float_to_int(values, target)?,
        (Decimal, Int) => numbers::decimal_to_int(values, target)?,
        (Float, Decimal) => numbers::float_to_decimal(values, &PgType::of_field(to), settings)?,
        (Decimal, Float) => numbers::decimal_to_float(values, target)?,
        (Float, Float) => numbers::narrowed(values)?,
        (Date, Timestamp) => times::date_to_timestamp(values, None)?,
        (Date, Timestamptz) => times::date_to_timestamp(values, Some(zone))?,
        (Timestamp, Date) => times::timestamp_to_date(values, None),
        (Timestamptz, Date) => times::timestamp_to_date(values, Some(zone)),
        (Timestamp, Time) => times::timestamp_to_time(values, None),
        (Timestamptz, Time) => times::timestamp_to_time(values, Some(zone)),
        (Timestamp, Timestamptz) => times::to_instant(values, zone),
        (Timestamptz, Timestamp) => times::to_local(values, zone),
        (Time, Interval) => times::time_to_interval(values),
        (Interval, Time) => times::interval_to_time(values),
        (Duration, Interval) => times::duration_to_interval(values)?,
        (List, List) => list(values, to, settings)?,
        _ => values.clone(),
    };
    // The zone of a timestamptz is part of its type and nothing of its value.
    if converted.data_type() == target {
        Ok(converted)
    } else {
        arrow_cast(&converted, target)
    }
}

fn arrow_cast(values: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        format_options: FormatOptions::default(),
    };
    cast_with_options(values, target, &options)
        .map_err(|error| from_datafusion(DataFusionError::from(error), ""))
}

/// Text read as values of a type.
fn read(values: &ArrayRef, ty: &PgType, settings: &FormatSettings) -> Result<ArrayRef> {
    let texts = arrow_cast(values, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let mut builder = ColumnBuilder::new(ty, texts.len(), settings);
    for text in texts {
        match text {
            Some(text) => builder.append_text(text.as_bytes())?,
            None => builder.append_null(),
        }
    }
    Ok(builder.finish())
}

/// Values written as a client would see them.
fn written(values: &ArrayRef, from: &Field, settings: &FormatSettings) -> Result<ArrayRef> {
    let from = from.clone().with_data_type(values.data_type().clone());
    let encoder = Encoder::new(&from, values, Format::Text, settings)?;
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * 8);
    let mut text = Vec::new();
    for row in 0..values.len() {
        if encoder.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        encoder.write(row, &mut text);
        out.append_value(String::from_utf8_lossy(&text));
    }
    Ok(Arc::new(out.finish()))
}

/// The elements of arrays.
fn list(values: &ArrayRef, to: &Field, settings: &FormatSettings) -> Result<ArrayRef> {
    let lists = values.as_list::<i32>();
    let (DataType::List(from), DataType::List(to)) = (lists.data_type(), to.data_type()) else {
        return Ok(values.clone());
    };
    let items = convert(lists.values(), from, to, settings)?;
    let lists = ListArray::try_new(
        to.clone(),
        lists.offsets().clone(),
        items,
        lists.nulls().cloned(),
    );
    lists
        .map(|lists| Arc::new(lists) as ArrayRef)
        .map_err(|error| from_datafusion(DataFusionError::from(error), ""))
}

/// A cast as a function.
#[derive(Debug)]
pub(crate) struct Convert {
    name: String,
    to: FieldRef,
    settings: FormatSettings,
    signature: Signature,
}

impl Convert {
    /// The cast to a field's type under a session's settings.
    pub(crate) fn new(to: FieldRef, settings: FormatSettings) -> Self {
        Convert {
            name: PgType::of_field(&to).name(),
            to,
            settings,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl PartialEq for Convert {
    fn eq(&self, other: &Self) -> bool {
        self.to == other.to && self.settings == other.settings
    }
}

impl Eq for Convert {}

impl Hash for Convert {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to.data_type().hash(state);
    }
}

impl ScalarUDFImpl for Convert {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.to.data_type().clone())
    }

    fn return_field_from_args(
        &self,
        args: ReturnFieldArgs,
    ) -> datafusion::common::Result<FieldRef> {
        // A time of day of an infinite timestamp is NULL.
        let may_be_null = args.arg_fields.iter().any(|field| field.is_nullable())
            || matches!(self.to.data_type(), DataType::Time64(_));
        let field = self.to.as_ref().clone();
        Ok(Arc::new(
            field.with_name(&self.name).with_nullable(may_be_null),
        ))
    }

    fn invoke_with_args(
        &self,
        args: ScalarFunctionArgs,
    ) -> datafusion::common::Result<ColumnarValue> {
        evaluate(&args, |columns, _| {
            convert(&columns[0], &args.arg_fields[0], &self.to, &self.settings)
                .map_err(|error| DataFusionError::External(Box::new(error)))
        })
    }

    /// `ts::date = '2024-01-01'` is a range of `ts`, by which chunks and segments can be skipped.
    fn preimage(
        &self,
        args: &[Expr],
        bound: &Expr,
        context: &SimplifyContext,
    ) -> datafusion::common::Result<PreimageResult> {
        let ([time], Some(ScalarValue::Date32(Some(day)))) = (args, bound.as_literal()) else {
            return Ok(PreimageResult::None);
        };
        let zone = match context.get_data_type(time)? {
            DataType::Timestamp(TimeUnit::Microsecond, zone) => zone,
            _ => return Ok(PreimageResult::None),
        };
        let at = |day: i32| {
            let us = times::midnight(day, zone.as_ref().map(|_| &self.settings.time_zone))?;
            Some(ScalarValue::TimestampMicrosecond(Some(us), zone.clone()))
        };
        let range = at(*day).zip(day.checked_add(1).and_then(at));
        let Some((start, end)) = range.filter(|_| !matches!(*day, i32::MIN | i32::MAX)) else {
            return Ok(PreimageResult::None);
        };
        Ok(PreimageResult::Range {
            expr: time.clone(),
            interval: Box::new(Interval::try_new(start, end)?),
        })
    }
}
