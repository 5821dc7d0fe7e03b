//! Moments and lines against what plain sums over all values say.

use super::*;

fn of(values: &[f64]) -> Moments {
    let mut all = Moments::of(values[0]);
    for value in &values[1..] {
        all.merge(&Moments::of(*value)).expect("in range");
    }
    all
}

fn near(a: f64, b: f64) {
    let scale = a.abs().max(b.abs()).max(1.0);
    assert!((a - b).abs() <= 1e-12 * scale, "{a} is not {b}");
}

/// Of all values at once.
fn plain(values: &[f64], power: i32) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(power)).sum()
}

#[test]
fn moments_are_those_of_all_values_whatever_the_order_of_merging() {
    let values: Vec<f64> = (0..1000)
        .map(|n| f64::from(n * 7919 % 1009) / 8.0 - 40.0)
        .collect();
    let n = values.len() as f64;
    let one = of(&values);
    let (head, tail) = values.split_at(137);
    let mut two = of(tail);
    two.merge(&of(head)).expect("in range");
    let mut mirrored = of(head);
    mirrored.merge(&of(tail)).expect("in range");
    assert_eq!(two, mirrored);
    for moments in [one, two] {
        near(moments.mean(), values.iter().sum::<f64>() / n);
        near(moments.m2, plain(&values, 2));
        let population = plain(&values, 2) / n;
        let skewness = plain(&values, 3) / n / population.sqrt().powi(3);
        near(moments.skewness(Method::Population).expect("one"), skewness);
        let kurtosis = plain(&values, 4) / n / population.powi(2);
        near(moments.kurtosis(Method::Population).expect("one"), kurtosis);
    }
}

#[test]
fn one_value_has_no_variance_of_a_sample() {
    let one = of(&[5.0]);
    assert_eq!(one.variance(Method::Sample), None);
    assert_eq!(one.variance(Method::Population), Some(0.0));
}

#[test]
fn what_is_infinite_has_no_variance_and_what_is_too_large_is_an_error() {
    let infinite = of(&[1.0, f64::INFINITY, 2.0]);
    assert_eq!(infinite.sum, f64::INFINITY);
    assert!(infinite.variance(Method::Sample).is_some_and(f64::is_nan));
    let mut large = Moments::of(f64::MAX);
    assert!(large.merge(&Moments::of(f64::MAX)).is_err());
}

#[test]
fn a_line_is_found() {
    let mut line = Stats2::of(0.0, 3.0);
    for x in 1..10 {
        let x = f64::from(x);
        line.merge(Stats2::of(x, 3.0 - 2.0 * x)).expect("in range");
    }
    near(line.slope().expect("one"), -2.0);
    near(line.at(0.0).expect("one"), 3.0);
    near(line.x_intercept().expect("one"), 1.5);
    near(line.corr().expect("one"), -1.0);
    near(line.determination_coeff().expect("one"), 1.0);
    let vertical = Stats2::of(1.0, 1.0);
    assert_eq!((vertical.slope(), vertical.corr()), (None, None));
}
