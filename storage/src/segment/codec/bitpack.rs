//! Bits of integers: the offsets of values from a base, each in the same number of bits, one
//! after the other, the lowest bit first.
//!
//! ```text
//! | value 0: width bits | value 1: width bits | … | zero bits up to the next byte |
//! value i = base + (bits i×width .. (i+1)×width of the bytes, byte 0 bit 0 first)
//! ```
//!
//! 64 values of one width fill whole 64-bit words, so the loops are unrolled over such groups and
//! compiled once for each width: shifts and masks are constants. The transposed "FastLanes" order
//! was measured no faster without wider vector instructions than the x86-64 baseline has, and
//! would make the access to single values dearer.

/// Values of an unrolled group.
const GROUP: usize = 64;

/// Bits that the offsets 0..=range need.
pub(super) fn width_of(range: u64) -> u8 {
    (u64::BITS - range.leading_zeros()) as u8
}

/// Bytes of `count` values of `width` bits.
pub(super) fn packed_len(count: usize, width: u8) -> usize {
    (count * usize::from(width)).div_ceil(8)
}

/// Appends `values`, all of them within `base ..= base + 2^width - 1`.
pub(super) fn pack(values: &[i64], base: i64, width: u8, out: &mut Vec<u8>) {
    let group_len = packed_len(GROUP, width);
    let start = out.len();
    out.resize(start + packed_len(values.len(), width), 0);
    let pack = PACK[usize::from(width)];
    let (groups, tail) = values.as_chunks::<GROUP>();
    let mut bytes = &mut out[start..];
    for group in groups {
        let (head, rest) = bytes.split_at_mut(group_len);
        pack(group, base, head);
        bytes = rest;
    }
    if !tail.is_empty() {
        let mut group = [base; GROUP];
        group[..tail.len()].copy_from_slice(tail);
        let mut words = [0; GROUP * 8];
        pack(&group, base, &mut words[..group_len]);
        let len = bytes.len();
        bytes.copy_from_slice(&words[..len]);
    }
}

/// Reads the values `first ..` into `out`; None when the bytes do not hold that many.
pub(super) fn unpack(
    bytes: &[u8],
    base: i64,
    width: u8,
    first: usize,
    out: &mut [i64],
) -> Option<()> {
    let fits = width <= 64 && packed_len(first + out.len(), width) <= bytes.len();
    if !fits {
        return None;
    }
    let group_len = packed_len(GROUP, width);
    let unpack = UNPACK[usize::from(width)];
    let mut group = first / GROUP;
    let mut skip = first % GROUP;
    let mut out = out;
    while !out.is_empty() {
        let rest = &bytes[group * group_len..];
        let whole = rest.len() >= group_len;
        match out.first_chunk_mut::<GROUP>() {
            Some(chunk) if skip == 0 && whole => {
                unpack(&rest[..group_len], base, chunk);
                out = &mut out[GROUP..];
            }
            _ => {
                let mut values = [0; GROUP];
                if whole {
                    unpack(&rest[..group_len], base, &mut values);
                } else {
                    let mut words = [0; GROUP * 8];
                    words[..rest.len()].copy_from_slice(rest);
                    unpack(&words[..group_len], base, &mut values);
                }
                let count = out.len().min(GROUP - skip);
                out[..count].copy_from_slice(&values[skip..skip + count]);
                out = &mut out[count..];
                skip = 0;
            }
        }
        group += 1;
    }
    Some(())
}

/// Value `index` alone, or None when the bytes end before it.
pub(super) fn value_at(bytes: &[u8], base: i64, width: u8, index: usize) -> Option<i64> {
    if width == 0 {
        return Some(base);
    }
    if width > 64 {
        return None;
    }
    let bit = index * usize::from(width);
    let end = (bit + usize::from(width)).div_ceil(8);
    let bytes = bytes.get(bit / 8..)?;
    let word = match bytes.first_chunk::<16>() {
        Some(word) => *word,
        None => {
            // At most 9 bytes: 64 bits and 7 before them.
            let bytes = bytes.get(..end - bit / 8)?;
            let mut word = [0; 16];
            word[..bytes.len()].copy_from_slice(bytes);
            word
        }
    };
    let value = u128::from_le_bytes(word) >> (bit % 8);
    let mask = u64::MAX >> (64 - u32::from(width));
    Some(base.wrapping_add((value as u64 & mask) as i64))
}

type Pack = fn(&[i64; GROUP], i64, &mut [u8]);
type Unpack = fn(&[u8], i64, &mut [i64; GROUP]);

/// Calls `$step!(i)` for i in 0..64, as source text: LLVM does not unroll a loop of this length.
macro_rules! each_of_64 {
    ($step:ident) => {
        each_of_64!($step; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26
            27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55
            56 57 58 59 60 61 62 63)
    };
    ($step:ident; $($i:literal)*) => { $($step!($i);)* };
}

/// One function for each width from 0 to 64.
macro_rules! table {
    ($function:ident) => {
        table!($function; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27
            28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56
            57 58 59 60 61 62 63 64)
    };
    ($function:ident; $($width:literal)*) => { [$($function::<$width>),*] };
}

static PACK: [Pack; 65] = table!(pack_group);
static UNPACK: [Unpack; 65] = table!(unpack_group);

fn pack_group<const WIDTH: usize>(values: &[i64; GROUP], base: i64, bytes: &mut [u8]) {
    if WIDTH == 0 {
        return;
    }
    let mut words = [0u64; WIDTH];
    macro_rules! step {
        ($i:literal) => {
            let (word, shift) = ($i * WIDTH / 64, $i * WIDTH % 64);
            let value = values[$i].wrapping_sub(base) as u64;
            words[word] |= value << shift;
            if shift + WIDTH > 64 {
                words[word + 1] |= value >> (64 - shift);
            }
        };
    }
    each_of_64!(step);
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
}

fn unpack_group<const WIDTH: usize>(bytes: &[u8], base: i64, values: &mut [i64; GROUP]) {
    if WIDTH == 0 {
        *values = [base; GROUP];
        return;
    }
    let (chunks, _) = bytes.as_chunks::<8>();
    let chunks = &chunks[..WIDTH];
    let mask = u64::MAX >> (64 - WIDTH);
    macro_rules! step {
        ($i:literal) => {
            let (word, shift) = ($i * WIDTH / 64, $i * WIDTH % 64);
            let mut value = u64::from_le_bytes(chunks[word]) >> shift;
            if shift + WIDTH > 64 {
                value |= u64::from_le_bytes(chunks[word + 1]) << (64 - shift);
            }
            values[$i] = base.wrapping_add((value & mask) as i64);
        };
    }
    each_of_64!(step);
}
