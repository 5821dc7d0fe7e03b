//! SIGKILL while rows come and go, are sealed, merged and aggregated anew: after each start the
//! aggregates are what their queries are, and the data directory is sound.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{AGGREGATES, TABLES, comparison};
use crate::crash::chance::{Chance, number};
use crate::server::{self, Server};
use crate::slt::SEAL_AT_ONCE;

#[test]
fn kills_leave_them_exact() {
    let mut chance = Chance::from_environment("kills of continuous aggregates");
    let dir = Arc::new(TempDir::new().expect("a temporary directory"));
    let mut creation = TABLES.to_owned();
    let mut questions = "\\pset format unaligned\n\\pset tuples_only on\n".to_owned();
    for (name, query) in AGGREGATES {
        creation +=
            &format!("create materialized view {name} with (timescaledb.continuous) as {query};\n");
        questions += &comparison(name, query);
    }
    for round in 0..number("SLICEDB_CRASH_CYCLES", 20).div_ceil(4) {
        let server = Server::start_in(dir.clone(), SEAL_AT_ONCE, &[]);
        if round == 0 {
            server.psql(&creation);
        }
        super::check(&questions, &server.psql(&questions));
        let mut changes = String::new();
        for _ in 0..200 {
            let (key, day) = (chance.below(6), chance.below(20));
            let start = 1_709_251_200 + day * 86_400;
            changes += &match chance.below(4) {
                0 => format!("delete from facts where k = {key} and ts < to_timestamp({start});\n"),
                1 => format!(
                    "update facts set a = a + 1 where k = {key} and ts > to_timestamp({start});\n"
                ),
                _ => format!(
                    "insert into facts select g % 7, to_timestamp({start} + g * 600), g % 10, g, 'a' \
                     from generate_series(1, {}) as s(g);\n",
                    10 + chance.below(300)
                ),
            };
        }
        let pause = Duration::from_millis(20 + chance.below(1500));
        std::thread::scope(|scope| {
            // It ends with the server.
            scope.spawn(|| server.psql(&changes));
            std::thread::sleep(pause);
            server.kill();
        });
    }
    let server = Server::start_in(dir, SEAL_AT_ONCE, &[]);
    super::check(&questions, &server.psql(&questions));
    server.terminate();
    server.wait();
    let (sound, told) = server::check(&server.data_dir());
    assert!(sound, "{told}");
}
