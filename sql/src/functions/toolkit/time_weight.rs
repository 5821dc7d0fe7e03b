//! `time_weight(method, ts, value)`: averages in which a value weighs as long as it holds.
//!
//! `locf` takes a value to hold until the next point, `linear` the line between the two.
//!
//! ```text
//! | method u8: 0 locf, 1 linear | points |
//! ```
//!
//! Points are those of [`super::points`].

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::accessor::{Answer, Arguments, Form, Gives};
use super::aggregate::Build;
use super::args::{Arg, texts};
use super::bytes::{Reader, Writer};
use super::points::{Point, Points, add_rows};
use super::summary::{Of, Sink, Summary, decode, mismatch, out_of_range};
use crate::types::SummaryKind;

/// Points, and what is between them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimeWeight {
    is_linear: bool,
    points: Points,
}

impl Summary for TimeWeight {
    fn kind(&self) -> SummaryKind {
        SummaryKind::TimeWeight
    }

    fn write(&self, out: &mut Writer) {
        out.u8(u8::from(self.is_linear));
        self.points.write(out);
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        if kind != SummaryKind::TimeWeight {
            return None;
        }
        let is_linear = match from.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let points = Points::read(from)?;
        (!points.all().is_empty()).then_some(TimeWeight { is_linear, points })
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.is_linear != other.is_linear {
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
}

impl TimeWeight {
    fn first(&self) -> Point {
        self.points.all()[0]
    }

    fn last(&self) -> Point {
        let points = self.points.all();
        points[points.len() - 1]
    }

    /// The area under the values, in values × microseconds.
    fn integral(&self) -> f64 {
        let pairs = self.points.all().windows(2);
        let areas = pairs.map(|pair| {
            let (from, to) = (pair[0], pair[1]);
            let height = match self.is_linear {
                true => (from.1 + to.1) / 2.0,
                false => from.1,
            };
            height * length(from.0, to.0)
        });
        areas.fold(0.0, |sum, area| sum + area)
    }

    /// None for one point, which holds for no time.
    fn average(&self) -> Option<f64> {
        let length = length(self.first().0, self.last().0);
        (length > 0.0).then(|| self.integral() / length)
    }
}

/// Microseconds between two times.
fn length(from: i64, to: i64) -> f64 {
    (i128::from(to) - i128::from(from)) as f64
}

/// A unit of time, in microseconds.
fn unit(name: &str) -> Result<f64> {
    Ok(match name.to_lowercase().as_str() {
        "usecond" | "microsecond" | "microseconds" | "microsecon" | "us" | "usec" | "useconds"
        | "usecs" => 1.0,
        "msecond" | "millisecond" | "milliseconds" | "millisecon" | "ms" | "msec" | "mseconds"
        | "msecs" => 1e3,
        "second" | "s" | "sec" | "seconds" | "secs" => 1e6,
        "minute" | "m" | "min" | "mins" | "minutes" => 60e6,
        "hour" | "hours" | "h" | "hr" | "hrs" => 3600e6,
        _ => {
            return Err(out_of_range(format!(
                "unrecognized duration unit: {name}. Valid units are: usecond, msecond, second, minute, hour"
            )));
        }
    })
}

fn update(sink: &mut Sink<'_, TimeWeight>, columns: &[ArrayRef]) -> Result<()> {
    let methods = texts(columns, 0)?;
    let new = |row| {
        let is_linear = match methods.value(row).trim().to_lowercase().as_str() {
            "linear" | "trapezoidal" => true,
            "locf" => false,
            _ => {
                let message = "unknown time weight method. Valid methods are 'linear' and 'locf'";
                return Err(out_of_range(message));
            }
        };
        Ok(TimeWeight {
            is_linear,
            points: Points::default(),
        })
    };
    add_rows(sink, columns, 1, new, |summary| &mut summary.points)
}

pub(super) const AGGREGATES: &[Build] = &[Build {
    name: "time_weight",
    takes: &[Arg::Text, Arg::Time, Arg::Float],
    gives: SummaryKind::TimeWeight,
    fold: &Of(update),
}];

macro_rules! form {
    ($name:literal $takes:expr, $gives:ident $ask:expr) => {
        Form {
            name: $name,
            of: &[SummaryKind::TimeWeight],
            takes: $takes,
            gives: Gives::$gives,
            row: |bytes, args| {
                let ask: fn(&TimeWeight, Option<&str>) -> Result<Option<Answer>> = $ask;
                ask(&decode::<TimeWeight>(bytes)?, args.text(0))
            },
        }
    };
}

fn integral(summary: &TimeWeight, name: Option<&str>) -> Result<Option<Answer>> {
    let unit = unit(name.unwrap_or("second"))?;
    Ok(Some(Answer::Float(summary.integral() / unit)))
}

const ALONE: &[Arg] = &[Arg::Summary];

pub(super) const ACCESSORS: &[Form] = &[
    form!("average" ALONE, Float |w, _| Ok(w.average().map(Answer::Float))),
    form!("integral" ALONE, Float integral),
    form!("integral" &[Arg::Summary, Arg::Text], Float integral),
    form!("first_val" ALONE, Float |w, _| Ok(Some(Answer::Float(w.first().1)))),
    form!("last_val" ALONE, Float |w, _| Ok(Some(Answer::Float(w.last().1)))),
    form!("first_time" ALONE, Time |w, _| Ok(Some(Answer::Time(w.first().0)))),
    form!("last_time" ALONE, Time |w, _| Ok(Some(Answer::Time(w.last().0)))),
];
