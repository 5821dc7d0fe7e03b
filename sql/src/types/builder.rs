//! [`ColumnBuilder`]: client bytes in, one Arrow array out. The hot path of COPY.
//!
//! Fixed-width values go into plain vectors, texts into one buffer with offsets: no allocation per
//! value. A failed append leaves the column as it was.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    ListArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::array::{BooleanBufferBuilder, NullBufferBuilder};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano};

use super::datetime_in::TimestampReader;
use super::{FormatSettings, PgType, binary_in, mapping, text_in};
use crate::error::{Result, SqlError, SqlState};

/// Builds one column from values in text or binary form.
pub struct ColumnBuilder {
    pub(super) ty: PgType,
    pub(super) settings: FormatSettings,
    pub(super) values: Values,
    nulls: NullBufferBuilder,
}

/// The values so far, by the Arrow type that keeps them.
pub(super) enum Values {
    Bool(BooleanBufferBuilder),
    Int2(Vec<i16>),
    Int4(Vec<i32>),
    Int8(Vec<i64>),
    Oid(Vec<u32>),
    Float4(Vec<f32>),
    Float8(Vec<f64>),
    Numeric {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Text(VarBytes),
    Bytea(VarBytes),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp(Vec<i64>, TimestampReader),
    Timestamptz(Vec<i64>, TimestampReader),
    Interval(Vec<IntervalMonthDayNano>),
    Uuid(Vec<u8>),
    Array {
        offsets: Vec<i32>,
        items: Box<ColumnBuilder>,
    },
}

/// Values of any length, one after the other; `offsets` begins with 0 and ends where they do.
pub(super) struct VarBytes {
    pub(super) bytes: Vec<u8>,
    pub(super) offsets: Vec<i32>,
}

impl VarBytes {
    fn with_capacity(values: usize) -> VarBytes {
        let mut offsets = Vec::with_capacity(values + 1);
        offsets.push(0);
        VarBytes {
            bytes: Vec::with_capacity(values * 8),
            offsets,
        }
    }

    /// Ends a value whose bytes were appended; takes them back if the offsets cannot hold them.
    #[inline]
    pub(super) fn end_value(&mut self) -> Result<()> {
        match i32::try_from(self.bytes.len()) {
            Ok(end) => {
                self.offsets.push(end);
                Ok(())
            }
            Err(_) => {
                self.undo_value();
                Err(SqlError::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    "a batch of values is longer than 2 GiB",
                ))
            }
        }
    }

    /// Takes back the bytes of a value that was not ended.
    pub(super) fn undo_value(&mut self) {
        let end = self.offsets.last().copied().unwrap_or(0);
        self.bytes.truncate(end as usize);
    }

    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(value);
        self.end_value()
    }
}

impl ColumnBuilder {
    /// A builder of a column; `capacity` is the number of values expected.
    pub fn new(ty: &PgType, capacity: usize, settings: &FormatSettings) -> ColumnBuilder {
        let values = match ty {
            PgType::Bool => Values::Bool(BooleanBufferBuilder::new(capacity)),
            PgType::Int2 => Values::Int2(Vec::with_capacity(capacity)),
            PgType::Int4 => Values::Int4(Vec::with_capacity(capacity)),
            PgType::Int8 => Values::Int8(Vec::with_capacity(capacity)),
            PgType::Oid => Values::Oid(Vec::with_capacity(capacity)),
            PgType::Float4 => Values::Float4(Vec::with_capacity(capacity)),
            PgType::Float8 => Values::Float8(Vec::with_capacity(capacity)),
            PgType::Numeric { .. } => {
                let (precision, scale) = ty.decimal();
                let precision = precision.min(mapping::BARE_NUMERIC.0);
                Values::Numeric {
                    values: Vec::with_capacity(capacity),
                    precision,
                    scale,
                }
            }
            PgType::Text
            | PgType::Varchar(_)
            | PgType::Char(_)
            | PgType::Name
            | PgType::Json
            | PgType::Jsonb
            | PgType::Unknown
            | PgType::Void => Values::Text(VarBytes::with_capacity(capacity)),
            PgType::Bytea | PgType::Summary(_) => Values::Bytea(VarBytes::with_capacity(capacity)),
            PgType::Date => Values::Date(Vec::with_capacity(capacity)),
            PgType::Time => Values::Time(Vec::with_capacity(capacity)),
            PgType::Timestamp => Values::Timestamp(
                Vec::with_capacity(capacity),
                TimestampReader::without_zone(),
            ),
            PgType::Timestamptz => {
                Values::Timestamptz(Vec::with_capacity(capacity), TimestampReader::with_zone())
            }
            PgType::Interval => Values::Interval(Vec::with_capacity(capacity)),
            PgType::Uuid => Values::Uuid(Vec::with_capacity(capacity * 16)),
            PgType::Array(element) => Values::Array {
                offsets: vec![0],
                items: Box::new(ColumnBuilder::new(element, capacity, settings)),
            },
        };
        ColumnBuilder {
            ty: ty.clone(),
            settings: settings.clone(),
            values,
            nulls: NullBufferBuilder::new(capacity),
        }
    }

    /// Appends a value in PostgreSQL's text syntax.
    #[inline]
    pub fn append_text(&mut self, text: &[u8]) -> Result<()> {
        text_in::append(self, text)?;
        self.nulls.append_non_null();
        Ok(())
    }

    /// Appends a value in PostgreSQL's binary form.
    pub fn append_binary(&mut self, bytes: &[u8]) -> Result<()> {
        binary_in::append(self, bytes)?;
        self.nulls.append_non_null();
        Ok(())
    }

    /// Appends NULL.
    pub fn append_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::Int2(values) => values.push(0),
            Values::Int4(values) | Values::Date(values) => values.push(0),
            Values::Int8(values)
            | Values::Time(values)
            | Values::Timestamp(values, _)
            | Values::Timestamptz(values, _) => values.push(0),
            Values::Oid(values) => values.push(0),
            Values::Float4(values) => values.push(0.0),
            Values::Float8(values) => values.push(0.0),
            Values::Numeric { values, .. } => values.push(0),
            Values::Text(values) | Values::Bytea(values) => {
                values
                    .offsets
                    .push(values.offsets.last().copied().unwrap_or(0));
            }
            Values::Interval(values) => values.push(IntervalMonthDayNano::ZERO),
            Values::Uuid(values) => values.extend_from_slice(&[0; 16]),
            Values::Array { offsets, .. } => offsets.push(offsets.last().copied().unwrap_or(0)),
        }
    }

    /// The type of the column.
    pub fn pg_type(&self) -> &PgType {
        &self.ty
    }

    /// Values so far.
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the values so far take, about.
    pub fn byte_len(&self) -> usize {
        let values = match &self.values {
            Values::Bool(values) => values.len() / 8,
            Values::Int2(values) => values.len() * 2,
            Values::Int4(values) | Values::Date(values) => values.len() * 4,
            Values::Oid(values) => values.len() * 4,
            Values::Float4(values) => values.len() * 4,
            Values::Int8(values)
            | Values::Time(values)
            | Values::Timestamp(values, _)
            | Values::Timestamptz(values, _) => values.len() * 8,
            Values::Float8(values) => values.len() * 8,
            Values::Numeric { values, .. } => values.len() * 16,
            Values::Text(values) | Values::Bytea(values) => {
                values.bytes.len() + values.offsets.len() * 4
            }
            Values::Interval(values) => values.len() * 16,
            Values::Uuid(values) => values.len(),
            Values::Array { offsets, items } => offsets.len() * 4 + items.byte_len(),
        };
        values + self.len() / 8
    }

    /// The column so far; the builder is empty again.
    pub fn finish(&mut self) -> ArrayRef {
        let next = ColumnBuilder::new(&self.ty, self.len(), &self.settings);
        let done = std::mem::replace(self, next);
        done.into_array()
    }

    fn into_array(mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        match self.values {
            Values::Bool(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int2(values) => Arc::new(Int16Array::new(values.into(), nulls)),
            Values::Int4(values) => Arc::new(Int32Array::new(values.into(), nulls)),
            Values::Int8(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Oid(values) => Arc::new(UInt32Array::new(values.into(), nulls)),
            Values::Float4(values) => Arc::new(Float32Array::new(values.into(), nulls)),
            Values::Float8(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Numeric {
                values,
                precision,
                scale,
            } => Arc::new(
                Decimal128Array::new(values.into(), nulls)
                    .with_data_type(DataType::Decimal128(precision, scale)),
            ),
            Values::Text(values) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(values.offsets));
                let bytes = Buffer::from_vec(values.bytes);
                // SAFETY: every value was checked to be UTF-8 by itself when it was appended, so
                // the buffer is valid at each offset; OffsetBuffer checked their order.
                Arc::new(unsafe { StringArray::new_unchecked(offsets, bytes, nulls) })
            }
            Values::Bytea(values) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(values.offsets));
                Arc::new(BinaryArray::new(
                    offsets,
                    Buffer::from_vec(values.bytes),
                    nulls,
                ))
            }
            Values::Date(values) => Arc::new(Date32Array::new(values.into(), nulls)),
            Values::Time(values) => Arc::new(Time64MicrosecondArray::new(values.into(), nulls)),
            Values::Timestamp(values, _) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls))
            }
            Values::Timestamptz(values, _) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Values::Interval(values) => {
                Arc::new(IntervalMonthDayNanoArray::new(values.into(), nulls))
            }
            Values::Uuid(values) => Arc::new(FixedSizeBinaryArray::new(
                16,
                Buffer::from_vec(values),
                nulls,
            )),
            Values::Array { offsets, items } => {
                let items = items.into_array();
                let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(ListArray::new(item, offsets, items, nulls))
            }
        }
    }

    /// Forgets the last values until `len` are left. For arrays that fail half way.
    pub(super) fn truncate(&mut self, len: usize) {
        self.nulls.truncate(len);
        match &mut self.values {
            Values::Bool(values) => values.truncate(len),
            Values::Int2(values) => values.truncate(len),
            Values::Int4(values) | Values::Date(values) => values.truncate(len),
            Values::Int8(values)
            | Values::Time(values)
            | Values::Timestamp(values, _)
            | Values::Timestamptz(values, _) => values.truncate(len),
            Values::Oid(values) => values.truncate(len),
            Values::Float4(values) => values.truncate(len),
            Values::Float8(values) => values.truncate(len),
            Values::Numeric { values, .. } => values.truncate(len),
            Values::Text(values) | Values::Bytea(values) => {
                values.offsets.truncate(len + 1);
                values.undo_value();
            }
            Values::Interval(values) => values.truncate(len),
            Values::Uuid(values) => values.truncate(len * 16),
            Values::Array { offsets, items } => {
                offsets.truncate(len + 1);
                items.truncate(offsets.last().copied().unwrap_or(0) as usize);
            }
        }
    }
}
