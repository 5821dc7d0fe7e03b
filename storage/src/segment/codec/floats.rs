//! Floats. Money that was typed with two decimals is, as f64, exactly `k / 100.0` for a whole `k`;
//! then `k` is stored. That is checked bit for bit, so nothing is ever rounded; what does not fit
//! (-0.0, NaN, infinities, real fractions) is listed as an exception.
//!
//! ```text
//! decimal | scale u8, at most 6 | codec of the numbers u8 | exceptions u32
//!         | exceptions × row u32, ascending | exceptions × bits u64
//!         | numbers: integers k (see `ints`); a row holds k / 10^scale, divided as f64 |
//! fixed   | see `fixed` |
//! constant, packed, runs, sparse: the bits of the floats as integers, see `ints` |
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Float32Type, Float64Type};

use super::cursor::{Cursor, Damage, u32_at};
use super::header::Codec;
use super::integers::fill;
use super::ints::{self, Ints};
use super::{Request, count, fixed};

const POWERS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// Adding this to a small float rounds it and leaves the whole number in the low bits: no call of
/// `round`, which the x86-64 baseline has no instruction for.
const ROUNDER: f64 = 6_755_399_441_055_744.0; // 1.5 × 2^52

/// The greatest number that is stored; [`ROUNDER`] works up to 2^51.
const NUMBER_MAX: f64 = (1u64 << 50) as f64;

/// Appends an f32 array with at least one value.
pub(super) fn encode_f32(
    array: &dyn Array,
    nulls: Option<&NullBuffer>,
    out: &mut Vec<u8>,
) -> Codec {
    let bits = array
        .as_primitive::<Float32Type>()
        .values()
        .inner()
        .typed_data::<u32>();
    match nulls {
        Some(nulls) => ints::encode(&fill(bits, nulls), out),
        None => ints::encode(
            &bits.iter().map(|bits| i64::from(*bits)).collect::<Vec<_>>(),
            out,
        ),
    }
}

/// Decodes an f32 array.
pub(super) fn decode_f32(request: Request<'_>, body: Cursor<'_>) -> Result<ArrayRef, Damage> {
    let bits = Ints::parse(request.codec, body, request.rows)?;
    let mut values = Vec::with_capacity(count(request.ranges));
    for range in request.ranges {
        bits.decode(range.clone(), &mut |chunk| {
            values.extend(chunk.iter().map(|bits| f32::from_bits(*bits as u32)));
        })?;
    }
    Ok(Arc::new(Float32Array::new(values.into(), request.nulls)))
}

/// Appends an f64 array with at least one value.
pub(super) fn encode_f64(
    array: &dyn Array,
    nulls: Option<&NullBuffer>,
    out: &mut Vec<u8>,
) -> Codec {
    let bits = array
        .as_primitive::<Float64Type>()
        .values()
        .inner()
        .typed_data::<i64>();
    let filled = nulls.map(|nulls| fill(bits, nulls));
    let bits = filled.as_deref().unwrap_or(bits);
    if bits.iter().all(|value| *value == bits[0]) {
        return ints::encode(&bits[..1], out);
    }
    let start = out.len();
    let raw_len = bits.len() * 8;
    if let Some(numbers) = Numbers::of(bits, nulls) {
        numbers.encode(out);
        if out.len() - start < raw_len {
            return Codec::Decimal;
        }
        out.truncate(start);
    }
    let codec = ints::encode(bits, out);
    // A few bits saved are not worth the unpacking.
    if out.len() - start >= raw_len / 16 * 15 {
        out.truncate(start);
        return fixed::encode_f64(bits, out);
    }
    codec
}

/// Decodes an f64 array.
pub(super) fn decode_f64(request: Request<'_>, mut body: Cursor<'_>) -> Result<ArrayRef, Damage> {
    if request.codec == Codec::Fixed {
        return fixed::decode(request, body);
    }
    let mut values = Vec::with_capacity(count(request.ranges));
    if request.codec != Codec::Decimal {
        let bits = Ints::parse(request.codec, body, request.rows)?;
        for range in request.ranges {
            bits.decode(range.clone(), &mut |chunk| {
                values.extend(chunk.iter().map(|bits| f64::from_bits(*bits as u64)));
            })?;
        }
        return Ok(Arc::new(Float64Array::new(values.into(), request.nulls)));
    }

    let at = body;
    let Some(power) = POWERS.get(usize::from(body.u8()?)).copied() else {
        return Err(at.damage("unknown scale"));
    };
    let codec = Codec::parse(&mut body)?;
    let exceptions = body.u32()? as usize;
    if exceptions > request.rows {
        return Err(at.damage(format!("{exceptions} exceptions")));
    }
    let rows = body.take(exceptions * 4)?;
    let bits = body.take(exceptions * 8)?.as_chunks::<8>().0;
    let numbers = Ints::parse(codec, body, request.rows)?;
    for range in request.ranges {
        let start = values.len();
        numbers.decode(range.clone(), &mut |chunk| {
            values.extend(chunk.iter().map(|number| to_float(*number) / power));
        })?;
        let first = rows.as_chunks::<4>().0;
        let mut exception =
            first.partition_point(|row| (u32::from_le_bytes(*row) as usize) < range.start);
        while let Some(row) = u32_at(rows, exception).map(|row| row as usize)
            && row < range.end
        {
            let value = row
                .checked_sub(range.start)
                .and_then(|row| values.get_mut(start + row));
            let Some(value) = value else {
                return Err(at.damage("exceptions do not ascend"));
            };
            *value = f64::from_le_bytes(bits[exception]);
            exception += 1;
        }
    }
    Ok(Arc::new(Float64Array::new(values.into(), request.nulls)))
}

/// The whole number nearest to a float of at most [`NUMBER_MAX`].
fn to_number(value: f64) -> i64 {
    (value + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()) as i64
}

/// The float of a number of at most [`NUMBER_MAX`], by arithmetic that vectors have on every CPU.
fn to_float(number: i64) -> f64 {
    f64::from_bits((number as u64).wrapping_add(ROUNDER.to_bits())) - ROUNDER
}

/// The number that stands for a float, if there is one.
fn number_of(value: f64, power: f64) -> Option<i64> {
    let scaled = value * power;
    let number = to_number(scaled);
    let exact =
        scaled.abs() <= NUMBER_MAX && (to_float(number) / power).to_bits() == value.to_bits();
    exact.then_some(number)
}

/// Floats as numbers over a power of ten.
struct Numbers {
    scale: usize,
    numbers: Vec<i64>,
    exceptions: Vec<(u32, i64)>,
}

impl Numbers {
    /// None if too many floats are none.
    fn of(bits: &[i64], nulls: Option<&NullBuffer>) -> Option<Numbers> {
        (likely_scale(bits)?..POWERS.len()).find_map(|scale| Numbers::at(scale, bits, nulls))
    }

    fn at(scale: usize, bits: &[i64], nulls: Option<&NullBuffer>) -> Option<Numbers> {
        const CHUNK: usize = 64;
        let power = POWERS[scale];
        let exceptions_max = bits.len() / 16 + 1;
        let mut numbers = Vec::with_capacity(bits.len());
        let mut exceptions = Vec::new();
        for (index, chunk) in bits.chunks(CHUNK).enumerate() {
            // All of a chunk fit, as a rule: find out without a branch a value.
            let mut all = true;
            numbers.extend(chunk.iter().map(|bits| {
                let value = f64::from_bits(*bits as u64);
                let scaled = value * power;
                let number = to_number(scaled);
                all &= scaled.abs() <= NUMBER_MAX;
                all &= (to_float(number) / power).to_bits() == value.to_bits();
                number
            }));
            if all {
                continue;
            }
            let first = index * CHUNK;
            for (row, bits) in (first..).zip(chunk) {
                match number_of(f64::from_bits(*bits as u64), power) {
                    Some(number) => numbers[row] = number,
                    None => {
                        numbers[row] = if row > 0 { numbers[row - 1] } else { 0 };
                        if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                            exceptions.push((row as u32, *bits));
                        }
                    }
                }
            }
            if exceptions.len() > exceptions_max {
                return None;
            }
        }
        Some(Numbers {
            scale,
            numbers,
            exceptions,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.scale as u8);
        let codec_at = out.len();
        out.push(0);
        out.extend_from_slice(&(self.exceptions.len() as u32).to_le_bytes());
        out.extend(
            self.exceptions
                .iter()
                .flat_map(|(row, _)| row.to_le_bytes()),
        );
        out.extend(
            self.exceptions
                .iter()
                .flat_map(|(_, bits)| bits.to_le_bytes()),
        );
        out[codec_at] = ints::encode(&self.numbers, out) as u8;
    }
}

/// The scale at which most floats of a sample are whole numbers; None if they are at none.
fn likely_scale(bits: &[i64]) -> Option<usize> {
    const SAMPLE: usize = 64;
    let sample = || bits.iter().step_by(bits.len().div_ceil(SAMPLE));
    let wanted = sample().len();
    let mut best = (wanted / 2, None);
    for (scale, power) in POWERS.iter().enumerate() {
        let fits = |bits: &&i64| number_of(f64::from_bits(**bits as u64), *power).is_some();
        let found = sample().filter(fits).count();
        if found > best.0 {
            best = (found, Some(scale));
        }
        if found == wanted {
            break;
        }
    }
    best.1
}
