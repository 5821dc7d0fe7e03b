//! Watches how much memory the process holds.
//!
//! Budgets bound what is counted (`docs/architecture.md` adds them up), yet expressions, plans and
//! messages allocate without asking. So the allocator itself is asked: pages with live allocations,
//! without those that it keeps to use them again. RocksDB's own are not among them; they are few and
//! bounded. Beyond `memory_max_bytes` new queries are refused, writers slow down and memory is
//! sealed; far beyond it, running queries end.

use std::time::Duration;

use slicedb_sql::storage::{Level, Pressure};
use tikv_jemalloc_ctl::{epoch, stats};
use tracing::{info, warn};

/// How often the allocator is asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// Sets `pressure` from now on, from a thread that ends with the process.
pub(crate) fn watch(pressure: Pressure, bytes_max: u64) -> std::io::Result<()> {
    let watching = std::thread::Builder::new().name("slicedb-memory".into());
    watching
        .spawn(move || {
            loop {
                match held_bytes() {
                    Ok(bytes) => note(&pressure, bytes, bytes_max),
                    Err(e) => {
                        warn!(error = %e, "the allocator does not tell how much it holds");
                        return;
                    }
                }
                std::thread::sleep(INTERVAL);
            }
        })
        .map(drop)
}

fn note(pressure: &Pressure, bytes: u64, bytes_max: u64) {
    let before = pressure.level();
    let level = before.next(bytes, bytes_max);
    if level == before {
        return;
    }
    pressure.set(level);
    match level {
        Level::Eased => info!(bytes, bytes_max, "memory is below its limit again"),
        Level::High => {
            warn!(
                bytes,
                bytes_max, "memory is beyond its limit: queries are refused, writers slowed"
            )
        }
        Level::Critical => {
            warn!(
                bytes,
                bytes_max, "memory is far beyond its limit: running queries end"
            )
        }
    }
}

/// Bytes of all pages that hold something alive.
fn held_bytes() -> Result<u64, tikv_jemalloc_ctl::Error> {
    epoch::advance()?;
    Ok(stats::active::read()? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_it_is_freed() {
        let held: Vec<u8> = vec![1; 128 << 20];
        let with = held_bytes().expect("the allocator tells");
        assert!(with >= 128 << 20, "{with}");
        drop(std::hint::black_box(held));
        let without = held_bytes().expect("the allocator tells");
        // Other tests hold some of their own.
        assert!(without + (64 << 20) < with, "{without} of {with}");
    }
}
