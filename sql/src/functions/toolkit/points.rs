//! Points in the order of time: what counters, gauges, weighted averages and lines are made of.
//!
//! All points are kept. The toolkit keeps a few numbers and refuses to merge summaries whose times
//! overlap; but threads, seals and late rows bring points of the same time span in any number of
//! pieces, and only the points themselves merge right. So a summary takes about as many bytes as its
//! points would in a column: one or two for a time, one to nine for a value.
//!
//! Of several points of one time the one of the greatest value counts, so that the order in which
//! they come does not matter.
//!
//! ```text
//! | points | first time i64 | each next: step less the step before, folded |
//! | each value: control u8, bytes |
//! ```
//!
//! A value is XORed with the one before; the control byte tells how many of the eight bytes are zero
//! at the top (high four bits) and at the bottom (low four bits), and the bytes between them follow.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::args::{complete_rows, floats, times};
use super::bytes::{Reader, Writer};
use super::datum::Float;
use super::summary::Sink;

/// A time, microseconds since 1970, and a value.
pub(super) type Point = (i64, f64);

/// Points in any order, or in that of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Points {
    points: Vec<Point>,
    /// How many of the first are in order, with one of a time.
    settled: usize,
}

impl Points {
    pub(super) fn push(&mut self, time: i64, value: f64) {
        let follows = self.points.last().is_none_or(|last| last.0 < time);
        if follows && self.settled == self.points.len() {
            self.settled += 1;
        }
        self.points.push((time, value));
        // Repeated times shall not fill memory.
        if self.points.len() >= 1024 && self.points.len() > 2 * self.settled {
            self.settle();
        }
    }

    pub(super) fn extend(&mut self, other: Points) {
        if self.points.is_empty() {
            *self = other;
            return;
        }
        let all_follow = match (self.points.last(), other.points.first()) {
            (Some(last), Some(first)) => last.0 < first.0,
            _ => true,
        };
        if all_follow && self.settled == self.points.len() {
            self.settled += other.settled;
        }
        self.points.extend(other.points);
    }

    /// Puts them in the order of time, one of each.
    pub(super) fn settle(&mut self) {
        if self.settled == self.points.len() {
            return;
        }
        // A greater value of the same time comes first, and stays.
        let order =
            |a: &Point, b: &Point| (a.0.cmp(&b.0)).then_with(|| Float(b.1).cmp(&Float(a.1)));
        self.points.sort_by(order);
        self.points.dedup_by_key(|point| point.0);
        self.settled = self.points.len();
    }

    /// The points; they are settled.
    pub(super) fn all(&self) -> &[Point] {
        debug_assert_eq!(self.settled, self.points.len());
        &self.points
    }

    /// Points that are in order.
    pub(super) fn of_ordered(points: Vec<Point>) -> Points {
        Points {
            settled: points.len(),
            points,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.points.capacity() * size_of::<Point>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let points = self.all();
        out.count(points.len() as u64);
        let Some(first) = points.first() else {
            return;
        };
        out.i64(first.0);
        let mut step = 0i64;
        for pair in points.windows(2) {
            let next = pair[1].0.wrapping_sub(pair[0].0);
            out.signed(next.wrapping_sub(step));
            step = next;
        }
        let mut last = 0u64;
        for (_, value) in points {
            let bits = value.to_bits();
            let differs = (bits ^ last).to_be_bytes();
            last = bits;
            let top = differs.iter().take_while(|byte| **byte == 0).count();
            let rest = &differs[top..];
            let bottom = rest.iter().rev().take_while(|byte| **byte == 0).count();
            out.u8((top << 4 | bottom) as u8);
            out.raw(&rest[..rest.len() - bottom]);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Points> {
        let count = from.length(2)?;
        if count == 0 {
            return Some(Points::default());
        }
        let mut time = from.i64()?;
        let mut points = Vec::with_capacity(count);
        points.push((time, 0.0));
        let mut step = 0i64;
        for _ in 1..count {
            step = step.wrapping_add(from.signed()?);
            let next = time.wrapping_add(step);
            if next <= time {
                return None;
            }
            time = next;
            points.push((time, 0.0));
        }
        let mut last = 0u64;
        for (_, value) in &mut points {
            let control = from.u8()?;
            let (top, bottom) = (usize::from(control >> 4), usize::from(control & 15));
            let middle = 8usize.checked_sub(top)?.checked_sub(bottom)?;
            let mut differs = [0; 8];
            differs[top..top + middle].copy_from_slice(from.take(middle)?);
            last ^= u64::from_be_bytes(differs);
            *value = f64::from_bits(last);
        }
        Some(Points::of_ordered(points))
    }
}

/// Adds rows of a time and a value, which stand at `first` and behind it.
pub(super) fn add_rows<S>(
    sink: &mut Sink<'_, S>,
    columns: &[ArrayRef],
    first: usize,
    new: impl Fn(usize) -> Result<S>,
    points: impl Fn(&mut S) -> &mut Points,
) -> Result<()> {
    let (times, values) = (times(columns, first)?, floats(columns, first + 1)?);
    let wanted: Vec<usize> = (0..columns.len()).collect();
    for row in complete_rows(columns, &wanted) {
        let summary = match sink.of_row(row) {
            Some(summary) => summary,
            none => none.insert(new(row)?),
        };
        points(summary).push(times.value(row), values.value(row));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(points: &Points) -> usize {
        let mut out = Writer::new(0);
        points.write(&mut out);
        let bytes = out.finish();
        let (_, mut from) = Reader::open(&bytes).expect("a summary");
        let read = Points::read(&mut from).expect("points");
        assert!(from.is_at_end());
        let bits = |points: &Points| -> Vec<(i64, u64)> {
            points.all().iter().map(|p| (p.0, p.1.to_bits())).collect()
        };
        assert_eq!(bits(&read), bits(points));
        bytes.len()
    }

    #[test]
    fn points_come_back_whatever_they_are() {
        round_trip(&Points::default());
        let odd = vec![
            (i64::MIN, f64::NAN),
            (-1, -0.0),
            (0, f64::INFINITY),
            (5, 1e-300),
            (i64::MAX, 3.0),
        ];
        round_trip(&Points::of_ordered(odd));
    }

    #[test]
    fn bytes_of_a_point() {
        let of = |value: fn(i64) -> f64, jitter: i64| {
            let points = (0..3600).map(|n| (n * 1_000_000 + n * 7919 % (jitter + 1), value(n)));
            let bytes = round_trip(&Points::of_ordered(points.collect()));
            bytes as f64 / 3600.0
        };
        // A counter each second, exactly and a little off; a gauge with cents.
        assert!(of(|n| (n * 17) as f64, 0) < 5.0);
        assert!(of(|n| (n * 17) as f64, 9000) < 7.0);
        assert!(of(|n| (n * 7919 % 5000) as f64 / 100.0, 9000) < 12.0);
    }

    #[test]
    fn any_order_settles_to_the_same() {
        let rows: Vec<Point> = (0..5000)
            .map(|n| (n * 7919 % 1000, (n % 13) as f64))
            .collect();
        let mut one = Points::default();
        rows.iter().for_each(|point| one.push(point.0, point.1));
        one.settle();
        let mut parts: Vec<Points> = Vec::new();
        for part in rows.chunks(333) {
            let mut points = Points::default();
            part.iter().for_each(|point| points.push(point.0, point.1));
            points.settle();
            parts.push(points);
        }
        let mut merged = Points::default();
        parts.into_iter().rev().for_each(|part| merged.extend(part));
        merged.settle();
        assert_eq!(merged, one);
        assert_eq!(one.all().len(), 1000);
    }
}
