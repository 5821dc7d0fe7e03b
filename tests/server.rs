//! The server as a process, on a free port and a directory of its own.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_slicedb");

/// A running server. Dropped, it is killed, and its directory goes with the last holder.
pub(crate) struct Server {
    child: Mutex<Child>,
    address: SocketAddr,
    pid: u32,
    dir: Arc<TempDir>,
}

impl Server {
    /// A server that all tests may use which do not disturb each other.
    pub(crate) fn shared() -> &'static Server {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Server::start)
    }

    /// A server of its own.
    pub(crate) fn start() -> Server {
        Server::start_with(&[])
    }

    /// A server with settings, each as `name=value`.
    pub(crate) fn start_with(settings: &[&str]) -> Server {
        Server::start_in(
            Arc::new(TempDir::new().expect("a temporary directory")),
            settings,
            &[],
        )
    }

    /// A server over a directory that was used before, with settings and environment.
    pub(crate) fn start_in(
        dir: Arc<TempDir>,
        settings: &[&str],
        environment: &[(&str, &str)],
    ) -> Server {
        Server::try_start_in(dir, settings, environment).expect("the server starts")
    }

    /// The same; `Err` with what the server said when it did not start.
    pub(crate) fn try_start_in(
        dir: Arc<TempDir>,
        settings: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Server, String> {
        let config = dir.path().join("slicedb.toml");
        std::fs::write(&config, settings.join("\n")).expect("the settings");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(dir.path().join("log"))
            .expect("a log file");
        // The shell ends the server when this process is gone, however it went: the pipe closes.
        let script = "\"$@\" & server=$!; echo pid $server; exec >&-; cat >/dev/null; kill -9 $server 2>/dev/null; wait $server";
        let mut child = Command::new("sh")
            .args([
                "-c",
                script,
                "sh",
                PROGRAM,
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--config",
            ])
            .arg(&config)
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut line = |prefix: &str| -> Option<String> {
            let line = lines.next()?.expect("text");
            Some(
                line.strip_prefix(prefix)
                    .unwrap_or_else(|| panic!("{prefix}… and not {line}"))
                    .to_owned(),
            )
        };
        let pid = line("pid ").expect("a pid").parse().expect("a number");
        // The output ends when the server does.
        match line("slicedb accepts connections on ") {
            Some(address) => {
                let address = address.parse().expect("an address");
                Ok(Server {
                    child: Mutex::new(child),
                    address,
                    pid,
                    dir,
                })
            }
            None => {
                drop(child.stdin.take());
                let _ = child.wait();
                Err(std::fs::read_to_string(dir.path().join("log")).unwrap_or_default())
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The directory around the data directory; it outlives the server while it is held.
    pub(crate) fn dir(&self) -> Arc<TempDir> {
        self.dir.clone()
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        signal("-TERM", self.pid);
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        signal("-KILL", self.pid);
        self.wait();
    }

    /// Waits until the server has ended; how long that took.
    pub(crate) fn wait(&self) -> Duration {
        let started = Instant::now();
        while is_alive(self.pid) {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "the server does not end"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        started.elapsed()
    }

    /// Runs psql with a script; its output and errors together.
    pub(crate) fn psql(&self, script: &str) -> String {
        let mut psql = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-h",
                "127.0.0.1",
                "-p",
                &self.address.port().to_string(),
            ])
            .args(["-U", "slicedb", "-v", "VERBOSITY=verbose", "slicedb"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql runs; `make deps` installs it");
        let wrote = psql
            .stdin
            .take()
            .expect("a pipe")
            .write_all(script.as_bytes());
        // Who finds no server, or loses it, ends before reading the script, and says why.
        assert!(
            !wrote.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe),
            "psql does not read"
        );
        let output = psql.wait_with_output().expect("psql ends");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut().expect("no panic while it was held");
        drop(child.stdin.take());
        let _ = child.wait();
    }
}

/// `slicedb check` of a data directory: whether all is well, and what it said.
pub(crate) fn check(data_dir: &Path) -> (bool, String) {
    let output = Command::new(PROGRAM)
        .args(["check", "--data-dir"])
        .arg(data_dir)
        .output()
        .expect("check runs");
    let status: ExitStatus = output.status;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (status.success(), said)
}

fn signal(signal: &str, pid: u32) {
    let _ = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended once all of its threads have; its shell has not looked yet.
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    stat.rsplit(')').next().is_some_and(|rest| {
        rest.trim_start()
            .chars()
            .next()
            .is_some_and(|s| s != 'Z' || threads > 1)
    })
}
