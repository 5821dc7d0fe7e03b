//! Random conditions: what a filter leaves of a table is what the condition says of each row.
//!
//! Filters are pushed into the scan, where keys and times become ranges and packs are left out; the
//! condition of `FILTER` is computed for every row. Both must count and add up the same.
//!
//! Where there are NULLs, a column is tested for equality once in a condition: DataFusion takes
//! `x IN (1, 2) AND x IN (3, 4)` for false, also where x is NULL.

use std::rc::Rc;

use super::{SEAL_AT_ONCE, wait_until_quiet, wait_until_sealed};
use crate::crash::chance::{Chance, number};
use crate::server::Server;

const TABLES: &str = "
create table facts (k bigint, ts timestamptz, a int, n text)
  with (tsdb.hypertable, tsdb.partition_column = 'ts', tsdb.segmentby = 'k', tsdb.chunk_interval = '1 hour');
insert into facts
  select g % 40, to_timestamp(1704067200 + (g / 40) * 60), g % 97, 'n' || g % 11
  from generate_series(0, 9999) as s(g);
insert into facts select g % 3, to_timestamp(1704067200 + g * 600), -g, '' from generate_series(1, 200) as s(g);
create table gaps (k bigint, ts timestamptz, a int, n text)
  with (tsdb.hypertable, tsdb.partition_column = 'ts', tsdb.segmentby = 'k', tsdb.chunk_interval = '1 hour');
insert into gaps select nullif(k, 39), ts, nullif(a, 5), nullif(n, '') from facts;
create table named (k bigint primary key, ts timestamptz, a int, n text);
insert into named
  select g * 3 % 10007, to_timestamp(1704067200 + g), g % 97, 'n' || g % 11
  from generate_series(0, 4999) as s(g);
";

/// Values for the parameters of each condition.
const VALUES: usize = 4;

#[test]
fn random_filters_select_what_they_say() {
    let mut chance = Chance::from_environment("random filters");
    let cases = (number("SLICEDB_FUZZ_CASES", 1000) / 20).min(1000);
    let server = Server::start_with(SEAL_AT_ONCE);
    server.psql(TABLES);
    wait_until_sealed(&server);
    wait_until_quiet(&server);
    let mut generic = 0;
    for _ in 0..cases.div_ceil(50) {
        let mut conditions = Vec::new();
        for _ in 0..25 {
            let condition = Rc::new(Condition::any(&mut chance, false));
            conditions.push(("facts", condition.clone()));
            conditions.push(("named", condition));
            let condition = Rc::new(Condition::any(&mut chance, true));
            conditions.push(("gaps", condition.clone()));
            conditions.push(("gaps", condition));
        }
        let mut script = "\\pset format unaligned\n\\pset tuples_only on\n".to_owned();
        let mut asked = Vec::new();
        for (table, condition) in &conditions {
            script += &condition.prepared(table);
            for _ in 0..VALUES {
                let values = condition.values(&mut chance);
                script += &condition.questions(table, &values);
                asked.push((table, condition.with(&values)));
            }
            script += "select generic_plans from pg_prepared_statements;\ndeallocate asked;\n";
        }
        let answers = server.psql(&script);
        assert!(!answers.contains("ERROR"), "{answers}");
        let answers: Vec<&str> = answers.lines().collect();
        let of_one = 3 * VALUES + 1;
        assert_eq!(answers.len(), conditions.len() * of_one, "{answers:?}");
        let mut asked = asked.iter();
        for answers in answers.chunks(of_one) {
            let (runs, [plans]) = answers.split_at(3 * VALUES) else {
                unreachable!("so many were asked for");
            };
            generic += plans.parse::<usize>().expect("a number");
            for (run, (table, condition)) in runs.chunks(3).zip(asked.by_ref()) {
                assert_eq!(run[0], run[2], "filtered: {table} {condition}");
                assert_eq!(run[1], run[2], "prepared: {table} {condition}");
            }
        }
    }
    println!("{generic} runs had a generic plan");
    assert!(generic > cases as usize, "{generic} of {cases} cases");
}

/// A condition with parameters, and their types.
#[derive(Default)]
struct Condition {
    text: String,
    types: Vec<&'static str>,
    /// Whether it is for a table with NULLs, and has some.
    has_nulls: bool,
    /// Columns that are tested for equality.
    equal: Vec<&'static str>,
}

impl Condition {
    fn any(chance: &mut Chance, has_nulls: bool) -> Condition {
        let mut condition = Condition {
            has_nulls,
            ..Condition::default()
        };
        condition.text = condition.part(chance, 3);
        condition
    }

    fn prepared(&self, table: &str) -> String {
        let types = match self.types.is_empty() {
            true => String::new(),
            false => format!("({})", self.types.join(", ")),
        };
        format!("prepare asked{types} as {};\n", filtered(table, &self.text))
    }

    /// The rows that pass by a filter, by the prepared filter, and by a condition of the aggregate.
    fn questions(&self, table: &str, values: &[String]) -> String {
        let condition = self.with(values);
        let arguments = match values.is_empty() {
            true => String::new(),
            false => format!("({})", values.join(", ")),
        };
        let filter = format!("filter (where {condition})");
        format!(
            "{};\nexecute asked{arguments};\n\
             select count(*) {filter} || ' ' || coalesce(sum(a) {filter}, 0) from {table};\n",
            filtered(table, &condition),
        )
    }

    fn values(&self, chance: &mut Chance) -> Vec<String> {
        self.types
            .iter()
            .map(|ty| value(chance, ty, self.has_nulls))
            .collect()
    }

    /// The condition with values in the places of its parameters.
    fn with(&self, values: &[String]) -> String {
        let numbered = values.iter().enumerate().rev();
        numbered.fold(self.text.clone(), |text, (i, value)| {
            text.replace(&format!("${}", i + 1), value)
        })
    }

    fn part(&mut self, chance: &mut Chance, depth: u64) -> String {
        if depth == 0 || chance.one_in(3) {
            return self.atom(chance);
        }
        let left = self.part(chance, depth - 1);
        let right = self.part(chance, depth - 1);
        match chance.below(8) {
            0..3 => format!("({left} and {right})"),
            3..6 => format!("({left} or {right})"),
            6 => format!("not ({left})"),
            _ => {
                let other = self.atom(chance);
                format!("case when {left} then {right} else {other} end")
            }
        }
    }

    fn atom(&mut self, chance: &mut Chance) -> String {
        let (column, ty) = match chance.below(10) {
            0..4 => ("k", "bigint"),
            4..7 => ("ts", "timestamptz"),
            7..9 => ("a", "int"),
            _ => ("n", "text"),
        };
        let mut operand = || {
            if chance.one_in(8) {
                let other = match ty {
                    "bigint" => "a::bigint",
                    "int" => "k::int",
                    _ => column,
                };
                return other.to_owned();
            }
            if chance.one_in(4) {
                return value(chance, ty, self.has_nulls);
            }
            let used = self.types.iter().position(|used| *used == ty);
            let number = match used {
                Some(i) if chance.one_in(5) => i + 1,
                _ => {
                    self.types.push(ty);
                    self.types.len()
                }
            };
            let parameter = format!("${number}");
            match ty {
                "bigint" if chance.one_in(4) => format!("({parameter} + 1)"),
                "timestamptz" if chance.one_in(4) => format!("({parameter} - interval '1 hour')"),
                _ => parameter,
            }
        };
        let [x, y, z] = [operand(), operand(), operand()];
        if self.has_nulls && self.equal.contains(&column) {
            let compare = chance.pick(&["<", "<=", ">", ">="]);
            return match chance.below(3) {
                0 => format!("{column} between {x} and {y}"),
                1 => format!("{column} is null"),
                _ => format!("{column} {compare} {x}"),
            };
        }
        self.equal.push(column);
        let compare = chance.pick(&["=", "<>", "<", "<=", ">", ">="]);
        match chance.below(12 + u64::from(self.has_nulls)) {
            0..6 => format!("{column} {compare} {x}"),
            6 => format!("{x} {compare} {column}"),
            7 => format!("{column} in ({x}, {y})"),
            8 => format!("{column} not in ({x}, {y}, {z})"),
            9 => format!("{column} between {x} and {y}"),
            10 => format!("{column} is null"),
            11 => format!("{x} {compare} {y}"),
            _ => format!("{column} in ({x}, {y}, {z}, null)"),
        }
    }
}

fn filtered(table: &str, condition: &str) -> String {
    format!("select count(*) || ' ' || coalesce(sum(a), 0) from {table} where {condition}")
}

fn value(chance: &mut Chance, ty: &str, may_be_null: bool) -> String {
    if may_be_null && chance.one_in(20) {
        return format!("null::{ty}");
    }
    match ty {
        "bigint" => chance.below(45).to_string(),
        "int" => chance.below(100).to_string(),
        "text" => format!("'n{}'", chance.below(12)),
        _ => {
            let minute = chance.below(300);
            format!("(timestamptz '2024-01-01 00:00:00+00' + interval '{minute} minutes')")
        }
    }
}
