//! Booleans.
//!
//! ```text
//! constant | value u8: 0 or 1 |
//! bits     | bit r of the bytes, byte 0 bit 0 first: the value of row r, 0 if null |
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use super::Request;
use super::cursor::{Cursor, Damage};
use super::header::Codec;
use super::validity::{append_bits, decode_bits};

/// Appends a boolean array with at least one value.
pub(super) fn encode(array: &dyn Array, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) -> Codec {
    let values = array.as_boolean().values();
    // Whatever stands behind a null must not reach the disk.
    let values = nulls.map_or_else(|| values.clone(), |nulls| values & nulls.inner());
    let trues = values.count_set_bits();
    let valid = array.len() - nulls.map_or(0, NullBuffer::null_count);
    if trues == 0 || trues == valid {
        out.push(u8::from(trues > 0));
        return Codec::Constant;
    }
    append_bits(&values, out);
    Codec::Bits
}

/// Decodes a boolean array.
pub(super) fn decode(request: Request<'_>, mut body: Cursor<'_>) -> Result<ArrayRef, Damage> {
    let values = match request.codec {
        Codec::Constant => {
            let at = body;
            let count = super::count(request.ranges);
            match body.u8()? {
                0 => BooleanBuffer::new_unset(count),
                1 => BooleanBuffer::new_set(count),
                other => return Err(at.damage(format!("{other} is no boolean"))),
            }
        }
        Codec::Bits => decode_bits(body.take(request.rows.div_ceil(8))?, request.ranges),
        _ => return Err(request.wrong_codec()),
    };
    body.end()?;
    Ok(Arc::new(BooleanArray::new(values, request.nulls)))
}
