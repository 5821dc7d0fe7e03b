//! Readers beside a COPY that goes on and on: what an aggregate counts is what there is.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::server::Server;
use crate::slt::SEAL_AT_ONCE;

const ROUNDS: usize = 20;

#[test]
fn readers_never_see_them_differ() {
    let server = Server::start_with(SEAL_AT_ONCE);
    server.psql(
        "create table facts (k bigint, ts timestamptz not null, a int) \
         with (tsdb.hypertable, tsdb.partition_column = 'ts', tsdb.segmentby = 'k');
         insert into facts select g % 50, to_timestamp(1709251200 + g * 60), g % 10 from generate_series(1, 5000) as s(g);
         create materialized view hourly with (timescaledb.continuous) as \
         select time_bucket('1 hour', ts) as bucket, k, count(*) as n, sum(a) as total from facts group by 1, 2;",
    );
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (server, is_done) = (&server, &is_done);
            scope.spawn(move || {
                let mut round = 0;
                while !is_done.load(Ordering::Relaxed) {
                    round += 1;
                    let late = round * 7919 % 500_000;
                    server.psql(&format!(
                        "insert into facts select (g + {writer}) % 50, to_timestamp(1709251200 + {late} + g * 30), g % 10 \
                         from generate_series(1, 300) as s(g);
                         delete from facts where k = {} and ts < to_timestamp(1709251200 + {late});
                         update facts set a = a + 1 where k = {} and ts > to_timestamp(1709251200 + {late});",
                        round % 50,
                        (round + 13) % 50,
                    ));
                }
            });
        }
        let question = "select (select sum(n) from hourly) = (select count(*) from facts) \
            and (select sum(total) from hourly) = (select sum(a) from facts);\n";
        let script = format!(
            "\\pset format unaligned\n\\pset tuples_only on\n{}",
            question.repeat(3)
        );
        for _ in 0..ROUNDS {
            let answers = server.psql(&script);
            if answers.lines().any(|line| line != "t") {
                is_done.store(true, Ordering::Relaxed);
                panic!("{answers}");
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
}
