//! `candlestick_agg(ts, price, volume)` and `candlestick(ts, open, high, low, close, volume)`.
//!
//! Without a time or a price a row does not count; without a volume it does, and the whole has none.
//! Where several prices have the first time the least is the open, where several have the last the
//! greatest is the close, and the earliest of equal extremes counts, so that the order of rows does
//! not matter. Sums of volumes may differ in their last digits.
//!
//! ```text
//! | open | high | low | close: time i64, price f64 | 0 u8, or 1 u8, volume f64, volume × price f64 |
//! ```

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BinaryArray};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::accessor::{Answer, Form, Gives};
use super::aggregate::{Build, field};
use super::args::{Arg, coerce, complete_rows, floats, no_such_call, times};
use super::bytes::{Reader, Writer};
use super::datum::Float;
use super::summary::{Of, Sink, Summary, decode, encode};
use crate::functions::columns::evaluate;
use crate::types::SummaryKind;

/// A price and its time, microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Price {
    time: i64,
    price: f64,
}

impl Price {
    fn value(self) -> Float {
        Float(self.price)
    }
}

/// Open, high, low, close.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candlestick {
    open: Price,
    high: Price,
    low: Price,
    close: Price,
    /// The sum of volumes, and that of volumes × prices.
    volume: Option<(f64, f64)>,
}

impl Candlestick {
    fn of_tick(time: i64, price: f64, volume: Option<f64>) -> Self {
        let price = Price { time, price };
        Candlestick {
            open: price,
            high: price,
            low: price,
            close: price,
            volume: volume.map(|volume| (volume, volume * price.price)),
        }
    }

    fn add(&mut self, other: &Candlestick) {
        let (a, b) = (*self, other);
        let open = |p: Price| (p.time, p.value());
        if open(b.open) < open(a.open) {
            self.open = b.open;
        }
        let close = |p: Price| (p.time, p.value());
        if close(b.close) > close(a.close) {
            self.close = b.close;
        }
        let high = |p: Price| (p.value(), std::cmp::Reverse(p.time));
        if high(b.high) > high(a.high) {
            self.high = b.high;
        }
        let low = |p: Price| (p.value(), p.time);
        if low(b.low) < low(a.low) {
            self.low = b.low;
        }
        self.volume = match (a.volume, b.volume) {
            (Some(a), Some(b)) => Some((a.0 + b.0, a.1 + b.1)),
            _ => None,
        };
    }

    fn vwap(&self) -> Option<f64> {
        let (volume, weighted) = self.volume?;
        (volume > 0.0 && weighted.is_finite()).then(|| weighted / volume)
    }
}

impl Summary for Candlestick {
    fn kind(&self) -> SummaryKind {
        SummaryKind::Candlestick
    }

    fn write(&self, out: &mut Writer) {
        for price in [self.open, self.high, self.low, self.close] {
            out.i64(price.time);
            out.f64(price.price);
        }
        match self.volume {
            None => out.u8(0),
            Some((volume, weighted)) => {
                out.u8(1);
                out.f64(volume);
                out.f64(weighted);
            }
        }
    }

    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self> {
        if kind != SummaryKind::Candlestick {
            return None;
        }
        let price = |from: &mut Reader<'_>| {
            Some(Price {
                time: from.i64()?,
                price: from.f64()?,
            })
        };
        Some(Candlestick {
            open: price(from)?,
            high: price(from)?,
            low: price(from)?,
            close: price(from)?,
            volume: match from.u8()? {
                0 => None,
                1 => Some((from.f64()?, from.f64()?)),
                _ => return None,
            },
        })
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.add(&other);
        Ok(())
    }
}

fn update(sink: &mut Sink<'_, Candlestick>, columns: &[ArrayRef]) -> Result<()> {
    let (times, prices) = (times(columns, 0)?, floats(columns, 1)?);
    let volumes = floats(columns, 2)?;
    for row in complete_rows(columns, &[0, 1]) {
        let volume = volumes.is_valid(row).then(|| volumes.value(row));
        let one = Candlestick::of_tick(times.value(row), prices.value(row), volume);
        match sink.of_row(row) {
            Some(candlestick) => candlestick.add(&one),
            none => *none = Some(one),
        }
    }
    Ok(())
}

pub(super) const AGGREGATES: &[Build] = &[Build {
    name: "candlestick_agg",
    takes: &[Arg::Time, Arg::Float, Arg::Float],
    gives: SummaryKind::Candlestick,
    fold: &Of(update),
}];

macro_rules! form {
    ($name:literal $gives:ident $ask:expr) => {
        Form {
            name: $name,
            of: &[SummaryKind::Candlestick],
            takes: &[Arg::Summary],
            gives: Gives::$gives,
            row: |bytes, _| {
                let ask: fn(&Candlestick) -> Option<Answer> = $ask;
                Ok(ask(&decode::<Candlestick>(bytes)?))
            },
        }
    };
}

pub(super) const ACCESSORS: &[Form] = &[
    form!("open" Float |c| Some(Answer::Float(c.open.price))),
    form!("high" Float |c| Some(Answer::Float(c.high.price))),
    form!("low" Float |c| Some(Answer::Float(c.low.price))),
    form!("close" Float |c| Some(Answer::Float(c.close.price))),
    form!("open_time" Time |c| Some(Answer::Time(c.open.time))),
    form!("high_time" Time |c| Some(Answer::Time(c.high.time))),
    form!("low_time" Time |c| Some(Answer::Time(c.low.time))),
    form!("close_time" Time |c| Some(Answer::Time(c.close.time))),
    form!("volume" Float |c| c.volume.map(|(volume, _)| Answer::Float(volume))),
    form!("vwap" Float |c| c.vwap().map(Answer::Float)),
];

const BAR: &[Arg] = &[
    Arg::Time,
    Arg::Float,
    Arg::Float,
    Arg::Float,
    Arg::Float,
    Arg::Float,
];

/// `candlestick(ts, open, high, low, close, volume)`: a candlestick that somebody else has made.
/// Its average price is (high + low + close) / 3.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FromBar {
    signature: Signature,
}

impl FromBar {
    pub(super) fn new() -> Self {
        FromBar {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for FromBar {
    fn name(&self) -> &str {
        "candlestick"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(BAR, types).ok_or_else(|| no_such_call("candlestick", types))
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(field(SummaryKind::Candlestick, "candlestick"))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&args, |columns, rows| {
            let time = times(columns, 0)?;
            let price = |at: usize, row: usize| {
                Ok::<_, datafusion::error::DataFusionError>(Price {
                    time: time.value(row),
                    price: floats(columns, at)?.value(row),
                })
            };
            let volumes = floats(columns, 5)?;
            let mut values: Vec<Option<Vec<u8>>> = vec![None; rows];
            for row in complete_rows(columns, &[0, 1, 2, 3, 4]) {
                let (high, low, close) = (price(2, row)?, price(3, row)?, price(4, row)?);
                let typical = (high.price + low.price + close.price) / 3.0;
                let volume = volumes.is_valid(row).then(|| volumes.value(row));
                let mut bar = Candlestick {
                    open: price(1, row)?,
                    high,
                    low,
                    close,
                    volume: volume.map(|volume| (volume, volume * typical)),
                };
                values[row] = Some(encode(&mut bar)?);
            }
            let values = values.iter().map(Option::as_deref);
            Ok(Arc::new(values.collect::<BinaryArray>()))
        })
    }
}
