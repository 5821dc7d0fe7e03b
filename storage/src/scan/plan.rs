//! Which packs and chunks a scan reads.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::read::key_ranges;
use super::{KeyRange, Place, Scan, Source, Unit};
use crate::segment::stats::{Compare, Value, ZoneMap};
use crate::state::SegmentRun;

/// Keys that a pack is taken to hold at least, where it holds several.
const KEYS_GUESSED: u32 = 8;

impl Scan {
    pub(super) fn plan(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        if self.request.place != Place::Memory {
            self.plan_segments(&mut units);
        }
        if self.request.place != Place::Segments {
            self.plan_memory(&mut units);
        }
        units
    }

    fn plan_segments(&self, units: &mut Vec<Unit>) {
        let mut segments: Vec<(usize, &SegmentRun)> =
            self.table.segments.iter().enumerate().collect();
        segments.sort_by_key(|(_, run)| {
            (
                run.segment.meta.chunk,
                run.segment.meta.run,
                run.segment.meta.id,
            )
        });
        for (number, run) in segments {
            let packs = run.segment.meta.packs.len() as u64;
            let before = units.len();
            self.plan_segment(number, run, units);
            let kept = (units.len() - before) as u64;
            self.stats.segments.fetch_add(1, Ordering::Relaxed);
            self.stats
                .segments_pruned
                .fetch_add(u64::from(kept == 0), Ordering::Relaxed);
            self.stats.packs.fetch_add(packs, Ordering::Relaxed);
            self.stats
                .packs_pruned
                .fetch_add(packs - kept, Ordering::Relaxed);
        }
    }

    fn plan_memory(&self, units: &mut Vec<Unit>) {
        for (number, run) in self.table.memory.iter().enumerate() {
            let overlaps = match (self.request.time, run.chunk.time) {
                (Some((from, to)), Some((min, max))) => min <= to && max >= from,
                _ => true,
            };
            if !overlaps {
                continue;
            }
            let batch = &run.chunk.batch;
            let mut likely = batch.num_rows();
            if let (Some(keys), Some(key)) = (&self.request.keys, self.table.def.key_column()) {
                let wanted = key_ranges(batch.column(key), keys);
                likely = wanted.iter().map(Range::len).sum();
            }
            if likely > 0 {
                units.push(Unit {
                    source: Source::Memory(number),
                    rows: batch.num_rows() as u32,
                    likely: likely as u32,
                    time: run.chunk.time,
                });
                self.stats.memory_chunks.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn plan_segment(&self, number: usize, run: &SegmentRun, units: &mut Vec<Unit>) {
        let def = &self.table.def;
        let meta = &run.segment.meta;
        let stored = |column: usize| meta.column_index(def.column_ids[column]);
        let time = def.time_column().and_then(stored);
        let key = def.key_column().and_then(stored);
        let zones: Vec<(usize, &Compare, &Value)> = self
            .request
            .zones
            .iter()
            .filter_map(|(column, compare, value)| Some((stored(*column)?, compare, value)))
            .collect();
        if let (Some((from, to)), true) = (self.request.time, def.time_column().is_some())
            && (meta.chunk.0 > to || meta.chunk.1 <= from && meta.chunk.1 < i64::MAX)
        {
            return;
        }
        for (pack, described) in (0u32..).zip(&meta.packs) {
            let rows = u64::from(described.rows);
            let range = time
                .and_then(|t| Some((described.zones[t].min_int()?, described.zones[t].max_int()?)));
            if let (Some((from, to)), Some((min, max))) = (self.request.time, range)
                && (min > to || max < from)
            {
                continue;
            }
            if let (Some(ranges), Some(key)) = (&self.request.keys, key) {
                let zone = &described.zones[key];
                let may = |compare, bound: &Option<Value>| {
                    bound
                        .as_ref()
                        .is_none_or(|value| zone.may_contain(rows, compare, value))
                };
                if !ranges
                    .iter()
                    .any(|r| may(Compare::GtEq, &r.min) && may(Compare::LtEq, &r.max))
                {
                    continue;
                }
            }
            if !zones
                .iter()
                .all(|&(c, compare, value)| described.zones[c].may_contain(rows, *compare, value))
            {
                continue;
            }
            units.push(Unit {
                source: Source::Pack(number, pack),
                rows: described.rows,
                likely: match (&self.request.keys, key) {
                    (Some(ranges), Some(key)) => {
                        likely(described.rows, &described.zones[key], ranges)
                    }
                    _ => described.rows,
                },
                time: range,
            });
        }
    }
}

/// Rows of a pack within the ranges of keys, if its keys are spread evenly over their zone.
fn likely(rows: u32, zone: &ZoneMap, ranges: &[KeyRange]) -> u32 {
    if zone.min.is_some() && zone.min == zone.max {
        return rows;
    }
    let (Some(min), Some(max)) = (zone.min_int(), zone.max_int()) else {
        return rows / KEYS_GUESSED;
    };
    let clamp = |bound: &Option<Value>, open: i64| match bound {
        Some(Value::Int(value)) => value.clamp(&i128::from(min), &i128::from(max)).to_owned(),
        _ => i128::from(open),
    };
    let width = |range: &KeyRange| 1 + clamp(&range.max, max) - clamp(&range.min, min);
    let wanted: i128 = ranges.iter().map(width).sum();
    let share = wanted as f64 / (i128::from(max) - i128::from(min) + 1) as f64;
    let guess = f64::from(rows) * share.clamp(0.0, 1.0);
    (guess as u32).max(rows / KEYS_GUESSED)
}
