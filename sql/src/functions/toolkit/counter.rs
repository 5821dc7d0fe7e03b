//! `counter_agg(ts, value)` and `gauge_agg(ts, value)`: how a metric changes.
//!
//! A counter only grows; where a value is less than the one before it was reset, and counts as from
//! zero. A gauge may go either way. The line of `slope`, `intercept` and `corr` goes through the
//! values without the resets, over seconds; `intercept` is its value in the year 2000, the zero of
//! PostgreSQL's times.
//!
//! The body is that of [`super::points`].

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::accessor::{Answer, Form, Gives};
use super::aggregate::Build;
use super::args::Arg;
use super::bytes::{Reader, Writer};
use super::points::{Point, Points, add_rows};
use super::stats::Stats2;
use super::summary::{Of, Sink, Summary, decode};
use crate::types::SummaryKind;

/// 2000-01-01 in microseconds since 1970.
const EPOCH_US: i64 = 946_684_800_000_000;
const SECOND_US: f64 = 1e6;

/// Points of a counter or of a gauge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Counter {
    is_gauge: bool,
    points: Points,
}

impl Summary for Counter {
    fn kind(&self) -> SummaryKind {
        match self.is_gauge {
            true => SummaryKind::Gauge,
            false => SummaryKind::Counter,
        }
    }

    fn write(&self, out: &mut Writer) {
        self.points.write(out);
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        let is_gauge = match kind {
            SummaryKind::Gauge => true,
            SummaryKind::Counter => false,
            _ => return None,
        };
        let points = Points::read(from)?;
        (!points.all().is_empty()).then_some(Counter { is_gauge, points })
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.is_gauge != other.is_gauge {
            return Err(super::summary::mismatch(self.kind()));
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
}

/// Seconds from one time to another.
fn seconds(from: i64, to: i64) -> f64 {
    (to as i128 - from as i128) as f64 / SECOND_US
}

impl Counter {
    fn points(&self) -> &[Point] {
        self.points.all()
    }

    fn first(&self) -> Point {
        self.points()[0]
    }

    fn last(&self) -> Point {
        self.points()[self.points().len() - 1]
    }

    /// The first two points, and the last two; none if there is one.
    fn ends(&self) -> Option<([Point; 2], [Point; 2])> {
        let [first, second, ..] = self.points() else {
            return None;
        };
        let [.., penultimate, last] = self.points() else {
            return None;
        };
        Some(([*first, *second], [*penultimate, *last]))
    }

    /// How much it has grown from one point to the next.
    fn step(&self, [from, to]: [Point; 2]) -> f64 {
        match !self.is_gauge && to.1 < from.1 {
            true => to.1,
            false => to.1 - from.1,
        }
    }

    fn pairs(&self) -> impl Iterator<Item = [Point; 2]> {
        self.points().windows(2).map(|pair| [pair[0], pair[1]])
    }

    fn resets(&self) -> impl Iterator<Item = [Point; 2]> {
        self.pairs().filter(|[from, to]| to.1 < from.1)
    }

    /// What was counted before the resets.
    fn lost(&self) -> f64 {
        match self.is_gauge {
            true => 0.0,
            false => self.resets().map(|[from, _]| from.1).sum(),
        }
    }

    fn delta(&self) -> f64 {
        self.last().1 + self.lost() - self.first().1
    }

    fn time_delta(&self) -> f64 {
        seconds(self.first().0, self.last().0)
    }

    fn rate(&self) -> Option<f64> {
        self.ends().map(|_| self.delta() / self.time_delta())
    }

    /// Change by the second between two points.
    fn irate(&self, pair: [Point; 2]) -> f64 {
        self.step(pair) / seconds(pair[0].0, pair[1].0)
    }

    /// The line through the values without the resets, over seconds since the first point.
    fn line(&self) -> Result<Stats2> {
        let start = self.first();
        let mut line = Stats2::of(0.0, start.1);
        let mut lost = 0.0;
        for [from, to] in self.pairs() {
            if !self.is_gauge && to.1 < from.1 {
                lost += from.1;
            }
            line.merge(Stats2::of(seconds(start.0, to.0), to.1 + lost))?;
        }
        Ok(line)
    }

    fn intercept(&self) -> Result<Option<f64>> {
        Ok(self.line()?.at(seconds(self.first().0, EPOCH_US)))
    }

    /// When the line meets zero, microseconds since 1970.
    fn zero_time(&self) -> Result<Option<i64>> {
        let after = self.line()?.x_intercept();
        let time = after.map(|after| self.first().0 as f64 + after * SECOND_US);
        // What is beyond all times has none.
        Ok(time
            .filter(|time| time.abs() < i64::MAX as f64)
            .map(|time| time as i64))
    }
}

fn update(sink: &mut Sink<'_, Counter>, columns: &[ArrayRef], is_gauge: bool) -> Result<()> {
    let new = |_| {
        Ok(Counter {
            is_gauge,
            points: Points::default(),
        })
    };
    add_rows(sink, columns, 0, new, |counter| &mut counter.points)
}

pub(super) const AGGREGATES: &[Build] = &[
    Build {
        name: "counter_agg",
        takes: &[Arg::Time, Arg::Float],
        gives: SummaryKind::Counter,
        fold: &Of(|sink, columns| update(sink, columns, false)),
    },
    Build {
        name: "gauge_agg",
        takes: &[Arg::Time, Arg::Float],
        gives: SummaryKind::Gauge,
        fold: &Of(|sink, columns| update(sink, columns, true)),
    },
];

const OF: &[SummaryKind] = &[SummaryKind::Counter, SummaryKind::Gauge];
const OF_COUNTERS: &[SummaryKind] = &[SummaryKind::Counter];

macro_rules! form {
    ($name:literal $of:ident $gives:ident $ask:expr) => {
        Form {
            name: $name,
            of: $of,
            takes: &[Arg::Summary],
            gives: Gives::$gives,
            row: |bytes, _| {
                let ask: fn(&Counter) -> Result<Option<Answer>> = $ask;
                ask(&decode::<Counter>(bytes)?)
            },
        }
    };
}

fn float(value: f64) -> Result<Option<Answer>> {
    Ok(Some(Answer::Float(value)))
}

fn count(value: usize) -> Result<Option<Answer>> {
    Ok(Some(Answer::Int(value as i64)))
}

pub(super) const ACCESSORS: &[Form] = &[
    form!("delta" OF Float |c| float(c.delta())),
    form!("rate" OF Float |c| Ok(c.rate().map(Answer::Float))),
    form!("time_delta" OF Float |c| float(c.time_delta())),
    form!("num_resets" OF_COUNTERS Int |c| count(c.resets().count())),
    form!("num_changes" OF Int |c| count(c.pairs().filter(|[a, b]| a.1 != b.1).count())),
    form!("num_elements" OF Int |c| count(c.points().len())),
    form!("idelta_left" OF Float |c| float(c.ends().map_or(0.0, |(left, _)| c.step(left)))),
    form!("idelta_right" OF Float |c| float(c.ends().map_or(0.0, |(_, right)| c.step(right)))),
    form!("irate_left" OF Float |c| Ok(c.ends().map(|(left, _)| Answer::Float(c.irate(left))))),
    form!("irate_right" OF Float |c| Ok(c.ends().map(|(_, right)| Answer::Float(c.irate(right))))),
    form!("first_val" OF Float |c| float(c.first().1)),
    form!("last_val" OF Float |c| float(c.last().1)),
    form!("first_time" OF Time |c| Ok(Some(Answer::Time(c.first().0)))),
    form!("last_time" OF Time |c| Ok(Some(Answer::Time(c.last().0)))),
    form!("slope" OF Float |c| Ok(c.line()?.slope().map(Answer::Float))),
    form!("intercept" OF Float |c| Ok(c.intercept()?.map(Answer::Float))),
    form!("corr" OF Float |c| Ok(c.line()?.corr().map(Answer::Float))),
    form!("counter_zero_time" OF_COUNTERS Time |c| Ok(c.zero_time()?.map(Answer::Time))),
];
