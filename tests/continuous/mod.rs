//! Continuous aggregates against their queries over the rows.
//!
//! A sequence is a table, some aggregates over it, and random changes: rows of now and of long ago,
//! twice the same, deleted, changed, truncated, their reference rows changed, in transactions that commit, roll back or go back to
//! a savepoint. After every step each aggregate must be what its query is over the rows, in one
//! statement and so at one instant, while background work seals, merges and repairs all the time;
//! inside transactions too.
//!
//! A failing sequence names its seed; `SLICEDB_CRASH_SEED` runs that one alone.

use super::crash::chance::{Chance, number};
use super::server::Server;
use super::slt::SEAL_AT_ONCE;

mod kills;
mod readers;

const STEPS: usize = 50;

/// Aggregates by name. Sums of floats differ in their last digits with the order of the rows.
const AGGREGATES: [(&str, &str); 8] = [
    (
        "hourly",
        "select time_bucket('1 hour', ts) as bucket, k, count(*) as n, count(a), sum(a), avg(a), min(a), max(x),
           sum(x) as total, count(distinct s) as kinds, bool_and(a > 0) as positive, bool_or(s = 'b') as has_b
         from facts group by 1, 2",
    ),
    (
        "daily",
        "select k as who, s, time_bucket('1 day', ts, 'Europe/Berlin') as day, count(*) as n, avg(x),
           sum(a) filter (where x > 5) as some, round(stddev(a)::numeric, 6) as deviation
         from facts where a is distinct from 7 group by k, s, day",
    ),
    (
        "platform",
        "select time_bucket('15 minutes', ts) as bucket, count(*) as n, max(ts) as newest, min(s), sum(a * 2 + 1)
         from facts group by 1",
    ),
    (
        "frequent",
        "select f.k, time_bucket('1 month', f.ts) as month, count(*) + 1 as n, sum(f.x) / count(*) as mean
         from facts f where f.s <> 'c' group by 1, 2 having count(*) > 3",
    ),
    (
        "ends",
        "select time_bucket('6 hours', ts, \"offset\" => interval '90 minutes') as bucket, k % 2 as parity,
           first(ts, ts), last(ts, ts)
         from facts group by 1, 2",
    ),
    (
        "placed",
        "select time_bucket('3 hours', f.ts) as bucket, coalesce(p.region, f.s) as region, count(*) as n, sum(f.x),
           count(*) filter (where p.id is not null and f.a > 3) as matched, max(a) filter (where p.region = 'north')
         from facts f left join places p on p.id = f.k where f.a is not null group by 1, 2",
    ),
    (
        "own_days",
        "select time_bucket('1 day', ts, zone) as day, region, count(*) as n, sum(a), count(distinct s)
         from facts join places on k = id and s <> 'b' group by 1, 2",
    ),
    (
        OVER_HOURS,
        "select time_bucket('1 day', bucket) as day, p.region, sum(n) as n, sum(total) as total, min(min), max(max),
           bool_and(positive), count(distinct k) from hourly left join places p on p.id = k group by 1, 2",
    ),
];

/// The tables that all of this is about.
const TABLES: &str = "create table facts (k bigint, ts timestamptz not null, a int, x numeric(10,2), s text)
      with (tsdb.hypertable, tsdb.partition_column = 'ts', tsdb.segmentby = 'k');
    create table places (id bigint primary key, region text, zone text);
    insert into places values (1, 'north', 'UTC'), (2, 'south', 'Australia/Lord_Howe'), (3, 'north', null);\n";

/// Queries over the table, which may be answered from an aggregate. Over a subquery they are not.
const QUERIES: [&str; 6] = [
    "select time_bucket('1 day', ts) as day, k % 3 as rest, count(*) as n, sum(a), avg(a), max(x), count(distinct s)
     from {} f where {times} group by 1, 2",
    "select date_trunc('hour', ts) as hour, count(*) as n, sum(x) filter (where k > 2) as some from {} f group by 1",
    "select sum(a), bool_or(s = 'b'), min(a), count(*) as n from {} f where k = 3 and {times}",
    "select count(*) as n, max(ts), min(s) from {} f where {times} and ts <= to_timestamp(1714051248)",
    "select f.k, count(*) + 1 as n from {} f where f.s <> 'c' and {times} group by f.k having sum(f.x) > 3",
    "select k % 2 as parity, first(ts, ts), last(ts, ts) from {} f where k % 2 = 1 and {times} group by 1",
];

/// It reads from the first of them.
const OVER_HOURS: &str = "over_hours";
const ZONES: [&str; 5] = [
    "'UTC'",
    "'America/St_Johns'",
    "'Asia/Kathmandu'",
    "'Europe/Berlin'",
    "null",
];

#[test]
fn aggregates_are_their_queries() {
    let mut chance = Chance::from_environment("continuous aggregates");
    let sequences = (number("SLICEDB_FUZZ_CASES", 1000) / 300).min(100);
    for options in [&[][..], SEAL_AT_ONCE] {
        let server = Server::start_with(options);
        for _ in 0..sequences.div_ceil(2) {
            let script = sequence(&mut chance);
            let answers = server.psql(&script);
            check(&script, &answers);
        }
        let log = server.log();
        let failed = |line: &&str| line.contains("could not");
        assert_eq!(log.lines().find(failed), None, "partials are kept");
    }
}

/// Every line that a check answers is `same`.
fn check(script: &str, answers: &str) {
    let differs = |line: &&str| !line.is_empty() && *line != "same";
    if let Some(line) = answers.lines().find(differs) {
        println!("{script}");
        panic!("{line}\n{answers}");
    }
}

/// A script whose every answer is `same`.
fn sequence(chance: &mut Chance) -> String {
    let mut script = "\\pset format unaligned\n\\pset tuples_only on\n\\set QUIET on\n\
        set client_min_messages = warning;\n\
        drop table if exists facts cascade;\n\
        drop table if exists places cascade;\n"
        .to_owned();
    script += TABLES;
    let mut created: Vec<(&str, String)> = Vec::new();
    let mut left: Vec<_> = AGGREGATES.to_vec();
    let mut in_transaction = false;
    let mut has_savepoint = false;
    for _ in 0..STEPS {
        let step = match chance.below(27) {
            0..3 if !left.is_empty() && !in_transaction => {
                let mut at = chance.below(left.len() as u64) as usize;
                if left[at].0 == OVER_HOURS && left[0] == AGGREGATES[0] {
                    at = 0;
                }
                let (name, query) = left.remove(at);
                created.push((name, query.to_owned()));
                format!("create materialized view {name} with (timescaledb.continuous) as {query};")
            }
            0..9 => insert(chance),
            9..11 => format!("delete from facts where k = {};", chance.below(6)),
            11..13 => format!("delete from facts where {};", range(chance)),
            13 => format!(
                "delete from facts where a = {} and s = 'a';",
                chance.below(10)
            ),
            14 => format!(
                "update facts set a = a + 1, x = null where k = {} and {};",
                chance.below(6),
                range(chance)
            ),
            15 => format!(
                "update facts set ts = ts + interval '1 day', k = {} where a = {};",
                chance.below(6),
                chance.below(10)
            ),
            16 if chance.one_in(3) => "truncate facts;".to_owned(),
            17 if !in_transaction => {
                in_transaction = true;
                match chance.below(2) {
                    0 => "begin;".to_owned(),
                    _ => "begin isolation level repeatable read;".to_owned(),
                }
            }
            17 | 18 if in_transaction => {
                in_transaction = false;
                has_savepoint = false;
                match chance.below(3) {
                    0 => "rollback;".to_owned(),
                    _ => "commit;".to_owned(),
                }
            }
            19 if in_transaction && !has_savepoint => {
                has_savepoint = true;
                "savepoint here;".to_owned()
            }
            19 if has_savepoint => "rollback to savepoint here;".to_owned(),
            20 if !created.is_empty() && !in_transaction => {
                let at = chance.below(created.len() as u64) as usize;
                let is_read = created.iter().any(|(name, _)| *name == OVER_HOURS);
                refresh(chance, created[at].0, is_read)
            }
            21 if !created.is_empty() && !in_transaction => {
                let at = chance.below(created.len() as u64) as usize;
                let (name, query) = &mut created[at];
                match query.contains("added") || *name == OVER_HOURS {
                    true => "do_nothing".to_owned(),
                    false => {
                        *query = query.replacen(" from facts", ", min(a) as added from facts", 1);
                        format!(
                            "alter materialized view {name} add column added int generated always as (min(a)) stored;"
                        )
                    }
                }
            }
            22 => format!(
                "insert into places values ({}, 'east', {}) on conflict (id) do update set region = 'west';",
                chance.below(6),
                chance.pick(&ZONES)
            ),
            23 => format!(
                "update places set zone = {} where id = {};",
                chance.pick(&ZONES),
                chance.below(6)
            ),
            24 => format!("delete from places where id = {};", chance.below(6)),
            _ => "do_nothing".to_owned(),
        };
        if step != "do_nothing" {
            script += &step;
            script += "\n";
        }
        if chance.one_in(4) {
            script += "select 'same' from (select pg_sleep(0.02)) s;\n";
        }
        for (name, query) in &created {
            script += &comparison(name, query);
        }
        if !created.is_empty() {
            let query = chance.pick(&QUERIES).replace("{times}", &range(chance));
            let own = format!("({}) q", query.replace("{}", "facts"));
            let of_rows = query.replace("{}", "(select * from facts)");
            script += &comparison(&own, &of_rows);
        }
    }
    if in_transaction {
        script += "commit;\n";
    }
    script
}

/// A refresh, of all or of some time from the rows, or another name for a moment.
fn refresh(chance: &mut Chance, name: &str, is_read: bool) -> String {
    match chance.below(4) {
        0 => {
            let from = 1_709_251_200 + chance.below(90) * 86_400;
            let to = from + 1 + chance.below(20 * 86_400);
            format!(
                "call refresh_continuous_aggregate('{name}', to_timestamp({from}), to_timestamp({to}), force => true);"
            )
        }
        1 if !is_read => format!(
            "alter materialized view {name} rename to {name}_renamed;\n\
             alter materialized view {name}_renamed rename to {name};"
        ),
        _ => format!("refresh materialized view {name};"),
    }
}

fn comparison(name: &str, query: &str) -> String {
    let quoted = name.replace('\'', "''");
    format!(
        "select case when count(*) = 0 then 'same' else '{quoted} differs in rows: ' || count(*) end from (\n\
           (select * from {name} except all select * from ({query}) q)\n\
           union all\n\
           (select * from ({query}) q except all select * from {name})\n\
         ) d;\n"
    )
}

/// Rows of some days, most of them late.
fn insert(chance: &mut Chance) -> String {
    let rows = if chance.one_in(5) {
        400
    } else {
        1 + chance.below(40)
    };
    let minutes = 1 + chance.below(2000);
    let start = chance.below(90) * 86_400;
    let offset = chance.below(1000);
    format!(
        "insert into facts select nullif((g * 7 + {offset}) % 7, 6), to_timestamp(1709251200 + {start} + g * {minutes} * 6), \
         nullif((g + {offset}) % 11, 10), (g * 3 % 1000) / 10.0, substr('abc', 1 + (g % 3)::int, 1) \
         from generate_series(1, {rows}) as s(g);"
    )
}

fn range(chance: &mut Chance) -> String {
    let from = 1_709_251_200 + chance.below(90) * 86_400 + chance.below(86_400);
    let to = from + 1 + chance.below(5 * 86_400);
    format!("ts >= to_timestamp({from}) and ts < to_timestamp({to})")
}
