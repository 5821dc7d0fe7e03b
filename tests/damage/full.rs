//! No room on the disk: writes are refused with 53100, reads go on, nothing acknowledged is lost,
//! and writes go on when there is room again.
//!
//! Needs root, for a small tmpfs, and is skipped without.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::directory::{runtime, try_copy};
use crate::crash::batch::{self, Fact, Facts, Table};
use crate::crash::chance::Chance;
use crate::crash::power::Mount;
use crate::crash::trial::{SETTINGS, connect, directory, tail};
use crate::server::{Server, check};

/// Disk full, and room made again, so often.
const ROUNDS: u64 = 3;
/// Room is used within this time after it is made. RocksDB looks every 5 s.
const RESUME: Duration = Duration::from_secs(15);
/// Writes tried on a full disk.
const TRIED: u64 = 8;

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let mut chance = Chance::from_environment("a_full_disk_refuses_writes_and_loses_nothing");
    let dir = Arc::new(directory());
    let data = dir.path().join("data");
    let disk = match Mount::new(
        &["-t", "tmpfs", "-o", "size=24m"],
        Path::new("tmpfs"),
        &data,
    ) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let runtime = runtime();
    let mut server = Server::start_in(dir.clone(), SETTINGS, &[]);
    runtime.block_on(async {
        let client = connect(server.address()).await.expect("a connection");
        for table in Table::ALL {
            client
                .batch_execute(&table.create())
                .await
                .expect("a table");
        }
    });
    let mut facts = Facts::new();
    let mut batch = 0;
    for round in 0..ROUNDS {
        runtime.block_on(async {
            let client = connect(server.address()).await.expect("a connection");
            let mut refused = 0;
            let mut room_since = None;
            let mut again = None;
            fill(&data, chance.below(100_000));
            let started = Instant::now();
            loop {
                // What was refused left nothing behind: the same rows are sent again.
                let (table, rows) = *again.get_or_insert_with(|| {
                    batch += if batch::is_twin(batch + 1) { 2 } else { 1 };
                    (chance.pick(&Table::ALL), chance.pick(&[3, 300, 900, 2500]))
                });
                match try_copy(&client, table, batch, rows).await {
                    Ok(_) => {
                        facts.insert((table, batch), Fact { rows, version: 0 });
                        again = None;
                        if room_since.is_some() {
                            break;
                        }
                    }
                    Err(e) => {
                        let log = || tail(&server.log());
                        let state = e.code().unwrap_or_else(|| panic!("{e:?}\n{}", log()));
                        assert_eq!(*state, SqlState::DISK_FULL, "{e:?}\n{}", log());
                        refused += 1;
                    }
                }
                assert!(
                    started.elapsed() < Duration::from_secs(60),
                    "{refused} refused"
                );
                if refused % 3 == 1 || room_since.is_some() {
                    let seen = batch::facts(&client, 0..u64::MAX >> 32).await;
                    assert_eq!(seen.expect("reads go on"), facts);
                }
                if refused >= TRIED && room_since.is_none() {
                    std::fs::remove_file(data.join("ballast")).expect("the ballast");
                    room_since = Some(Instant::now());
                }
                if let Some(since) = room_since {
                    assert!(
                        since.elapsed() < RESUME,
                        "writes do not go on: {}",
                        tail(&server.log())
                    );
                }
            }
        });
        if round % 2 == 0 {
            server.kill();
        } else {
            server.terminate();
            server.wait();
        }
        drop(server);
        let (is_well, said) = check(&data);
        assert!(is_well, "{said}");
        server = Server::start_in(dir.clone(), SETTINGS, &[]);
        let seen = runtime.block_on(async {
            let client = connect(server.address()).await.expect("a connection");
            batch::facts(&client, 0..u64::MAX >> 32).await
        });
        assert_eq!(seen.expect("the facts"), facts);
        assert!(
            !server.log().contains("panicked at"),
            "{}",
            tail(&server.log())
        );
    }
    drop(server);
    drop(disk);
}

/// Takes all room but so many bytes.
fn fill(data: &Path, left: u64) {
    let path = data.join("ballast");
    let mut ballast = std::fs::File::create(&path).expect("a file");
    let chunk = vec![1; 4096];
    while ballast.write_all(&chunk).is_ok() {}
    let length = ballast.metadata().expect("a length").len();
    ballast
        .set_len(length.saturating_sub(left))
        .expect("a shorter file");
}
