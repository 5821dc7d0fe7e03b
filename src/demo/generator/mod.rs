//! A pizza-ordering platform as a stream of rows: the data of the demo and of the benchmarks.
//!
//! Invariant: a row is a function of (seed, minute of arrival, number within the minute). So the
//! stream can be entered at any minute, made by several threads at once, made again, and
//! continued by a later run that asks the database how far the last one came: `order_id` *is*
//! that position (`max(ts)` is not; an order may be late, see `order`).
//!
//! A minute's rows are in order of arrival. The platform's size is a parameter; its shape (who
//! orders where, when and what) is in `market`, `merchants` and `order`.

mod line;
mod market;
mod merchants;
mod order;
mod random;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use line::{LINE_BYTES_MAX, Line, MinuteText};
pub(crate) use merchants::{Merchants, SKEW};
use order::{MINUTE_MICROS, Order};
use random::Random;

/// The columns of `orders`, in the order of the CSV fields.
pub(crate) const ORDERS_COLUMNS: &str = "\
    order_id bigint NOT NULL, merchant_id bigint NOT NULL, ts timestamptz NOT NULL, \
    customer_id bigint, channel text, status text, items integer, gross double precision, \
    discount double precision, tax double precision, payment text, postcode text";

/// What makes `orders` a time-series table.
pub(crate) const ORDERS_OPTIONS: &str = "\
    tsdb.hypertable, tsdb.partition_column='ts', tsdb.segmentby='merchant_id', \
    tsdb.chunk_interval='1 hour'";

/// The columns of the reference table `merchants`.
pub(crate) const MERCHANTS_COLUMNS: &str = "\
    merchant_id bigint PRIMARY KEY, name text, city text, country text, category text, \
    timezone text, opened date";

/// `order_id` is the minute of arrival times this plus the number of the row in its minute.
const MINUTE_ROWS_MAX: u64 = 10_000_000;

/// Orders minute by minute. Minutes count from 1970-01-01 00:00 UTC and are never before it.
pub(crate) struct Generator {
    merchants: Arc<Merchants>,
    volume: Volume,
}

/// How many orders arrive in a minute.
enum Volume {
    /// Follows demand; `cumulative[i]` is the demand of all minutes from `first` to `first + i`.
    Demand {
        first: i64,
        cumulative: Vec<u64>,
        rows: u64,
    },
    Flat {
        rows_per_minute: u64,
    },
}

impl Generator {
    /// Exactly `rows` orders over `minutes`, distributed as demand is.
    pub(crate) fn history(merchants: Arc<Merchants>, minutes: Range<i64>, rows: u64) -> Self {
        // Clocks change on the quarter of an hour; asking each zone for each minute is slow.
        let mut offsets = merchants::utc_offsets(minutes.start);
        let mut cumulative = vec![0];
        let mut total = 0;
        for minute in minutes.clone() {
            if minute % 15 == 0 {
                offsets = merchants::utc_offsets(minute);
            }
            total += merchants.demand(minute, &offsets);
            cumulative.push(total);
        }
        let rows = rows.min(MINUTE_ROWS_MAX * (cumulative.len() as u64 - 1));
        let volume = Volume::Demand {
            first: minutes.start,
            cumulative,
            rows,
        };
        Self { merchants, volume }
    }

    /// The same number of orders in every minute, for ever.
    pub(crate) fn flat(merchants: Arc<Merchants>, rows_per_minute: u64) -> Self {
        let rows_per_minute = rows_per_minute.min(MINUTE_ROWS_MAX);
        Self {
            merchants,
            volume: Volume::Flat { rows_per_minute },
        }
    }

    /// The orders that arrive in `minute`; none outside of a history's range.
    pub(crate) fn rows_in(&self, minute: i64) -> u64 {
        self.rows_between(minute..minute + 1)
    }

    /// The orders that arrive in `minutes`.
    pub(crate) fn rows_between(&self, minutes: Range<i64>) -> u64 {
        match &self.volume {
            Volume::Flat { rows_per_minute } => {
                rows_per_minute * (minutes.end - minutes.start).max(0) as u64
            }
            Volume::Demand {
                first,
                cumulative,
                rows,
            } => {
                let last = cumulative.len() - 1;
                let rows_before = |minute: i64| {
                    let at = (minute - first).clamp(0, last as i64) as usize;
                    let share = u128::from(cumulative[at]) * u128::from(*rows);
                    (share / u128::from(cumulative[last].max(1))) as u64
                };
                rows_before(minutes.end).saturating_sub(rows_before(minutes.start))
            }
        }
    }

    /// Appends the orders `rows` of `minute` as CSV lines without a header.
    pub(crate) fn write_csv(&self, minute: i64, rows: Range<u64>, out: &mut Vec<u8>) {
        let in_minute = self.rows_in(minute);
        let rows = rows.start..rows.end.min(in_minute);
        if rows.is_empty() {
            return;
        }
        let mix = self.merchants.mix_at(minute);
        let text = MinuteText::new(minute);
        let slot_micros = MINUTE_MICROS as u64 / in_minute;
        let mut line = Line::new();
        out.reserve((rows.end - rows.start) as usize * LINE_BYTES_MAX / 2);
        for row in rows {
            let order_id = minute as u64 * MINUTE_ROWS_MAX + row;
            let start_micros = row * MINUTE_MICROS as u64 / in_minute;
            let arrival = (
                minute * MINUTE_MICROS + start_micros as i64,
                slot_micros as u32,
            );
            let random = Random::new(self.merchants.seed(), order_id);
            let order = Order::random(order_id, &self.merchants, &mix, arrival, random);
            order.write(&mut line, &text);
            out.extend_from_slice(line.as_bytes());
        }
    }
}

/// The minute in which the order with this id arrived, and its number in that minute.
pub(crate) fn position_of_order(order_id: i64) -> (i64, u64) {
    let rows = MINUTE_ROWS_MAX as i64;
    (order_id.div_euclid(rows), order_id.rem_euclid(rows) as u64)
}
