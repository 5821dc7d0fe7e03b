//! `freq_agg(min_freq, v)` and `mcv_agg(n [, skew], v)`: frequent values.
//!
//! SpaceSaving (Metwally et al., 2005): counts of as many values as there is room for; a new value
//! takes the place of the least frequent one and its count, which is remembered as the most that the
//! new count may be too high. A count is too high by at most the number of rows divided by the room,
//! also after merging. While there is room for all values counts are exact, and the order of rows does
//! not matter; beyond it the order decides which of the rarer values stay.
//!
//! `freq_agg` has room for 1/min_freq + 1 values, `mcv_agg` for as many as it takes to be sure of the n
//! most common ones if the frequencies are those of a zeta distribution of that skew.
//!
//! ```text
//! | min_freq or skew f64 | n, 0 for freq_agg | rows | values | each: value, count, too high by |
//! ```
//!
//! Values are those of [`super::datum`], the most frequent first.

mod functions;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use datafusion::common::{HashMap, Result};

pub(super) use functions::{ACCESSORS, AGGREGATES};

use super::bytes::{Reader, Writer};
use super::datum::Datum;
use super::summary::{Summary, mismatch, out_of_range};
use crate::types::SummaryKind;

const ROOM_MAX: usize = 1_000_000;
const COUNT_MAX: u32 = 100_000;

/// How often a value came, at most, and how much of that may be too much.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Count {
    count: u64,
    over: u64,
}

/// The sketch.
#[derive(Debug, Clone)]
pub(super) struct Frequent {
    kind: SummaryKind,
    /// The least frequency of interest, or the skew.
    parameter: f64,
    /// How many values `mcv_agg` wants.
    wanted: u32,
    room: usize,
    rows: u64,
    counts: HashMap<Datum, Count>,
    /// All values by counts that they had once; nothing until a value has to go.
    rare: BinaryHeap<Rare>,
    /// Memory of texts and the like, in bytes.
    held: usize,
}

/// The one to go comes first: of the least frequent ones the greatest.
type Rare = Reverse<(u64, Reverse<Datum>)>;

/// The sum of the first `n` terms of the zeta function.
fn harmonic(n: u32, skew: f64) -> f64 {
    (1..=n).map(|n| f64::from(n).powf(-skew)).sum()
}

/// The zeta function, by Euler's and Maclaurin's formula from the thousandth term on.
fn zeta(skew: f64) -> f64 {
    let n = 1000f64;
    harmonic(999, skew)
        + n.powf(1.0 - skew) / (skew - 1.0)
        + n.powf(-skew) / 2.0
        + skew * n.powf(-skew - 1.0) / 12.0
}

/// How many counts are kept, if the parameters are possible.
fn room(parameter: f64, wanted: u32) -> Option<usize> {
    let of_frequency = |frequency: f64| ((1.0 / frequency) as usize).saturating_add(1);
    let room = match wanted {
        0 if 0.0 < parameter && parameter < 1.0 => of_frequency(parameter),
        1..=COUNT_MAX if 1.0 < parameter && parameter.is_finite() => {
            let zeta = zeta(parameter);
            let last = f64::from(wanted).powf(-parameter) / zeta;
            let before = harmonic(wanted - 1, parameter) / zeta;
            (wanted as usize - 1).saturating_add(of_frequency(last / (1.0 - before)))
        }
        _ => return None,
    };
    (room <= ROOM_MAX).then_some(room)
}

impl Frequent {
    fn new(kind: SummaryKind, parameter: f64, wanted: u32, room: usize) -> Self {
        Frequent {
            kind,
            parameter,
            wanted,
            room,
            rows: 0,
            counts: HashMap::default(),
            rare: BinaryHeap::new(),
            held: 0,
        }
    }

    fn add(&mut self, value: &Datum) {
        self.rows += 1;
        if let Some(known) = self.counts.get_mut(value) {
            known.count += 1;
            return;
        }
        let over = match self.counts.len() >= self.room {
            true => self.make_room(),
            false => 0,
        };
        let count = over + 1;
        if over > 0 {
            self.rare.push(Reverse((count, Reverse(value.clone()))));
        }
        self.held += value.size();
        self.counts.insert(value.clone(), Count { count, over });
    }

    /// Removes one of the least frequent values, and tells its count.
    ///
    /// Counts only grow: a value of which the heap has an old count is put back where it belongs
    /// when it comes first, and so the first one whose count is right is the least frequent of all.
    fn make_room(&mut self) -> u64 {
        if self.rare.is_empty() {
            let all = self.counts.iter();
            let all = all.map(|(value, count)| Reverse((count.count, Reverse(value.clone()))));
            self.rare = all.collect();
        }
        while let Some(mut first) = self.rare.peek_mut() {
            let Reverse((told, Reverse(value))) = &mut *first;
            match self.counts.get(value) {
                Some(known) if known.count != *told => *told = known.count,
                _ => {
                    let Reverse((count, Reverse(value))) = PeekMut::pop(first);
                    self.held -= value.size();
                    self.counts.remove(&value);
                    return count;
                }
            }
        }
        0
    }

    /// How often a value may have come that is not here.
    fn unseen(&self) -> u64 {
        match self.counts.len() < self.room {
            true => 0,
            false => self.counts.values().map(|c| c.count).min().unwrap_or(0),
        }
    }

    /// The most frequent first, and the least of equally frequent ones.
    fn ordered(&self) -> Vec<(&Datum, Count)> {
        let mut all: Vec<(&Datum, Count)> = self.counts.iter().map(|(v, c)| (v, *c)).collect();
        all.sort_by(|a, b| (b.1.count.cmp(&a.1.count)).then_with(|| a.0.cmp(b.0)));
        all
    }

    fn top(&self, n: Option<i64>) -> Result<Vec<Datum>> {
        let n = match (n, self.wanted) {
            (None, 0) => {
                let message = "frequency aggregates require a N parameter to topn";
                return Err(out_of_range(message));
            }
            (None, wanted) => wanted,
            (Some(n), _) => u32::try_from(n.max(0)).unwrap_or(u32::MAX),
        };
        let all = self.ordered();
        if self.wanted > 0 {
            if n > self.wanted {
                return Err(out_of_range(format!(
                    "requested N ({n}) exceeds creation parameter of mcv aggregate ({})",
                    self.wanted
                )));
            }
            let share = harmonic(n, self.parameter) / zeta(self.parameter);
            let needed = (share * self.rows as f64).ceil() as u64;
            let found = all.iter().take(n as usize).map(|(_, count)| count.count);
            if found.sum::<u64>() < needed {
                return Err(out_of_range(format!(
                    "data is not skewed enough to find top {n} parameters with a skew of {}, try reducing the skew factor",
                    self.parameter
                )));
            }
        }
        let least = if self.wanted == 0 {
            self.parameter
        } else {
            0.0
        };
        let frequent = all
            .into_iter()
            .take_while(|(_, count)| count.count as f64 / self.rows as f64 >= least);
        let frequent = frequent.take(n as usize);
        Ok(frequent.map(|(value, _)| value.clone()).collect())
    }

    /// How often a value came, as a share of all rows: the least and the most it can be.
    fn frequency(&self, value: &Datum) -> (f64, f64) {
        match self.counts.get(value) {
            None => (0.0, 0.0),
            Some(Count { count, over }) => {
                let rows = self.rows as f64;
                ((count - over) as f64 / rows, *count as f64 / rows)
            }
        }
    }
}

impl Summary for Frequent {
    fn kind(&self) -> SummaryKind {
        self.kind
    }

    fn write(&self, out: &mut Writer) {
        out.f64(self.parameter);
        out.count(self.wanted.into());
        out.count(self.rows);
        out.count(self.counts.len() as u64);
        for (value, count) in self.ordered() {
            value.write(out);
            out.count(count.count);
            out.count(count.over);
        }
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        let is_value = |value: &Datum| match kind {
            SummaryKind::FrequentInts => matches!(value, Datum::Int(_)),
            SummaryKind::FrequentTexts => matches!(value, Datum::Text(_)),
            _ => kind == SummaryKind::Frequent,
        };
        let (parameter, wanted) = (from.f64()?, u32::try_from(from.count()?).ok()?);
        let room = room(parameter, wanted)?;
        let rows = from.count()?;
        let count = from.length(4)?;
        if count > room || count == 0 {
            return None;
        }
        let mut frequent = Frequent::new(kind, parameter, wanted, room);
        frequent.rows = rows;
        for _ in 0..count {
            let value = Datum::read(from)?;
            let count = Count {
                count: from.count()?,
                over: from.count()?,
            };
            if !is_value(&value) || count.over >= count.count || count.count > rows {
                return None;
            }
            frequent.held += value.size();
            if frequent.counts.insert(value, count).is_some() {
                return None;
            }
        }
        Some(frequent)
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        let parameters = |f: &Frequent| (f.kind, f.parameter, f.wanted);
        if parameters(self) != parameters(&other) {
            return Err(mismatch(self.kind));
        }
        self.rare.clear();
        let (unseen, other_unseen) = (self.unseen(), other.unseen());
        let plus = |count: &mut Count, by: Count| {
            count.count = count.count.saturating_add(by.count);
            count.over = count.over.saturating_add(by.over);
        };
        let missing = |unseen| Count {
            count: unseen,
            over: unseen,
        };
        for (value, count) in &mut self.counts {
            let there = other.counts.get(value).copied();
            plus(count, there.unwrap_or(missing(other_unseen)));
        }
        for (value, mut count) in other.counts {
            if !self.counts.contains_key(&value) {
                plus(&mut count, missing(unseen));
                self.held += value.size();
                self.counts.insert(value, count);
            }
        }
        self.rows = self.rows.saturating_add(other.rows);
        if self.counts.len() > self.room {
            let rare = self.ordered().split_off(self.room);
            let rare: Vec<Datum> = rare.into_iter().map(|(value, _)| value.clone()).collect();
            for value in rare {
                self.held -= value.size();
                self.counts.remove(&value);
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let rare = self.rare.capacity() * size_of::<Rare>();
        let texts = if rare > 0 { 2 * self.held } else { self.held };
        self.counts.capacity() * size_of::<(Datum, Count)>() + rare + texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of which small ones are frequent.
    fn values(count: u64) -> Vec<i64> {
        let mut state = 7u64;
        let next = |_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
            (1.0 / (unit + 0.001)) as i64
        };
        (0..count).map(next).collect()
    }

    fn of(values: &[i64], frequency: f64) -> Frequent {
        let room = room(frequency, 0).expect("possible");
        let mut frequent = Frequent::new(SummaryKind::FrequentInts, frequency, 0, room);
        values
            .iter()
            .for_each(|value| frequent.add(&Datum::Int(*value)));
        frequent
    }

    #[test]
    fn frequencies_are_between_the_bounds_and_the_bounds_are_near() {
        let values = values(30_000);
        let mut exact: HashMap<i64, u64> = HashMap::default();
        values
            .iter()
            .for_each(|value| *exact.entry(*value).or_default() += 1);
        for frequency in [0.05, 0.01, 0.002] {
            let whole = of(&values, frequency);
            let mut merged: Option<Frequent> = None;
            for part in values.chunks(4321) {
                let part = of(part, frequency);
                match &mut merged {
                    Some(merged) => merged.merge(part).expect("alike"),
                    None => merged = Some(part),
                }
            }
            for sketch in [whole, merged.expect("one")] {
                let rows = values.len() as f64;
                for (value, count) in &exact {
                    let share = *count as f64 / rows;
                    let (min, max) = sketch.frequency(&Datum::Int(*value));
                    assert!(max - min <= 1.0 / sketch.room as f64 + 1e-9, "{min} {max}");
                    if max > 0.0 {
                        assert!(min <= share && share <= max, "{value}: {min} {share} {max}");
                    }
                    assert!(max > 0.0 || share <= frequency, "{value} is missing");
                }
            }
        }
    }

    #[test]
    fn the_value_to_go_is_the_one_that_looking_at_all_would_find() {
        let mut sketch = of(&[], 0.02);
        let mut plain: Vec<(i64, u64)> = Vec::new();
        for value in values(20_000) {
            sketch.add(&Datum::Int(value));
            if let Some(known) = plain.iter_mut().find(|known| known.0 == value) {
                known.1 += 1;
                continue;
            }
            let mut count = 1;
            if plain.len() >= sketch.room {
                let gone = (0..plain.len()).min_by_key(|&at| (plain[at].1, Reverse(plain[at].0)));
                count += plain.swap_remove(gone.expect("some")).1;
            }
            plain.push((value, count));
        }
        assert_eq!(sketch.counts.len(), plain.len());
        for (value, count) in plain {
            assert_eq!(sketch.counts[&Datum::Int(value)].count, count);
        }
    }

    #[test]
    fn zeta_is_known() {
        assert!((zeta(1.1) - 10.584_448_464_950_8).abs() < 1e-9);
        assert!((zeta(2.0) - std::f64::consts::PI.powi(2) / 6.0).abs() < 1e-12);
    }
}
