//! Column values: the rows of one column of one pack (or of one batch in the log), compressed.
//!
//! A column value is `header | validity | body | crc32`; `header` draws it. [`encode`] looks at
//! the values and takes the smallest of a closed set of codecs; [`Column`] reads any range of rows
//! back and touches only the mini-blocks of 1,024 rows that hold them. Light codecs only: behind
//! them, zstd or lz4 gained nothing on measured data.
//!
//! The bytes of a [`Column`] may come from a damaged disk or from an attacker. The checksum is
//! verified once, in [`Column::open`]; and because a checksum is no proof of sense, every offset,
//! count and code is checked again where it is used. Reading never panics, never reads out of
//! bounds and never allocates more than the rows asked for take.
//!
//! | values                                      | codecs                                      |
//! |---------------------------------------------|---------------------------------------------|
//! | integers, dates, times, short decimals, f32 | constant, packed, runs, sparse (`ints`)     |
//! | f64                                         | those on `k/10^scale` or on bits, (`floats`)|
//! | texts, binaries                             | constant, dictionary, strings (`texts`)     |
//! | booleans                                    | constant, bits (`bools`)                    |
//! | uuids, intervals, long decimals             | constant, fixed (`fixed`)                   |
//! | lists, structs, everything else             | Arrow IPC (`ipc`)                           |

mod batch;
mod bitpack;
mod bools;
mod cursor;
mod dictionary;
mod fixed;
mod floats;
mod header;
pub(in crate::segment) mod integers;
mod ints;
mod ipc;
mod output;
mod packed;
mod runs;
mod strings;
#[cfg(test)]
mod tests;
mod texts;
mod validity;
pub(in crate::segment) mod words;

use std::ops::Range;

use arrow::array::{Array, ArrayRef, new_empty_array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use bytes::Bytes;

pub use batch::{decode_batch, encode_batch};
use cursor::Cursor;
pub use cursor::Damage;
use header::{CRC_LEN, Codec, HEADER_LEN, Header, ROWS_MAX, TypeTag};
use ints::Ints;
use validity::{Validity, ValidityKind};

/// Encodes one column of up to 2^20 rows.
pub fn encode(array: &dyn Array) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(array, &mut out);
    out
}

/// Appends the column value of `array`.
fn encode_into(array: &dyn Array, out: &mut Vec<u8>) {
    let rows = array.len();
    assert!(rows <= ROWS_MAX, "{rows} rows in one column value");
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);

    let type_tag = TypeTag::of(array.data_type());
    let header = if rows > 0 && type_tag == TypeTag::OTHER {
        ipc::encode(array, out);
        let (codec, null_count) = (Codec::Ipc, array.logical_null_count());
        Header {
            codec,
            type_tag,
            validity: ValidityKind::Body,
            rows,
            null_count,
        }
    } else {
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let null_count = nulls.as_ref().map_or(0, NullBuffer::null_count);
        let validity = validity::encode(nulls.as_ref(), rows, out);
        let codec = match null_count == rows {
            true => Codec::Constant,
            false => encode_body(array, nulls.as_ref(), out),
        };
        Header {
            codec,
            type_tag,
            validity,
            rows,
            null_count,
        }
    };

    let value = &mut out[start..];
    if let Some(first) = value.first_chunk_mut() {
        header.write(first);
    }
    let crc = crc32fast::hash(value);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Appends the body of an array that holds a value in at least one row.
fn encode_body(array: &dyn Array, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) -> Codec {
    match array.data_type() {
        DataType::Boolean => bools::encode(array, nulls, out),
        DataType::Float32 => floats::encode_f32(array, nulls, out),
        DataType::Float64 => floats::encode_f64(array, nulls, out),
        DataType::Utf8 | DataType::Binary => texts::encode(array, nulls, out),
        DataType::Decimal128(..) => integers::encode_decimal(array, nulls, out),
        DataType::FixedSizeBinary(_) | DataType::Interval(_) => fixed::encode(array, nulls, out),
        _ => integers::encode(array, nulls, out),
    }
}

/// A column value whose header and checksum have been verified. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Column {
    bytes: Bytes,
    data_type: DataType,
    header: Header,
}

impl Column {
    /// Verifies the checksum, and that the value holds rows of `data_type`.
    pub fn open(bytes: Bytes, data_type: &DataType) -> Result<Column, Damage> {
        let (header, mut cursor) = Header::open(&bytes, data_type)?;
        let Header {
            codec,
            validity: kind,
            rows,
            null_count,
            ..
        } = header;
        if (kind == ValidityKind::Body) != (codec == Codec::Ipc) {
            return Err(Damage::new(
                5,
                format!("validity {kind:?} with codec {codec:?}"),
            ));
        }
        if (header.type_tag == TypeTag::OTHER && rows > 0) != (codec == Codec::Ipc) {
            return Err(Damage::new(
                3,
                format!("codec {codec:?} does not hold {data_type}"),
            ));
        }
        let at = cursor.offset();
        let validity = Validity::parse(kind, &mut cursor, rows)?;
        if kind != ValidityKind::Body {
            validity
                .check(rows, null_count)
                .map_err(|reason| Damage::new(at, reason))?;
        }
        if null_count == rows && kind != ValidityKind::Body {
            cursor.end()?;
        }
        Ok(Column {
            bytes,
            data_type: data_type.clone(),
            header,
        })
    }

    /// How many rows it holds.
    pub fn rows(&self) -> usize {
        self.header.rows
    }

    /// How many of the rows are null.
    pub fn null_count(&self) -> usize {
        self.header.null_count
    }

    /// Bytes of the value.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The values of `rows`, as an array of exactly the type asked for in [`open`](Self::open).
    pub fn decode(&self, rows: Range<usize>) -> Result<ArrayRef, Damage> {
        self.decode_ranges(&[rows])
    }

    /// The values of `ranges`, which ascend and do not overlap, one after the other.
    pub fn decode_ranges(&self, ranges: &[Range<usize>]) -> Result<ArrayRef, Damage> {
        let mut end = 0;
        for range in ranges {
            if range.start < end || range.end < range.start || range.end > self.rows() {
                let reason = format!("rows {range:?} asked of {} rows", self.rows());
                return Err(Damage::new(8, reason));
            }
            end = range.end;
        }
        let count = count(ranges);
        if count == 0 {
            return Ok(new_empty_array(&self.data_type));
        }
        let (validity, body) = self.parts()?;
        if matches!(validity, Validity::None) {
            return Ok(new_null_array(&self.data_type, count));
        }
        let request = Request {
            codec: self.header.codec,
            rows: self.rows(),
            data_type: &self.data_type,
            ranges,
            nulls: validity.decode(ranges),
        };
        let array = match &self.data_type {
            DataType::Boolean => bools::decode(request, body),
            DataType::Float32 => floats::decode_f32(request, body),
            DataType::Float64 => floats::decode_f64(request, body),
            DataType::Utf8 | DataType::Binary => texts::decode(request, body),
            DataType::Decimal128(..) => integers::decode_decimal(request, body),
            _ if self.header.codec == Codec::Ipc => ipc::decode(request, body, &self.bytes),
            DataType::FixedSizeBinary(_) | DataType::Interval(_) => fixed::decode(request, body),
            _ => integers::decode(request, body),
        }?;
        debug_assert_eq!(array.len(), count);
        Ok(array)
    }

    /// The first row in `within` whose value is at least `value`, or the end of `within`. The rows
    /// of `within` ascend and hold no null. None if the column holds no integers, dates or times,
    /// or if it is damaged, which [`decode`](Self::decode) will tell.
    pub fn lower_bound(&self, value: i64, within: Range<usize>) -> Option<usize> {
        self.partition_point(within, |row| row < value)
    }

    /// The first row in `within` whose value is greater than `value`; otherwise like
    /// [`lower_bound`](Self::lower_bound).
    pub fn upper_bound(&self, value: i64, within: Range<usize>) -> Option<usize> {
        self.partition_point(within, |row| row <= value)
    }

    fn partition_point(&self, within: Range<usize>, before: impl Fn(i64) -> bool) -> Option<usize> {
        if !integers::are_ordered(&self.data_type) || within.end > self.rows() {
            return None;
        }
        if within.is_empty() {
            return Some(within.start);
        }
        let (_, body) = self.parts().ok()?;
        let ints = Ints::parse(self.header.codec, body, self.rows()).ok()?;
        ints.partition_point(within, before).ok()
    }

    fn parts(&self) -> Result<(Validity<'_>, Cursor<'_>), Damage> {
        let inner = &self.bytes[HEADER_LEN..self.bytes.len() - CRC_LEN];
        let mut cursor = Cursor::new(inner, HEADER_LEN);
        let validity = Validity::parse(self.header.validity, &mut cursor, self.rows())?;
        Ok((validity, cursor))
    }
}

/// What a codec is asked to decode.
struct Request<'a> {
    codec: Codec,
    /// Rows of the column value.
    rows: usize,
    data_type: &'a DataType,
    /// Which of them are wanted: ascending, disjoint, at least one row.
    ranges: &'a [Range<usize>],
    /// The nulls of the wanted rows.
    nulls: Option<NullBuffer>,
}

impl Request<'_> {
    /// The answer when the codec of the value does not go with its type.
    fn wrong_codec(&self) -> Damage {
        Damage::new(
            3,
            format!("codec {:?} does not hold {}", self.codec, self.data_type),
        )
    }
}

/// The rows of `ranges`.
fn count(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}
