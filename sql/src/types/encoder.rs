//! [`Encoder`]: one column of a batch, ready to be written value by value.
//!
//! Whatever Arrow type an expression yields is first brought into one of the few [`Cells`], as far
//! as possible without copying; the writers then match on those. A type without a PostgreSQL
//! counterpart is printed as Arrow prints it, so every column of every result can be sent.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Date32Array,
    Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, IntervalMonthDayNanoArray, LargeBinaryArray, LargeStringArray,
    StringArray, StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date64Type, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;

use super::calendar::DAY_US;
use super::{Format, FormatSettings, PgType, binary_out, text_out};
use crate::error::{Result, SqlError, SqlState};

/// Writes the values of one column in one format.
pub struct Encoder {
    cells: Cells,
    nulls: Option<NullBuffer>,
    format: Format,
    settings: FormatSettings,
}

/// A column in one of the layouts that the writers know.
pub(super) enum Cells {
    Null,
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Oid(UInt32Array),
    Float4(Float32Array),
    Float8(Float64Array),
    /// A numeric without a declared scale prints without trailing zeros.
    Decimal {
        values: Decimal128Array,
        scale: i8,
        trim: bool,
    },
    Decimal256 {
        values: Decimal256Array,
        scale: i8,
    },
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Bytes(BinaryArray),
    LargeBytes(LargeBinaryArray),
    BytesView(BinaryViewArray),
    FixedBytes(FixedSizeBinaryArray),
    Uuid(FixedSizeBinaryArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    Timestamptz(TimestampMicrosecondArray),
    Interval(IntervalMonthDayNanoArray),
    /// Text padded with blanks to a number of characters.
    Padded {
        text: Box<Cells>,
        width: usize,
    },
    /// Text with a version byte in front of its binary form.
    Jsonb(Box<Cells>),
    List {
        offsets: OffsetBuffer<i64>,
        items: Box<Encoder>,
        element: PgType,
    },
    /// What has no PostgreSQL type, as Arrow prints it.
    Displayed(ArrayRef),
}

impl Encoder {
    /// An encoder of a column. The type is the field's, see [`PgType::of_field`]; the array may have
    /// any Arrow type that such values come in.
    pub fn new(
        field: &Field,
        array: &ArrayRef,
        format: Format,
        settings: &FormatSettings,
    ) -> Result<Encoder> {
        Encoder::of_type(&PgType::of_field(field), array, format, settings)
    }

    fn of_type(
        ty: &PgType,
        array: &ArrayRef,
        format: Format,
        settings: &FormatSettings,
    ) -> Result<Encoder> {
        let array = plain(array)?;
        let nulls = array.logical_nulls();
        let cells = cells(ty, &array, format, settings)?;
        Ok(Encoder {
            cells,
            nulls,
            format,
            settings: settings.clone(),
        })
    }

    /// Whether a row is NULL; then there is nothing to write.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        match &self.cells {
            Cells::Null => true,
            _ => self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)),
        }
    }

    /// Whether values are lists themselves.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.cells, Cells::List { .. })
    }

    /// Appends the bytes of a row's value, without a length before or an end after them.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self.format {
            Format::Text => text_out::write(&self.cells, row, &self.settings, out),
            Format::Binary => binary_out::write(&self.cells, row, out),
        }
    }
}

/// Dictionaries and runs unfolded.
fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value),
        DataType::RunEndEncoded(_, values) => cast(array, values.data_type()),
        _ => Ok(Arc::clone(array)),
    }
}

/// An Arrow cast that fails where a value does not fit.
fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, to, &options).map_err(|fault| match fault {
        ArrowError::CastError(_) | ArrowError::ArithmeticOverflow(_) => SqlError::new(
            SqlState::NUMERIC_OUT_OF_RANGE,
            format!("{} out of range", PgType::of_arrow(to).base_name()),
        ),
        other => SqlError::internal(format!("cannot send a column as {to}: {other}")),
    })
}

fn cells(
    ty: &PgType,
    array: &ArrayRef,
    format: Format,
    settings: &FormatSettings,
) -> Result<Cells> {
    let (array, to) = (array.as_ref(), array);
    Ok(match array.data_type() {
        DataType::Null => Cells::Null,
        DataType::Boolean => Cells::Bool(array.as_boolean().clone()),
        DataType::Int16 => Cells::Int2(array.as_primitive().clone()),
        DataType::Int32 => Cells::Int4(array.as_primitive().clone()),
        DataType::Int64 => Cells::Int8(array.as_primitive().clone()),
        DataType::UInt32 => Cells::Oid(array.as_primitive().clone()),
        DataType::Int8 | DataType::UInt8 => {
            Cells::Int2(cast(to, &DataType::Int16)?.as_primitive().clone())
        }
        DataType::UInt16 => Cells::Int4(cast(to, &DataType::Int32)?.as_primitive().clone()),
        DataType::UInt64 => Cells::Int8(cast(to, &DataType::Int64)?.as_primitive().clone()),
        DataType::Float32 => Cells::Float4(array.as_primitive().clone()),
        DataType::Float64 => Cells::Float8(array.as_primitive().clone()),
        DataType::Float16 => Cells::Float4(cast(to, &DataType::Float32)?.as_primitive().clone()),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
            let values = cast(to, &DataType::Decimal128(38, *scale))?
                .as_primitive()
                .clone();
            Cells::Decimal {
                values,
                scale: *scale,
                trim: false,
            }
        }
        DataType::Decimal128(_, scale) => Cells::Decimal {
            values: array.as_primitive().clone(),
            scale: *scale,
            trim: *ty == PgType::NUMERIC,
        },
        DataType::Decimal256(_, scale) => Cells::Decimal256 {
            values: array.as_primitive().clone(),
            scale: *scale,
        },
        DataType::Utf8 => text(ty, Cells::Text(array.as_string().clone())),
        DataType::LargeUtf8 => text(ty, Cells::LargeText(array.as_string().clone())),
        DataType::Utf8View => text(ty, Cells::TextView(array.as_string_view().clone())),
        DataType::Binary => Cells::Bytes(array.as_binary().clone()),
        DataType::LargeBinary => Cells::LargeBytes(array.as_binary().clone()),
        DataType::BinaryView => Cells::BytesView(array.as_binary_view().clone()),
        DataType::FixedSizeBinary(_) if *ty == PgType::Uuid => {
            Cells::Uuid(array.as_fixed_size_binary().clone())
        }
        DataType::FixedSizeBinary(_) => Cells::FixedBytes(array.as_fixed_size_binary().clone()),
        DataType::Date32 => Cells::Date(array.as_primitive().clone()),
        DataType::Time64(TimeUnit::Microsecond) => Cells::Time(array.as_primitive().clone()),
        DataType::Time32(_) | DataType::Time64(_) => {
            let micros = cast(to, &DataType::Time64(TimeUnit::Microsecond))?;
            Cells::Time(micros.as_primitive().clone())
        }
        DataType::Timestamp(_, zone) => {
            let values = microseconds(array)?;
            match zone {
                None => Cells::Timestamp(values),
                Some(_) => Cells::Timestamptz(values),
            }
        }
        DataType::Date64 => Cells::Timestamp(microseconds(array)?),
        DataType::Duration(_) => Cells::Interval(intervals(to)?),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            Cells::Interval(array.as_primitive().clone())
        }
        DataType::Interval(_) => {
            let whole = cast(to, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            Cells::Interval(whole.as_primitive().clone())
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list
                .offsets()
                .iter()
                .map(|offset| i64::from(*offset))
                .collect();
            let offsets = OffsetBuffer::new(offsets);
            self::list(ty, offsets, list.values(), format, settings)?
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            self::list(ty, list.offsets().clone(), list.values(), format, settings)?
        }
        DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            let list = cast(to, &DataType::LargeList(Arc::clone(item)))?;
            return cells(ty, &list, format, settings);
        }
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) => {
            return cells(ty, &plain(to)?, format, settings);
        }
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => {
            Cells::Displayed(Arc::clone(to))
        }
    })
}

/// Text as its PostgreSQL type wants it.
fn text(ty: &PgType, cells: Cells) -> Cells {
    match ty {
        PgType::Char(width) if *width > 0 => Cells::Padded {
            text: Box::new(cells),
            width: *width as usize,
        },
        PgType::Jsonb => Cells::Jsonb(Box::new(cells)),
        _ => cells,
    }
}

fn list(
    ty: &PgType,
    offsets: OffsetBuffer<i64>,
    values: &ArrayRef,
    format: Format,
    settings: &FormatSettings,
) -> Result<Cells> {
    // Lists within lists are the further dimensions of one PostgreSQL array type.
    let nested = matches!(PgType::of_arrow(values.data_type()), PgType::Array(_));
    if nested && format == Format::Binary {
        return Err(SqlError::unsupported(
            "the binary format of an array of several dimensions",
        ));
    }
    let element = match ty {
        PgType::Array(element) if !nested => element.as_ref().clone(),
        _ if nested => ty.clone(),
        _ => PgType::of_arrow(values.data_type()),
    };
    let items = Encoder::of_type(&element, values, format, settings)?;
    Ok(Cells::List {
        offsets,
        items: Box::new(items),
        element,
    })
}

/// Any timestamps in microseconds; what is finer is cut, as towards the past.
fn microseconds(array: &dyn Array) -> Result<TimestampMicrosecondArray> {
    let finer = |value: i64, divisor: i64| match value {
        i64::MIN | i64::MAX => value, // -infinity and infinity
        value => value.div_euclid(divisor),
    };
    let coarser = |value: i64, factor: i64| match value {
        i64::MIN | i64::MAX => Ok(value),
        value => value
            .checked_mul(factor)
            .ok_or_else(|| SqlError::new(SqlState::DATETIME_OVERFLOW, "timestamp out of range")),
    };
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => array
            .as_primitive::<TimestampSecondType>()
            .try_unary(|value| coarser(value, 1_000_000)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => array
            .as_primitive::<TimestampMillisecondType>()
            .try_unary(|value| coarser(value, 1000)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Ok(array
            .as_primitive::<TimestampNanosecondType>()
            .unary(|value| finer(value, 1000))),
        DataType::Date64 => array
            .as_primitive::<Date64Type>()
            .try_unary(|value| coarser(value, 1000)),
        // The values of a timestamp are the same in every zone; the type is not.
        _ => Ok(array.as_primitive().clone()),
    }
}

/// Durations, which is what differences of timestamps are, with whole days apart as PostgreSQL's.
fn intervals(array: &ArrayRef) -> Result<IntervalMonthDayNanoArray> {
    let micros = cast(array, &DataType::Duration(TimeUnit::Microsecond))?;
    let micros = micros.as_primitive::<arrow::datatypes::DurationMicrosecondType>();
    micros.try_unary(|value| {
        let days = i32::try_from(value / DAY_US)
            .map_err(|_| SqlError::new(SqlState::DATETIME_OVERFLOW, "interval out of range"))?;
        Ok(IntervalMonthDayNano::new(0, days, value % DAY_US * 1000))
    })
}

/// The text of a value that has no PostgreSQL type.
pub(super) fn displayed(array: &ArrayRef, row: usize) -> String {
    array_value_to_string(array, row).unwrap_or_default()
}

impl Cells {
    /// The text of a row, for the layouts of text.
    #[inline]
    pub(super) fn text(&self, row: usize) -> Option<&str> {
        match self {
            Cells::Text(values) => Some(values.value(row)),
            Cells::LargeText(values) => Some(values.value(row)),
            Cells::TextView(values) => Some(values.value(row)),
            Cells::Padded { text, .. } | Cells::Jsonb(text) => text.text(row),
            _ => None,
        }
    }

    /// The bytes of a row, for the layouts of bytes.
    #[inline]
    pub(super) fn bytes(&self, row: usize) -> Option<&[u8]> {
        match self {
            Cells::Bytes(values) => Some(values.value(row)),
            Cells::LargeBytes(values) => Some(values.value(row)),
            Cells::BytesView(values) => Some(values.value(row)),
            Cells::FixedBytes(values) | Cells::Uuid(values) => Some(values.value(row)),
            _ => None,
        }
    }
}
