//! A text or binary array being decoded: offsets and bytes. A null row gets no bytes.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;

use super::cursor::{Cursor, Damage};
use super::ints::Ints;

/// Values of up to this many bytes are copied without a look at their length.
const SHORT: usize = 16;

/// An array on its way.
pub(super) struct Output<'a> {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    nulls: Option<&'a NullBuffer>,
    at: Cursor<'a>,
}

impl<'a> Output<'a> {
    /// An array of `rows` rows with these nulls, decoded from what begins `at`.
    pub(super) fn new(rows: usize, nulls: Option<&'a NullBuffer>, at: Cursor<'a>) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Output {
            offsets,
            bytes: Vec::new(),
            nulls,
            at,
        }
    }

    /// Appends `values[code]` for the codes of `ranges`.
    pub(super) fn append_coded(
        &mut self,
        values: &[&[u8]],
        codes: &Ints<'_>,
        ranges: &[Range<usize>],
    ) -> Result<(), Damage> {
        // For the few rows of one merchant, padding every entry would cost more than it saves.
        let many = super::count(ranges) >= values.len();
        let short = many && values.iter().all(|value| value.len() <= SHORT);
        let padded: Vec<([u8; SHORT], usize)> = match short {
            true => values.iter().map(|value| pad(value)).collect(),
            false => Vec::new(),
        };
        let mut appended = Ok(());
        for range in ranges {
            codes.decode(range.clone(), &mut |codes| {
                if appended.is_ok() {
                    appended = match short {
                        true => self.append_short(&padded, codes),
                        false => self.append_long(values, codes),
                    };
                }
            })?;
        }
        appended
    }

    fn append_short(
        &mut self,
        values: &[([u8; SHORT], usize)],
        codes: &[i64],
    ) -> Result<(), Damage> {
        let mut end = self.bytes.len();
        // Each value is copied with its padding, which the next value covers.
        self.bytes.resize(end + codes.len() * SHORT, 0);
        for code in codes {
            let value = usize::try_from(*code)
                .ok()
                .and_then(|code| values.get(code));
            let Some((value, len)) = value else {
                return Err(self.no_entry());
            };
            if self.next_is_valid() {
                self.bytes[end..end + SHORT].copy_from_slice(value);
                end += len;
            }
            self.offsets.push(end as i32);
        }
        self.bytes.truncate(end);
        self.check_len()
    }

    fn append_long(&mut self, values: &[&[u8]], codes: &[i64]) -> Result<(), Damage> {
        for code in codes {
            let value = usize::try_from(*code)
                .ok()
                .and_then(|code| values.get(code));
            let Some(value) = value else {
                return Err(self.no_entry());
            };
            if self.next_is_valid() {
                if self.bytes.len() + value.len() > i32::MAX as usize {
                    return Err(self.too_long());
                }
                self.bytes.extend_from_slice(value);
            }
            self.offsets.push(self.bytes.len() as i32);
        }
        Ok(())
    }

    /// Appends strings that stand one after the other in `bytes`; those of null rows are empty.
    pub(super) fn append_strings(&mut self, lengths: &[i64], bytes: &[u8]) -> Result<(), Damage> {
        let mut end = self.bytes.len() as i64;
        self.bytes.extend_from_slice(bytes);
        self.check_len()?;
        self.offsets.extend(lengths.iter().map(|length| {
            end += length;
            end as i32
        }));
        Ok(())
    }

    /// The array, of type text or binary.
    pub(super) fn finish(self, data_type: &DataType) -> Result<ArrayRef, Damage> {
        let offsets = OffsetBuffer::new(self.offsets.into());
        let bytes = Buffer::from_vec(self.bytes);
        let nulls = self.nulls.cloned();
        let array: Result<ArrayRef, _> =
            match data_type {
                DataType::Utf8 => StringArray::try_new(offsets, bytes, nulls)
                    .map(|array| Arc::new(array) as ArrayRef),
                _ => BinaryArray::try_new(offsets, bytes, nulls)
                    .map(|array| Arc::new(array) as ArrayRef),
            };
        array.map_err(|error| self.at.damage(error.to_string()))
    }

    /// Whether the row of the next offset holds a value.
    fn next_is_valid(&self) -> bool {
        self.nulls
            .is_none_or(|nulls| nulls.is_valid(self.offsets.len() - 1))
    }

    fn check_len(&self) -> Result<(), Damage> {
        if self.bytes.len() > i32::MAX as usize {
            Err(self.too_long())
        } else {
            Ok(())
        }
    }

    fn too_long(&self) -> Damage {
        self.at.damage("more than 2 GiB of text in one array")
    }

    fn no_entry(&self) -> Damage {
        self.at.damage("a code without an entry in the dictionary")
    }
}

fn pad(value: &[u8]) -> ([u8; SHORT], usize) {
    let mut padded = [0; SHORT];
    padded[..value.len()].copy_from_slice(value);
    (padded, value.len())
}
