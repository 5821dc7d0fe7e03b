//! The registers of a HyperLogLog: those in use while they are few, then all.
//!
//! Of a register that is set several times the greatest value counts. Few are kept in order, and new
//! ones wait until they are sorted in together: four bytes each, and nothing to follow.

/// New registers, at least, that are sorted in together.
const WAITING_MIN: usize = 16;

/// Values of registers by their numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Registers {
    /// Numbers and values, `number << 8 | value`, in order, each number once; and those that wait.
    Few {
        used: Vec<u32>,
        waiting: Vec<u32>,
    },
    All(Vec<u8>),
}

impl Registers {
    /// None in use.
    pub(super) fn none() -> Self {
        Registers::of(Vec::new())
    }

    /// Few, in order.
    pub(super) fn of(used: Vec<u32>) -> Self {
        let waiting = Vec::new();
        Registers::Few { used, waiting }
    }

    /// Sets one of so many registers.
    #[inline]
    pub(super) fn set(&mut self, index: u32, value: u8, registers: usize) {
        match self {
            Registers::All(all) => {
                let register = &mut all[index as usize];
                *register = value.max(*register);
            }
            Registers::Few { used, waiting } => {
                let entry = index << 8 | u32::from(value);
                match used.binary_search_by_key(&index, |known| known >> 8) {
                    Ok(at) => used[at] = entry.max(used[at]),
                    Err(_) => {
                        waiting.push(entry);
                        self.settle_many(registers);
                    }
                }
            }
        }
    }

    /// Sorts in what waits where that is much.
    fn settle_many(&mut self, registers: usize) {
        if let Registers::Few { used, waiting } = self
            && waiting.len() >= WAITING_MIN.max(used.len() / 2)
        {
            self.settle(registers);
        }
    }

    /// Sorts in what waits; from an eighth of so many registers on they are no longer few.
    pub(super) fn settle(&mut self, registers: usize) {
        if let Registers::Few { used, waiting } = self {
            if !waiting.is_empty() {
                waiting.sort_unstable();
                // Two runs in order, which this sort merges.
                used.append(waiting);
                used.sort();
                used.dedup_by(|next, kept| {
                    let is_same = *next >> 8 == *kept >> 8;
                    if is_same {
                        *kept = *next;
                    }
                    is_same
                });
            }
            if used.len() >= registers / 8 {
                let mut all = vec![0; registers];
                used.iter()
                    .for_each(|entry| all[(entry >> 8) as usize] = *entry as u8);
                *self = Registers::All(all);
            }
        }
    }

    /// Takes the greater values of two.
    pub(super) fn merge(&mut self, other: Registers, registers: usize) {
        let greater = |register: &mut u8, value: u8| *register = value.max(*register);
        match other {
            Registers::Few { used, waiting } => {
                let entries = used.into_iter().chain(waiting);
                match self {
                    Registers::Few { waiting, .. } => {
                        waiting.extend(entries);
                        self.settle_many(registers);
                    }
                    Registers::All(all) => entries
                        .for_each(|entry| greater(&mut all[(entry >> 8) as usize], entry as u8)),
                }
            }
            Registers::All(others) => match self {
                Registers::All(all) => {
                    let pairs = all.iter_mut().zip(others);
                    pairs.for_each(|(register, value)| greater(register, value));
                }
                Registers::Few { .. } => {
                    let few = std::mem::replace(self, Registers::All(others));
                    self.merge(few, registers);
                }
            },
        }
    }

    /// Memory, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Registers::Few { used, waiting } => {
                (used.capacity() + waiting.capacity()) * size_of::<u32>()
            }
            Registers::All(all) => all.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_are_those_of_a_map() {
        for count in [10u32, 100, 1000, 5000] {
            let mut map = BTreeMap::new();
            let mut parts = [Registers::none(), Registers::none(), Registers::none()];
            for n in 0..count {
                let (index, value) = (n * 7919 % 1024, (n * 31 % 50) as u8 + 1);
                let known: &mut u8 = map.entry(index).or_default();
                *known = value.max(*known);
                let part = if n < 20 { 0 } else { 1 + n as usize % 2 };
                parts[part].set(index, value, 1024);
            }
            let [mut few, one, other] = parts;
            few.merge(one, 1024);
            few.merge(other, 1024);
            few.settle(1024);
            let expected: Vec<(u32, u8)> = map.into_iter().collect();
            let values: Vec<(u32, u8)> = match few {
                Registers::Few { used, waiting } => {
                    assert!(waiting.is_empty() && used.len() < 128);
                    used.iter()
                        .map(|entry| (entry >> 8, *entry as u8))
                        .collect()
                }
                Registers::All(all) => {
                    assert!(expected.len() >= 128);
                    let all = (0u32..).zip(all);
                    all.filter(|(_, value)| *value > 0).collect()
                }
            };
            assert_eq!(values, expected);
        }
    }
}
