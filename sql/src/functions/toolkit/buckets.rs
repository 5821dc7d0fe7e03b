//! Counts of values by buckets, in the order of the buckets.
//!
//! Most values are of a bucket that is known: its count is found by a binary search. The others wait,
//! and are sorted in together, so that many different ones are no worse than few.

/// Sign, and the number of the bucket in the order of values.
pub(super) type Key = (i8, i64);

/// Values that wait, at least, before they are sorted in.
const WAITING_MIN: usize = 16;

/// The counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Buckets {
    /// In order, each bucket once.
    counts: Vec<(Key, u64)>,
    waiting: Vec<Key>,
}

impl Buckets {
    /// Counts a value. True when values wait that should be [settled](Buckets::settle) now.
    #[inline]
    pub(super) fn add(&mut self, key: Key) -> bool {
        match self.counts.binary_search_by(|known| known.0.cmp(&key)) {
            Ok(at) => {
                self.counts[at].1 += 1;
                false
            }
            Err(_) => {
                self.waiting.push(key);
                self.waiting.len() >= WAITING_MIN.max(self.counts.len() / 2)
            }
        }
    }

    /// Adds a bucket behind all others, which are settled.
    pub(super) fn push(&mut self, key: Key, count: u64) {
        debug_assert!(self.waiting.is_empty() && self.counts.last().is_none_or(|l| l.0 < key));
        self.counts.push((key, count));
    }

    /// Sorts in the values that wait.
    pub(super) fn settle(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.waiting.sort_unstable();
        let waiting = std::mem::take(&mut self.waiting);
        self.merge(waiting.into_iter().map(|key| (key, 1)));
    }

    /// Adds counts that are in order; all are settled.
    pub(super) fn merge(&mut self, others: impl Iterator<Item = (Key, u64)>) {
        let mut known = std::mem::take(&mut self.counts).into_iter().peekable();
        let mut others = others.peekable();
        while let (Some(a), Some(b)) = (known.peek(), others.peek()) {
            let next = if a.0 <= b.0 {
                known.next()
            } else {
                others.next()
            };
            next.into_iter().for_each(|next| self.count(next));
        }
        known.chain(others).for_each(|next| self.count(next));
    }

    /// Adds to the last bucket or a later one.
    fn count(&mut self, (key, count): (Key, u64)) {
        match self.counts.last_mut() {
            Some(last) if last.0 == key => last.1 = last.1.saturating_add(count),
            _ => self.counts.push((key, count)),
        }
    }

    /// Gives each bucket another key; those that get the same become one. The order stays.
    pub(super) fn rename(&mut self, name: impl Fn(Key) -> Key) {
        for (key, count) in std::mem::take(&mut self.counts) {
            self.count((name(key), count));
        }
    }

    /// All buckets with their counts; they are settled.
    pub(super) fn all(&self) -> &[(Key, u64)] {
        debug_assert!(self.waiting.is_empty());
        &self.counts
    }

    /// Memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.counts.capacity() * size_of::<(Key, u64)>()
            + self.waiting.capacity() * size_of::<Key>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn counts_are_those_of_a_map() {
        let keys = (0..5000i64).map(|n| ((n % 3) as i8 - 1, n * n * 7919 % 400));
        let mut map = BTreeMap::new();
        let mut halves = [Buckets::default(), Buckets::default()];
        for (n, key) in keys.enumerate() {
            *map.entry(key).or_insert(0) += 1;
            let half = &mut halves[n % 2];
            if half.add(key) {
                half.settle();
            }
        }
        halves.iter_mut().for_each(Buckets::settle);
        let [mut all, other] = halves;
        all.merge(other.all().iter().copied());
        assert_eq!(all.all(), map.into_iter().collect::<Vec<_>>());
        all.rename(|(sign, number)| (sign, number / 2));
        assert_eq!(all.all().iter().map(|(_, count)| count).sum::<u64>(), 5000);
        assert!(all.all().is_sorted_by(|a, b| a.0 < b.0));
    }
}
