//! SliceDB as the benchmark runs it: the release binary on a directory of its own.
//!
//! This is the only place that knows its command line and its settings.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;
use crate::load::Target;
use crate::process::{Process, free_address};

/// Room for any number of rows in memory and log, so that none is sealed before the kill.
const NEVER_SEAL: &str = "\
memtable_seal_bytes = 1_000_000_000_000
memtable_max_bytes = 1_000_000_000_001
memtable_seal_age_ms = 1_000_000_000
wal_max_bytes = 1_000_000_000_000
";

/// Settled is a directory whose size has not changed for this long.
const QUIET: Duration = Duration::from_secs(15);
const SETTLE_SECONDS_MAX: u64 = 900;

/// When memtables become segments.
#[derive(Clone, Copy)]
pub(crate) enum Sealing {
    Usual,
    Never,
}

/// A running SliceDB.
pub(crate) struct SliceDb {
    // Declared before the directory, so that it ends before the directory goes.
    process: Process,
    dir: TempDir,
    sealing: Sealing,
    target: Target,
}

impl SliceDb {
    /// Starts on an empty directory below `dir`.
    pub(crate) async fn start(dir: &Path, sealing: Sealing) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("slicedb-bench-")
            .tempdir_in(dir)?;
        let (process, target) = launch(dir.path(), sealing).await?;
        Ok(Self {
            process,
            dir,
            sealing,
            target,
        })
    }

    /// Starts again on the same directory, after stopping if it still runs.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.process.stop()?;
        (self.process, self.target) = launch(self.dir.path(), self.sealing).await?;
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.stop()
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }

    /// What the data takes on the disk.
    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        allocated_bytes(&self.dir.path().join("data"))
    }

    /// What files of the log take of that: a few of fixed size, however many rows there are.
    pub(crate) fn log_bytes(&self) -> Result<u64> {
        allocated_bytes(&self.dir.path().join("data/wal"))
    }

    /// What the data takes once sealing and compaction have nothing left to do, and how long that
    /// took.
    pub(crate) async fn settled_disk_bytes(&self) -> Result<(u64, Duration)> {
        let begun = Instant::now();
        let (mut bytes, mut since) = (self.disk_bytes()?, begun);
        while since.elapsed() < QUIET {
            if begun.elapsed().as_secs() > SETTLE_SECONDS_MAX {
                return Err("the data directory keeps changing".into());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            // Files that vanish during the walk are a change as well.
            let now = self.disk_bytes().unwrap_or(0);
            if now != bytes {
                (bytes, since) = (now, Instant::now());
            }
        }
        Ok((bytes, since - begun))
    }
}

async fn launch(dir: &Path, sealing: Sealing) -> Result<(Process, Target)> {
    let addr = free_address()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_slicedb"));
    command.arg("serve").arg("--data-dir").arg(dir.join("data"));
    command.arg("--listen").arg(addr.to_string());
    if matches!(sealing, Sealing::Never) {
        let config = dir.join("slicedb.toml");
        std::fs::write(&config, NEVER_SEAL)?;
        command.arg("--config").arg(config);
    }
    let target = Target {
        addr,
        user: "slicedb",
        database: "slicedb",
    };
    let process = Process::start(command, "TERM", &dir.join("log"), &target).await?;
    Ok((process, target))
}

fn allocated_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += match metadata.is_dir() {
            true => allocated_bytes(&entry.path())?,
            // Blocks are 512 bytes whatever the file system's own are (stat(2)).
            false => metadata.blocks() * 512,
        };
    }
    Ok(bytes)
}
