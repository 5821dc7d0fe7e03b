//! `lttb(ts, value, resolution)`: so many points that draw nearly the same line.
//!
//! Largest Triangle Three Buckets (Steinarsson, 2013): the first and the last point stay, and of each
//! bucket between them the one that makes the largest triangle with the point before and the mean of
//! the next bucket. While rows are gathered all points are kept; the answer is a vector of points,
//! which `rollup` unites.
//!
//! ```text
//! | resolution, 0 for a vector that is done | points |
//! ```
//!
//! Points are those of [`super::points`].

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::accessor::{Answer, Form, Gives};
use super::aggregate::Build;
use super::args::{Arg, ints};
use super::bytes::{Reader, Writer};
use super::datum::{Datum, Float};
use super::points::{Point, Points, add_rows};
use super::summary::{Of, Sink, Summary, decode, mismatch, out_of_range};
use crate::types::SummaryKind;

/// Points of a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimeVector {
    /// How many are wanted; none for all.
    resolution: usize,
    points: Points,
}

impl Summary for TimeVector {
    fn kind(&self) -> SummaryKind {
        SummaryKind::TimeVector
    }

    fn write(&self, out: &mut Writer) {
        out.count(self.resolution as u64);
        self.points.write(out);
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        if kind != SummaryKind::TimeVector {
            return None;
        }
        let resolution = u32::try_from(from.count()?).ok()? as usize;
        let points = Points::read(from)?;
        let is_possible = !points.all().is_empty() && (resolution == 0 || resolution > 2);
        is_possible.then_some(TimeVector { resolution, points })
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.resolution != other.resolution {
            return Err(mismatch(self.kind()));
        }
        self.points.extend(other.points);
        Ok(())
    }

    fn size(&self) -> usize {
        self.points.size()
    }

    fn settle(&mut self) {
        self.points.settle();
    }

    fn answer(&self) -> Option<Self> {
        let points = self.points.all();
        let chosen = match self.resolution {
            0 => points.to_vec(),
            resolution => chosen(points, resolution),
        };
        Some(TimeVector {
            resolution: 0,
            points: Points::of_ordered(chosen),
        })
    }
}

/// The points that stay, at least three of them wanted.
fn chosen(points: &[Point], wanted: usize) -> Vec<Point> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    if points.len() <= wanted {
        return points.to_vec();
    }
    // Times from the first on, so that their products keep their digits.
    let x = |point: &Point| (i128::from(point.0) - i128::from(first.0)) as f64;
    let width = (points.len() - 2) as f64 / (wanted - 2) as f64;
    let start = |bucket: usize| ((bucket as f64 * width) as usize + 1).min(points.len());
    let mut out = vec![*first];
    let mut before = *first;
    for bucket in 0..wanted - 2 {
        let next = &points[start(bucket + 1)..start(bucket + 2).max(start(bucket + 1) + 1)];
        let mean =
            |of: &dyn Fn(&Point) -> f64| next.iter().map(of).sum::<f64>() / next.len() as f64;
        let (mean_x, mean_y) = (mean(&x), mean(&|point| point.1));
        let (before_x, before_y) = (x(&before), before.1);
        let (mut best, mut best_area) = (points[start(bucket)], -1.0);
        for point in &points[start(bucket)..start(bucket + 1)] {
            let area = ((before_x - mean_x) * (point.1 - before_y)
                - (before_x - x(point)) * (mean_y - before_y))
                .abs();
            if area > best_area {
                (best, best_area) = (*point, area);
            }
        }
        out.push(best);
        before = best;
    }
    out.push(*last);
    out
}

fn update(sink: &mut Sink<'_, TimeVector>, columns: &[ArrayRef]) -> Result<()> {
    let resolutions = ints(columns, 2)?;
    let new = |row| match resolutions.value(row) {
        resolution @ 3..=0x7fff_ffff => Ok(TimeVector {
            resolution: resolution as usize,
            points: Points::default(),
        }),
        _ => Err(out_of_range("resolution must be greater than 2")),
    };
    add_rows(sink, columns, 0, new, |vector| &mut vector.points)
}

pub(super) const AGGREGATES: &[Build] = &[Build {
    name: "lttb",
    takes: &[Arg::Time, Arg::Float, Arg::Size],
    gives: SummaryKind::TimeVector,
    fold: &Of(update),
}];

fn each(bytes: &[u8], of: fn(&Point) -> Datum) -> Result<Option<Answer>> {
    let vector = decode::<TimeVector>(bytes)?;
    Ok(Some(Answer::Array(
        vector.points.all().iter().map(of).collect(),
    )))
}

/// `unnest(vector)` in FROM is written with the first two.
pub(super) const ACCESSORS: &[Form] = &[
    Form {
        name: "timevector_times",
        of: &[SummaryKind::TimeVector],
        takes: &[Arg::Summary],
        gives: Gives::Times,
        row: |bytes, _| each(bytes, |point| Datum::Time(point.0)),
    },
    Form {
        name: "timevector_values",
        of: &[SummaryKind::TimeVector],
        takes: &[Arg::Summary],
        gives: Gives::Floats,
        row: |bytes, _| each(bytes, |point| Datum::Float(Float(point.1))),
    },
    Form {
        name: "num_vals",
        of: &[SummaryKind::TimeVector],
        takes: &[Arg::Summary],
        gives: Gives::Int,
        row: |bytes, _| {
            let count = decode::<TimeVector>(bytes)?.points.all().len();
            Ok(Some(Answer::Int(count as i64)))
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_stay() {
        let points: Vec<Point> = (0..1000)
            .map(|n| (n * 1_000_000, if n == 500 { 100.0 } else { (n % 2) as f64 }))
            .collect();
        for wanted in [3, 10, 100, 999] {
            let out = chosen(&points, wanted);
            assert_eq!(out.len(), wanted);
            assert_eq!((out[0], out[wanted - 1]), (points[0], points[999]));
            assert!(out.contains(&points[500]));
            assert!(out.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        assert_eq!(chosen(&points, 1000), points);
    }
}
