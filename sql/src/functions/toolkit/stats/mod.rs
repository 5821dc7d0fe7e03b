//! `stats_agg(v)` and `stats_agg(y, x)`: averages, variances and lines.
//!
//! ```text
//! statssummary1d: | moments |
//! statssummary2d: | moments of x | moments of y, of as many rows | sum of products f64 |
//! moments:        | n | sum f64 | second f64 | third f64 | fourth f64 |
//! ```
//!
//! Powers and products are of differences from the means. `sample` is what is meant without a
//! method, as in the toolkit; a sample of one value has no variance, as in PostgreSQL.

mod moments;
#[cfg(test)]
mod tests;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::{Result, ScalarValue};

pub(super) use moments::{Method, Moments};

use super::accessor::{Answer, Arguments, Form, Gives};
use super::aggregate::Build;
use super::args::{Arg, complete_rows, floats};
use super::bytes::{Reader, Writer};
use super::summary::{Of, Sink, Summary, decode, out_of_range};
use crate::types::SummaryKind;

/// Of one variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stats1(Moments);

/// Of two variables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stats2 {
    x: Moments,
    y: Moments,
    /// Sum of the products of differences from the means.
    xy: f64,
}

impl Summary for Stats1 {
    fn kind(&self) -> SummaryKind {
        SummaryKind::Stats1
    }

    fn write(&self, out: &mut Writer) {
        self.0.write(out);
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        (kind == SummaryKind::Stats1).then(|| Moments::read(from).map(Stats1))?
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.0.merge(&other.0)
    }
}

impl Stats2 {
    /// Of one point.
    pub(super) fn of(x: f64, y: f64) -> Self {
        let (x, y) = (Moments::of(x), Moments::of(y));
        Stats2 {
            x,
            y,
            // NaN where one of them is infinite.
            xy: x.m2 * y.m2,
        }
    }

    /// Of many points at once; none where a sum is not finite.
    fn of_all(xs: &[f64], ys: &[f64]) -> Option<Self> {
        let (x, y) = (Moments::of_all(xs)?, Moments::of_all(ys)?);
        let (mean_x, mean_y) = (x.mean(), y.mean());
        let products = xs.iter().zip(ys);
        let products = products.map(|(x, y)| (x - mean_x) * (y - mean_y));
        let xy = products.sum::<f64>();
        xy.is_finite().then_some(Stats2 { x, y, xy })
    }

    pub(super) fn slope(&self) -> Option<f64> {
        (self.x.m2 != 0.0).then(|| self.xy / self.x.m2)
    }

    /// Where the line meets this x.
    pub(super) fn at(&self, x: f64) -> Option<f64> {
        Some(self.y.mean() + self.slope()? * (x - self.x.mean()))
    }

    /// Where the line meets y = 0.
    pub(super) fn x_intercept(&self) -> Option<f64> {
        // A vertical line meets it, a horizontal one does not.
        if self.x.n > 1 && self.x.m2 == 0.0 {
            return Some(self.x.mean());
        }
        if self.y.m2 == 0.0 {
            return None;
        }
        Some(self.x.mean() - self.y.mean() / self.slope()?)
    }

    pub(super) fn corr(&self) -> Option<f64> {
        if self.x.m2 == 0.0 || self.y.m2 == 0.0 {
            return None;
        }
        let product = self.x.m2 * self.y.m2;
        // Where the product has no digits the roots have.
        Some(match product > 0.0 && product.is_finite() {
            true => self.xy / product.sqrt(),
            false => self.xy / self.x.m2.sqrt() / self.y.m2.sqrt(),
        })
    }

    fn covariance(&self, method: Method) -> Option<f64> {
        Some(self.xy / self.x.divisor(method)?)
    }

    fn determination_coeff(&self) -> Option<f64> {
        if self.x.m2 == 0.0 {
            return None;
        }
        if self.y.m2 == 0.0 {
            return Some(1.0);
        }
        Some(self.xy / self.x.m2 * (self.xy / self.y.m2))
    }
}

impl Summary for Stats2 {
    fn kind(&self) -> SummaryKind {
        SummaryKind::Stats2
    }

    fn write(&self, out: &mut Writer) {
        self.x.write(out);
        self.y.write(out);
        out.f64(self.xy);
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        if kind != SummaryKind::Stats2 {
            return None;
        }
        let (x, y) = (Moments::read(from)?, Moments::read(from)?);
        let xy = from.f64()?;
        (x.n == y.n).then_some(Stats2 { x, y, xy })
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        let (na, nb) = (self.x.n as f64, other.x.n as f64);
        let dx = other.x.mean() - self.x.mean();
        let dy = other.y.mean() - self.y.mean();
        self.xy = self.xy + other.xy + dx * dy * (na * nb / (na + nb));
        self.x.merge(&other.x)?;
        self.y.merge(&other.y)
    }
}

/// Rows of one group that are summarised together.
const TOGETHER: usize = 1024;
/// Fewer are added one by one.
const TOGETHER_MIN: usize = 64;

fn add<S: Summary>(summary: &mut Option<S>, other: S) -> Result<()> {
    match summary {
        Some(summary) => summary.merge(other),
        none => {
            *none = Some(other);
            Ok(())
        }
    }
}

fn update1(sink: &mut Sink<'_, Stats1>, columns: &[ArrayRef]) -> Result<()> {
    let values = floats(columns, 0)?;
    if let (Sink::One(summary), 0) = (&mut *sink, values.null_count()) {
        for values in values.values().chunks(TOGETHER) {
            match Moments::of_all(values).filter(|_| values.len() >= TOGETHER_MIN) {
                Some(moments) => add(summary, Stats1(moments))?,
                None => values
                    .iter()
                    .try_for_each(|value| add(summary, Stats1(Moments::of(*value))))?,
            }
        }
        return Ok(());
    }
    complete_rows(columns, &[0]).try_for_each(|row| match sink.of_row(row) {
        Some(summary) => summary.0.add(values.value(row)),
        none => {
            *none = Some(Stats1(Moments::of(values.value(row))));
            Ok(())
        }
    })
}

fn update2(sink: &mut Sink<'_, Stats2>, columns: &[ArrayRef]) -> Result<()> {
    let (ys, xs) = (floats(columns, 0)?, floats(columns, 1)?);
    if let (Sink::One(summary), 0) = (&mut *sink, ys.null_count() + xs.null_count()) {
        let pairs = xs
            .values()
            .chunks(TOGETHER)
            .zip(ys.values().chunks(TOGETHER));
        for (xs, ys) in pairs {
            match Stats2::of_all(xs, ys).filter(|_| xs.len() >= TOGETHER_MIN) {
                Some(stats) => add(summary, stats)?,
                None => xs
                    .iter()
                    .zip(ys)
                    .try_for_each(|(x, y)| add(summary, Stats2::of(*x, *y)))?,
            }
        }
        return Ok(());
    }
    complete_rows(columns, &[0, 1]).try_for_each(|row| {
        let point = Stats2::of(xs.value(row), ys.value(row));
        add(sink.of_row(row), point)
    })
}

pub(super) const AGGREGATES: &[Build] = &[
    Build {
        name: "stats_agg",
        takes: &[Arg::Float],
        gives: SummaryKind::Stats1,
        fold: &Of(update1),
    },
    Build {
        name: "stats_agg",
        takes: &[Arg::Float, Arg::Float],
        gives: SummaryKind::Stats2,
        fold: &Of(update2),
    },
];

/// The method that an argument names.
fn method(args: &[ScalarValue]) -> Result<Method> {
    match args.text(0) {
        None => Ok(Method::Sample),
        Some(name) => match name.to_ascii_lowercase().as_str() {
            "sample" | "samp" => Ok(Method::Sample),
            "population" | "pop" => Ok(Method::Population),
            _ => Err(out_of_range(
                "unknown analysis method. Valid methods are 'population' and 'sample'",
            )),
        },
    }
}

fn moments1(bytes: &[u8]) -> Result<Moments> {
    Ok(decode::<Stats1>(bytes)?.0)
}

fn moments_x(bytes: &[u8]) -> Result<Moments> {
    Ok(decode::<Stats2>(bytes)?.x)
}

fn moments_y(bytes: &[u8]) -> Result<Moments> {
    Ok(decode::<Stats2>(bytes)?.y)
}

/// A function of one variable: without a method, or with one.
macro_rules! form {
    ($name:literal $of:ident $value:ident average) => {
        Form {
            name: $name,
            of: &[SummaryKind::$of],
            takes: &[Arg::Summary],
            gives: Gives::Float,
            row: |bytes, _| Ok(Some(Answer::Float($value(bytes)?.mean()))),
        }
    };
    ($name:literal $of:ident $value:ident sum) => {
        Form {
            name: $name,
            of: &[SummaryKind::$of],
            takes: &[Arg::Summary],
            gives: Gives::Float,
            row: |bytes, _| Ok(Some(Answer::Float($value(bytes)?.sum))),
        }
    };
    ($name:literal $of:ident $value:ident count) => {
        Form {
            name: $name,
            of: &[SummaryKind::$of],
            takes: &[Arg::Summary],
            gives: Gives::Int,
            row: |bytes, _| Ok(Some(Answer::Int($value(bytes)?.n as i64))),
        }
    };
    ($name:literal $of:ident $takes:expr, $value:ident by $ask:ident) => {
        Form {
            name: $name,
            of: &[SummaryKind::$of],
            takes: $takes,
            gives: Gives::Float,
            row: |bytes, args| Ok($value(bytes)?.$ask(method(args)?).map(Answer::Float)),
        }
    };
    ($name:literal line $ask:expr) => {
        Form {
            name: $name,
            of: &[SummaryKind::Stats2],
            takes: &[Arg::Summary],
            gives: Gives::Float,
            row: |bytes, _| {
                let ask: fn(&Stats2) -> Option<f64> = $ask;
                Ok(ask(&decode::<Stats2>(bytes)?).map(Answer::Float))
            },
        }
    };
}

const ALONE: &[Arg] = &[Arg::Summary];
const WITH_METHOD: &[Arg] = &[Arg::Summary, Arg::Text];

fn both(bytes: &[u8]) -> Result<Stats2> {
    decode(bytes)
}

pub(super) const ACCESSORS: &[Form] = &[
    form!("average" Stats1 moments1 average),
    form!("average_x" Stats2 moments_x average),
    form!("average_y" Stats2 moments_y average),
    form!("sum" Stats1 moments1 sum),
    form!("sum_x" Stats2 moments_x sum),
    form!("sum_y" Stats2 moments_y sum),
    form!("num_vals" Stats1 moments1 count),
    form!("num_vals" Stats2 moments_x count),
    form!("variance" Stats1 ALONE, moments1 by variance),
    form!("variance" Stats1 WITH_METHOD, moments1 by variance),
    form!("variance_x" Stats2 ALONE, moments_x by variance),
    form!("variance_x" Stats2 WITH_METHOD, moments_x by variance),
    form!("variance_y" Stats2 ALONE, moments_y by variance),
    form!("variance_y" Stats2 WITH_METHOD, moments_y by variance),
    form!("stddev" Stats1 ALONE, moments1 by stddev),
    form!("stddev" Stats1 WITH_METHOD, moments1 by stddev),
    form!("stddev_x" Stats2 ALONE, moments_x by stddev),
    form!("stddev_x" Stats2 WITH_METHOD, moments_x by stddev),
    form!("stddev_y" Stats2 ALONE, moments_y by stddev),
    form!("stddev_y" Stats2 WITH_METHOD, moments_y by stddev),
    form!("skewness" Stats1 ALONE, moments1 by skewness),
    form!("skewness" Stats1 WITH_METHOD, moments1 by skewness),
    form!("skewness_x" Stats2 ALONE, moments_x by skewness),
    form!("skewness_x" Stats2 WITH_METHOD, moments_x by skewness),
    form!("skewness_y" Stats2 ALONE, moments_y by skewness),
    form!("skewness_y" Stats2 WITH_METHOD, moments_y by skewness),
    form!("kurtosis" Stats1 ALONE, moments1 by kurtosis),
    form!("kurtosis" Stats1 WITH_METHOD, moments1 by kurtosis),
    form!("kurtosis_x" Stats2 ALONE, moments_x by kurtosis),
    form!("kurtosis_x" Stats2 WITH_METHOD, moments_x by kurtosis),
    form!("kurtosis_y" Stats2 ALONE, moments_y by kurtosis),
    form!("kurtosis_y" Stats2 WITH_METHOD, moments_y by kurtosis),
    form!("covariance" Stats2 ALONE, both by covariance),
    form!("covariance" Stats2 WITH_METHOD, both by covariance),
    form!("slope" line |stats| stats.slope()),
    form!("intercept" line |stats| stats.at(0.0)),
    form!("x_intercept" line |stats| stats.x_intercept()),
    form!("corr" line |stats| stats.corr()),
    form!("determination_coeff" line |stats| stats.determination_coeff()),
];
