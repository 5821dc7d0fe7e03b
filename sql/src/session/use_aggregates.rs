//! The last rule before a query is optimized: groupings over a table are answered from its
//! continuous aggregates where that gives the same.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::AnalyzerRule;
use slicedb_storage::State;

use super::Definitions;
use crate::catalog::Catalog;
use crate::continuous::{Candidate, answered};
use crate::plan::generic::Parameters;

/// The rule, for one statement.
pub(super) struct UseAggregates {
    pub(super) definitions: Definitions,
    pub(super) state: Arc<State>,
    pub(super) catalog: Arc<Catalog>,
    /// The session's.
    pub(super) time_zone: Arc<str>,
    /// Those of the plan, when it is a generic one.
    pub(super) parameters: Option<Arc<Parameters>>,
}

impl std::fmt::Debug for UseAggregates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("use_aggregates")
    }
}

impl AnalyzerRule for UseAggregates {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        if self.catalog.aggregates().next().is_none() {
            return Ok(plan);
        }
        let parameters = self.parameters.as_ref();
        answered(plan, config, &self.state, parameters, &|source| {
            let entries = self.catalog.aggregates();
            // What days are, and what a literal of time means, is told by the zone.
            let entries = entries
                .filter(|entry| entry.source == source && entry.time_zone == *self.time_zone);
            let mut candidates = Vec::new();
            for entry in entries {
                // What keeps an aggregate from its answer is no matter of the table's.
                let definition = self.definitions.of(entry, &self.state, &self.catalog);
                if let Ok(definition) = definition {
                    candidates.push(Candidate {
                        entry: entry.clone(),
                        definition,
                    });
                }
            }
            Ok(candidates)
        })
    }

    fn name(&self) -> &str {
        "use_aggregates"
    }
}
