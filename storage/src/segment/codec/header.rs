//! The first 16 bytes of a column value, and what surrounds its body.
//!
//! ```text
//! | 0  magic "Sc"                                                                    2 bytes
//! | 2  format version u8: 1
//! | 3  codec u8: 0 constant, 1 packed, 2 runs, 3 sparse, 4 decimal, 5 dictionary,
//! |              6 fixed, 7 strings, 8 bits, 9 ipc
//! | 4  type u8: see TypeTag
//! | 5  validity u8: 0 no nulls, 1 nothing but nulls, 2 bitmap, 3 flips, 4 in the body
//! | 6  parameter u16: the scale of a decimal (i8), the width of a fixed-size binary, else 0
//! | 8  rows u32, at most 2^20
//! | 12 null count u32
//! | 16 validity (see `validity`), then the body that the codec draws in its own file
//! | end-4  crc32 u32 over everything before it
//! ```
//!
//! All numbers are little-endian. Whoever meets an unknown magic, version, codec, type or validity
//! reports damage: a guess would read wrong values. Precision of decimals and time zones of
//! timestamps belong to the schema and may change without rewriting values; whatever changes the
//! meaning of the stored numbers is in type and parameter.
//!
//! A body of no rows, or of nothing but nulls in a type with a codec of ours, is `constant` and empty.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::cursor::{Cursor, Damage};
use super::validity::ValidityKind;

/// Rows of a column value at most.
pub(super) const ROWS_MAX: usize = 1 << 20;

/// Bytes before the validity.
pub(super) const HEADER_LEN: usize = 16;

/// Bytes after the body.
pub(super) const CRC_LEN: usize = 4;

const MAGIC: [u8; 2] = *b"Sc";
const VERSION: u8 = 1;

/// How the body of a column value holds its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Codec {
    /// One value for all rows.
    Constant = 0,
    /// Integers, bit-packed.
    Packed = 1,
    /// Integers, equal ones in a row.
    Runs = 2,
    /// Integers, all one value but for exceptions.
    Sparse = 3,
    /// Floats that are whole numbers over a power of ten.
    Decimal = 4,
    /// Texts, the different ones and a code for each row.
    Dictionary = 5,
    /// Values of a fixed number of bytes as they are.
    Fixed = 6,
    /// Texts as they are.
    Strings = 7,
    /// Booleans.
    Bits = 8,
    /// Arrow IPC streams.
    Ipc = 9,
}

impl Codec {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Codec, Damage> {
        let at = *cursor;
        Ok(match cursor.u8()? {
            0 => Codec::Constant,
            1 => Codec::Packed,
            2 => Codec::Runs,
            3 => Codec::Sparse,
            4 => Codec::Decimal,
            5 => Codec::Dictionary,
            6 => Codec::Fixed,
            7 => Codec::Strings,
            8 => Codec::Bits,
            9 => Codec::Ipc,
            other => return Err(at.damage(format!("unknown codec {other}"))),
        })
    }
}

/// The Arrow type of the values, as far as it gives the stored numbers their meaning. The numbers
/// are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TypeTag {
    tag: u8,
    parameter: u16,
}

impl TypeTag {
    /// Any type that only Arrow IPC holds; its stream tells which.
    pub(super) const OTHER: TypeTag = TypeTag {
        tag: 255,
        parameter: 0,
    };

    pub(super) fn of(data_type: &DataType) -> TypeTag {
        let (tag, parameter) = match data_type {
            DataType::Boolean => (1, 0),
            DataType::Int8 => (2, 0),
            DataType::Int16 => (3, 0),
            DataType::Int32 => (4, 0),
            DataType::Int64 => (5, 0),
            DataType::UInt8 => (6, 0),
            DataType::UInt16 => (7, 0),
            DataType::UInt32 => (8, 0),
            DataType::UInt64 => (9, 0),
            DataType::Float32 => (10, 0),
            DataType::Float64 => (11, 0),
            DataType::Date32 => (12, 0),
            DataType::Date64 => (13, 0),
            DataType::Time32(TimeUnit::Second) => (14, 0),
            DataType::Time32(TimeUnit::Millisecond) => (15, 0),
            DataType::Time64(TimeUnit::Microsecond) => (16, 0),
            DataType::Time64(TimeUnit::Nanosecond) => (17, 0),
            DataType::Timestamp(unit, _) => (18 + unit_number(*unit), 0),
            DataType::Duration(unit) => (22 + unit_number(*unit), 0),
            DataType::Interval(IntervalUnit::MonthDayNano) => (26, 0),
            DataType::Decimal128(_, scale) => (27, u16::from(*scale as u8)),
            DataType::Utf8 => (28, 0),
            DataType::Binary => (29, 0),
            DataType::FixedSizeBinary(width @ 1..=0xffff) => (30, *width as u16),
            DataType::Null => (31, 0),
            _ => return TypeTag::OTHER,
        };
        TypeTag { tag, parameter }
    }
}

fn unit_number(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

/// The header of a column value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) codec: Codec,
    pub(super) type_tag: TypeTag,
    pub(super) validity: ValidityKind,
    pub(super) rows: usize,
    pub(super) null_count: usize,
}

impl Header {
    /// Writes the header over `bytes`.
    pub(super) fn write(&self, bytes: &mut [u8; HEADER_LEN]) {
        assert!(self.rows <= ROWS_MAX && self.null_count <= self.rows);
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = VERSION;
        bytes[3] = self.codec as u8;
        bytes[4] = self.type_tag.tag;
        bytes[5] = self.validity as u8;
        bytes[6..8].copy_from_slice(&self.type_tag.parameter.to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.rows as u32).to_le_bytes());
        bytes[12..].copy_from_slice(&(self.null_count as u32).to_le_bytes());
    }

    /// Verifies header and checksum of a whole column value of `data_type`, and answers what stands
    /// between them.
    pub(super) fn open<'a>(
        bytes: &'a [u8],
        data_type: &DataType,
    ) -> Result<(Header, Cursor<'a>), Damage> {
        let mut cursor = Cursor::new(bytes, 0);
        if cursor.take(2)? != MAGIC {
            return Err(Damage::new(0, "not a column value"));
        }
        let version = cursor.u8()?;
        if version != VERSION {
            return Err(Damage::new(2, format!("unknown format version {version}")));
        }
        let Some((covered, crc)) = bytes.split_last_chunk::<CRC_LEN>() else {
            return Err(Damage::new(0, "too short for a checksum"));
        };
        if crc32fast::hash(covered) != u32::from_le_bytes(*crc) {
            return Err(Damage::new(covered.len(), "checksum does not match"));
        }
        let mut cursor = Cursor::new(covered, 0);
        cursor.take(3)?;
        let codec = Codec::parse(&mut cursor)?;
        let tag = cursor.u8()?;
        let validity = ValidityKind::parse(&mut cursor)?;
        let type_tag = TypeTag {
            tag,
            parameter: cursor.u16()?,
        };
        if type_tag != TypeTag::of(data_type) {
            return Err(Damage::new(
                4,
                format!("type {tag} is not that of {data_type}"),
            ));
        }
        let rows = cursor.u32()? as usize;
        let null_count = cursor.u32()? as usize;
        if rows > ROWS_MAX || null_count > rows {
            return Err(Damage::new(
                8,
                format!("{rows} rows with {null_count} nulls"),
            ));
        }
        Ok((
            Header {
                codec,
                type_tag,
                validity,
                rows,
                null_count,
            },
            cursor,
        ))
    }
}
