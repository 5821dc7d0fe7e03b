//! `percentile_agg(v)` and `uddsketch(size, max_error, v)`: percentiles with a relative error.
//!
//! UDDSketch (Epicoco et al., <https://arxiv.org/abs/2004.08604>): counts of values by buckets whose
//! bounds grow by a factor; when there are more than `size`, pairs of neighbours become one and the
//! factor its square. A percentile is within `error` of the value of that rank, relative to it.
//!
//! A value's bucket is computed at the first factor and halved as often as the sketch was since, so
//! that a sketch depends on its values alone and not on the order in which they came. Only the last
//! digits of the sum do.
//!
//! ```text
//! | first error f64 | size | halvings u8 | sum f64 | buckets | each: sign u8, number, count |
//! ```
//!
//! Buckets are sorted; a number is signed, and a negative bucket has the one of its absolute value.
//! Signs are 0 negative, 1 zero, 2 positive, 3 NaN; infinite values have the greatest number.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::accessor::{Answer, Arguments, Form, Gives};
use super::aggregate::Build;
use super::args::{Arg, complete_rows, floats, ints};
use super::buckets::{Buckets, Key};
use super::bytes::{Reader, Writer};
use super::datum::{Datum, Float};
use super::summary::{Of, Sink, Summary, decode, mismatch, out_of_range};
use crate::types::SummaryKind;

/// What `percentile_agg` takes.
const SIZE: i64 = 200;
const ERROR: f64 = 0.001;
const SIZE_MAX: i64 = 1_000_000;
/// Beyond it there is no factor any more.
const HALVINGS_MAX: u8 = 60;
/// Of infinite values.
const INFINITE: i64 = i64::MAX;

/// The sketch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct UddSketch {
    first_error: f64,
    size: usize,
    halvings: u8,
    sum: f64,
    buckets: Buckets,
    /// Logarithm of the first factor.
    step: f64,
}

impl UddSketch {
    fn new(size: usize, first_error: f64) -> Self {
        UddSketch {
            first_error,
            size,
            halvings: 0,
            sum: 0.0,
            buckets: Buckets::default(),
            step: ((1.0 + first_error) / (1.0 - first_error)).ln(),
        }
    }

    /// The bucket of a value.
    fn key(&self, value: f64) -> Key {
        if value.is_nan() {
            return (2, 0);
        }
        if value == 0.0 {
            return (0, 0);
        }
        let number = match value.is_infinite() {
            true => INFINITE,
            false => (value.abs().ln() / self.step).ceil() as i64,
        };
        let key = match value < 0.0 {
            true => (-1, -number),
            false => (1, number),
        };
        halved(key, self.halvings)
    }

    fn add(&mut self, value: f64) {
        let key = self.key(value);
        self.sum += value;
        if self.buckets.add(key) {
            self.shrink();
        }
    }

    /// Halves until the buckets are as few as they may be.
    fn shrink(&mut self) {
        self.buckets.settle();
        while self.buckets.all().len() > self.size && self.halvings < HALVINGS_MAX {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.buckets.rename(|key| halved(key, 1));
        self.halvings += 1;
    }

    fn count(&self) -> u64 {
        self.buckets.all().iter().map(|(_, count)| count).sum()
    }

    /// How far an answer may be from the true value, relative to it.
    fn error(&self) -> f64 {
        let mut error = self.first_error;
        for _ in 0..self.halvings {
            error = 2.0 * error / (1.0 + error * error);
        }
        error
    }

    /// The value that stands for a bucket.
    fn value(&self, (sign, number): Key) -> f64 {
        match sign {
            0 => 0.0,
            1 if number == INFINITE => f64::INFINITY,
            -1 if number == -INFINITE => f64::NEG_INFINITY,
            2 => f64::NAN,
            _ => {
                let step = self.step * 2f64.powi(self.halvings.into());
                let number = number as f64 * f64::from(sign);
                let value = ((number - 1.0) * step).exp() * (1.0 + self.error());
                f64::from(sign) * value
            }
        }
    }

    /// The value of a rank, a share of all values.
    fn percentile(&self, share: f64) -> f64 {
        let count = self.count();
        let mut rank = ((count as f64 * share) as u64).saturating_add(1).min(count);
        for (key, in_bucket) in self.buckets.all() {
            if rank <= *in_bucket {
                return self.value(*key);
            }
            rank -= in_bucket;
        }
        f64::NAN
    }

    /// The share of values that are less; half of the bucket of the value itself is.
    fn rank(&self, value: f64) -> f64 {
        let key = self.key(value);
        let buckets = self.buckets.all();
        let (before, rest) = buckets.split_at(buckets.partition_point(|bucket| bucket.0 < key));
        let less: u64 = before.iter().map(|(_, count)| count).sum();
        let same = rest.first().filter(|bucket| bucket.0 == key);
        let same = same.map_or(0, |(_, count)| *count);
        (less as f64 + same as f64 / 2.0) / self.count() as f64
    }

    fn mean(&self) -> f64 {
        self.sum / self.count() as f64
    }
}

/// A bucket after so many halvings: 1 and 2 become 1, 3 and 4 become 2.
fn halved((sign, number): Key, halvings: u8) -> Key {
    let absolute = number * i64::from(sign);
    if sign == 0 || sign == 2 || absolute == INFINITE {
        return (sign, number);
    }
    let absolute = match u32::from(halvings) {
        0 => absolute,
        by => {
            let floor = (absolute - 1) >> by;
            floor + 1
        }
    };
    (sign, absolute * i64::from(sign))
}

impl Summary for UddSketch {
    fn kind(&self) -> SummaryKind {
        SummaryKind::UddSketch
    }

    fn write(&self, out: &mut Writer) {
        out.f64(self.first_error);
        out.count(self.size as u64);
        out.u8(self.halvings);
        out.f64(self.sum);
        out.count(self.buckets.all().len() as u64);
        for ((sign, number), count) in self.buckets.all() {
            out.u8((sign + 1) as u8);
            out.signed(*number);
            out.count(*count);
        }
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        if kind != SummaryKind::UddSketch {
            return None;
        }
        let (error, size) = (from.f64()?, from.count()?);
        let size = i64::try_from(size).ok()?;
        if !is_possible(size, error) {
            return None;
        }
        let mut sketch = UddSketch::new(size as usize, error);
        sketch.halvings = from.u8()?;
        sketch.sum = from.f64()?;
        let buckets = from.length(3)?;
        let is_full = sketch.halvings >= HALVINGS_MAX;
        if sketch.halvings > HALVINGS_MAX || (buckets > sketch.size && !is_full) || buckets == 0 {
            return None;
        }
        let (mut last, mut total) = (None, 0u64);
        for _ in 0..buckets {
            let sign = from.u8()?.checked_sub(1).map_or(-1, |sign| sign as i8);
            let key = (sign, from.signed()?);
            let count = from.count()?;
            let is_possible = match key {
                (0 | 2, number) => number == 0,
                (-1 | 1, number) => number != i64::MIN,
                _ => false,
            };
            if !is_possible || last >= Some(key) || count == 0 {
                return None;
            }
            total = total.checked_add(count)?;
            sketch.buckets.push(key, count);
            last = Some(key);
        }
        Some(sketch)
    }

    fn merge(&mut self, mut other: Self) -> Result<()> {
        if (self.size, self.first_error) != (other.size, other.first_error) {
            return Err(mismatch(self.kind()));
        }
        self.shrink();
        other.shrink();
        while self.halvings < other.halvings {
            self.halve();
        }
        while other.halvings < self.halvings {
            other.halve();
        }
        self.buckets.merge(other.buckets.all().iter().copied());
        self.sum += other.sum;
        self.shrink();
        Ok(())
    }

    fn size(&self) -> usize {
        self.buckets.size()
    }

    fn settle(&mut self) {
        self.shrink();
    }
}

fn is_possible(size: i64, error: f64) -> bool {
    (1..=SIZE_MAX).contains(&size) && (1e-12..1.0).contains(&error)
}

fn default(sink: &mut Sink<'_, UddSketch>, columns: &[ArrayRef]) -> Result<()> {
    let values = floats(columns, 0)?;
    for row in complete_rows(columns, &[0]) {
        let new = || UddSketch::new(SIZE as usize, ERROR);
        let sketch = sink.of_row(row).get_or_insert_with(new);
        sketch.add(values.value(row));
    }
    Ok(())
}

fn sized(sink: &mut Sink<'_, UddSketch>, columns: &[ArrayRef]) -> Result<()> {
    let (sizes, errors) = (ints(columns, 0)?, floats(columns, 1)?);
    let values = floats(columns, 2)?;
    for row in complete_rows(columns, &[0, 1, 2]) {
        let sketch = match sink.of_row(row) {
            Some(sketch) => sketch,
            none => {
                let (size, error) = (sizes.value(row), errors.value(row));
                if !is_possible(size, error) {
                    return Err(out_of_range(format!(
                        "a uddsketch has between 1 and {SIZE_MAX} buckets and an error between 1e-12 and 1"
                    )));
                }
                none.insert(UddSketch::new(size as usize, error))
            }
        };
        sketch.add(values.value(row));
    }
    Ok(())
}

pub(super) const AGGREGATES: &[Build] = &[
    Build {
        name: "percentile_agg",
        takes: &[Arg::Float],
        gives: SummaryKind::UddSketch,
        fold: &Of(default),
    },
    Build {
        name: "uddsketch",
        takes: &[Arg::Size, Arg::Share, Arg::Float],
        gives: SummaryKind::UddSketch,
        fold: &Of(sized),
    },
];

/// A percentile as a share.
///
/// # Errors
/// 22023 when it is no share.
pub(super) fn share(value: Option<f64>) -> Result<f64> {
    match value {
        Some(share) if (0.0..=1.0).contains(&share) => Ok(share),
        other => {
            let value = other.unwrap_or(f64::NAN);
            Err(out_of_range(format!(
                "percentile value {value} is not between 0 and 1"
            )))
        }
    }
}

/// The percentiles of an array of shares.
pub(super) fn percentiles(
    shares: Option<&datafusion::common::ScalarValue>,
    of: impl Fn(f64) -> f64,
) -> Result<Option<Answer>> {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::arrow::datatypes::Float64Type;
    let Some(datafusion::common::ScalarValue::List(list)) = shares else {
        return Ok(None);
    };
    if list.is_null(0) {
        return Ok(None);
    }
    let shares = list.value(0);
    let shares = shares.as_primitive::<Float64Type>().iter();
    let values = shares.map(|value| Ok(Datum::Float(Float(of(share(value)?)))));
    Ok(Some(Answer::Array(values.collect::<Result<_>>()?)))
}

const OF: &[SummaryKind] = &[SummaryKind::UddSketch];

pub(super) const ACCESSORS: &[Form] = &[
    Form {
        name: "approx_percentile",
        of: OF,
        takes: &[Arg::Share, Arg::Summary],
        gives: Gives::Float,
        row: |bytes, args| {
            let share = share(args.float(0))?;
            let value = decode::<UddSketch>(bytes)?.percentile(share);
            Ok(Some(Answer::Float(value)))
        },
    },
    Form {
        name: "approx_percentile_rank",
        of: OF,
        takes: &[Arg::Share, Arg::Summary],
        gives: Gives::Float,
        row: |bytes, args| {
            let sketch = decode::<UddSketch>(bytes)?;
            Ok(args.float(0).map(|value| Answer::Float(sketch.rank(value))))
        },
    },
    Form {
        name: "approx_percentile_array",
        of: OF,
        takes: &[Arg::Floats, Arg::Summary],
        gives: Gives::Floats,
        row: |bytes, args| {
            let sketch = decode::<UddSketch>(bytes)?;
            percentiles(args.first(), |share| sketch.percentile(share))
        },
    },
    Form {
        name: "mean",
        of: OF,
        takes: &[Arg::Summary],
        gives: Gives::Float,
        row: |bytes, _| Ok(Some(Answer::Float(decode::<UddSketch>(bytes)?.mean()))),
    },
    Form {
        name: "num_vals",
        of: OF,
        takes: &[Arg::Summary],
        gives: Gives::Float,
        row: |bytes, _| {
            let count = decode::<UddSketch>(bytes)?.count();
            Ok(Some(Answer::Float(count as f64)))
        },
    },
    Form {
        name: "error",
        of: OF,
        takes: &[Arg::Summary],
        gives: Gives::Float,
        row: |bytes, _| Ok(Some(Answer::Float(decode::<UddSketch>(bytes)?.error()))),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::toolkit::summary::encode;

    /// Values over several orders of magnitude, of both signs.
    fn values(count: u64, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let next = |_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
            let value = (unit * 18.0 - 4.0).exp();
            if state & (1 << 7) == 0 { -value } else { value }
        };
        (0..count).map(next).collect()
    }

    fn sketch(values: &[f64], size: usize, error: f64) -> UddSketch {
        let mut sketch = UddSketch::new(size, error);
        values.iter().for_each(|value| sketch.add(*value));
        sketch.shrink();
        sketch
    }

    #[test]
    fn percentiles_are_within_the_error() {
        for seed in 0..5 {
            let mut values = values(20_000, seed);
            for (size, first) in [(200, 0.001), (50, 0.01), (5000, 0.001)] {
                let sketch = sketch(&values, size, first);
                assert!(sketch.buckets.all().len() <= size);
                values.sort_by(f64::total_cmp);
                for percent in 0..=100 {
                    let share = f64::from(percent) / 100.0;
                    let rank = (values.len() as f64 * share) as usize;
                    let exact = values[rank.min(values.len() - 1)];
                    let told = sketch.percentile(share);
                    let bound = sketch.error() * exact.abs() * (1.0 + 1e-9);
                    assert!((told - exact).abs() <= bound, "{share}: {told}, {exact}");
                }
            }
        }
    }

    #[test]
    fn any_order_of_merging_makes_the_same_sketch() {
        let values = values(5000, 42);
        let whole = sketch(&values, 100, 0.001);
        let mut parts: Vec<UddSketch> = values
            .chunks(77)
            .map(|part| sketch(part, 100, 0.001))
            .collect();
        parts.reverse();
        let mut merged = parts.pop().expect("one");
        for part in parts {
            merged.merge(part).expect("alike");
        }
        assert_eq!(merged.buckets, whole.buckets);
        assert_eq!(merged.halvings, whole.halvings);
        let mut backwards = values;
        backwards.reverse();
        assert_eq!(sketch(&backwards, 100, 0.001).buckets, whole.buckets);
    }

    #[test]
    fn what_is_no_number_is_kept_and_read_back() {
        let values = [
            f64::NEG_INFINITY,
            -3.0,
            0.0,
            -0.0,
            1e300,
            f64::INFINITY,
            f64::NAN,
        ];
        let mut sketch = sketch(&values, 3, 0.5);
        let bytes = encode(&mut sketch).expect("short");
        let read: UddSketch = decode(&bytes).expect("a sketch");
        assert_eq!(read.buckets, sketch.buckets);
        assert_eq!(read.percentile(0.0), f64::NEG_INFINITY);
        assert!(read.percentile(1.0).is_nan());
        assert_eq!(read.count(), 7);
    }
}
