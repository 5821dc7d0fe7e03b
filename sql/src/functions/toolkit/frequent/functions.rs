//! The aggregates that make such a sketch, and the functions that ask it.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};

use super::super::accessor::{Answer, Arguments, Form, Gives};
use super::super::aggregate::Build;
use super::super::args::{Arg, complete_rows, floats, ints};
use super::super::datum::{Datum, Values};
use super::super::summary::{Of, Sink, decode, out_of_range};
use super::{COUNT_MAX, Frequent, ROOM_MAX, room};
use crate::types::SummaryKind;

/// The toolkit's.
const SKEW: f64 = 1.1;

/// Takes rows in whose value is the last argument.
fn add_rows(
    sink: &mut Sink<'_, Frequent>,
    columns: &[ArrayRef],
    kind: SummaryKind,
    parameters: impl Fn(usize) -> Result<(f64, u32)>,
) -> Result<()> {
    let wanted: Vec<usize> = (0..columns.len()).collect();
    let values = Values::of(&columns[columns.len() - 1]);
    let mut value = Datum::Text(String::new());
    for row in complete_rows(columns, &wanted) {
        let is_there = values.read(row, &mut value)?;
        let frequent = match sink.of_row(row) {
            Some(frequent) => frequent,
            none => {
                let (parameter, wanted) = parameters(row)?;
                let room = room(parameter, wanted).ok_or_else(|| {
                    out_of_range(format!(
                        "a frequency aggregate keeps at most {ROOM_MAX} values"
                    ))
                })?;
                none.insert(Frequent::new(kind, parameter, wanted, room))
            }
        };
        if is_there {
            frequent.add(&value);
        }
    }
    Ok(())
}

fn by_frequency(
    sink: &mut Sink<'_, Frequent>,
    columns: &[ArrayRef],
    kind: SummaryKind,
) -> Result<()> {
    let frequencies = floats(columns, 0)?;
    add_rows(sink, columns, kind, |row| {
        let frequency = frequencies.value(row);
        match 0.0 < frequency && frequency < 1.0 {
            true => Ok((frequency, 0)),
            false => Err(out_of_range(
                "frequency aggregate requires a frequency in the range (0.0, 1.0)",
            )),
        }
    })
}

fn by_count(sink: &mut Sink<'_, Frequent>, columns: &[ArrayRef], kind: SummaryKind) -> Result<()> {
    let counts = ints(columns, 0)?;
    let skews = match columns.len() {
        3 => Some(floats(columns, 1)?),
        _ => None,
    };
    add_rows(sink, columns, kind, |row| {
        let skew = skews.map_or(SKEW, |skews| skews.value(row));
        let count = u32::try_from(counts.value(row)).unwrap_or_default();
        if !(1..=COUNT_MAX).contains(&count) {
            let message = match counts.value(row) > 0 {
                true => format!("mcv aggregate requires an n value of at most {COUNT_MAX}"),
                false => "mcv aggregate requires an n value > 0".to_owned(),
            };
            return Err(out_of_range(message));
        }
        if skew <= 1.0 || !skew.is_finite() {
            return Err(out_of_range("mcv aggregate requires a skew factor > 1.0"));
        }
        Ok((skew, count))
    })
}

macro_rules! builds {
    ($($name:literal [$($arg:ident)*] $update:ident $kind:ident),* $(,)?) => {
        &[$(Build {
            name: $name,
            takes: &[$(Arg::$arg),*],
            gives: SummaryKind::$kind,
            fold: &Of(|sink, columns| $update(sink, columns, SummaryKind::$kind)),
        }),*]
    };
}

pub(in super::super) const AGGREGATES: &[Build] = builds![
    "freq_agg" [Share Int] by_frequency FrequentInts,
    "freq_agg" [Share Text] by_frequency FrequentTexts,
    "freq_agg" [Share Any] by_frequency Frequent,
    "mcv_agg" [Size Int] by_count FrequentInts,
    "mcv_agg" [Size Text] by_count FrequentTexts,
    "mcv_agg" [Size Any] by_count Frequent,
    "mcv_agg" [Size Share Int] by_count FrequentInts,
    "mcv_agg" [Size Share Text] by_count FrequentTexts,
    "mcv_agg" [Size Share Any] by_count Frequent,
];

const INTS: &[SummaryKind] = &[SummaryKind::FrequentInts];
const TEXTS: &[SummaryKind] = &[SummaryKind::FrequentTexts];
const ANY: &[SummaryKind] = &[SummaryKind::Frequent];

fn topn(bytes: &[u8], args: &[ScalarValue]) -> Result<Option<Answer>> {
    let top = decode::<Frequent>(bytes)?.top(args.int(0))?;
    Ok(Some(Answer::Array(top)))
}

const fn top(of: &'static [SummaryKind], takes: &'static [Arg], gives: Gives) -> Form {
    Form {
        // A query's `topn` is the `unnest` of it.
        name: "topn_array",
        of,
        takes,
        gives,
        row: topn,
    }
}

fn frequency(bytes: &[u8], args: &[ScalarValue]) -> Result<Option<(f64, f64)>> {
    let Some(value) = args.first().cloned() else {
        return Ok(None);
    };
    let value = Datum::of(value)?;
    let frequent = decode::<Frequent>(bytes)?;
    Ok(value.map(|value| frequent.frequency(&value)))
}

const ALL: &[SummaryKind] = &[
    SummaryKind::Frequent,
    SummaryKind::FrequentInts,
    SummaryKind::FrequentTexts,
];

pub(in super::super) const ACCESSORS: &[Form] = &[
    top(INTS, &[Arg::Summary], Gives::Ints),
    top(INTS, &[Arg::Summary, Arg::Size], Gives::Ints),
    top(TEXTS, &[Arg::Summary], Gives::Texts),
    top(TEXTS, &[Arg::Summary, Arg::Size], Gives::Texts),
    // The last argument tells the type of the values.
    top(ANY, &[Arg::Summary, Arg::Int, Arg::Any], Gives::ArrayOf(2)),
    top(ANY, &[Arg::Summary, Arg::Any], Gives::ArrayOf(1)),
    Form {
        name: "min_frequency",
        of: ALL,
        takes: &[Arg::Summary, Arg::Any],
        gives: Gives::Float,
        row: |bytes, args| Ok(frequency(bytes, args)?.map(|(min, _)| Answer::Float(min))),
    },
    Form {
        name: "max_frequency",
        of: ALL,
        takes: &[Arg::Summary, Arg::Any],
        gives: Gives::Float,
        row: |bytes, args| Ok(frequency(bytes, args)?.map(|(_, max)| Answer::Float(max))),
    },
];
