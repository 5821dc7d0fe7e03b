//! From a parsed statement to batches: tables and their scans for DataFusion, what is pushed down
//! into storage, the threads that plan and run, and the memory they may take.

mod asof;
pub(crate) mod complexity;
pub mod errors;
mod extensions;
mod gapfill;
pub(crate) mod generic;
mod late;
mod lateral;
mod literals;
mod memory;
mod multiset;
mod newest;
mod operators;
mod places;
pub(crate) mod pressure;
pub(crate) mod pushdown;
mod runtime;
mod scan;
mod semantics;
mod subqueries;
mod sums;
mod table;
mod unknowns;
mod untyped;

pub(crate) use extensions::Extensions;
pub(crate) use memory::{QueryPool, query_environment};
pub(crate) use runtime::{PANICKED, QueryRuntime, RowReceiver};
pub(crate) use scan::ROWS_PER_PARTITION;
pub use scan::SliceScan;
pub use table::SliceTable;
pub(crate) use table::{in_zone, is_small};

use std::sync::Arc;

use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::optimizer::{AnalyzerRule, Optimizer, OptimizerRule};

use crate::continuous::MergedOnce;
use crate::types::FormatSettings;

/// What settles operators while a query is planned; before DataFusion's own.
pub(crate) fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(operators::PgOperators)]
}

/// The rules that make plans cheaper: DataFusion's, and one that does for our joins what one of these
/// does for its own.
pub(crate) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let filters = rules
        .iter()
        .position(|rule| rule.name() == "push_down_filter");
    // Where conditions stand right above the joins, before projections come between them.
    let after = filters.map_or(rules.len(), |at| at + 1);
    rules.insert(after, Arc::new(asof::PushDownAsOf));
    rules
}

/// The rules between planning and optimizing, DataFusion's among them.
pub(crate) fn analyzer_rules(
    settings: &FormatSettings,
) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
        Arc::new(untyped::Untyped),
        Arc::new(unknowns::UnknownLiterals),
        Arc::new(sums::NumericSums),
    ];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(multiset::Multisets));
    rules.push(Arc::new(literals::TextLiterals(settings.clone())));
    rules.push(Arc::new(semantics::PgExpressions(settings.clone())));
    rules.push(Arc::new(gapfill::GapFills(settings.clone())));
    rules.push(Arc::new(lateral::NewestRows));
    rules.push(Arc::new(newest::NewestFirst));
    rules.push(Arc::new(asof::AsOfJoins));
    rules.push(Arc::new(subqueries::Subqueries));
    rules.push(Arc::new(MergedOnce));
    rules
}
