//! A private PostgreSQL server for one test, if PostgreSQL is installed.
//!
//! It listens on a socket in a temporary directory only, so that tests can run beside each other
//! and beside a server of the machine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running server; dropping it stops it.
pub(crate) struct Postgres {
    directory: tempfile::TempDir,
    binaries: PathBuf,
}

impl Postgres {
    /// Starts a server; None with a message if there is none to start.
    pub(crate) fn start() -> Option<Postgres> {
        let Some(binaries) = binaries() else {
            eprintln!("skipped: no PostgreSQL in /usr/lib/postgresql/*/bin or PATH");
            return None;
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let postgres = Postgres {
            directory,
            binaries,
        };
        let path = postgres.directory.path().display().to_string();
        if is_root() {
            // The server refuses to run as root; Debian's packages come with a user for it.
            assert!(
                status(Command::new("chown").args(["postgres", &path])),
                "chown {path}"
            );
        }
        let bin = postgres.binaries.display();
        let started = postgres.as_server_user(&format!(
            "{bin}/initdb -D {path}/data -U postgres -A trust -E UTF8 --locale=C >{path}/initdb.log 2>&1 \
             && {bin}/pg_ctl -w -D {path}/data -l {path}/log \
                -o \"-c listen_addresses='' -c fsync=off -k {path}\" start >/dev/null 2>&1"
        ));
        if started {
            return Some(postgres);
        }
        eprintln!("skipped: PostgreSQL did not start in {path}");
        None
    }

    /// Runs a script through psql and returns what it printed to standard output.
    pub(crate) fn run(&self, script: &str) -> Vec<u8> {
        let mut psql = Command::new(self.binaries.join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-U",
                "postgres",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
            ])
            .arg(self.directory.path())
            .args(["-d", "postgres", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql");
        let mut stdin = psql.stdin.take().expect("a pipe");
        let script = script.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
        let output = psql.wait_with_output().expect("psql's output");
        let written = writer.join().expect("the writer");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && written.is_ok(),
            "psql failed: {errors}"
        );
        output.stdout
    }

    /// A path that both psql and the server may read and write.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn as_server_user(&self, command: &str) -> bool {
        let mut shell = if is_root() {
            let mut su = Command::new("su");
            su.args(["-s", "/bin/sh", "postgres", "-c", command]);
            su
        } else {
            let mut sh = Command::new("sh");
            sh.args(["-c", command]);
            sh
        };
        status(shell.current_dir(self.directory.path()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let (bin, path) = (self.binaries.display(), self.directory.path().display());
        self.as_server_user(&format!(
            "{bin}/pg_ctl -D {path}/data -m immediate stop >/dev/null"
        ));
    }
}

/// The newest installed server.
fn binaries() -> Option<PathBuf> {
    let packaged = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = packaged.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let has_all = |bin: &PathBuf| {
        ["initdb", "pg_ctl", "psql"]
            .iter()
            .all(|name| Path::exists(&bin.join(name)))
    };
    found.into_iter().rev().chain(in_path).find(has_all)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

fn status(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
