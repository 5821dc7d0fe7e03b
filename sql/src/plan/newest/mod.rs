//! `DISTINCT ON (key) … ORDER BY key, time DESC` over a time-series table, and what is planned as
//! that: `LATEST ON`, and `LATERAL` with `LIMIT 1`.
//!
//! The rule puts a node below the DISTINCT that gives fewer of its input's rows, the newest of each
//! key among them. Which rows are asked for and in which order is still the DISTINCT's to say. The node reads
//! the newest units first, and none that holds only keys whose newest row it has found. Where the
//! input is more than such a scan, it is left out of the physical plan.

mod exec;
mod node;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, Extension, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::table::SliceTable;

pub(super) use exec::planned;
pub(super) use node::Newest;

/// The rule.
#[derive(Debug)]
pub(crate) struct NewestFirst;

impl AnalyzerRule for NewestFirst {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut found = false;
        plan.apply_with_subqueries(|plan| {
            found |= matches!(plan, LogicalPlan::Distinct(Distinct::On(_)));
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        if !found {
            return Ok(plan);
        }
        let plan = plan.transform_up_with_subqueries(|plan| {
            let LogicalPlan::Distinct(Distinct::On(distinct)) = plan else {
                return Ok(Transformed::no(plan));
            };
            let node = newest(&distinct)?;
            let changed = node.is_some();
            let input = match node {
                Some(node) => Arc::new(LogicalPlan::Extension(Extension {
                    node: Arc::new(node),
                })),
                None => distinct.input.clone(),
            };
            let distinct = DistinctOn { input, ..distinct };
            let plan = LogicalPlan::Distinct(Distinct::On(distinct));
            Ok(Transformed::new_transformed(plan, changed))
        });
        plan.data()
    }

    fn name(&self) -> &str {
        "newest_first"
    }
}

/// The node below a DISTINCT, should it ask for the newest row of each key of a table.
fn newest(distinct: &DistinctOn) -> Result<Option<Newest>> {
    let ([Expr::Column(key)], Some([first, second])) =
        (&distinct.on_expr[..], distinct.sort_expr.as_deref())
    else {
        return Ok(None);
    };
    let Expr::Column(time) = &second.expr else {
        return Ok(None);
    };
    if second.asc || first.expr != distinct.on_expr[0] {
        return Ok(None);
    }
    let input = distinct.input.as_ref();
    let mut table = input;
    loop {
        table = match table {
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => break,
        };
    }
    let LogicalPlan::TableScan(scan) = table else {
        return Ok(None);
    };
    let provider = source_as_provider(&scan.source)?;
    let Some(table) = provider
        .downcast_ref::<SliceTable>()
        .filter(|table| !table.is_generic() && scan.projection.is_none())
    else {
        return Ok(None);
    };
    // What is between keeps columns where they are.
    let def = &table.entry().def;
    let at = |column| input.schema().maybe_index_of_column(column);
    let (Some(key_at), Some(time_at)) = (at(key), at(time)) else {
        return Ok(None);
    };
    let is_integer = matches!(
        input.schema().field(key_at).data_type(),
        DataType::Int16 | DataType::Int32 | DataType::Int64
    );
    if !is_integer || def.key_column() != Some(key_at) || def.time_column() != Some(time_at) {
        return Ok(None);
    }
    Ok(Some(Newest {
        input: input.clone(),
        key: distinct.on_expr[0].clone(),
        time: second.expr.clone(),
        columns: [key_at, time_at],
    }))
}
