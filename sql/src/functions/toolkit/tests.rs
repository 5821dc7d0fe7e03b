//! What holds for all families: bytes of any kind are read back or refused, and names are known.

use std::collections::BTreeSet;

use super::*;
use crate::error::SqlError;
use crate::functions::toolkit::candlestick::Candlestick;
use crate::functions::toolkit::counter::Counter;
use crate::functions::toolkit::frequent::Frequent;
use crate::functions::toolkit::hyperloglog::HyperLogLog;
use crate::functions::toolkit::lttb::TimeVector;
use crate::functions::toolkit::most::Most;
use crate::functions::toolkit::stats::{Stats1, Stats2};
use crate::functions::toolkit::summary::{Summary, decode, encode, kind_of};
use crate::functions::toolkit::tdigest::Digest;
use crate::functions::toolkit::time_weight::TimeWeight;
use crate::functions::toolkit::uddsketch::UddSketch;
use crate::types::SummaryKind;
use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::common::ScalarValue;
use std::sync::Arc;

#[test]
fn the_dialect_knows_who_makes_summaries() {
    let mut made: BTreeSet<String> = aggregates()
        .iter()
        .map(|function| function.name().to_owned())
        .collect();
    made.remove("histogram");
    made.insert("candlestick".to_owned());
    let known: BTreeSet<String> = crate::dialect::MAKERS.map(str::to_owned).into();
    assert_eq!(made, known);
}

/// A value of each kind, over forty rows.
fn examples() -> Vec<(SummaryKind, Vec<u8>)> {
    const ROWS: i64 = 40;
    let column = |arg: &args::Arg, name: &str| -> ArrayRef {
        let rows = 0..ROWS;
        match arg {
            args::Arg::Share => {
                let value = if name == "mcv_agg" { 1.5 } else { 0.01 };
                Arc::new(Float64Array::from(vec![value; ROWS as usize]))
            }
            args::Arg::Float => Arc::new(Float64Array::from_iter_values(
                rows.map(|n| (n * 7 % 11) as f64 - 3.5),
            )),
            args::Arg::Size => Arc::new(Int64Array::from(vec![16; ROWS as usize])),
            args::Arg::Int => Arc::new(Int64Array::from_iter_values(rows.map(|n| n % 7))),
            args::Arg::Time => Arc::new(
                TimestampMicrosecondArray::from_iter_values(rows.map(|n| n * 1_000_003))
                    .with_timezone("UTC"),
            ),
            args::Arg::Text if name == "time_weight" => {
                Arc::new(StringArray::from(vec!["linear"; ROWS as usize]))
            }
            _ => Arc::new(StringArray::from_iter_values(
                rows.map(|n| format!("v{}", n % 5)),
            )),
        }
    };
    let builds = [
        stats::AGGREGATES,
        uddsketch::AGGREGATES,
        tdigest::AGGREGATES,
        hyperloglog::AGGREGATES,
        candlestick::AGGREGATES,
        counter::AGGREGATES,
        time_weight::AGGREGATES,
        frequent::AGGREGATES,
        most::AGGREGATES,
        lttb::AGGREGATES,
    ];
    let mut out = Vec::new();
    for build in builds.concat() {
        let takes = build.takes.iter();
        let columns: Vec<ArrayRef> = takes.map(|arg| column(arg, build.name)).collect();
        let mut fold = build.fold.one();
        fold.update_batch(&columns).expect(build.name);
        for value in [fold.evaluate(), fold.state().map(|mut s| s.remove(0))] {
            match value.expect(build.name) {
                ScalarValue::Binary(Some(bytes)) => out.push((build.gives, bytes)),
                other => panic!("{}: {other:?}", build.name),
            }
        }
    }
    out
}

/// Reads bytes and writes them again.
fn again(kind: SummaryKind, bytes: &[u8]) -> datafusion::common::Result<Vec<u8>> {
    fn of<S: Summary>(bytes: &[u8]) -> datafusion::common::Result<Vec<u8>> {
        encode(&mut decode::<S>(bytes)?)
    }
    use SummaryKind as K;
    match kind {
        K::Stats1 => of::<Stats1>(bytes),
        K::Stats2 => of::<Stats2>(bytes),
        K::UddSketch => of::<UddSketch>(bytes),
        K::TDigest => of::<Digest>(bytes),
        K::HyperLogLog => of::<HyperLogLog>(bytes),
        K::Candlestick => of::<Candlestick>(bytes),
        K::Counter | K::Gauge => of::<Counter>(bytes),
        K::TimeWeight => of::<TimeWeight>(bytes),
        K::Frequent | K::FrequentInts | K::FrequentTexts => of::<Frequent>(bytes),
        K::TimeVector => of::<TimeVector>(bytes),
        _ => of::<Most>(bytes),
    }
}

#[test]
fn every_kind_is_read_back() {
    let examples = examples();
    let kinds: BTreeSet<u8> = examples.iter().map(|(kind, _)| kind.code()).collect();
    assert_eq!(kinds.len(), SummaryKind::ALL.len());
    for (kind, bytes) in examples {
        assert_eq!(kind_of(&bytes), Some(kind));
        let written = again(kind, &bytes).expect("a summary");
        assert_eq!(written, bytes, "{kind:?}");
    }
}

/// Partials of continuous aggregates keep these bytes.
#[test]
fn bytes_of_version_1() {
    let examples = examples();
    crate::dialect::tests::golden("functions/toolkit/tests/version_1.txt", |at| {
        let (kind, bytes) = &examples[at.parse::<usize>().expect("a number")];
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let lines: Vec<&str> = (0..hex.len())
            .step_by(96)
            .map(|start| &hex[start..hex.len().min(start + 96)])
            .collect();
        format!("{}\n{}", kind.name(), lines.join("\n"))
    });
}

/// Every cut, and every byte changed: an error of one kind, or a value that is written again.
#[test]
fn damaged_bytes_are_refused_or_harmless() {
    let is_refusal = |result: datafusion::common::Result<Vec<u8>>| match result {
        Ok(_) => {}
        Err(datafusion::error::DataFusionError::External(error)) => {
            let error = error.downcast::<SqlError>().expect("one of ours");
            assert_eq!(error.state.as_str(), "22P03");
        }
        Err(other) => panic!("{other}"),
    };
    for (kind, bytes) in examples() {
        for end in 0..bytes.len() {
            assert!(again(kind, &bytes[..end]).is_err(), "{kind:?} cut at {end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(again(kind, &longer).is_err(), "{kind:?} with a byte more");
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at] ^ 0x40] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                is_refusal(again(kind, &damaged));
                if let Some(other) = kind_of(&damaged) {
                    is_refusal(again(other, &damaged));
                }
            }
        }
    }
}

/// Accessors of damaged values do not panic either.
#[test]
fn damaged_values_can_be_asked() {
    let forms = [
        stats::ACCESSORS,
        uddsketch::ACCESSORS,
        tdigest::ACCESSORS,
        hyperloglog::ACCESSORS,
        candlestick::ACCESSORS,
        counter::ACCESSORS,
        time_weight::ACCESSORS,
        frequent::ACCESSORS,
        most::ACCESSORS,
        lttb::ACCESSORS,
    ]
    .concat();
    for (kind, bytes) in examples() {
        let alone =
            |form: &&accessor::Form| form.of.contains(&kind) && form.takes == [args::Arg::Summary];
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                for form in forms.iter().filter(alone) {
                    let _ = (form.row)(&damaged, &[]);
                }
            }
        }
    }
}
