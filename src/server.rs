//! Start, signals, stop: what the subcommands do.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use slicedb_sql::Database;
use slicedb_sql::storage::vfs::RealVfs;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;
use tracing_subscriber::EnvFilter;

use crate::cli::{Check, Demo, Serve};
use crate::config::Config;
use crate::demo;
use crate::memory;
use crate::pgwire::{self, WireOptions};

/// Why the program ends, for people, and with which code.
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) code: ExitCode,
}

/// A statement's tree is dropped where its connection is served: the largest that the limits of
/// the dialect let through needs 4 MiB without optimisation. Reserved, not used.
const STACK_BYTES: usize = 16 << 20;

/// The command line or a setting is wrong.
const WRONG_USE: u8 = 2;

fn wrong(message: String) -> Failure {
    Failure {
        message,
        code: ExitCode::from(WRONG_USE),
    }
}

fn failed(message: impl ToString) -> Failure {
    Failure {
        message: message.to_string(),
        code: ExitCode::FAILURE,
    }
}

/// `slicedb serve`
pub(crate) fn serve(serve: Serve) -> Result<ExitCode, Failure> {
    start_log(&serve.log.log_level)?;
    let config = read_config(serve.config.as_deref())?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut server = Server::start(&config, &serve.data_dir, serve.listen).await?;
        announce(&format!(
            "slicedb accepts connections on {}",
            server.address
        ));
        signalled().await?;
        server.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// `slicedb demo`
pub(crate) fn demo(demo: Demo) -> Result<ExitCode, Failure> {
    // The demo's own lines are the point here: the server's come only when something is wrong.
    let level = if demo.log.log_level == "info" {
        "warn"
    } else {
        &demo.log.log_level
    };
    start_log(level)?;
    let config = read_config(demo.config.as_deref())?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut server = Server::start(&config, &demo.data_dir, demo.listen).await?;
        let options = demo::DemoOptions {
            data_dir: demo.data_dir,
            rows: demo.rows,
            days: demo.days,
            live_rows_per_second: demo.live_rows_per_second,
            connections: demo.connections,
            merchants: demo.merchants,
            seed: demo.seed,
            once: demo.once,
            ..demo::DemoOptions::default()
        };
        let (stop, stopped) = watch::channel(false);
        let client = demo::run(server.address, options, stopped);
        tokio::pin!(client);
        let outcome = tokio::select! {
            outcome = &mut client => outcome,
            signal = signalled() => {
                signal?;
                stop.send_replace(true);
                client.await
            }
        };
        server.stop().await;
        outcome.map_err(failed)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// `slicedb check`
pub(crate) fn check(check: &Check) -> Result<ExitCode, Failure> {
    let is_terminal = std::io::stderr().is_terminal();
    let mut progress = |done: usize, all: usize| {
        if is_terminal {
            eprint!("\rsegment {done} of {all}");
        }
    };
    let report = slicedb_sql::storage::check(Arc::new(RealVfs), &check.data_dir, &mut progress)
        .map_err(failed)?;
    if is_terminal {
        eprint!("\r\x1b[K");
    }
    for damage in &report.damage {
        println!("DAMAGED  {damage}");
    }
    println!(
        "{} tables, {} segments, {} column values, {} rows; {} unsealed commits; {} files of no segment; {} damaged",
        report.tables,
        report.segments,
        report.values,
        report.rows,
        report.commits,
        report.orphans,
        report.damage.len()
    );
    Ok(if report.damage.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A server that accepts connections.
struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    async fn start(
        config: &Config,
        data_dir: &Path,
        listen: SocketAddr,
    ) -> Result<Server, Failure> {
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let options = WireOptions {
            listen,
            connections_max: size(config.connections_max),
            startup_timeout: Duration::from_millis(config.startup_timeout_ms),
            drain_timeout: Duration::from_millis(config.drain_timeout_ms),
            message_bytes_max: size(config.message_bytes_max),
            ..WireOptions::default()
        };
        // The port first: a second server on it shall not touch the data.
        let listener: TcpListener = pgwire::bind(&options)
            .map_err(|e| failed(format!("could not listen on {listen}: {e}")))?;
        let address = listener.local_addr().map_err(failed)?;
        let options_of_database = config.database(data_dir.to_path_buf(), address);
        let opening = tokio::task::spawn_blocking(move || Database::open(options_of_database));
        let database = opening
            .await
            .map_err(failed)?
            .map_err(|e| failed(e.message))?;
        let pressure = database.engine().pressure().clone();
        memory::watch(pressure, config.memory_max_bytes).map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(pgwire::serve(database, options, listener, stopped));
        info!(%address, data_dir = %data_dir.display(), "serving");
        Ok(Server {
            address,
            stop,
            serving: Some(serving),
        })
    }

    async fn stop(&mut self) {
        info!("stopping: running statements may finish");
        self.stop.send_replace(true);
        if let Some(serving) = self.serving.take()
            && let Err(e) = serving.await
        {
            tracing::error!(error = %e, "the server ended in an internal error");
        }
        info!("stopped");
    }
}

fn read_config(path: Option<&Path>) -> Result<Config, Failure> {
    path.map_or_else(|| Ok(Config::default()), Config::read)
        .map_err(wrong)
}

fn start_log(filter: &str) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(filter).map_err(|e| wrong(format!("--log-level {filter}: {e}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

/// Threads that serve connections. Queries have their own.
fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .thread_name("slicedb-wire")
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|e| failed(format!("could not start threads: {e}")))
}

/// The one line on standard output, for whoever started the server and waits for it.
fn announce(line: &str) {
    let mut out = std::io::stdout();
    // Nobody may be reading, which is no reason to stop.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

async fn signalled() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed),
    }
}
