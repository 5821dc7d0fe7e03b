//! A PostgreSQL of our own, where one is installed.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Only this machine reaches it, and nothing has to last.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "TimeZone=UTC",
];

/// A running server; it ends with this value, or with this process.
pub(crate) struct Postgres {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Postgres {
    /// Starts one on a free port. `None` where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Postgres> {
        let programs = newest_version()?;
        let dir = TempDir::new().expect("a temporary directory");
        let user = User::of_server();
        if let Some(user) = user {
            chown(dir.path(), Some(user.uid), Some(user.gid)).expect("a directory to give away");
        }
        let data = dir.path().join("data");
        let command = |program: &str| {
            let mut command = Command::new(program);
            command.current_dir(dir.path());
            if let Some(user) = user {
                command.uid(user.uid).gid(user.gid);
            }
            command
        };
        let made = command(&programs.join("initdb").to_string_lossy())
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        // As for our own server: the pipe closes when this process is gone, however it went.
        let script = "\"$@\" & server=$!; cat; kill -INT $server; wait $server";
        let port = free_port();
        let child = command("sh")
            .args(["-c", script, "sh"])
            .arg(programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .args(["-c", &format!("port={port}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("PostgreSQL runs");
        let postgres = Postgres { child, port, dir };
        postgres.wait();
        Some(postgres)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// An empty database.
    pub(crate) fn create_database(&self, name: &str) {
        let said = self.psql(&format!("create database {name}"));
        assert_eq!(said, "", "{said}");
    }

    fn wait(&self) {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() || !self.psql("").is_empty() {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "PostgreSQL does not start: {}",
                std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn psql(&self, sql: &str) -> String {
        let output = Command::new("psql")
            .args(["-X", "-q", "-h", "127.0.0.1", "-U", "postgres", "-c", sql])
            .args(["-p", &self.port.to_string(), "postgres"])
            .output()
            .expect("psql runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Whom PostgreSQL runs as: it refuses to run as root.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// The user that the package made, when we are root.
    fn of_server() -> Option<User> {
        use std::os::unix::fs::MetadataExt;
        if std::fs::metadata("/proc/self").ok()?.uid() != 0 {
            return None;
        }
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        let line = users.lines().find(|l| l.starts_with("postgres:"))?;
        let mut fields = line.split(':').skip(2);
        let mut number = || fields.next()?.parse().ok();
        Some(User {
            uid: number()?,
            gid: number()?,
        })
    }
}

fn newest_version() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let versions = versions.filter_map(|entry| {
        let path = entry.ok()?.path();
        let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let programs = path.join("bin");
        Path::exists(&programs.join("initdb")).then_some((number, programs))
    });
    Some(versions.max()?.1)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
