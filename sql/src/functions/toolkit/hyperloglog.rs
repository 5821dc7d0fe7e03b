//! `hyperloglog(size, v)` and `approx_count_distinct(v)`: how many different values there are.
//!
//! HyperLogLog with the estimator of Ertl (<https://arxiv.org/abs/1702.01284>), which needs no
//! corrections: of 2^p registers each keeps the longest run of zeros of the hashes that it is given.
//! The standard error is 1.04 / √registers. Merging takes the greater of two registers, so that the
//! order never matters. Hashes are SipHash-1-3 of a value's bytes ([`super::datum`]), which stay the same.
//!
//! ```text
//! | p u8 | 0 u8 | registers in use | each: the step from the one before, value u8 |
//! | p u8 | 1 u8 | all registers, six bits each, the lowest first |
//! ```
//!
//! The first form is taken while fewer than an eighth of the registers are in use.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use siphasher::sip::SipHasher13;

use super::accessor::{Answer, Form, Gives};
use super::aggregate::Build;
use super::args::{Arg, complete_rows, ints};
use super::bytes::{Reader, Writer};
use super::datum::Values;
use super::registers::Registers;
use super::summary::{Of, Sink, Summary, decode, mismatch, out_of_range};
use crate::types::SummaryKind;

const PRECISIONS: std::ops::RangeInclusive<u8> = 4..=18;
/// What `approx_count_distinct` takes.
const DEFAULT: u8 = 15;

/// The sketch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HyperLogLog {
    precision: u8,
    registers: Registers,
}

impl HyperLogLog {
    fn new(precision: u8) -> Self {
        HyperLogLog {
            precision,
            registers: Registers::none(),
        }
    }

    fn len(&self) -> usize {
        1 << self.precision
    }

    /// The greatest value of a register.
    fn value_max(&self) -> u8 {
        64 - self.precision + 1
    }

    /// Adds the value with this hash.
    fn add(&mut self, hash: u64) {
        let index = (hash >> (64 - self.precision)) as u32;
        // A bit behind the last one ends the run.
        let rest = (hash << self.precision) | (1 << (self.precision - 1));
        let value = rest.leading_zeros() as u8 + 1;
        let registers = self.len();
        self.registers.set(index, value, registers);
    }

    /// About how many different values there were.
    fn estimate(&self) -> f64 {
        let m = self.len() as f64;
        let bits = usize::from(64 - self.precision);
        // [value] registers
        let mut counts = vec![0u32; bits + 2];
        match &self.registers {
            Registers::Few { used, .. } => {
                counts[0] = (self.len() - used.len()) as u32;
                used.iter()
                    .for_each(|entry| counts[usize::from(*entry as u8)] += 1);
            }
            Registers::All(all) => all
                .iter()
                .for_each(|value| counts[usize::from(*value)] += 1),
        }
        let mut z = m * tau(1.0 - f64::from(counts[bits + 1]) / m);
        for count in counts[1..=bits].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += m * sigma(f64::from(counts[0]) / m);
        m / (2.0 * std::f64::consts::LN_2) * m / z
    }

    fn error(&self) -> f64 {
        1.04 / (self.len() as f64).sqrt()
    }
}

/// The share of registers that are zero, corrected.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// The share of registers that are full, corrected.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

impl Summary for HyperLogLog {
    fn kind(&self) -> SummaryKind {
        SummaryKind::HyperLogLog
    }

    fn write(&self, out: &mut Writer) {
        out.u8(self.precision);
        match &self.registers {
            Registers::Few { used, .. } => {
                out.u8(0);
                out.count(used.len() as u64);
                let mut last = 0;
                for entry in used {
                    let index = entry >> 8;
                    out.count(u64::from(index - last));
                    out.u8(*entry as u8);
                    last = index;
                }
            }
            Registers::All(all) => {
                out.u8(1);
                // Four registers are three bytes.
                for four in all.chunks(4) {
                    let bits = four
                        .iter()
                        .rev()
                        .fold(0u32, |bits, value| bits << 6 | u32::from(*value));
                    out.raw(&bits.to_le_bytes()[..3]);
                }
            }
        }
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        let precision = from.u8()?;
        if kind != SummaryKind::HyperLogLog || !PRECISIONS.contains(&precision) {
            return None;
        }
        let mut sketch = HyperLogLog::new(precision);
        let (len, value_max) = (sketch.len(), sketch.value_max());
        match from.u8()? {
            0 => {
                let count = from.length(2)?;
                let mut used = Vec::with_capacity(count);
                let mut index = 0u64;
                for n in 0..count {
                    let step = from.count()?;
                    if n > 0 && step == 0 {
                        return None;
                    }
                    index = index.checked_add(step)?;
                    let value = from.u8()?;
                    if index >= len as u64 || !(1..=value_max).contains(&value) {
                        return None;
                    }
                    used.push((index as u32) << 8 | u32::from(value));
                }
                if count == 0 || count >= len / 8 {
                    return None;
                }
                sketch.registers = Registers::of(used);
            }
            1 => {
                let packed = from.take(len / 4 * 3)?;
                let values = packed.chunks(3).flat_map(|three| {
                    let bits = u32::from_le_bytes([three[0], three[1], three[2], 0]);
                    [0, 6, 12, 18].map(|shift| (bits >> shift) as u8 & 63)
                });
                let all: Vec<u8> = values.collect();
                if all.iter().any(|value| *value > value_max) {
                    return None;
                }
                sketch.registers = Registers::All(all);
            }
            _ => return None,
        }
        Some(sketch)
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.precision != other.precision {
            return Err(mismatch(self.kind()));
        }
        let registers = self.len();
        self.registers.merge(other.registers, registers);
        Ok(())
    }

    fn size(&self) -> usize {
        self.registers.size()
    }

    fn settle(&mut self) {
        let registers = self.len();
        self.registers.settle(registers);
    }
}

/// The hash of a value that was written to begin with kind 0.
fn hash(value: &Writer) -> u64 {
    SipHasher13::new().hash(value.as_bytes())
}

fn add_rows(
    sink: &mut Sink<'_, HyperLogLog>,
    columns: &[ArrayRef],
    wanted: &[usize],
    precision: impl Fn(usize) -> Result<u8>,
) -> Result<()> {
    let values = Values::of(&columns[wanted.len() - 1]);
    let mut bytes = Writer::new(0);
    for row in complete_rows(columns, wanted) {
        bytes.restart(0);
        let is_there = values.write(row, &mut bytes)?;
        let sketch = match sink.of_row(row) {
            Some(sketch) => sketch,
            none => none.insert(HyperLogLog::new(precision(row)?)),
        };
        if is_there {
            sketch.add(hash(&bytes));
        }
    }
    Ok(())
}

fn default(sink: &mut Sink<'_, HyperLogLog>, columns: &[ArrayRef]) -> Result<()> {
    add_rows(sink, columns, &[0], |_| Ok(DEFAULT))
}

fn sized(sink: &mut Sink<'_, HyperLogLog>, columns: &[ArrayRef]) -> Result<()> {
    let sizes = ints(columns, 0)?;
    let (least, most) = (1 << PRECISIONS.start(), 1 << PRECISIONS.end());
    add_rows(sink, columns, &[0, 1], |row| match sizes.value(row) {
        size if (least..=most).contains(&size) => {
            Ok((size as u64).next_power_of_two().trailing_zeros() as u8)
        }
        size => Err(out_of_range(format!(
            "invalid value for size {size}. Size must be between {least} and {most}, inclusive"
        ))),
    })
}

pub(super) const AGGREGATES: &[Build] = &[
    Build {
        name: "hyperloglog",
        takes: &[Arg::Size, Arg::Any],
        gives: SummaryKind::HyperLogLog,
        fold: &Of(sized),
    },
    Build {
        name: "approx_count_distinct",
        takes: &[Arg::Any],
        gives: SummaryKind::HyperLogLog,
        fold: &Of(default),
    },
];

pub(super) const ACCESSORS: &[Form] = &[
    Form {
        name: "distinct_count",
        of: &[SummaryKind::HyperLogLog],
        takes: &[Arg::Summary],
        gives: Gives::Int,
        row: |bytes, _| {
            let estimate = decode::<HyperLogLog>(bytes)?.estimate();
            Ok(Some(Answer::Int(estimate.round() as i64)))
        },
    },
    Form {
        name: "stderror",
        of: &[SummaryKind::HyperLogLog],
        takes: &[Arg::Summary],
        gives: Gives::Float,
        row: |bytes, _| Ok(Some(Answer::Float(decode::<HyperLogLog>(bytes)?.error()))),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::toolkit::datum::Datum;
    use crate::functions::toolkit::summary::encode;

    fn hash_of(value: &Datum) -> u64 {
        let mut bytes = Writer::new(0);
        value.write(&mut bytes);
        hash(&bytes)
    }

    fn of(precision: u8, values: std::ops::Range<i64>) -> HyperLogLog {
        let mut sketch = HyperLogLog::new(precision);
        values.for_each(|value| sketch.add(hash_of(&Datum::Int(value))));
        sketch.settle();
        sketch
    }

    #[test]
    fn counts_are_within_four_standard_errors() {
        for precision in [6, 10, 12, 15] {
            for count in [1i64, 10, 100, 1000, 10_000, 100_000] {
                for start in [0, 1 << 40] {
                    let sketch = of(precision, start..start + count);
                    let off = (sketch.estimate() - count as f64).abs();
                    let bound = (4.0 * sketch.error() * count as f64).max(1.0);
                    assert!(
                        off <= bound,
                        "p {precision}, {count}: {}",
                        sketch.estimate()
                    );
                }
            }
        }
    }

    #[test]
    fn sets_that_overlap_merge_in_any_order_to_the_same_bytes() {
        for precision in [4, 9, 15] {
            let mut whole = of(precision, 0..3000);
            let expected = encode(&mut whole).expect("short");
            let parts = [0..1000, 500..2500, 2400..3000];
            for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
                let mut merged = of(precision, parts[order[0]].clone());
                for at in &order[1..] {
                    let other = of(precision, parts[*at].clone());
                    merged.merge(other).expect("alike");
                }
                assert_eq!(encode(&mut merged).expect("short"), expected);
            }
            assert_eq!(decode::<HyperLogLog>(&expected).expect("a sketch"), whole);
        }
    }

    #[test]
    fn the_hash_stays_the_same() {
        let mut sketch = HyperLogLog::new(18);
        sketch.add(hash_of(&Datum::Int(1)));
        sketch.add(hash_of(&Datum::Text("pizza".to_owned())));
        let bytes = encode(&mut sketch).expect("short");
        let expected = [5, 1, 18, 0, 2, 0x80, 0xb9, 0x0c, 1, 0x8b, 0xb3, 2, 1];
        assert_eq!(bytes, expected);
    }
}
