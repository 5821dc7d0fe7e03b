//! The command line.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A metrics database for platforms with millions of merchants, spoken to over the Postgres protocol.
#[derive(Debug, Parser)]
#[command(name = "slicedb", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a data directory until SIGTERM or Ctrl-C.
    Serve(Serve),
    /// Load a pizza-ordering platform, show what can be asked, and stream live orders until Ctrl-C.
    Demo(Demo),
    /// Read everything in a data directory, verify it, and say what is damaged (exit code 1).
    Check(Check),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where the data lives; created if it does not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Where to listen. Only peers on the loopback interface are let in.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5454")]
    pub(crate) listen: SocketAddr,
    /// Settings, one `name = number` a line; see docs/config.md.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Where the data lives; a second run goes on with it.
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    pub(crate) data_dir: PathBuf,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5454")]
    pub(crate) listen: SocketAddr,
    /// Orders of the history.
    #[arg(long, default_value_t = 3_000_000)]
    pub(crate) rows: u64,
    /// Days that the history covers.
    #[arg(long, default_value = "7")]
    pub(crate) days: NonZeroU32,
    /// Live orders a second once the history is there.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) live_rows_per_second: u32,
    /// Connections that send orders at the same time.
    #[arg(long, default_value = "2")]
    pub(crate) connections: NonZeroUsize,
    /// Merchants of the platform.
    #[arg(long, default_value = "100000")]
    pub(crate) merchants: NonZeroU32,
    /// The same seed gives the same platform.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Load, show the queries and stop, without the live stream.
    #[arg(long)]
    pub(crate) once: bool,
    /// Settings, one `name = number` a line; see docs/config.md.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The data directory; no server may use it meanwhile.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// What is logged: error, warn, info, debug, trace, or a filter such as `slicedb=debug,warn`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log_level: String,
}
