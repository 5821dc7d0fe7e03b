//! What statements do while the process holds more memory than it may.

use slicedb_storage::{Level, Pressure};

use crate::error::{Result, SqlError, SqlState};

/// Lets a statement begin.
///
/// # Errors
/// 53200 while memory is beyond its limit.
pub(crate) fn admit(pressure: &Pressure) -> Result<()> {
    if pressure.is_high() {
        return Err(out_of_memory());
    }
    Ok(())
}

/// Lets a running statement go on.
///
/// # Errors
/// 53200 while memory is far beyond its limit.
pub(crate) fn go_on(pressure: &Pressure) -> Result<()> {
    if pressure.level() == Level::Critical {
        return Err(out_of_memory());
    }
    Ok(())
}

fn out_of_memory() -> SqlError {
    SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory")
        .with_detail("The server holds more memory than memory_max_bytes allows.")
        .with_hint("Try again later, or ask for less at a time.")
}
