//! Random conditions: what a filter leaves of a table is what the condition says of each row.
//!
//! Filters are pushed into the scan, where keys and times become ranges and packs are left out; the
//! condition of `FILTER` is computed for every row. Both must count and add up the same.

use super::{SEAL_AT_ONCE, wait_until_quiet, wait_until_sealed};
use crate::crash::chance::{Chance, number};
use crate::server::Server;

const TABLES: &str = "
create table facts (k bigint, ts timestamptz, a int, n text)
  with (tsdb.hypertable, tsdb.partition_column = 'ts', tsdb.segmentby = 'k', tsdb.chunk_interval = '1 hour');
insert into facts
  select nullif(g % 40, 39), to_timestamp(1704067200 + (g / 40) * 60), nullif(g % 97, 5), 'n' || g % 11
  from generate_series(0, 9999) as s(g);
insert into facts select g % 3, to_timestamp(1704067200 + g * 600), -g, null from generate_series(1, 200) as s(g);
create table named (k bigint primary key, ts timestamptz, a int, n text);
insert into named
  select g * 3 % 10007, to_timestamp(1704067200 + g), nullif(g % 97, 5), 'n' || g % 11
  from generate_series(0, 4999) as s(g);
";

#[test]
fn random_filters_select_what_they_say() {
    let mut chance = Chance::from_environment("random filters");
    let cases = (number("SLICEDB_FUZZ_CASES", 1000) / 20).min(1000);
    let server = Server::start_with(SEAL_AT_ONCE);
    server.psql(TABLES);
    wait_until_sealed(&server);
    wait_until_quiet(&server);
    for _ in 0..cases.div_ceil(50) {
        let conditions: Vec<String> = (0..50).map(|_| condition(&mut chance, 3)).collect();
        let mut script = "\\pset format unaligned\n\\pset tuples_only on\n".to_owned();
        for condition in &conditions {
            for table in ["facts", "named"] {
                script += &format!(
                    "select (select count(*) || ' ' || coalesce(sum(a), 0) from {table} where {condition}) \
                     = (select count(*) filter (where {condition}) || ' ' \
                       || coalesce(sum(a) filter (where {condition}), 0) from {table});\n",
                );
            }
        }
        let answers = server.psql(&script);
        let answers: Vec<&str> = answers.lines().collect();
        assert_eq!(answers.len(), conditions.len() * 2, "{answers:?}");
        for (condition, answers) in conditions.iter().zip(answers.chunks(2)) {
            assert_eq!(answers, ["t", "t"], "{condition}");
        }
    }
}

fn condition(chance: &mut Chance, depth: u64) -> String {
    if depth == 0 || chance.one_in(3) {
        return atom(chance);
    }
    let mut part = || condition(chance, depth - 1);
    let (left, right) = (part(), part());
    match chance.below(8) {
        0..3 => format!("({left} and {right})"),
        3..6 => format!("({left} or {right})"),
        6 => format!("not ({left})"),
        _ => {
            let other = atom(chance);
            format!("case when {left} then {right} else {other} end")
        }
    }
}

fn atom(chance: &mut Chance) -> String {
    let (column, values): (&str, Vec<String>) = match chance.below(10) {
        0..4 => ("k", (0..3).map(|_| chance.below(45).to_string()).collect()),
        4..7 => ("ts", (0..3).map(|_| time(chance)).collect()),
        7..9 => ("a", (0..3).map(|_| chance.below(100).to_string()).collect()),
        _ => (
            "n",
            (0..3).map(|_| format!("'n{}'", chance.below(12))).collect(),
        ),
    };
    let [x, y, z] = &values[..] else {
        unreachable!("three values");
    };
    let compare = chance.pick(&["=", "<>", "<", "<=", ">", ">="]);
    match chance.below(12) {
        0..6 => format!("{column} {compare} {x}"),
        6 => format!("{x} {compare} {column}"),
        7 => format!("{column} in ({x}, {y})"),
        8 => format!("{column} not in ({x}, {y}, {z})"),
        9 => format!("{column} between {x} and {y}"),
        10 => format!("{column} is null"),
        _ => format!("{column} in ({x}, {y}, {z}, null)"),
    }
}

fn time(chance: &mut Chance) -> String {
    let minute = chance.below(300);
    format!("timestamptz '2024-01-01 00:00:00+00' + interval '{minute} minutes'")
}
