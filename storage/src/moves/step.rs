//! One step of a table's rows from one place to another, and how addresses follow it.

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{BYTES_MAX, lost};
use crate::build::Built;
use crate::deletes::Deletes;
use crate::memtable::{BlockRef, MemRun};
use crate::state::SegmentRun;
use crate::{Result, SegmentId};

/// What one step did to the rows of a table.
#[derive(Debug)]
pub(crate) enum Move {
    /// From memory into segments.
    Sealed(Sealed),
    /// From segments into others.
    Merged(Merged),
    /// Several rows of segments into one: they are gone from these.
    Combined(Vec<SegmentId>),
}

/// Blocks of the log, their rows numbered through, and for each row of the segments its number.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(super) blocks: HashMap<BlockRef, u32>,
    pub(super) outputs: Vec<(SegmentId, Vec<u32>)>,
}

/// The inputs of a merge, and by which turns their rows were taken.
#[derive(Debug)]
pub(crate) struct Merged {
    inputs: Vec<Vec<Input>>,
    turns: Turns,
    outputs: Vec<(SegmentId, u32)>,
}

/// A segment as it went into a merge.
#[derive(Debug)]
struct Input {
    id: SegmentId,
    rows: u32,
    dead: Option<Arc<RoaringBitmap>>,
}

/// From which input the next rows of a merge come, and how many: pairs of a byte and an LEB128.
#[derive(Debug, Default, Clone)]
pub(crate) struct Turns {
    bytes: Vec<u8>,
    current: Option<(u8, u32)>,
    /// They were too many to be kept.
    is_cut: bool,
}

impl Turns {
    /// The next row comes from this input.
    pub(crate) fn push(&mut self, input: u8) {
        self.push_many(input, 1);
    }

    /// The next rows come from this input.
    pub(crate) fn push_many(&mut self, input: u8, rows: u32) {
        match &mut self.current {
            Some((now, count)) if *now == input && count.checked_add(rows).is_some() => {
                *count += rows
            }
            _ => {
                self.flush();
                self.current = Some((input, rows));
            }
        }
    }

    pub(super) fn flush(&mut self) {
        let Some((input, mut count)) = self.current.take() else {
            return;
        };
        if self.is_cut || self.bytes.len() >= BYTES_MAX / 2 {
            self.is_cut = true;
            self.bytes = Vec::new();
            return;
        }
        self.bytes.push(input);
        while count >= 0x80 {
            self.bytes.push(count as u8 | 0x80);
            count >>= 7;
        }
        self.bytes.push(count as u8);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, u32)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let input = *self.bytes.get(at)?;
            at += 1;
            let (mut count, mut shift) = (0, 0);
            loop {
                let byte = self.bytes[at];
                at += 1;
                count |= u32::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    return Some((input, count));
                }
            }
        })
    }
}

impl Sealed {
    /// The way from memory to the segments that were built of it. `None` when the rows are too many
    /// to be numbered.
    pub(crate) fn way(runs: &[MemRun], built: &[Built]) -> Option<Move> {
        let mut blocks = HashMap::new();
        let mut bases = Vec::with_capacity(runs.len());
        let mut next = 0u32;
        for run in runs {
            bases.push(next);
            for (block, first) in run.chunk.blocks() {
                blocks.insert(block, next.checked_add(first)?);
            }
            next = next.checked_add(run.chunk.numbers())?;
        }
        let number =
            |&(run, row): &(u32, u32)| bases[run as usize] + runs[run as usize].chunk.number(row);
        let outputs = built.iter().map(|built| {
            let numbers = built.sources.iter().map(number).collect();
            (built.segment.meta.id, numbers)
        });
        Some(Move::Sealed(Sealed {
            outputs: outputs.collect(),
            blocks,
        }))
    }

    fn follow(&self, deletes: &mut Deletes) -> Result<()> {
        let mut wanted = RoaringBitmap::new();
        deletes.blocks.retain(|block, rows| {
            let Some(first) = self.blocks.get(block) else {
                return true;
            };
            wanted.extend(rows.iter().map(|row| first + row));
            false
        });
        let mut left = wanted.len();
        for (segment, numbers) in &self.outputs {
            if left == 0 {
                break;
            }
            let rows = (0u32..).zip(numbers);
            let moved: RoaringBitmap = rows
                .filter(|(_, number)| wanted.contains(**number))
                .map(|(row, _)| row)
                .collect();
            left -= moved.len();
            deletes.add_rows(*segment, moved);
        }
        all_found(left)
    }
}

impl Merged {
    /// The way through a merge: the runs in the order of their numbers, as `turns` has them.
    pub(crate) fn way(
        inputs: &[Vec<&SegmentRun>],
        mut turns: Turns,
        outputs: Vec<(SegmentId, u32)>,
    ) -> Move {
        turns.flush();
        let rows = |runs: &Vec<&SegmentRun>| runs.iter().map(|run| run.rows()).sum::<u64>();
        turns.is_cut |= inputs.iter().any(|runs| u32::try_from(rows(runs)).is_err());
        let input = |run: &&SegmentRun| Input {
            id: run.segment.meta.id,
            rows: run.segment.meta.rows(),
            dead: run.deleted.clone(),
        };
        Move::Merged(Merged {
            inputs: inputs
                .iter()
                .map(|runs| runs.iter().map(input).collect())
                .collect(),
            turns,
            outputs,
        })
    }

    fn follow(&self, deletes: &mut Deletes) -> Result<()> {
        let segments = || self.inputs.iter().flatten();
        let is_touched = |input: &Input| {
            deletes.rows.contains_key(&input.id) || deletes.segments.contains(&input.id)
        };
        if !segments().any(is_touched) {
            return Ok(());
        }
        if segments().all(|input| deletes.segments.contains(&input.id)) {
            for input in segments() {
                deletes.segments.remove(&input.id);
                deletes.rows.remove(&input.id);
            }
            deletes
                .segments
                .extend(self.outputs.iter().map(|(segment, _)| *segment));
            return Ok(());
        }
        if self.turns.is_cut {
            return Err(lost());
        }
        let mut wanted = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            wanted.push(wanted_of(input, deletes)?);
        }
        let mut left: u64 = wanted.iter().map(RoaringBitmap::len).sum();
        let mut taken = vec![0u32; wanted.len()];
        let mut outputs = self.outputs.iter();
        let (mut output, mut room, mut row) = (SegmentId(0), 0u32, 0u32);
        let mut moved = RoaringBitmap::new();
        for (input, mut count) in self.turns.iter() {
            let input = usize::from(input);
            while count > 0 && left > 0 {
                if room == 0 {
                    deletes.add_rows(output, std::mem::take(&mut moved));
                    let Some(&(next, rows)) = outputs.next() else {
                        return Err(lost());
                    };
                    (output, room, row) = (next, rows, 0);
                }
                let step = count.min(room);
                let from = taken[input];
                for position in wanted[input].range(from..from + step) {
                    moved.insert(row + (position - from));
                    left -= 1;
                }
                taken[input] += step;
                (count, room, row) = (count - step, room - step, row + step);
            }
        }
        deletes.add_rows(output, moved);
        all_found(left)
    }
}

/// The positions, among the live rows of an input of a merge, of those to delete; takes them out.
fn wanted_of(segments: &[Input], deletes: &mut Deletes) -> Result<RoaringBitmap> {
    let mut wanted = RoaringBitmap::new();
    let mut first = 0u32;
    for input in segments {
        let dead = |row: u32| input.dead.as_ref().map_or(0, |dead| dead.rank(row) as u32);
        let dead_rows = input.dead.as_ref().map_or(0, |dead| dead.len() as u32);
        let live = input.rows - dead_rows;
        if deletes.segments.remove(&input.id) {
            deletes.rows.remove(&input.id);
            wanted.insert_range(first..first + live);
        } else if let Some(rows) = deletes.rows.remove(&input.id) {
            for row in rows {
                if input.dead.as_ref().is_some_and(|dead| dead.contains(row)) {
                    return Err(lost());
                }
                wanted.insert(first + row - dead(row));
            }
        }
        first += live;
    }
    Ok(wanted)
}

impl Move {
    /// Changes addresses of before the step into those of after it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a row was gone before the step: somebody else has deleted it.
    pub(crate) fn follow(&self, deletes: &mut Deletes) -> Result<()> {
        match self {
            Move::Sealed(sealed) => sealed.follow(deletes),
            Move::Merged(merged) => merged.follow(deletes),
            Move::Combined(inputs) => {
                let touched = |id| deletes.rows.contains_key(id) || deletes.segments.contains(id);
                if inputs.iter().any(touched) {
                    Err(lost())
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Move::Sealed(sealed) => {
                let rows: usize = sealed.outputs.iter().map(|(_, rows)| rows.len()).sum();
                rows * size_of::<u32>() + sealed.blocks.len() * 2 * size_of::<(BlockRef, u32)>()
            }
            Move::Combined(inputs) => inputs.len() * size_of::<SegmentId>(),
            Move::Merged(merged) => {
                let dead = |input: &Input| input.dead.as_ref().map_or(0, |d| d.serialized_size());
                let inputs = merged.inputs.iter().flatten();
                merged.turns.bytes.len()
                    + inputs.map(|i| dead(i) + size_of::<Input>()).sum::<usize>()
            }
        }
    }
}

fn all_found(left: u64) -> Result<()> {
    if left == 0 { Ok(()) } else { Err(lost()) }
}
