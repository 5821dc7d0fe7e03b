//! Filling: rows in the order of groups and times → the same rows, with those that were missing.
//!
//! A machine without IO: rows are pushed, batches are pulled until there is nothing more to give.
//! It holds one batch of output and the batches that its rows are taken from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::common::Result;

use super::fault;
use super::group::{Group, State, look_before};
use super::line::{Number, Sample, between, column_of, number, sample, ticks_of};
use super::node::{Fill, Kind};
use crate::error::SqlState;
use crate::functions::Steps;
use crate::plan::places::{NULL, Place, Sources};

/// Rows that one query may make. They pass by and are not kept; the limit is against a width of
/// microseconds over years.
pub(super) const ROWS_MADE_MAX: u64 = 100_000_000;

/// Where columns stand, and what they are.
#[derive(Debug)]
pub(super) struct Layout {
    /// Columns of the input, then those that are looked up apart.
    pub(super) input: SchemaRef,
    pub(super) output: SchemaRef,
    pub(super) width: usize,
    pub(super) time: usize,
    pub(super) keys: Vec<usize>,
    pub(super) fills: Vec<Fill>,
    pub(super) steps: Steps,
    /// The first bucket.
    pub(super) start: i64,
    /// The first bucket that is none begins here or later.
    pub(super) finish: i64,
}

impl Layout {
    /// The columns that a fill looks up.
    pub(super) fn lookups(&self, fill: usize) -> (Option<usize>, Option<usize>) {
        let has = |fill: &Fill| usize::from(fill.has_prev) + usize::from(fill.has_next);
        let before: usize = self.fills[..fill].iter().map(has).sum();
        let first = self.width + self.fills.len() + before;
        let own = &self.fills[fill];
        let prev = own.has_prev.then_some(first);
        let next = own.has_next.then_some(first + usize::from(own.has_prev));
        (prev, next)
    }
}

/// A row that is given, and what fills it: by fill the place of a value, or the value.
#[derive(Debug)]
enum Filled {
    Places(Vec<(Place, usize)>),
    Numbers(Vec<Option<Number>>),
}

/// The batch whose rows are next.
#[derive(Debug)]
struct Current {
    source: usize,
    keys: Option<Rows>,
    times: Int64Array,
    next: usize,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Filler {
    layout: Arc<Layout>,
    batch_rows: usize,
    sources: Sources,
    converter: Option<RowConverter>,
    current: Option<Current>,
    group: Option<Group>,
    is_over: bool,
    made: u64,
    // What is given next.
    times: Vec<i64>,
    rows: Vec<Place>,
    firsts: Vec<Place>,
    filled: Vec<Filled>,
}

/// What [`Filler::pull`] answers.
pub(super) enum Pulled {
    Batch(RecordBatch),
    /// It wants rows, or the end.
    Hungry,
    /// There is nothing more.
    Over,
}

impl Filler {
    /// `lookups` is the row of what is looked up, where there are no keys.
    pub(super) fn new(
        layout: Arc<Layout>,
        batch_rows: usize,
        lookups: Option<RecordBatch>,
    ) -> Result<Filler> {
        let field = |&key: &usize| SortField::new(layout.input.field(key).data_type().clone());
        let converter = match layout.keys.is_empty() {
            true => None,
            false => Some(RowConverter::new(layout.keys.iter().map(field).collect())?),
        };
        let mut sources = Sources::new(&layout.input);
        let filled = layout.fills.iter().map(Filled::of).collect();
        let group = match layout.keys.is_empty() {
            true => {
                let lookup = match lookups {
                    Some(rows) => {
                        let own = layout.input.fields().len() - rows.num_columns();
                        let mut columns: Vec<ArrayRef> = (0..own)
                            .map(|c| sources.column(NULL.source, c).clone())
                            .collect();
                        columns.extend_from_slice(rows.columns());
                        let source = sources.add(columns);
                        Place { source, row: 0 }
                    }
                    None => NULL,
                };
                Some(Group::new(&layout, None, NULL, lookup))
            }
            false => None,
        };
        Ok(Filler {
            layout,
            batch_rows,
            sources,
            converter,
            current: None,
            group,
            is_over: false,
            made: 0,
            times: Vec::new(),
            rows: Vec::new(),
            firsts: Vec::new(),
            filled,
        })
    }

    /// Takes the next rows, when it is hungry.
    pub(super) fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut columns = rows.columns().to_vec();
        // Columns that are looked up apart are of no row here.
        for field in &self.layout.input.fields()[columns.len()..] {
            columns.push(new_null_array(field.data_type(), rows.num_rows()));
        }
        let keys = match &self.converter {
            Some(converter) => {
                let keys: Vec<ArrayRef> = self
                    .layout
                    .keys
                    .iter()
                    .map(|&k| columns[k].clone())
                    .collect();
                Some(converter.convert_columns(&keys)?)
            }
            None => None,
        };
        let times = ticks_of(&columns[self.layout.time])?;
        let times = times.as_primitive::<Int64Type>().clone();
        let source = self.sources.add(columns);
        self.current = Some(Current {
            source,
            keys,
            times,
            next: 0,
        });
        Ok(())
    }

    /// Tells that there are no more rows.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let per_row = 2 * size_of::<Place>() + 8 + self.filled.len() * 24;
        self.sources.bytes() + self.times.capacity() * per_row
    }

    /// The next batch.
    pub(super) fn pull(&mut self) -> Result<Pulled> {
        while self.rows.len() < self.batch_rows {
            if let Some(mut current) = self.current.take() {
                if current.next == current.times.len() {
                    continue;
                }
                self.row(&mut current)?;
                self.current = Some(current);
            } else if !self.is_over {
                return Ok(Pulled::Hungry);
            } else if !self.rest(true)? {
                break;
            }
        }
        if self.rows.is_empty() {
            return Ok(Pulled::Over);
        }
        self.give().map(Pulled::Batch)
    }

    /// Makes one row: of the next row of the input, or a missing one before it.
    fn row(&mut self, current: &mut Current) -> Result<()> {
        let place = Place {
            source: current.source,
            row: current.next,
        };
        let is_new = match (&self.group, &current.keys) {
            (Some(group), Some(keys)) => {
                let key = group.key.as_ref().map(OwnedRow::row);
                key != Some(keys.row(place.row))
            }
            (group, _) => group.is_none(),
        };
        if is_new {
            if self.group.is_some() && self.rest(false)? {
                return Ok(());
            }
            let key = current
                .keys
                .as_ref()
                .map(|keys| keys.row(place.row).owned());
            self.group = Some(Group::new(&self.layout, key, place, place));
        }
        let Some(mut group) = self.group.take() else {
            return Ok(());
        };
        if current.times.is_null(place.row) {
            return Err(fault(
                SqlState::INVALID_PARAMETER_VALUE,
                "invalid time_bucket_gapfill argument: ts cannot be NULL",
            ));
        }
        let time = current.times.value(place.row);
        let made = match time > group.due && group.due < self.layout.finish {
            true => {
                self.expect(&mut group, place, time);
                self.made(&mut group, false)
            }
            false => {
                current.next += 1;
                self.given(&mut group, place, time);
                Ok(())
            }
        };
        self.group = Some(group);
        made
    }

    /// Makes a row behind the last one of the group. `false` when there is none missing.
    fn rest(&mut self, is_end: bool) -> Result<bool> {
        let Some(mut group) = self.group.take() else {
            return Ok(false);
        };
        let is_missing = group.due < self.layout.finish;
        let made = match is_missing {
            true => self.made(&mut group, true),
            false => Ok(()),
        };
        // The group is over with its last row, unless more may come.
        if is_missing || !is_end {
            self.group = Some(group);
        }
        made.map(|()| is_missing)
    }

    /// The next row of the input is what missing ones before it lead to.
    fn expect(&self, group: &mut Group, row: Place, time: i64) {
        for (n, state) in group.states.iter_mut().enumerate() {
            if let State::Interpolate { after, .. } = state {
                let values = self.sources.column(row.source, self.layout.width + n);
                *after = number(values, row.row).map(|value| Sample { time, value });
            }
        }
    }

    /// Gives a row of the input.
    fn given(&mut self, group: &mut Group, row: Place, time: i64) {
        let is_start = time == self.layout.start;
        for n in 0..group.states.len() {
            let value = self.layout.width + n;
            let is_null = self.sources.is_null(row, value);
            match (&mut group.states[n], &mut self.filled[n]) {
                (State::Locf { last, column }, Filled::Places(filled)) => {
                    let missing = self.layout.fills[n].kind == Kind::Locf { missing: true };
                    if is_null && missing {
                        if is_start {
                            look_before(&self.layout, &self.sources, n, group.lookup, last, column);
                        }
                    } else {
                        (*last, *column) = (row, value);
                    }
                    filled.push((*last, *column));
                }
                (
                    State::Interpolate {
                        before,
                        after,
                        is_asked,
                    },
                    Filled::Numbers(filled),
                ) => {
                    let own = number(self.sources.column(row.source, value), row.row);
                    *before = own.map(|value| Sample { time, value });
                    *after = None;
                    *is_asked = false;
                    filled.push(own);
                }
                _ => {}
            }
        }
        self.times.push(time);
        self.rows.push(row);
        self.firsts.push(row);
        if time == group.due {
            group.due = self.layout.steps.next(group.due);
        }
    }

    /// Gives the row that is due.
    fn made(&mut self, group: &mut Group, is_rest: bool) -> Result<()> {
        self.made += 1;
        if self.made > ROWS_MADE_MAX {
            return Err(too_many());
        }
        let time = group.due;
        let is_start = time == self.layout.start;
        for n in 0..group.states.len() {
            match (&mut group.states[n], &mut self.filled[n]) {
                (State::Locf { last, column }, Filled::Places(filled)) => {
                    if is_start {
                        look_before(&self.layout, &self.sources, n, group.lookup, last, column);
                    }
                    filled.push((*last, *column));
                }
                (
                    State::Interpolate {
                        before,
                        after,
                        is_asked,
                    },
                    Filled::Numbers(filled),
                ) => {
                    let (prev, next) = self.layout.lookups(n);
                    let look = |column: usize| {
                        let records = self.sources.column(group.lookup.source, column);
                        sample(records, group.lookup.row)
                    };
                    if let (None, true, Some(prev)) = (&before, is_start, prev) {
                        *before = look(prev)?;
                    }
                    if is_rest && !*is_asked {
                        *is_asked = true;
                        *after = next.map(look).transpose()?.flatten();
                    }
                    let line = before.zip(*after);
                    filled.push(line.map(|(before, after)| between(before, after, time)));
                }
                _ => {}
            }
        }
        self.times.push(time);
        self.rows.push(NULL);
        self.firsts.push(group.first);
        group.due = self.layout.steps.next(group.due);
        Ok(())
    }

    /// The rows that are ready, as a batch.
    fn give(&mut self) -> Result<RecordBatch> {
        let layout = self.layout.clone();
        let mut columns = Vec::with_capacity(layout.output.fields().len());
        for column in 0..layout.width {
            let ty = layout.input.field(column).data_type();
            columns.push(if column == layout.time {
                cast(&Int64Array::from(std::mem::take(&mut self.times)), ty)?
            } else if layout.keys.contains(&column) {
                self.sources.gather(column, self.firsts.iter().copied())?
            } else {
                self.sources.gather(column, self.rows.iter().copied())?
            });
        }
        for (n, filled) in self.filled.iter_mut().enumerate() {
            let value = layout.width + n;
            columns.push(match filled {
                Filled::Places(places) => {
                    let mut from = vec![value];
                    from.extend(layout.lookups(n).0);
                    self.sources.gather_from(&from, places.drain(..))?
                }
                Filled::Numbers(numbers) => {
                    column_of(numbers.drain(..), layout.input.field(value).data_type())?
                }
            });
        }
        self.rows.clear();
        self.firsts.clear();
        self.forget();
        Ok(RecordBatch::try_new(layout.output.clone(), columns)?)
    }

    /// Forgets batches of which nothing is needed any more.
    fn forget(&mut self) {
        let mut current = self.current.as_ref().map(|current| Place {
            source: current.source,
            row: 0,
        });
        let mut places: Vec<&mut Place> = Vec::new();
        places.extend(current.as_mut());
        if let Some(group) = &mut self.group {
            places.extend([&mut group.first, &mut group.lookup]);
            let lasts = group.states.iter_mut().filter_map(|state| match state {
                State::Locf { last, .. } => Some(last),
                State::Interpolate { .. } => None,
            });
            places.extend(lasts);
        }
        self.sources.keep(places.into_iter());
        if let (Some(own), Some(place)) = (&mut self.current, current) {
            own.source = place.source;
        }
    }
}

impl Filled {
    fn of(fill: &Fill) -> Filled {
        match fill.kind {
            Kind::Locf { .. } => Filled::Places(Vec::new()),
            Kind::Interpolate => Filled::Numbers(Vec::new()),
        }
    }
}

/// The error of a query that would make too many rows.
pub(super) fn too_many() -> datafusion::common::DataFusionError {
    fault(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("time_bucket_gapfill makes more than {ROWS_MADE_MAX} rows"),
    )
}
