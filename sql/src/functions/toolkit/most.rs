//! `min_n(v, capacity)`, `max_n(v, capacity)` and `min_n_by(v, data, capacity)`, `max_n_by(…)`: the
//! least or the greatest values, exactly, with what belongs to them.
//!
//! NULL does not count. Among equal values the ones of the least data stay, so that the order of rows
//! does not matter.
//!
//! ```text
//! | capacity | values | each: value, and data where the kind has some |
//! ```
//!
//! Values and data are those of [`super::datum`], the first the least or the greatest.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};

use super::accessor::{Answer, Form, Gives};
use super::aggregate::Build;
use super::args::{Arg, complete_rows, ints};
use super::bytes::{Reader, Writer};
use super::datum::{Datum, Values};
use super::summary::{Of, Sink, Summary, decode, mismatch, out_of_range};
use crate::types::SummaryKind;

const CAPACITY_MAX: i64 = 1_000_000;

/// A value, and what belongs to it.
type Entry = (Datum, Option<Datum>);

/// The first so many of all values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Most {
    kind: SummaryKind,
    capacity: usize,
    /// In order.
    entries: Vec<Entry>,
    /// Memory of texts and the like, in bytes.
    held: usize,
}

fn is_max(kind: SummaryKind) -> bool {
    use SummaryKind::*;
    matches!(
        kind,
        MaxInts | MaxFloats | MaxTimes | MaxByInts | MaxByFloats | MaxByTimes
    )
}

/// Whether data belongs to the values; none for what is no such kind.
fn has_data(kind: SummaryKind) -> Option<bool> {
    use SummaryKind::*;
    match kind {
        MinInts | MinFloats | MinTimes | MaxInts | MaxFloats | MaxTimes => Some(false),
        MinByInts | MinByFloats | MinByTimes | MaxByInts | MaxByFloats | MaxByTimes => Some(true),
        _ => None,
    }
}

/// Whether a value is of the kind.
fn is_value(kind: SummaryKind, value: &Datum) -> bool {
    use SummaryKind::*;
    match value {
        Datum::Int(_) => matches!(kind, MinInts | MaxInts | MinByInts | MaxByInts),
        Datum::Float(_) => matches!(kind, MinFloats | MaxFloats | MinByFloats | MaxByFloats),
        Datum::Time(_) => matches!(kind, MinTimes | MaxTimes | MinByTimes | MaxByTimes),
        _ => false,
    }
}

impl Most {
    fn order(&self, a: &Entry, b: &Entry) -> std::cmp::Ordering {
        let values = match is_max(self.kind) {
            true => b.0.cmp(&a.0),
            false => a.0.cmp(&b.0),
        };
        values.then_with(|| a.1.cmp(&b.1))
    }

    fn add(&mut self, entry: Entry) {
        let is_full = self.entries.len() == self.capacity;
        if is_full
            && let Some(last) = self.entries.last()
            && self.order(&entry, last).is_ge()
        {
            return;
        }
        let entries = &self.entries;
        let at = entries.partition_point(|other| self.order(other, &entry).is_lt());
        self.held += held(&entry);
        self.entries.insert(at, entry);
        if is_full && let Some(last) = self.entries.pop() {
            self.held -= held(&last);
        }
    }
}

fn held(entry: &Entry) -> usize {
    entry.0.size() + entry.1.as_ref().map_or(0, Datum::size)
}

impl Summary for Most {
    fn kind(&self) -> SummaryKind {
        self.kind
    }

    fn write(&self, out: &mut Writer) {
        out.count(self.capacity as u64);
        out.count(self.entries.len() as u64);
        for (value, data) in &self.entries {
            value.write(out);
            if let Some(data) = data {
                data.write(out);
            }
        }
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        let has_data = has_data(kind)?;
        let capacity = i64::try_from(from.count()?).ok()?;
        let count = from.length(if has_data { 4 } else { 2 })?;
        if !(1..=CAPACITY_MAX).contains(&capacity) || count > capacity as usize || count == 0 {
            return None;
        }
        let mut most = Most {
            kind,
            capacity: capacity as usize,
            entries: Vec::with_capacity(count),
            held: 0,
        };
        for _ in 0..count {
            let value = Datum::read(from)?;
            let data = match has_data {
                true => Some(Datum::read(from)?),
                false => None,
            };
            let entry = (value, data);
            let follows = most.entries.last();
            let follows = follows.is_none_or(|last| most.order(last, &entry).is_le());
            if !follows || !is_value(kind, &entry.0) {
                return None;
            }
            most.held += held(&entry);
            most.entries.push(entry);
        }
        Some(most)
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if (self.kind, self.capacity) != (other.kind, other.capacity) {
            return Err(mismatch(self.kind));
        }
        other.entries.into_iter().for_each(|entry| self.add(entry));
        Ok(())
    }

    fn size(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.held
    }
}

fn update(sink: &mut Sink<'_, Most>, columns: &[ArrayRef], kind: SummaryKind) -> Result<()> {
    let has_data = has_data(kind).unwrap_or_default();
    let capacities = ints(columns, columns.len() - 1)?;
    let wanted: Vec<usize> = (0..columns.len()).collect();
    let values = Values::of(&columns[0]);
    for row in complete_rows(columns, &wanted) {
        let Some(value) = values.at(row)? else {
            continue;
        };
        let most = match sink.of_row(row) {
            Some(most) => most,
            none => {
                let capacity = capacities.value(row);
                if !(1..=CAPACITY_MAX).contains(&capacity) {
                    return Err(out_of_range(format!(
                        "capacity must be between 1 and {CAPACITY_MAX}"
                    )));
                }
                none.insert(Most {
                    kind,
                    capacity: capacity as usize,
                    entries: Vec::new(),
                    held: 0,
                })
            }
        };
        // What cannot stay is not worth its data.
        let is_full = most.entries.len() == most.capacity;
        if is_full && let Some((last, _)) = most.entries.last() {
            let is_beyond = match is_max(kind) {
                true => value < *last,
                false => value > *last,
            };
            if is_beyond {
                continue;
            }
        }
        let data = match has_data {
            true => Values::of(&columns[1]).at(row)?,
            false => None,
        };
        most.add((value, data));
    }
    Ok(())
}

/// The two aggregates of a kind and its opposite.
macro_rules! builds {
    ($($name:literal [$($arg:ident)*] $kind:ident),* $(,)?) => {
        &[$(Build {
            name: $name,
            takes: &[$(Arg::$arg),*],
            gives: SummaryKind::$kind,
            fold: &Of(|sink, columns| update(sink, columns, SummaryKind::$kind)),
        }),*]
    };
}

pub(super) const AGGREGATES: &[Build] = builds![
    "min_n" [Int Size] MinInts,
    "min_n" [Float Size] MinFloats,
    "min_n" [Time Size] MinTimes,
    "max_n" [Int Size] MaxInts,
    "max_n" [Float Size] MaxFloats,
    "max_n" [Time Size] MaxTimes,
    "min_n_by" [Int Any Size] MinByInts,
    "min_n_by" [Float Any Size] MinByFloats,
    "min_n_by" [Time Any Size] MinByTimes,
    "max_n_by" [Int Any Size] MaxByInts,
    "max_n_by" [Float Any Size] MaxByFloats,
    "max_n_by" [Time Any Size] MaxByTimes,
];

fn values(bytes: &[u8], _: &[ScalarValue]) -> Result<Option<Answer>> {
    let most = decode::<Most>(bytes)?;
    let values = most.entries.into_iter().map(|(value, _)| value);
    Ok(Some(Answer::Array(values.collect())))
}

fn data(bytes: &[u8], _: &[ScalarValue]) -> Result<Option<Answer>> {
    let most = decode::<Most>(bytes)?;
    let data = most.entries.into_iter().filter_map(|(_, data)| data);
    Ok(Some(Answer::Array(data.collect())))
}

const fn into_array(of: &'static [SummaryKind], gives: Gives) -> Form {
    Form {
        name: "into_array",
        of,
        takes: &[Arg::Summary],
        gives,
        row: values,
    }
}

pub(super) const ACCESSORS: &[Form] = {
    use SummaryKind::*;
    &[
        into_array(&[MinInts, MaxInts, MinByInts, MaxByInts], Gives::Ints),
        into_array(
            &[MinFloats, MaxFloats, MinByFloats, MaxByFloats],
            Gives::Floats,
        ),
        into_array(&[MinTimes, MaxTimes, MinByTimes, MaxByTimes], Gives::Times),
        // The second argument tells the type of the data, as in the toolkit's into_values.
        Form {
            name: "into_array",
            of: &[
                MinByInts,
                MinByFloats,
                MinByTimes,
                MaxByInts,
                MaxByFloats,
                MaxByTimes,
            ],
            takes: &[Arg::Summary, Arg::Any],
            gives: Gives::ArrayOf(1),
            row: data,
        },
    ]
};
