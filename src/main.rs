//! SliceDB: the program.
//!
//! | room | answers |
//! |---|---|
//! | `cli`, `config` | flags and settings, validated once |
//! | `server` | start, signals, stop |
//! | `memory` | how much memory the process holds, and what follows from too much |
//! | `pgwire` | the Postgres protocol: bytes ⇄ messages ⇄ sessions |
//! | `ingest` | COPY's formats: bytes ⇄ batches |
//! | `demo` | a pizza platform as a client of the server |
//! | `failpoints` | where crash tests end the process |
//!
//! Exit codes: 0 all went well; 1 damage was found, or the server had to stop; 2 the command line
//! or a setting is wrong.

mod cli;
mod config;
mod demo;
#[cfg(feature = "failpoints")]
mod failpoints;
mod ingest;
mod memory;
mod pgwire;
mod server;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// Gives memory back to the system, and can be asked how much it holds.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _failpoints = match failpoints::set_up() {
        Ok(scenario) => scenario,
        Err(message) => {
            eprintln!("slicedb: {message}");
            return ExitCode::from(2);
        }
    };
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Serve(serve) => server::serve(serve),
        Command::Demo(demo) => server::demo(demo),
        Command::Check(check) => server::check(&check),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("slicedb: {}", failure.message);
            failure.code
        }
    }
}
