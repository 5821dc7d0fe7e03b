//! Arrow's texts and binaries with 32-bit offsets.
//!
//! ```text
//! constant   | the bytes of the value |
//! strings    | see `strings` |
//! dictionary | see `dictionary` |
//! ```

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use super::cursor::{Cursor, Damage};
use super::dictionary::{Dictionary, Entries};
use super::header::Codec;
use super::ints::Ints;
use super::output::Output;
use super::strings::{self, Strings};
use super::words::Word;
use super::{Request, count};

/// Appends an array of texts or binaries with at least one value.
pub(super) fn encode(array: &dyn Array, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) -> Codec {
    let texts = Texts::of(array, nulls);
    let first = (0..texts.rows()).find_map(|row| texts.get(row));
    if (0..texts.rows()).all(|row| texts.get(row).is_none_or(|value| Some(value) == first)) {
        out.extend_from_slice(first.map_or(&[], |first| first.bytes()));
        return Codec::Constant;
    }
    // The lengths of strings take bytes too, but a dictionary must win clearly: it reads slower.
    let dictionary = Dictionary::of((0..texts.rows()).map(|row| texts.get(row)));
    if let Some(dictionary) = dictionary
        && dictionary.encoded_len() < texts.all().len()
    {
        return dictionary.encode(out);
    }
    let lengths = texts.lengths();
    match nulls {
        None => strings::encode(&lengths, std::iter::once(texts.all()), out),
        Some(_) => {
            let values = (0..texts.rows()).filter_map(|row| texts.get(row));
            strings::encode(&lengths, values.map(|value| value.bytes()), out);
        }
    }
    Codec::Strings
}

/// Decodes an array of texts or binaries.
pub(super) fn decode(request: Request<'_>, body: Cursor<'_>) -> Result<ArrayRef, Damage> {
    let mut output = Output::new(count(request.ranges), request.nulls.as_ref(), body);
    match request.codec {
        Codec::Constant => {
            output.append_coded(&[body.rest()], &Ints::Constant(0), request.ranges)?
        }
        Codec::Dictionary => {
            let entries = Entries::parse(body, request.rows)?;
            output.append_coded(&entries.values, &entries.codes, request.ranges)?;
        }
        Codec::Strings => {
            let strings = Strings::parse(body, request.rows)?;
            let mut lengths = Vec::new();
            for range in request.ranges.iter().filter(|range| !range.is_empty()) {
                lengths.clear();
                let bytes = strings.decode(range.clone(), &mut lengths)?;
                output.append_strings(&lengths, bytes)?;
            }
        }
        _ => return Err(request.wrong_codec()),
    }
    output.finish(request.data_type)
}

/// The values of an array.
struct Texts<'a> {
    offsets: &'a [i32],
    bytes: &'a [u8],
    nulls: Option<&'a NullBuffer>,
}

impl<'a> Texts<'a> {
    fn of(array: &'a dyn Array, nulls: Option<&'a NullBuffer>) -> Self {
        let (offsets, bytes) = match array.data_type() {
            DataType::Utf8 => {
                let array = array.as_string::<i32>();
                (array.value_offsets(), array.value_data())
            }
            _ => {
                let array = array.as_binary::<i32>();
                (array.value_offsets(), array.value_data())
            }
        };
        Texts {
            offsets,
            bytes,
            nulls,
        }
    }

    fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    fn get(&self, row: usize) -> Option<Word<'a>> {
        match self.nulls {
            Some(nulls) if nulls.is_null(row) => None,
            _ => {
                let (start, end) = (self.offsets[row], self.offsets[row + 1]);
                Some(Word::of(self.bytes, start as usize, end as usize))
            }
        }
    }

    /// The bytes of all rows, including what stands behind nulls.
    fn all(&self) -> &'a [u8] {
        &self.bytes[self.offsets[0] as usize..self.offsets[self.rows()] as usize]
    }

    fn lengths(&self) -> Vec<i64> {
        let mut lengths: Vec<i64> = self
            .offsets
            .windows(2)
            .map(|pair| i64::from(pair[1] - pair[0]))
            .collect();
        if let Some(nulls) = self.nulls {
            for (length, valid) in lengths.iter_mut().zip(nulls) {
                *length = if valid { *length } else { 0 };
            }
        }
        lengths
    }
}
