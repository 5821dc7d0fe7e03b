//! Named points in the code where the crash tests end or slow the process; only with the feature
//! `failpoints`.
//!
//! | environment | effect |
//! |---|---|
//! | `SLICEDB_KILL_AT=seal.after_ingest:3` | the third time that point is reached, the process is gone |
//! | `FAILPOINTS=commit.before_sync=20%sleep(5)` | what the crate `fail` offers: sleep, delay, panic, … |
//!
//! The process ends by SIGABRT within the thread that reached the point: no destructor runs, no
//! buffer is flushed. A kill by a signal from outside would come some microseconds later.

use std::sync::atomic::{AtomicU64, Ordering};

use fail::FailScenario;

/// Sets up what the environment asks for. The points are off again when the answer is dropped.
pub(crate) fn set_up() -> Result<FailScenario<'static>, String> {
    let scenario = FailScenario::setup();
    if let Ok(wanted) = std::env::var("SLICEDB_KILL_AT") {
        let parsed = wanted.split_once(':').and_then(|(name, hit)| {
            let hit: u64 = hit.parse().ok().filter(|&hit| hit > 0)?;
            Some((name.to_owned(), hit))
        });
        let (name, hit) = parsed.ok_or_else(|| {
            format!("SLICEDB_KILL_AT is name:number, as in wal.after_write:3, and not {wanted}")
        })?;
        let hits = AtomicU64::new(0);
        fail::cfg_callback(name, move || {
            if hits.fetch_add(1, Ordering::Relaxed) + 1 == hit {
                std::process::abort();
            }
        })?;
    }
    Ok(scenario)
}
