//! A private PostgreSQL on a directory of its own, with fsync on and some room to work in.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Result;
use crate::load::Target;
use crate::process::{Process, free_address};

/// Settings other than the defaults, which are meant for the smallest of machines.
const SETTINGS: [&str; 4] = [
    "fsync=on",
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "unix_socket_directories=",
];

/// Where the newest PostgreSQL's server programs are.
pub(crate) fn installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let on_path = std::env::var_os("PATH").into_iter();
    let on_path = on_path.flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    newest
        .into_iter()
        .chain(on_path)
        .find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
}

/// A running PostgreSQL.
pub(crate) struct Postgres {
    // Declared before the directory, so that it ends before the directory goes.
    process: Process,
    _dir: TempDir,
    target: Target,
}

impl Postgres {
    pub(crate) async fn start(binaries: &Path, dir: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("slicedb-bench-postgres-")
            .tempdir_in(dir)?;
        let data = dir.path().join("data");
        std::fs::create_dir(&data)?;
        let owner = unprivileged()?;
        if let Some((user, group)) = owner {
            // PostgreSQL refuses to run as root: its user has to reach the directory.
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
            chown(&data, Some(user), Some(group))?;
        }
        let command = |program: &str| {
            let mut command = Command::new(binaries.join(program));
            command.current_dir(&data).arg("-D").arg(&data);
            if let Some((user, group)) = owner {
                command.uid(user).gid(group);
            }
            command
        };
        let mut initdb = command("initdb");
        let made = initdb
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"])
            .output()?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        let addr = free_address()?;
        let mut server = command("postgres");
        server.args([
            "-p",
            &addr.port().to_string(),
            "-c",
            "listen_addresses=127.0.0.1",
        ]);
        for setting in SETTINGS {
            server.args(["-c", setting]);
        }
        let target = Target {
            addr,
            user: "postgres",
            database: "postgres",
        };
        let process = Process::start(server, "INT", &dir.path().join("log"), &target).await?;
        Ok(Self {
            process,
            _dir: dir,
            target,
        })
    }

    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.stop()
    }

    /// `PostgreSQL 15.18`
    pub(crate) async fn version(&self) -> Result<String> {
        let version = self
            .target
            .connect()
            .await?
            .query_one("SHOW server_version", &[])
            .await?;
        let version: String = version.get(0);
        Ok(format!(
            "PostgreSQL {}",
            version.split(' ').next().unwrap_or_default()
        ))
    }

    /// Bytes of the table `orders` with its index.
    pub(crate) async fn table_bytes(&self) -> Result<i64> {
        let sql = "SELECT pg_total_relation_size('orders')";
        Ok(self
            .target
            .connect()
            .await?
            .query_one(sql, &[])
            .await?
            .get(0))
    }
}

/// The user and group `postgres` if we are root, else nobody else than ourselves.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut ids = line.unwrap_or_default().split(':').skip(2);
    let mut id = || ids.next()?.parse().ok();
    match (id(), id()) {
        (Some(user), Some(group)) => Ok(Some((user, group))),
        _ => Err("running as root, and there is no user postgres to run PostgreSQL as".into()),
    }
}
