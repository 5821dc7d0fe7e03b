//! From a parsed statement to batches: tables and their scans for DataFusion, what is pushed down
//! into storage, the threads that plan and run, and the memory they may take.

pub mod errors;
mod literals;
mod memory;
pub(crate) mod pressure;
mod pushdown;
mod runtime;
mod scan;
mod subqueries;
mod table;
mod untyped;

pub(crate) use memory::{QueryPool, query_environment};
pub(crate) use runtime::{QueryRuntime, RowReceiver};
pub use scan::SliceScan;
pub use table::SliceTable;

use std::sync::Arc;

use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::Analyzer;

use crate::types::FormatSettings;

/// The rules between planning and optimizing, DataFusion's among them.
pub(crate) fn analyzer_rules(
    settings: &FormatSettings,
) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(untyped::Untyped)];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(literals::TextLiterals(settings.clone())));
    rules.push(Arc::new(subqueries::Subqueries));
    rules
}
