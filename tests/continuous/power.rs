//! Power cuts inside seals, builds, repairs and merges of partials: what was not synced is gone, and
//! the aggregates are what their queries are over what is left. Skipped where no disk can be cut.

use std::sync::Arc;
use std::time::Duration;

use super::kills::Ledger;
use crate::crash::chance::{Chance, number};
use crate::crash::power::Disk;
use crate::crash::trial::directory;
use crate::slt::SEAL_AT_ONCE;

/// How long a server goes on without its disk.
const AFTER_CUT: Duration = Duration::from_millis(200);

#[test]
fn power_cuts_leave_them_exact() {
    let chance = Chance::from_environment("power cuts under continuous aggregates");
    let dir = Arc::new(directory());
    let disk = Disk::new(dir.path().join("image"), dir.path().join("data"));
    let mut disk = match disk {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let mut ledger = Ledger::new(chance, dir);
    for _ in 0..number("SLICEDB_POWER_CYCLES", 5) {
        let slow = ledger.sleeps(40, 100);
        let server = ledger.start(SEAL_AT_ONCE, &[("FAILPOINTS", &slow)]);
        let time = Duration::from_millis(ledger.chance.between(100, 2000));
        ledger.work(&server, || {
            std::thread::sleep(time);
            disk.cut();
            std::thread::sleep(AFTER_CUT);
            server.kill();
        });
        drop(server);
        disk.mount_again();
        ledger.check();
    }
    ledger.finish();
    drop(disk);
}
