//! What a writer sent and what was acknowledged, and what must hence be there.
//!
//! A writer does one thing at a time. While nothing is under way its batches are exactly `now`;
//! after a crash they are `now`, or what they would have become: nothing between, nothing else.

use std::collections::HashSet;

use super::batch::{Fact, Facts, Table, batches_of, is_twin};
use super::chance::Chance;

/// Batches that a writer keeps; beyond it deletes some first.
const KEPT_MAX: usize = 12;

/// How rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Copy,
    Insert,
}

/// One statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Add(Table, u64, u64, How),
    Update(Table, u64),
    Delete(Table, u64),
}

/// How a piece of work is meant to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It takes effect when acknowledged.
    Done,
    /// ROLLBACK.
    RolledBack,
    /// The key exists already.
    Duplicate,
    /// The last line of the COPY is broken.
    Malformed,
    /// The client gives the COPY up half-way.
    Abandoned,
}

/// Statements that take effect together; more than one are a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) steps: Vec<Step>,
    pub(crate) ending: Ending,
}

/// A writer's knowledge.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) writer: u64,
    /// What is acknowledged.
    pub(crate) now: Facts,
    /// What it becomes by the work under way.
    pub(crate) pending: Option<Facts>,
    used: u64,
    pub(crate) acknowledged: u64,
    /// What the server said when it could not tell how the work ended.
    pub(crate) last_words: Option<String>,
}

/// Batches in the state in which readers saw them.
pub(crate) type Seen = HashSet<((Table, u64), Fact)>;

impl Account {
    pub(crate) fn new(writer: u64) -> Account {
        Account {
            writer,
            now: Facts::new(),
            pending: None,
            used: 0,
            acknowledged: 0,
            last_words: None,
        }
    }

    fn new_batch(&mut self, twin: bool) -> u64 {
        loop {
            self.used += 1;
            let batch = batches_of(self.writer).start + self.used;
            if is_twin(batch) == twin {
                return batch;
            }
        }
    }

    /// What to do next.
    pub(crate) fn choose(&mut self, chance: &mut Chance) -> Work {
        let known: Vec<(Table, u64)> = self.now.keys().copied().collect();
        let mut ending = Ending::Done;
        let roll = match known.len() {
            0 => chance.below(60),
            n if n > KEPT_MAX => 80,
            _ => chance.below(100),
        };
        let series = [Table::Orders, Table::Payments];
        let steps = match roll {
            0..30 => self.add(
                chance.pick(&series),
                chance.pick(&[1, 20, 300, 3000]),
                How::Copy,
                chance,
            ),
            30..40 => self.add(chance.pick(&Table::ALL), 30, How::Insert, chance),
            40..43 => self.add(Table::Orders, 12_000, How::Copy, chance),
            43..60 => {
                let (batch, rows) = (self.new_batch(true), chance.between(1, 500));
                let mut steps: Vec<Step> = Vec::new();
                for table in series {
                    let how = if rows < 40 && chance.one_in(2) {
                        How::Insert
                    } else {
                        How::Copy
                    };
                    steps.push(Step::Add(table, batch, rows, how));
                }
                steps.extend(self.add(Table::Merchants, 20, How::Insert, chance));
                if chance.one_in(4) {
                    ending = Ending::RolledBack;
                }
                steps
            }
            60..72 => both(chance.pick(&known), Step::Update),
            72..88 => both(chance.pick(&known), Step::Delete),
            88..92 => match known.iter().find(|(table, _)| *table == Table::Merchants) {
                Some(&(table, batch)) => {
                    ending = Ending::Duplicate;
                    let rows = self.now[&(table, batch)].rows;
                    vec![Step::Add(
                        table,
                        batch,
                        rows,
                        chance.pick(&[How::Copy, How::Insert]),
                    )]
                }
                None => self.add(Table::Merchants, 20, How::Copy, chance),
            },
            92..96 => {
                ending = Ending::Malformed;
                self.add(chance.pick(&Table::ALL), 900, How::Copy, chance)
            }
            _ => {
                ending = Ending::Abandoned;
                self.add(chance.pick(&Table::ALL), 900, How::Copy, chance)
            }
        };
        Work { steps, ending }
    }

    fn add(&mut self, table: Table, rows_max: u64, how: How, chance: &mut Chance) -> Vec<Step> {
        vec![Step::Add(
            table,
            self.new_batch(false),
            chance.between(1, rows_max),
            how,
        )]
    }

    /// To be called before anything is sent.
    pub(crate) fn begin(&mut self, work: &Work) {
        let mut after = self.now.clone();
        if work.ending == Ending::Done {
            for &step in &work.steps {
                match step {
                    Step::Add(table, batch, rows, _) => {
                        after.insert((table, batch), Fact { rows, version: 0 });
                    }
                    Step::Update(table, batch) => {
                        let fact = after.get_mut(&(table, batch)).expect("a batch of its own");
                        fact.version += 1;
                    }
                    Step::Delete(table, batch) => {
                        after.remove(&(table, batch));
                    }
                }
            }
        }
        self.pending = Some(after);
    }

    /// The work was acknowledged.
    pub(crate) fn done(&mut self) {
        self.now = self.pending.take().expect("work under way");
        self.acknowledged += 1;
    }

    /// The work was refused.
    pub(crate) fn undone(&mut self) {
        self.pending = None;
    }

    /// What is found after a crash must be what was acknowledged, with the work under way or
    /// without it, and with it if a reader saw it.
    pub(crate) fn settle(&mut self, found: Facts, seen: &Seen) -> Result<(), String> {
        let pending = self.pending.take();
        if found == self.now {
            let lost = pending.iter().flatten().find(|(key, fact)| {
                self.now.get(key) != Some(fact) && seen.contains(&(**key, **fact))
            });
            return match lost {
                Some(lost) => Err(format!("readers saw {lost:?}, and it is gone")),
                None => Ok(()),
            };
        }
        if pending.as_ref() == Some(&found) {
            self.now = found;
            return Ok(());
        }
        Err(format!(
            "writer {}:\n  lost   {:?}\n  gained {:?}\n  in flight {:?}",
            self.writer,
            difference(&self.now, &found),
            difference(&found, &self.now),
            pending.map(|after| (difference(&self.now, &after), difference(&after, &self.now))),
        ))
    }
}

fn both((table, batch): (Table, u64), step: fn(Table, u64) -> Step) -> Vec<Step> {
    if is_twin(batch) && table != Table::Merchants {
        vec![step(Table::Orders, batch), step(Table::Payments, batch)]
    } else {
        vec![step(table, batch)]
    }
}

/// What `a` has and `b` does not have so.
fn difference(a: &Facts, b: &Facts) -> Facts {
    let only = a.iter().filter(|(key, fact)| b.get(key) != Some(fact));
    only.map(|(key, fact)| (*key, *fact)).collect()
}

/// What would be wrong is called wrong.
#[test]
fn accounts_are_strict() {
    let key = (Table::Orders, 1_000_001);
    let fact = Fact {
        rows: 7,
        version: 0,
    };
    let one = Facts::from([(key, fact)]);
    let crashed = |now: &Facts, pending: Option<Facts>| {
        let (now, mut account) = (now.clone(), Account::new(1));
        (account.now, account.pending) = (now, pending);
        account
    };
    let nobody = Seen::new();
    let none = Facts::new();
    // In flight: there or not, but there if somebody saw it.
    assert!(
        crashed(&none, Some(one.clone()))
            .settle(one.clone(), &nobody)
            .is_ok()
    );
    assert!(
        crashed(&none, Some(one.clone()))
            .settle(none.clone(), &nobody)
            .is_ok()
    );
    let seen = Seen::from([(key, fact)]);
    assert!(
        crashed(&none, Some(one.clone()))
            .settle(none.clone(), &seen)
            .is_err()
    );
    // Acknowledged and gone; never sent and there; updated without having been asked to.
    assert!(crashed(&one, None).settle(none.clone(), &nobody).is_err());
    assert!(crashed(&none, None).settle(one.clone(), &nobody).is_err());
    let updated = Facts::from([(
        key,
        Fact {
            rows: 7,
            version: 1,
        },
    )]);
    assert!(crashed(&one, Some(none)).settle(updated, &nobody).is_err());
}
