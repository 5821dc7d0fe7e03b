//! Sums of the powers of differences from the mean, which merge without losing digits.
//!
//! Pébay, *Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
//! statistical moments* (2008). Merging two is commutative to the last digit; merging several in
//! another order may change the last digits.

use datafusion::common::Result;

use super::super::bytes::{Reader, Writer};
use crate::error::SqlState;
use crate::functions::fault;

/// Of one variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Moments {
    pub(super) n: u64,
    pub(super) sum: f64,
    /// Sums of the second, third and fourth powers of differences from the mean.
    pub(super) m2: f64,
    m3: f64,
    m4: f64,
}

/// Which of two estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Method {
    Sample,
    Population,
}

impl Moments {
    /// Of one value.
    pub(super) fn of(value: f64) -> Moments {
        // What is infinite has no difference from itself.
        let none = if value.is_finite() { 0.0 } else { f64::NAN };
        Moments {
            n: 1,
            sum: value,
            m2: none,
            m3: none,
            m4: none,
        }
    }

    /// Of many values at once, which is exact to more digits and takes no divisions; none where a
    /// sum is not finite.
    pub(super) fn of_all(values: &[f64]) -> Option<Moments> {
        // Equal values have no differences, also where their mean has no exact double.
        let start = *values.first()?;
        let n = values.len() as f64;
        let shift = values.iter().map(|value| value - start).sum::<f64>() / n;
        let (mut sum, mut m2, mut m3, mut m4) = (0.0, 0.0, 0.0, 0.0);
        for value in values {
            let d = (value - start) - shift;
            let square = d * d;
            sum += value;
            m2 += square;
            m3 += square * d;
            m4 += square * square;
        }
        let moments = Moments {
            n: values.len() as u64,
            sum,
            m2,
            m3,
            m4,
        };
        let is_finite = [sum, m2, m3, m4].iter().all(|sum| sum.is_finite());
        is_finite.then_some(moments)
    }

    /// Adds a value, as merging it would.
    ///
    /// # Errors
    /// Those of [`Moments::merge`].
    pub(super) fn add(&mut self, value: f64) -> Result<()> {
        if !value.is_finite() {
            return self.merge(&Moments::of(value));
        }
        let a = *self;
        let na = a.n as f64;
        let n = na + 1.0;
        let d = value - a.mean();
        let (n2, d2) = (n * n, d * d);
        *self = Moments {
            n: a.n.checked_add(1).ok_or_else(overflow)?,
            sum: a.sum + value,
            m2: a.m2 + d2 * (na / n),
            m3: a.m3 + d2 * d * (na * (na - 1.0) / n2) + 3.0 * d * (0.0 - a.m2) / n,
            m4: a.m4
                + d2 * d * d * (na * (na * na - na + 1.0) / (n2 * n))
                + 6.0 * d2 * a.m2 / n2
                + 4.0 * d * (0.0 - a.m3) / n,
        };
        let finite = |m: &Moments| m.sum.is_finite() && m.m2.is_finite();
        match finite(&a) && !finite(self) {
            true => Err(overflow()),
            false => Ok(()),
        }
    }

    pub(super) fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }

    /// Adds what another has.
    ///
    /// # Errors
    /// 22003 when finite values have no finite sum or variance.
    pub(super) fn merge(&mut self, other: &Moments) -> Result<()> {
        let (a, b) = (*self, other);
        let (na, nb) = (a.n as f64, b.n as f64);
        let n = na + nb;
        let d = b.mean() - a.mean();
        let count = a.n.checked_add(b.n).ok_or_else(overflow)?;
        *self = Moments {
            n: count,
            sum: a.sum + b.sum,
            m2: a.m2 + b.m2 + d * d * (na * nb / n),
            m3: a.m3
                + b.m3
                + d * d * d * (na * nb * (na - nb) / (n * n))
                + 3.0 * d * (na * b.m2 - nb * a.m2) / n,
            m4: a.m4
                + b.m4
                + d * d * d * d * (na * nb * (na * na - na * nb + nb * nb) / (n * n * n))
                + 6.0 * d * d * (na * na * b.m2 + nb * nb * a.m2) / (n * n)
                + 4.0 * d * (na * b.m3 - nb * a.m3) / n,
        };
        let finite = |m: &Moments| m.sum.is_finite() && m.m2.is_finite();
        match finite(&a) && finite(b) && !finite(self) {
            true => Err(overflow()),
            false => Ok(()),
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.count(self.n);
        for value in [self.sum, self.m2, self.m3, self.m4] {
            out.f64(value);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Moments> {
        let moments = Moments {
            n: from.count()?,
            sum: from.f64()?,
            m2: from.f64()?,
            m3: from.f64()?,
            m4: from.f64()?,
        };
        // A sum of squares is not negative; NaN is what infinite values leave.
        let is_possible = |sum: f64| sum >= 0.0 || sum.is_nan();
        (moments.n > 0 && is_possible(moments.m2) && is_possible(moments.m4)).then_some(moments)
    }

    /// What sums are divided by.
    pub(super) fn divisor(&self, method: Method) -> Option<f64> {
        match method {
            Method::Population => Some(self.n as f64),
            Method::Sample if self.n > 1 => Some(self.n as f64 - 1.0),
            Method::Sample => None,
        }
    }

    pub(super) fn variance(&self, method: Method) -> Option<f64> {
        Some(self.m2 / self.divisor(method)?)
    }

    pub(super) fn stddev(&self, method: Method) -> Option<f64> {
        self.variance(method).map(f64::sqrt)
    }

    pub(super) fn skewness(&self, method: Method) -> Option<f64> {
        Some(self.m3 / self.divisor(method)? / self.stddev(method)?.powi(3))
    }

    /// Three for a normal distribution.
    pub(super) fn kurtosis(&self, method: Method) -> Option<f64> {
        Some(self.m4 / self.divisor(method)? / self.variance(method)?.powi(2))
    }
}

fn overflow() -> datafusion::error::DataFusionError {
    fault(
        SqlState::NUMERIC_OUT_OF_RANGE,
        "value out of range: overflow",
    )
}
