//! From a parsed statement to batches: tables and their scans for DataFusion, what is pushed down
//! into storage, the threads that plan and run, and the memory they may take.

pub mod errors;
mod literals;
mod memory;
pub(crate) mod pressure;
mod pushdown;
mod runtime;
mod scan;
mod table;

pub(crate) use literals::TextLiterals;
pub(crate) use memory::{QueryPool, query_environment};
pub(crate) use runtime::{QueryRuntime, RowReceiver};
pub use scan::SliceScan;
pub use table::SliceTable;
