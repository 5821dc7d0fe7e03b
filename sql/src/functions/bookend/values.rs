//! One value a group, kept in the form of its type.

use std::sync::Arc;

use datafusion::arrow::array::downcast_primitive;
use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, LargeBinaryArray,
    LargeStringArray, PrimitiveArray, StringArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, not_impl_err};
use datafusion::logical_expr::EmitTo;

/// The values of all groups; NULL before they are set.
pub(super) struct Values(Box<dyn Column>);

impl Values {
    /// Whether values of a type are kept here.
    pub(super) fn supports(ty: &DataType) -> bool {
        ty.is_primitive()
            || matches!(
                ty,
                DataType::Boolean
                    | DataType::Utf8
                    | DataType::LargeUtf8
                    | DataType::Binary
                    | DataType::LargeBinary
            )
    }

    pub(super) fn new(ty: &DataType) -> Result<Self> {
        macro_rules! primitive {
            ($t:ty) => {
                Box::new(Primitive::<$t> {
                    ty: ty.clone(),
                    values: Vec::new(),
                    valid: Vec::new(),
                }) as Box<dyn Column>
            };
        }
        let column: Box<dyn Column> = downcast_primitive! {
            ty => (primitive),
            DataType::Boolean => Box::new(Booleans { values: Vec::new() }),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
                Box::new(Bytes { ty: ty.clone(), values: Vec::new(), bytes: 0, batches: Vec::new(), batch: 0 })
            }
            _ => return not_impl_err!("first and last of {ty}"),
        };
        Ok(Values(column))
    }

    /// Makes room for so many groups.
    pub(super) fn resize(&mut self, groups: usize) {
        self.0.resize(groups);
    }

    /// Sets (group, row) from a batch, in order: a later row of a group replaces an earlier one.
    pub(super) fn set(&mut self, batch: &ArrayRef, winners: &[(usize, usize)]) -> Result<()> {
        self.0.set(batch, winners);
        Ok(())
    }

    /// Takes the values of the first groups, or of all, out.
    pub(super) fn take(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(self.0.take(emit))
    }

    pub(super) fn size(&self) -> usize {
        self.0.size()
    }
}

/// One column of values. A trait because the primitive types are many.
trait Column: Send {
    fn resize(&mut self, groups: usize);
    fn set(&mut self, batch: &ArrayRef, winners: &[(usize, usize)]);
    fn take(&mut self, emit: EmitTo) -> ArrayRef;
    fn size(&self) -> usize;
}

struct Primitive<T: ArrowPrimitiveType> {
    ty: DataType,
    values: Vec<T::Native>,
    valid: Vec<bool>,
}

impl<T: ArrowPrimitiveType> Column for Primitive<T> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, T::default_value());
        self.valid.resize(groups, false);
    }

    fn set(&mut self, batch: &ArrayRef, winners: &[(usize, usize)]) {
        let batch = batch.as_primitive::<T>();
        for &(group, row) in winners {
            self.values[group] = batch.value(row);
            self.valid[group] = batch.is_valid(row);
        }
    }

    fn take(&mut self, emit: EmitTo) -> ArrayRef {
        let values = emit.take_needed(&mut self.values);
        let valid = emit.take_needed(&mut self.valid);
        let array = PrimitiveArray::<T>::new(values.into(), Some(NullBuffer::from(valid)));
        Arc::new(array.with_data_type(self.ty.clone()))
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.valid.capacity()
    }
}

struct Booleans {
    values: Vec<Option<bool>>,
}

impl Column for Booleans {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn set(&mut self, batch: &ArrayRef, winners: &[(usize, usize)]) {
        let batch = batch.as_boolean();
        for &(group, row) in winners {
            self.values[group] = batch.is_valid(row).then(|| batch.value(row));
        }
    }

    fn take(&mut self, emit: EmitTo) -> ArrayRef {
        Arc::new(BooleanArray::from(emit.take_needed(&mut self.values)))
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<bool>>()
    }
}

struct Bytes {
    ty: DataType,
    values: Vec<Option<Box<[u8]>>>,
    /// Bytes on the heap.
    bytes: usize,
    /// The batch that last set each group.
    batches: Vec<u32>,
    /// The current batch.
    batch: u32,
}

impl Column for Bytes {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
        self.batches.resize(groups, self.batch);
    }

    fn set(&mut self, batch: &ArrayRef, winners: &[(usize, usize)]) {
        // Only the last row of a group counts: from the end, the others need not be copied.
        self.batch = self.batch.wrapping_add(1);
        macro_rules! each {
            ($array:expr) => {{
                let array = $array;
                for &(group, row) in winners.iter().rev() {
                    if std::mem::replace(&mut self.batches[group], self.batch) == self.batch {
                        continue;
                    }
                    let value: Option<&[u8]> =
                        array.is_valid(row).then(|| array.value(row).as_ref());
                    let slot = &mut self.values[group];
                    self.bytes -= slot.as_ref().map_or(0, |old| old.len());
                    self.bytes += value.map_or(0, <[u8]>::len);
                    *slot = value.map(Box::from);
                }
            }};
        }
        match batch.data_type() {
            DataType::Utf8 => each!(batch.as_string::<i32>()),
            DataType::LargeUtf8 => each!(batch.as_string::<i64>()),
            DataType::Binary => each!(batch.as_binary::<i32>()),
            _ => each!(batch.as_binary::<i64>()),
        }
    }

    fn take(&mut self, emit: EmitTo) -> ArrayRef {
        let values = emit.take_needed(&mut self.values);
        emit.take_needed(&mut self.batches);
        self.bytes -= values
            .iter()
            .flatten()
            .map(|value| value.len())
            .sum::<usize>();
        let bytes = values.iter().map(|value| value.as_deref());
        // Text went in as text.
        let text = |value: Option<&'_ [u8]>| value.map(|v| String::from_utf8_lossy(v).into_owned());
        match self.ty {
            DataType::Utf8 => Arc::new(bytes.map(text).collect::<StringArray>()),
            DataType::LargeUtf8 => Arc::new(bytes.map(text).collect::<LargeStringArray>()),
            DataType::Binary => Arc::new(bytes.collect::<BinaryArray>()),
            _ => Arc::new(bytes.collect::<LargeBinaryArray>()),
        }
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<Box<[u8]>>>()
            + self.batches.capacity() * 4
            + self.bytes
    }
}
