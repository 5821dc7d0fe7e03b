//! Slots: the values of the expression by which an aggregate divides time.
//!
//! A later time has no earlier slot, so that the times between two have the slots between theirs.
//! The one exception is the hour that a zone goes through twice; ranges are a day wider there.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_plan::PhysicalExpr;

use crate::error::{SqlError, SqlState};

const DAY_US: i64 = 86_400_000_000;
/// 2 to the power of this is more than a century in microseconds.
const STEPS_MAX: usize = 53;
/// Times that are looked at together.
const GUESSES: i64 = 64;

/// Both ends included, in microseconds.
type Range = (i64, i64);

/// Whether a time is infinity, or what is next to it in a range that leaves infinity out. These are
/// their own slots: what is beyond all times is beyond all slots.
fn is_end(time: i64) -> bool {
    time <= i64::MIN + 1 || time >= i64::MAX - 1
}

/// How an aggregate divides time.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Over the columns of the source.
    expr: Arc<dyn PhysicalExpr>,
    /// The source's columns.
    schema: SchemaRef,
    /// Position of the time among them.
    time: usize,
    /// Whether it divides the local time of a zone.
    pub(super) has_zone: bool,
    /// Those of slots that are all alike.
    even: Option<Even>,
}

/// Slots that are all alike.
#[derive(Debug, Clone, Copy)]
struct Even {
    /// In microseconds.
    width: i64,
    /// One of them.
    slot: i64,
}

impl Even {
    /// The slot of a time. `None` at the ends of all times.
    fn of(self, time: i64) -> Option<i64> {
        let into = time.checked_sub(self.slot)?.rem_euclid(self.width);
        time.checked_sub(into)
    }
}

impl Slots {
    /// Slots of an expression over the columns of the source, whose time is at this position.
    /// `width` is that of slots that are all alike, in microseconds.
    ///
    /// # Errors
    /// Those of the expression.
    pub(super) fn new(
        expr: Arc<dyn PhysicalExpr>,
        schema: SchemaRef,
        time: usize,
        has_zone: bool,
        width: Option<i64>,
    ) -> Result<Self> {
        let mut slots = Slots {
            expr,
            schema,
            time,
            has_zone,
            even: None,
        };
        // A width, an origin or a zone that is none is told here and not with the first row.
        let some = slots.of(&[0])?;
        slots.even = width
            .zip(some.first().copied())
            .map(|(width, slot)| Even { width, slot });
        Ok(slots)
    }

    /// The slots of times, in microseconds.
    fn of(&self, times: &[i64]) -> Result<Vec<i64>> {
        if let Some(even) = self.even
            && let Some(slots) = times.iter().map(|&time| even.of(time)).collect()
        {
            return Ok(slots);
        }
        let columns =
            self.schema
                .fields()
                .iter()
                .enumerate()
                .map(|(at, field)| match field.data_type() {
                    DataType::Timestamp(_, zone) if at == self.time => {
                        let times = TimestampMicrosecondArray::from(times.to_vec());
                        Arc::new(times.with_timezone_opt(zone.clone())) as ArrayRef
                    }
                    other => new_null_array(other, times.len()),
                });
        // Columns without which the slot can be told may be null here.
        let fields = self
            .schema
            .fields()
            .iter()
            .map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let rows = RecordBatch::try_new(schema, columns.collect())?;
        let slots = self.expr.evaluate(&rows)?.into_array(times.len())?;
        if slots.null_count() > 0 || !matches!(slots.data_type(), DataType::Timestamp(..)) {
            let message = "the time bucket of a time is no time";
            let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
            return Err(DataFusionError::External(Box::new(error)));
        }
        Ok(slots
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .to_vec())
    }

    /// The first and the last slot that each of some ranges of times meets, both ends included.
    pub(super) fn of_ranges(&self, ranges: &[(i64, i64)]) -> Result<Vec<(i64, i64)>> {
        let wider = if self.has_zone { DAY_US } else { 0 };
        let moved = |time: i64, by: i64| match is_end(time) {
            true => time,
            false => time.saturating_add(by),
        };
        let from = ranges.iter().map(|range| moved(range.0, -wider));
        let to = ranges.iter().map(|range| moved(range.1, wider));
        let times: Vec<i64> = from.chain(to).collect();
        let inner: Vec<i64> = times
            .iter()
            .map(|&t| if is_end(t) { 0 } else { t })
            .collect();
        let slots = self.of(&inner)?.into_iter().zip(&times);
        let slots = slots.map(|(slot, &time)| if is_end(time) { time } else { slot });
        let slots: Vec<i64> = slots.collect();
        let (first, last) = slots.split_at(ranges.len());
        Ok(first.iter().copied().zip(last.iter().copied()).collect())
    }

    /// The first and the last time of all slots that a range of times meets, or an earlier first
    /// and a later last.
    pub(crate) fn reach(&self, times: (i64, i64)) -> Result<(i64, i64)> {
        let (first, last) = self.of_ranges(&[times])?[0];
        let wider = if self.has_zone { DAY_US } else { 0 };
        Ok((
            first.saturating_sub(wider),
            self.end(last)?.saturating_add(wider),
        ))
    }

    /// Of a range of times, those of the slots that are wholly within, and the ranges at its ends
    /// that are not. Both ends included; without a zone.
    pub(super) fn whole_within(&self, within: Range) -> Result<(Range, Vec<Range>)> {
        let (from, to) = within;
        if from > to {
            return Ok(((i64::MAX, i64::MIN), Vec::new()));
        }
        let (first, last) = self.of_ranges(&[within])?[0];
        let (first_end, last_end) = (self.end(first)?, self.end(last)?);
        let mut inner = within;
        let mut ends = Vec::new();
        if first < from {
            ends.push((from, first_end.min(to)));
            inner.0 = first_end.saturating_add(1);
        }
        if last_end > to && last >= inner.0 {
            ends.push((last.max(from), to));
            inner.1 = last.saturating_sub(1);
        }
        Ok((inner, ends))
    }

    /// The last time of a slot.
    fn end(&self, slot: i64) -> Result<i64> {
        if is_end(slot) {
            return Ok(slot);
        }
        if let Some(even) = self.even {
            return Ok(slot.saturating_add(even.width - 1));
        }
        // A slot begins at its value. Many guesses at once are as cheap as one.
        let mut inside = slot;
        let mut guesses: Vec<i64> = (0..STEPS_MAX)
            .map(|n| slot.saturating_add(1 << n))
            .collect();
        loop {
            // At the end of all times there is none.
            let Ok(slots) = self.of(&guesses) else {
                return Ok(i64::MAX);
            };
            let later = slots.iter().position(|other| *other > slot);
            let Some(later) = later else {
                // Longer than a century: nobody asks for its end.
                return Ok(i64::MAX);
            };
            let outside = guesses[later];
            if let Some(before) = later.checked_sub(1) {
                inside = guesses[before];
            }
            if outside - inside <= 1 {
                return Ok(inside);
            }
            let step = outside.saturating_sub(inside) / GUESSES + 1;
            guesses = (1..=GUESSES)
                .map(|n| inside.saturating_add(n.saturating_mul(step)).min(outside))
                .collect();
        }
    }
}
