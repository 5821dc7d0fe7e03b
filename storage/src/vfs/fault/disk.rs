//! What a disk holds of one file: what is surely on it, what the page cache shows, and the changes
//! between the two, of which a power cut keeps a random part.
//!
//! The unit that is written whole or not at all is a sector of 512 bytes. After a cut every sector
//! stands as it was at some moment since the last sync, each at a moment of its own; so does the
//! file's length.

use std::collections::HashMap;

const SECTOR: usize = 512;

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, good enough to pick sectors.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..=max`.
    pub(super) fn up_to(&mut self, max: usize) -> usize {
        (self.next() % (max as u64 + 1)) as usize
    }
}

/// How much a power cut takes. Drawn once for a cut, so that the extremes occur too.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    Everything,
    Nothing,
    Some,
}

impl Loss {
    pub(super) fn draw(random: &mut Random) -> Loss {
        match random.up_to(7) {
            0 => Loss::Everything,
            1 => Loss::Nothing,
            _ => Loss::Some,
        }
    }

    /// How many of `count` successive changes survive.
    pub(super) fn kept(self, count: usize, random: &mut Random) -> usize {
        match self {
            Loss::Everything => 0,
            Loss::Nothing => count,
            Loss::Some => random.up_to(count),
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

/// One file.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    durable: Vec<u8>,
    cached: Vec<u8>,
    pending: Vec<Change>,
}

impl Inode {
    pub(super) fn durable(bytes: Vec<u8>) -> Inode {
        Inode {
            cached: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
        }
    }

    /// What a reader sees.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let change = Change::Write {
            offset,
            bytes: bytes.to_vec(),
        };
        apply(&mut self.cached, &change);
        self.pending.push(change);
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let change = Change::Length(len);
        apply(&mut self.cached, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            apply(&mut self.durable, &change);
        }
        debug_assert_eq!(self.durable.len(), self.cached.len());
    }

    /// A sync that fails, as Linux does it: some pages reached the disk and the others count as
    /// clean, so that no later sync writes them. The cache still shows them all.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.durable = self.after_cut(Loss::Some, random);
        self.pending.clear();
        // Where the disk kept another length, the next sync settles it.
        if self.durable.len() != self.cached.len() {
            self.pending.push(Change::Length(self.cached.len()));
        }
    }

    /// The file after a power cut.
    pub(super) fn after_cut(&self, loss: Loss, random: &mut Random) -> Vec<u8> {
        let mut lengths = vec![self.durable.len()];
        let mut touches: HashMap<usize, usize> = HashMap::new();
        self.each_piece(
            |sector, _, _| *touches.entry(sector).or_default() += 1,
            &mut lengths,
        );

        let mut sectors: Vec<_> = touches.into_iter().collect();
        sectors.sort_unstable();
        let mut keep: HashMap<usize, usize> = sectors
            .into_iter()
            .map(|(sector, count)| (sector, loss.kept(count, random)))
            .collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut after = self.durable.clone();
        set_len(&mut after, longest);
        let mut unused = Vec::new();
        self.each_piece(
            |sector, start, piece| {
                let left = keep.entry(sector).or_default();
                if *left > 0 {
                    *left -= 1;
                    match piece {
                        Some(piece) => after[start..start + piece.len()].copy_from_slice(piece),
                        None => after[start..((sector + 1) * SECTOR).min(longest)].fill(0),
                    }
                }
            },
            &mut unused,
        );
        after.truncate(lengths[loss.kept(lengths.len() - 1, random)]);
        after
    }

    /// Calls `visit(sector, start, bytes)` for every part of a sector that a pending change
    /// touches, in order; `None` stands for zeros up to the sector's end, which a cut leaves.
    /// Pushes every length the file has had on `lengths`.
    fn each_piece<'a>(
        &'a self,
        mut visit: impl FnMut(usize, usize, Option<&'a [u8]>),
        lengths: &mut Vec<usize>,
    ) {
        let mut len = self.durable.len();
        for change in &self.pending {
            match change {
                Change::Write { offset, bytes } => {
                    let end = offset + bytes.len();
                    let mut start = *offset;
                    while start < end {
                        let sector = start / SECTOR;
                        let stop = ((sector + 1) * SECTOR).min(end);
                        visit(sector, start, Some(&bytes[start - offset..stop - offset]));
                        start = stop;
                    }
                    len = len.max(end);
                }
                Change::Length(new) => {
                    let mut start = *new;
                    while start < len {
                        let sector = start / SECTOR;
                        visit(sector, start, None);
                        start = (sector + 1) * SECTOR;
                    }
                    len = *new;
                }
            }
            lengths.push(len);
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write {
            offset,
            bytes: written,
        } => {
            let end = offset + written.len();
            if bytes.len() < end {
                set_len(bytes, end);
            }
            bytes[*offset..end].copy_from_slice(written);
        }
        Change::Length(len) => set_len(bytes, *len),
    }
}

/// `Vec::resize`, which without optimisation, as tests run, takes most of a test's time.
fn set_len(bytes: &mut Vec<u8>, len: usize) {
    match len.checked_sub(bytes.len()) {
        Some(more) => bytes.extend_from_slice(&vec![0; more]),
        None => bytes.truncate(len),
    }
}
