//! What may happen next in a sequence.

use chrono::DateTime;

use super::schema::{AGGREGATES, Aggregate, OVER_HOURS};
use crate::crash::chance::Chance;

/// March 2024, in seconds: the first of [`DAYS`] days.
const START: u64 = 1_709_251_200;
const DAYS: u64 = 90;
const DAY: u64 = 86_400;

/// Where buckets end: the clocks of Berlin, Lord Howe Island and St. John's change, months and days of
/// Kathmandu end, and so do six hours from half past one. In seconds.
const EDGES: [u64; 7] = [
    1_711_846_800,
    1_712_415_600,
    1_710_048_600,
    1_711_929_600,
    1_714_521_600,
    1_710_526_500,
    1_710_898_200,
];
/// So close to them, in microseconds.
const BESIDE: [i64; 9] = [
    -3_600_000_000,
    -1_800_000_000,
    -900_000_000,
    -1,
    0,
    1,
    900_000_000,
    1_800_000_000,
    3_600_000_000,
];
const ZONES: [&str; 5] = [
    "'UTC'",
    "'America/St_Johns'",
    "'Asia/Kathmandu'",
    "'Europe/Berlin'",
    "null",
];

/// A step.
#[derive(Debug)]
pub(super) enum Step {
    /// A statement that changes rows, or what they refer to.
    Change(String),
    /// Rows by COPY.
    Copy(String),
    Truncate,
    Create(&'static Aggregate),
    Drop(&'static Aggregate),
    AddColumn(&'static Aggregate),
    Rename(&'static Aggregate),
    Refresh(String),
    Begin(&'static str),
    /// `COMMIT` or `ROLLBACK`.
    End(&'static str),
    Savepoint,
    Back,
    /// Retention of what is older, in seconds.
    Forget(u64),
    /// SIGKILL and a new server, perhaps while a statement is under way.
    Crash(Option<String>),
    /// Time for work in the background, in milliseconds.
    Rest(u64),
}

/// What may happen depends on it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Aggregates that are there, and whether they have the column that is added.
    pub(super) made: Vec<(&'static Aggregate, bool)>,
    pub(super) left: Vec<&'static Aggregate>,
    pub(super) in_transaction: bool,
    pub(super) has_savepoint: bool,
    /// The last number given to a row.
    pub(super) last_id: u64,
}

impl Standing {
    /// Some of all aggregates are to be made. What another reads is made before it.
    pub(super) fn of(chance: &mut Chance) -> Standing {
        let mut left: Vec<&Aggregate> = AGGREGATES.iter().collect();
        let count = chance.between(1, 3) as usize;
        while left.len() > count {
            left.remove(chance.below(left.len() as u64) as usize);
        }
        if left.iter().any(|a| a.is_above()) && *left[0] != AGGREGATES[0] {
            left.insert(0, &AGGREGATES[0]);
        }
        Standing {
            left,
            ..Standing::default()
        }
    }

    /// Whether an aggregate is read by one that is there.
    fn is_read(&self, aggregate: &Aggregate) -> bool {
        *aggregate == AGGREGATES[0] && self.made.iter().any(|(other, _)| other.is_above())
    }

    /// The next step.
    pub(super) fn next(&mut self, chance: &mut Chance) -> Step {
        let is_free = !self.in_transaction;
        let picked = |chance: &mut Chance| self.made[chance.below(self.made.len() as u64) as usize];
        let has_made = !self.made.is_empty();
        match chance.below(40) {
            _ if !has_made && !self.left.is_empty() && is_free => self.create(chance),
            0..4 if !self.left.is_empty() && is_free => self.create(chance),
            4 | 5 => Step::Change(format!("delete from facts where k = {}", chance.below(6))),
            6 => Step::Change(format!(
                "delete from facts where k between {} and {} and {}",
                chance.below(3),
                chance.between(2, 5),
                range(chance, "ts")
            )),
            7 | 8 => Step::Change(format!("delete from facts where {}", range(chance, "ts"))),
            9 => Step::Change(format!(
                "delete from facts where a = {} and s = 'a'",
                chance.below(10)
            )),
            10 | 11 => Step::Change(format!(
                "update facts set a = a + 1, x = null where k = {} and {}",
                chance.below(6),
                range(chance, "ts")
            )),
            12 => Step::Change(format!(
                "update facts set ts = ts + interval '1 day', k = {} where a = {}",
                chance.below(6),
                chance.below(10)
            )),
            13 if chance.one_in(3) => Step::Truncate,
            14 | 15 if is_free => Step::Begin(chance.pick(&[
                "begin",
                "begin",
                "begin isolation level repeatable read",
            ])),
            14..18 if !is_free => Step::End(chance.pick(&["commit", "commit", "rollback"])),
            18 if !is_free && !self.has_savepoint => Step::Savepoint,
            18 if self.has_savepoint => Step::Back,
            19 if has_made && is_free => {
                let (aggregate, _) = picked(chance);
                Step::Refresh(refresh(chance, aggregate.name))
            }
            20 if has_made && is_free && chance.one_in(2) => {
                let (aggregate, has_added) = picked(chance);
                match has_added || aggregate.name == OVER_HOURS {
                    false => Step::AddColumn(aggregate),
                    true if self.is_read(aggregate) => Step::Rest(5),
                    true => Step::Rename(aggregate),
                }
            }
            21 if has_made && is_free && chance.one_in(3) => {
                let (aggregate, _) = picked(chance);
                match self.is_read(aggregate) {
                    true => Step::Rest(5),
                    false => Step::Drop(aggregate),
                }
            }
            22 => Step::Change(format!(
                "insert into places values ({}, 'east', {}) on conflict (id) do update set region = 'west'",
                chance.below(6),
                chance.pick(&ZONES)
            )),
            23 => Step::Change(format!(
                "update places set zone = {} where id = {}",
                chance.pick(&ZONES),
                chance.below(6)
            )),
            24 => Step::Change(format!("delete from places where id = {}", chance.below(6))),
            25 if is_free && chance.one_in(2) => {
                Step::Forget(START + chance.below(60) * DAY + chance.below(24) * 3600)
            }
            26 if chance.one_in(3) => {
                let is_busy = chance.one_in(2);
                Step::Crash(is_busy.then(|| self.insert(chance)))
            }
            27..30 => Step::Rest(chance.between(1, 30)),
            30 => Step::Change(format!(
                "insert into facts select k, ts, a, x, s, id from facts where k = {} and {}",
                chance.below(6),
                range(chance, "ts")
            )),
            31..34 => Step::Change(self.insert(chance)),
            34 => Step::Change(self.series(chance)),
            _ => Step::Copy(self.lines(chance)),
        }
    }

    fn create(&mut self, chance: &mut Chance) -> Step {
        let mut at = chance.below(self.left.len() as u64) as usize;
        if self.left[at].is_above() {
            let hourly = self.left.iter().position(|a| **a == AGGREGATES[0]);
            at = hourly.unwrap_or(at);
        }
        Step::Create(self.left.remove(at))
    }

    /// `INSERT` of a few rows.
    fn insert(&mut self, chance: &mut Chance) -> String {
        let count = chance.between(1, 6);
        let row = |_| {
            let [k, ts, a, x, s, id] = self.row(chance);
            let [k, a] = [k, a].map(|value| value.unwrap_or("null".to_owned()));
            let [ts, x, s, id] = [ts, x, s, id].map(Option::unwrap_or_default);
            format!("({k}, '{ts}', {a}, {x}, '{s}', {id})")
        };
        let rows: Vec<String> = (0..count).map(row).collect();
        format!("insert into facts values {}", rows.join(", "))
    }

    /// Lines of COPY.
    fn lines(&mut self, chance: &mut Chance) -> String {
        let rows = match chance.one_in(8) {
            true => 80,
            false => chance.between(1, 12),
        };
        let line = |_| {
            self.row(chance)
                .map(|v| v.unwrap_or("\\N".to_owned()))
                .join("\t")
                + "\n"
        };
        (0..rows).map(line).collect()
    }

    /// Rows at equal distances.
    fn series(&mut self, chance: &mut Chance) -> String {
        let (rows, step) = (chance.between(1, 40), chance.between(1, 12_000));
        let start = START + chance.below(DAYS) * DAY;
        let (offset, id) = (chance.below(1000), self.last_id);
        self.last_id += rows;
        format!(
            "insert into facts select nullif((g * 7 + {offset}) % 7, 6), to_timestamp({start} + g * {step}), \
             nullif((g + {offset}) % 11, 10), (g * 3 % 1000) / 10.0, substr('abc', 1 + (g % 3)::int, 1), {id} + g \
             from generate_series(1, {rows}) as s(g)"
        )
    }

    /// The values of a row, most of them late; `None` is NULL.
    fn row(&mut self, chance: &mut Chance) -> [Option<String>; 6] {
        self.last_id += 1;
        let some = |value: u64, null: u64| (value != null).then(|| value.to_string());
        [
            some(chance.below(7), 6),
            Some(time(chance)),
            some(chance.below(11), 10),
            Some(format!("{}.{:02}", chance.below(100), chance.below(100))),
            Some(chance.pick(&["a", "b", "c"]).to_owned()),
            Some(self.last_id.to_string()),
        ]
    }
}

/// A moment: close to an edge, within some days, or anywhere.
fn time(chance: &mut Chance) -> String {
    let us = match chance.below(4) {
        0 => chance.pick(&EDGES) as i64 * 1_000_000 + chance.pick(&BESIDE),
        1 => ((START + 30 * DAY + chance.below(2 * DAY)) * 1_000_000) as i64,
        _ => ((START + chance.below(DAYS * DAY)) * 1_000_000) as i64,
    };
    let time = DateTime::from_timestamp_micros(us).expect("a time of this century");
    time.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

/// Two moments, in seconds, which may be edges.
pub(super) fn times(chance: &mut Chance) -> (u64, u64) {
    let from = match chance.one_in(4) {
        true => chance.pick(&EDGES),
        false => START + chance.below(DAYS) * DAY + chance.below(DAY),
    };
    let to = match chance.one_in(4) {
        true => chance.pick(&EDGES).max(from + 1),
        false => from + 1 + chance.below(5 * DAY),
    };
    (from, to)
}

fn range(chance: &mut Chance, column: &str) -> String {
    let (from, to) = times(chance);
    match chance.one_in(10) {
        true => format!("{column} < to_timestamp({from})"),
        false => format!("{column} >= to_timestamp({from}) and {column} < to_timestamp({to})"),
    }
}

/// A refresh, of all or of some time from the rows.
fn refresh(chance: &mut Chance, name: &str) -> String {
    match chance.one_in(3) {
        true => {
            let from = START + chance.below(DAYS) * DAY;
            let to = from + 1 + chance.below(20 * DAY);
            format!(
                "call refresh_continuous_aggregate('{name}', to_timestamp({from}), to_timestamp({to}), force => true)"
            )
        }
        false => format!("refresh materialized view {name}"),
    }
}
