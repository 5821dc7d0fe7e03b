//! `tdigest(buckets, v)`: percentiles that are best near both ends.
//!
//! The digest is the query engine's own (Dunning and Ertl, <https://arxiv.org/abs/1902.04023>). Its
//! answers depend a little on the order in which values come and digests are merged. With n buckets
//! the value told for a rank q has a rank that is off by at most √(8·min(q, 1-q))/n + 2/n², the rank
//! told for a value by twice that; least and greatest values are exact.
//!
//! ```text
//! | buckets | sum f64 | count f64 | max f64 | min f64 | centroids | each: mean f64, weight f64 |
//! ```

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion_functions_aggregate_common::tdigest::{Centroid, TDigest};

use super::accessor::{Answer, Arguments, Form, Gives};
use super::aggregate::Build;
use super::args::{Arg, complete_rows, floats, ints};
use super::bytes::{Reader, Writer};
use super::summary::{Of, Sink, Summary, decode, mismatch, out_of_range};
use super::uddsketch::{percentiles, share};
use crate::types::SummaryKind;

const BUCKETS_MAX: i64 = 100_000;
/// Values that are gathered before they are sorted into the digest.
const WAITING_MAX: usize = 1024;

/// A digest, and values that are not in it yet.
#[derive(Debug, Clone)]
pub(super) struct Digest {
    digest: TDigest,
    waiting: Vec<f64>,
}

impl Digest {
    fn new(buckets: usize) -> Self {
        Digest {
            digest: TDigest::new(buckets),
            waiting: Vec::new(),
        }
    }

    fn add(&mut self, value: f64) {
        self.waiting.push(value);
        if self.waiting.len() >= WAITING_MAX {
            self.settle();
        }
    }

    /// The share of values that are not greater, between the middles of centroids.
    fn rank(&self, value: f64) -> f64 {
        let digest = &self.digest;
        if value < digest.min() {
            return 0.0;
        }
        if value >= digest.max() {
            return 1.0;
        }
        // Half of a centroid's weight is on each side of its mean.
        let (mut left, mut left_weight) = (digest.min(), 0.0);
        let mut before = 0.0;
        for centroid in digest.centroids() {
            let middle = before + centroid.weight() / 2.0;
            if value < centroid.mean() {
                let part = (value - left) / (centroid.mean() - left);
                return (left_weight + part * (middle - left_weight)) / digest.count();
            }
            (left, left_weight) = (centroid.mean(), middle);
            before += centroid.weight();
        }
        let part = (value - left) / (digest.max() - left);
        (left_weight + part * (digest.count() - left_weight)) / digest.count()
    }
}

impl Summary for Digest {
    fn kind(&self) -> SummaryKind {
        SummaryKind::TDigest
    }

    fn write(&self, out: &mut Writer) {
        let digest = &self.digest;
        out.count(digest.max_size() as u64);
        for value in [digest.sum(), digest.count(), digest.max(), digest.min()] {
            out.f64(value);
        }
        out.count(digest.centroids().len() as u64);
        for centroid in digest.centroids() {
            out.f64(centroid.mean());
            out.f64(centroid.weight());
        }
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        if kind != SummaryKind::TDigest {
            return None;
        }
        let buckets = i64::try_from(from.count()?).ok()?;
        let (sum, count) = (from.f64()?, from.f64()?);
        let (max, min) = (from.f64()?, from.f64()?);
        let centroids = from.length(16)?;
        let centroids: Vec<Centroid> = (0..centroids)
            .map(|_| Some(Centroid::new(from.f64()?, from.f64()?)))
            .collect::<Option<_>>()?;
        let weights: f64 = centroids.iter().map(Centroid::weight).sum();
        let is_possible = (1..=BUCKETS_MAX).contains(&buckets)
            && !centroids.is_empty()
            && count >= 1.0
            && (weights - count).abs() <= count * 1e-9;
        if !is_possible {
            return None;
        }
        let digest = TDigest::try_from_parts(buckets as usize, sum, count, max, min, centroids);
        Some(Digest {
            digest: digest.ok()?,
            waiting: Vec::new(),
        })
    }

    fn merge(&mut self, mut other: Self) -> Result<()> {
        if self.digest.max_size() != other.digest.max_size() {
            return Err(mismatch(self.kind()));
        }
        self.settle();
        other.settle();
        self.digest = TDigest::merge_digests([&self.digest, &other.digest]);
        Ok(())
    }

    fn size(&self) -> usize {
        self.digest.size() + self.waiting.capacity() * size_of::<f64>()
    }

    fn settle(&mut self) {
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.digest = self.digest.merge_unsorted_f64(waiting);
        }
    }
}

fn update(sink: &mut Sink<'_, Digest>, columns: &[ArrayRef]) -> Result<()> {
    let (buckets, values) = (ints(columns, 0)?, floats(columns, 1)?);
    for row in complete_rows(columns, &[0, 1]) {
        let digest = match sink.of_row(row) {
            Some(digest) => digest,
            none => {
                let buckets = buckets.value(row);
                if !(1..=BUCKETS_MAX).contains(&buckets) {
                    let message = format!("a tdigest has between 1 and {BUCKETS_MAX} buckets");
                    return Err(out_of_range(message));
                }
                none.insert(Digest::new(buckets as usize))
            }
        };
        digest.add(values.value(row));
    }
    Ok(())
}

pub(super) const AGGREGATES: &[Build] = &[Build {
    name: "tdigest",
    takes: &[Arg::Size, Arg::Float],
    gives: SummaryKind::TDigest,
    fold: &Of(update),
}];

const OF: &[SummaryKind] = &[SummaryKind::TDigest];

/// A function that only asks the digest.
macro_rules! form {
    ($name:literal $ask:expr) => {
        Form {
            name: $name,
            of: OF,
            takes: &[Arg::Summary],
            gives: Gives::Float,
            row: |bytes, _| {
                let ask: fn(&TDigest) -> f64 = $ask;
                Ok(Some(Answer::Float(ask(&decode::<Digest>(bytes)?.digest))))
            },
        }
    };
}

pub(super) const ACCESSORS: &[Form] = &[
    Form {
        name: "approx_percentile",
        of: OF,
        takes: &[Arg::Share, Arg::Summary],
        gives: Gives::Float,
        row: |bytes, args| {
            let share = share(args.float(0))?;
            let digest = decode::<Digest>(bytes)?.digest;
            Ok(Some(Answer::Float(digest.estimate_quantile(share))))
        },
    },
    Form {
        name: "approx_percentile_rank",
        of: OF,
        takes: &[Arg::Share, Arg::Summary],
        gives: Gives::Float,
        row: |bytes, args| {
            let digest = decode::<Digest>(bytes)?;
            Ok(args.float(0).map(|value| Answer::Float(digest.rank(value))))
        },
    },
    Form {
        name: "approx_percentile_array",
        of: OF,
        takes: &[Arg::Floats, Arg::Summary],
        gives: Gives::Floats,
        row: |bytes, args| {
            let digest = decode::<Digest>(bytes)?.digest;
            percentiles(args.first(), |share| digest.estimate_quantile(share))
        },
    },
    form!("mean" | digest | digest.sum() / digest.count()),
    form!("num_vals" | digest | digest.count()),
    form!("min_val" | digest | digest.min()),
    form!("max_val" | digest | digest.max()),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that grow ever faster, in an order that looks random.
    fn values(count: u64) -> Vec<f64> {
        (0..count)
            .map(|n| ((n * 7919) % count) as f64 / count as f64)
            .map(|unit| (unit * 10.0).exp())
            .collect()
    }

    /// What a rank may be off by.
    fn bound(share: f64, buckets: f64) -> f64 {
        let tail = share.min(1.0 - share);
        (8.0 * tail).sqrt() / buckets + 2.0 / (buckets * buckets)
    }

    #[test]
    fn ranks_are_within_the_bound_however_digests_are_merged() {
        let mut values = values(50_021);
        for buckets in [50usize, 100, 500] {
            let mut whole = Digest::new(buckets);
            values.iter().for_each(|value| whole.add(*value));
            whole.settle();
            let mut merged: Option<Digest> = None;
            for part in values.chunks(5003).rev() {
                let mut digest = Digest::new(buckets);
                part.iter().for_each(|value| digest.add(*value));
                match &mut merged {
                    Some(merged) => merged.merge(digest).expect("alike"),
                    None => merged = Some(digest),
                }
            }
            values.sort_by(f64::total_cmp);
            for digest in [whole, merged.expect("one")] {
                for share in [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999] {
                    let told = digest.digest.estimate_quantile(share);
                    let rank = values.partition_point(|value| *value <= told);
                    let off = (rank as f64 / values.len() as f64 - share).abs();
                    let bound = bound(share, buckets as f64);
                    assert!(off <= bound, "{buckets} buckets, {share}: off by {off}");
                    let exact = values[(values.len() as f64 * share) as usize];
                    let off = (digest.rank(exact) - share).abs();
                    assert!(off <= 2.0 * bound, "{buckets} buckets, {share}: {off}");
                }
                assert_eq!(digest.digest.min(), values[0]);
                assert_eq!(digest.digest.max(), values[values.len() - 1]);
            }
        }
    }
}
