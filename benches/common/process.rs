//! A server process of ours: started on a free port, ended by its own id whatever happens.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::load::Target;

const START_SECONDS_MAX: u64 = 120;
const STOP_SECONDS_MAX: u64 = 60;

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Processor time of all threads of a process, given by its id or as `self`. Unlike the clock's
/// time it does not grow while others have the processor.
pub(crate) fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name, which may hold anything, user and system time are the 12th and 13th.
    let fields = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .skip(11)
        .take(2);
    // In ticks of 1/100 s on every Linux (proc(5), USER_HZ).
    fields
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// A running server; dropping it ends it.
pub(crate) struct Process {
    child: Child,
    /// The signal that asks this server to stop in order.
    stop_signal: &'static str,
}

impl Process {
    /// Runs `command`, its output going to `log`, and waits until `target` lets us in.
    pub(crate) async fn start(
        mut command: Command,
        stop_signal: &'static str,
        log: &Path,
        target: &Target,
    ) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let mut process = Self { child, stop_signal };
        let begun = Instant::now();
        loop {
            // Looked at first: someone else may answer on the port that our server did not get.
            if let Some(status) = process.child.try_wait()? {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{command:?} ended with {status}:\n{log}").into());
            }
            match target.connect().await {
                Ok(_) => return Ok(process),
                Err(error) if begun.elapsed().as_secs() > START_SECONDS_MAX => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// The largest memory that the process ever had; 0 where the system does not tell.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Processor time that the process has used.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.child.id().to_string())
    }

    /// SIGKILL: the process gets no chance to do anything.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the server to stop and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let begun = Instant::now();
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let signal = format!("kill -{} {}", self.stop_signal, self.child.id());
        Command::new("sh").args(["-c", &signal]).status()?;
        while self.child.try_wait()?.is_none() {
            if begun.elapsed().as_secs() > STOP_SECONDS_MAX {
                self.kill()?;
                return Err(format!("the server did not stop within {STOP_SECONDS_MAX} s").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("ending process {}: {error}", self.child.id());
        }
    }
}
