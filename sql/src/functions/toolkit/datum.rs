//! Values of any type, as sketches keep them.
//!
//! ```text
//! | tag u8 | value |
//!   0 boolean u8   1 integer, folded   2 double f64   3 text, length and UTF-8
//!   4 bytes, length and bytes   5 time, microseconds folded   6 date, days folded
//!   7 decimal i128 and scale u8, without zeros at the end
//! ```
//!
//! Equal values of one column have equal bytes: -0 is 0, and there is one NaN.

use std::cmp::Ordering;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};

use super::bytes::{Reader, Writer};
use crate::error::{SqlError, SqlState};
use crate::functions::fault;
use crate::types::PgType;

/// The tag of text.
const TEXT: u8 = 3;

/// A value that is not NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Datum {
    Bool(bool),
    Int(i64),
    Float(Float),
    Text(String),
    Bytes(Vec<u8>),
    Time(i64),
    Date(i32),
    Decimal(i128, i8),
}

/// A double that compares as PostgreSQL's do: NaN is the greatest, and equal to itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Float(pub(super) f64);

impl Float {
    fn bits(self) -> u64 {
        match self.0 {
            value if value.is_nan() => f64::NAN.to_bits(),
            0.0 => 0,
            value => value.to_bits(),
        }
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Float {}

impl std::hash::Hash for Float {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Float {
    fn cmp(&self, other: &Self) -> Ordering {
        f64::from_bits(self.bits()).total_cmp(&f64::from_bits(other.bits()))
    }
}

/// A column of values: the usual types without a detour.
#[derive(Debug)]
pub(super) enum Values<'a> {
    Ints(&'a Int64Array),
    Floats(&'a Float64Array),
    Texts(&'a StringArray),
    Others(&'a ArrayRef),
}

impl<'a> Values<'a> {
    pub(super) fn of(column: &'a ArrayRef) -> Self {
        match column.data_type() {
            DataType::Int64 => Values::Ints(column.as_primitive()),
            DataType::Float64 => Values::Floats(column.as_primitive()),
            DataType::Utf8 => Values::Texts(column.as_string()),
            _ => Values::Others(column),
        }
    }

    /// The value of a row; `None` for NULL.
    ///
    /// # Errors
    /// 0A000 for types that are not kept.
    pub(super) fn at(&self, row: usize) -> Result<Option<Datum>> {
        let is_valid = |column: &dyn Array| column.is_valid(row);
        Ok(match self {
            Values::Ints(column) => is_valid(column).then(|| Datum::Int(column.value(row))),
            Values::Floats(column) => {
                is_valid(column).then(|| Datum::Float(Float(column.value(row))))
            }
            Values::Texts(column) => {
                is_valid(column).then(|| Datum::Text(column.value(row).to_owned()))
            }
            Values::Others(column) => Datum::of(ScalarValue::try_from_array(column, row)?)?,
        })
    }

    /// Writes the value of a row as [`Datum::write`] does; whether it is not NULL.
    ///
    /// # Errors
    /// Those of [`Values::at`].
    pub(super) fn write(&self, row: usize, out: &mut Writer) -> Result<bool> {
        match self {
            Values::Texts(column) if column.is_valid(row) => {
                out.u8(TEXT);
                out.bytes(column.value(row).as_bytes());
                Ok(true)
            }
            _ => {
                let value = self.at(row)?;
                if let Some(value) = &value {
                    value.write(out);
                }
                Ok(value.is_some())
            }
        }
    }

    /// Puts the value of a row into `into`, in the memory that is there; whether it is not NULL.
    ///
    /// # Errors
    /// Those of [`Values::at`].
    pub(super) fn read(&self, row: usize, into: &mut Datum) -> Result<bool> {
        if let (Values::Texts(column), Datum::Text(text)) = (self, &mut *into) {
            text.clear();
            text.push_str(column.value(row));
            return Ok(column.is_valid(row));
        }
        let value = self.at(row)?;
        let is_there = value.is_some();
        if let Some(value) = value {
            *into = value;
        }
        Ok(is_there)
    }
}

impl Datum {
    /// A constant; `None` for NULL.
    ///
    /// # Errors
    /// 0A000 for types that are not kept.
    pub(super) fn of(value: ScalarValue) -> Result<Option<Datum>> {
        use ScalarValue::*;
        if value.is_null() {
            return Ok(None);
        }
        Ok(match value {
            Boolean(value) => value.map(Datum::Bool),
            Int8(value) => value.map(|value| Datum::Int(value.into())),
            Int16(value) => value.map(|value| Datum::Int(value.into())),
            Int32(value) => value.map(|value| Datum::Int(value.into())),
            Int64(value) => value.map(Datum::Int),
            UInt32(value) => value.map(|value| Datum::Int(value.into())),
            Float32(value) => value.map(|value| Datum::Float(Float(value.into()))),
            Float64(value) => value.map(|value| Datum::Float(Float(value))),
            Utf8(value) | Utf8View(value) | LargeUtf8(value) => value.map(Datum::Text),
            Binary(value) | BinaryView(value) | LargeBinary(value) | FixedSizeBinary(_, value) => {
                value.map(Datum::Bytes)
            }
            TimestampMicrosecond(value, _) => value.map(Datum::Time),
            Date32(value) => value.map(Datum::Date),
            Decimal128(value, _, scale) => value.map(|value| decimal(value, scale)),
            other => {
                let name = PgType::of_arrow(&other.data_type()).name();
                let error = SqlError::unsupported(format!("a summary of values of type {name}"));
                return Err(datafusion::error::DataFusionError::External(Box::new(
                    error,
                )));
            }
        })
    }

    /// The value as one of a type.
    ///
    /// # Errors
    /// 42804 when it is of another.
    pub(super) fn into_scalar(self, ty: &DataType) -> Result<ScalarValue> {
        let mismatch = || fault(SqlState::DATATYPE_MISMATCH, "mismatched types");
        Ok(match (self, ty) {
            (Datum::Bool(value), DataType::Boolean) => ScalarValue::Boolean(Some(value)),
            (Datum::Int(value), DataType::Int16) => {
                ScalarValue::Int16(Some(value.try_into().map_err(|_| mismatch())?))
            }
            (Datum::Int(value), DataType::Int32) => {
                ScalarValue::Int32(Some(value.try_into().map_err(|_| mismatch())?))
            }
            (Datum::Int(value), DataType::Int64) => ScalarValue::Int64(Some(value)),
            (Datum::Int(value), DataType::UInt32) => {
                ScalarValue::UInt32(Some(value.try_into().map_err(|_| mismatch())?))
            }
            (Datum::Float(value), DataType::Float32) => ScalarValue::Float32(Some(value.0 as f32)),
            (Datum::Float(value), DataType::Float64) => ScalarValue::Float64(Some(value.0)),
            (Datum::Text(value), DataType::Utf8) => ScalarValue::Utf8(Some(value)),
            (Datum::Bytes(value), DataType::Binary) => ScalarValue::Binary(Some(value)),
            (Datum::Bytes(value), DataType::FixedSizeBinary(length))
                if usize::try_from(*length) == Ok(value.len()) =>
            {
                ScalarValue::FixedSizeBinary(*length, Some(value))
            }
            (Datum::Time(value), DataType::Timestamp(_, zone)) => {
                ScalarValue::TimestampMicrosecond(Some(value), zone.clone())
            }
            (Datum::Date(value), DataType::Date32) => ScalarValue::Date32(Some(value)),
            (Datum::Decimal(value, from), DataType::Decimal128(precision, scale)) => {
                let digits = u32::try_from(scale.checked_sub(from).ok_or_else(mismatch)?);
                let factor = 10i128.checked_pow(digits.map_err(|_| mismatch())?);
                let value = factor.and_then(|factor| value.checked_mul(factor));
                let value = value.ok_or_else(mismatch)?;
                ScalarValue::Decimal128(Some(value), *precision, *scale)
            }
            _ => return Err(mismatch()),
        })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Datum::Bool(value) => {
                out.u8(0);
                out.u8(u8::from(*value));
            }
            Datum::Int(value) => {
                out.u8(1);
                out.signed(*value);
            }
            Datum::Float(value) => {
                out.u8(2);
                out.f64(f64::from_bits(value.bits()));
            }
            Datum::Text(value) => {
                out.u8(TEXT);
                out.bytes(value.as_bytes());
            }
            Datum::Bytes(value) => {
                out.u8(4);
                out.bytes(value);
            }
            Datum::Time(value) => {
                out.u8(5);
                out.signed(*value);
            }
            Datum::Date(value) => {
                out.u8(6);
                out.signed((*value).into());
            }
            Datum::Decimal(value, scale) => {
                out.u8(7);
                out.raw(&value.to_le_bytes());
                out.u8(*scale as u8);
            }
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Datum> {
        Some(match from.u8()? {
            0 => match from.u8()? {
                0 => Datum::Bool(false),
                1 => Datum::Bool(true),
                _ => return None,
            },
            1 => Datum::Int(from.signed()?),
            2 => Datum::Float(Float(from.f64()?)),
            TEXT => Datum::Text(std::str::from_utf8(from.bytes()?).ok()?.to_owned()),
            4 => Datum::Bytes(from.bytes()?.to_vec()),
            5 => Datum::Time(from.signed()?),
            6 => Datum::Date(from.signed()?.try_into().ok()?),
            7 => {
                let value = i128::from_le_bytes(from.take(16)?.try_into().ok()?);
                decimal(value, from.u8()? as i8)
            }
            _ => return None,
        })
    }

    /// Memory beyond the enum, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Datum::Text(value) => value.capacity(),
            Datum::Bytes(value) => value.capacity(),
            _ => 0,
        }
    }
}

/// A decimal without zeros at the end, so that equal ones are alike.
fn decimal(mut value: i128, mut scale: i8) -> Datum {
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    Datum::Decimal(value, scale)
}
