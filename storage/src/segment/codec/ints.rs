//! Columns of integers: which of the codecs `constant`, `packed`, `runs` and `sparse` is smallest,
//! and reading whichever it was.
//!
//! ```text
//! constant | value i64 |          packed: see `packed`          runs, sparse: see `runs`
//! ```
//!
//! Other codecs nest this one: the codes of a dictionary, the lengths of texts, decimals.
//! Delta coding is left out: measured on rows sorted by (merchant, time) it saves 2 % of the bytes
//! and loses a third more in small blocks, and it takes away the access to single rows.

use std::ops::Range;

use super::cursor::{Cursor, Damage};
use super::header::Codec;
use super::packed::{self, Bounds, CHUNK, MINI_BLOCK, Packed};
use super::runs::{self, Runs, Sparse};

/// Appends `values`, at least one, with the codec that it answers.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) -> Codec {
    let survey = Survey::of(values);
    let codec = survey.choose(values);
    match codec {
        Choice::Constant => out.extend_from_slice(&values[0].to_le_bytes()),
        Choice::Packed => packed::encode(values, &survey.blocks, out),
        Choice::Runs => runs::encode_runs(values, out),
        Choice::Sparse { common } => runs::encode_sparse(values, common, out),
    }
    codec.codec()
}

/// What the choice of a codec rests on.
struct Survey {
    rows: usize,
    blocks: Vec<Bounds>,
    bounds: Bounds,
    runs: usize,
}

enum Choice {
    Constant,
    Packed,
    Runs,
    Sparse { common: i64 },
}

impl Choice {
    fn codec(&self) -> Codec {
        match self {
            Choice::Constant => Codec::Constant,
            Choice::Packed => Codec::Packed,
            Choice::Runs => Codec::Runs,
            Choice::Sparse { .. } => Codec::Sparse,
        }
    }
}

impl Survey {
    fn of(values: &[i64]) -> Survey {
        let mut blocks = Vec::with_capacity(values.len().div_ceil(MINI_BLOCK));
        let mut bounds = Bounds {
            min: values[0],
            max: values[0],
        };
        let mut runs = 1;
        let mut previous = values[0];
        for chunk in values.chunks(MINI_BLOCK) {
            let block = Bounds::of(chunk);
            bounds.min = bounds.min.min(block.min);
            bounds.max = bounds.max.max(block.max);
            blocks.push(block);
            runs += usize::from(previous != chunk[0]);
            runs += chunk
                .windows(2)
                .map(|pair| usize::from(pair[0] != pair[1]))
                .sum::<usize>();
            previous = chunk[chunk.len() - 1];
        }
        Survey {
            rows: values.len(),
            blocks,
            bounds,
            runs,
        }
    }

    fn choose(&self, values: &[i64]) -> Choice {
        if self.bounds.min == self.bounds.max {
            return Choice::Constant;
        }
        let packed = packed::encoded_len(self.rows, &self.blocks);
        let runs = self.pairs_len(self.runs);
        let sparse = likely_common(values).map(|common| {
            let exceptions: usize = values
                .iter()
                .map(|value| usize::from(*value != common))
                .sum();
            (common, self.pairs_len(exceptions) + 8)
        });
        match sparse {
            // Runs of fewer than four rows decode slower than packed values.
            _ if runs * 5 < packed * 4 && self.runs * 4 < self.rows => match sparse {
                Some((common, sparse)) if sparse < runs => Choice::Sparse { common },
                _ => Choice::Runs,
            },
            Some((common, sparse)) if sparse * 5 < packed * 4 => Choice::Sparse { common },
            _ => Choice::Packed,
        }
    }

    /// About how many bytes `count` row numbers and their values take.
    fn pairs_len(&self, count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        let rows_of_block = self.rows * MINI_BLOCK.min(count) / count;
        let bits = bits_of(rows_of_block as u64) + usize::from(self.bounds.width());
        8 + count.div_ceil(MINI_BLOCK) * 26 + (count * bits).div_ceil(8)
    }
}

fn bits_of(range: u64) -> usize {
    usize::from(super::bitpack::width_of(range))
}

/// The value that more than half of a sample holds, if there is one (Boyer and Moore's vote).
fn likely_common(values: &[i64]) -> Option<i64> {
    const SAMPLE: usize = 64;
    let step = values.len().div_ceil(SAMPLE);
    let (mut candidate, mut votes) = (values[0], 0usize);
    for value in values.iter().step_by(step) {
        if votes == 0 {
            candidate = *value;
        }
        votes = if *value == candidate {
            votes + 1
        } else {
            votes - 1
        };
    }
    let found = values
        .iter()
        .step_by(step)
        .filter(|value| **value == candidate)
        .count();
    (found * 2 * step > values.len()).then_some(candidate)
}

/// Encoded integers to be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ints<'a> {
    Constant(i64),
    Packed(Packed<'a>),
    Runs(Runs<'a>),
    Sparse(Sparse<'a>),
}

impl<'a> Ints<'a> {
    /// `rows` integers of `codec`, which fill `cursor`.
    pub(super) fn parse(
        codec: Codec,
        mut cursor: Cursor<'a>,
        rows: usize,
    ) -> Result<Ints<'a>, Damage> {
        Ok(match codec {
            Codec::Constant => {
                let value = cursor.i64()?;
                cursor.end()?;
                Ints::Constant(value)
            }
            Codec::Packed => Ints::Packed(Packed::parse(cursor, rows)?),
            Codec::Runs => Ints::Runs(Runs::parse(cursor, rows)?),
            Codec::Sparse => Ints::Sparse(Sparse::parse(cursor, rows)?),
            other => return Err(cursor.damage(format!("codec {other:?} holds no integers"))),
        })
    }

    /// Calls `sink` with the values of `rows`, in order, some at a time.
    pub(super) fn decode(
        &self,
        rows: Range<usize>,
        sink: &mut impl FnMut(&[i64]),
    ) -> Result<(), Damage> {
        match self {
            Ints::Constant(value) => {
                let values = [*value; CHUNK];
                let mut left = rows.len();
                while left > 0 {
                    let count = left.min(CHUNK);
                    sink(&values[..count]);
                    left -= count;
                }
                Ok(())
            }
            Ints::Packed(packed) => packed.decode(rows, sink),
            Ints::Runs(runs) => runs.decode(rows, sink),
            Ints::Sparse(sparse) => sparse.decode(rows, sink),
        }
    }

    /// The first row in `within` whose value is not `before`; such values all stand at the front.
    pub(super) fn partition_point(
        &self,
        within: Range<usize>,
        before: impl Fn(i64) -> bool,
    ) -> Result<usize, Damage> {
        if within.is_empty() {
            return Ok(within.start);
        }
        match self {
            Ints::Constant(value) if before(*value) => Ok(within.end),
            Ints::Constant(_) => Ok(within.start),
            Ints::Packed(packed) => {
                runs::partition_point(within, |row| Ok(before(packed.get(row)?)))
            }
            Ints::Runs(runs) => runs.partition_point(within, before),
            Ints::Sparse(sparse) => {
                runs::partition_point(within, |row| Ok(before(sparse.get(row)?)))
            }
        }
    }
}
