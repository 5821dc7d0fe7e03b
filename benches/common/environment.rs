//! What the environment asks for.

use std::path::PathBuf;

use crate::Result;

/// A number of rows, with `_` between digits where that reads better.
///
/// # Errors
/// When the variable is no number.
pub(crate) fn rows(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => {
            let number = text.replace('_', "").parse();
            Ok(number.map_err(|_| format!("{name} is no number"))?)
        }
        Err(_) => Ok(default),
    }
}

/// Where the temporary directories are made.
pub(crate) fn dir() -> PathBuf {
    std::env::var_os("SLICEDB_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}
