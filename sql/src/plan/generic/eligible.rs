//! Which plans may be kept.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Volatility};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;

use super::template::ScanTemplate;
use crate::continuous::{Partials, PartialsTemplate};
use crate::plan::table::SliceTable;

/// Times that texts name relative to now.
const RELATIVE: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// Whether a plan means the same whenever it is run and whatever the values of its placeholders
/// are: it reads tables of users, none of its expressions depends on the moment, and its
/// placeholders stand where nothing but their value matters.
///
/// # Errors
/// None but those of a bug in a plan.
pub(crate) fn is_repeatable(plan: &LogicalPlan) -> Result<bool> {
    let mut is_repeatable = true;
    plan.apply_with_subqueries(|plan| {
        is_repeatable &= match plan {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source)?;
                provider.downcast_ref::<SliceTable>().is_some()
                    || provider.downcast_ref::<Partials>().is_some()
            }
            LogicalPlan::Extension(_) | LogicalPlan::RecursiveQuery(_) => false,
            _ => true,
        };
        let schema = input_schema(plan)?;
        plan.apply_expressions(|expr| {
            is_repeatable &= parts(expr)?.is_fit;
            expr.apply(|expr| {
                is_repeatable &= is_timeless(expr, &schema);
                Ok(go_on_if(is_repeatable))
            })
        })?;
        Ok(go_on_if(is_repeatable))
    })?;
    Ok(is_repeatable)
}

fn input_schema(plan: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = DFSchema::empty();
    for input in plan.inputs() {
        schema.merge(input.schema());
    }
    Ok(schema)
}

fn is_timeless(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::ScalarFunction(function) => {
            function.func.signature().volatility == Volatility::Immutable
        }
        // It may be read as a time while the plan is made.
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
            let text = text.to_ascii_lowercase();
            !RELATIVE.iter().any(|word| text.contains(word))
        }
        // And these while it runs.
        Expr::Cast(cast) => {
            let is_text = || match &*cast.expr {
                Expr::Literal(..) => false,
                inner => inner.get_type(schema).map_or(true, |ty| {
                    matches!(ty, DataType::Utf8 | DataType::LargeUtf8)
                }),
            };
            !(cast.field.data_type().is_temporal() && is_text())
        }
        _ => true,
    }
}

/// What an expression is made of.
struct Parts {
    has_placeholder: bool,
    has_column: bool,
    /// Whether its placeholders stand where nothing but their value matters. Functions of columns
    /// may want a literal, take their type from it, or repeat it for each row.
    is_fit: bool,
}

fn parts(expr: &Expr) -> Result<Parts> {
    let mut found = Parts {
        has_placeholder: false,
        has_column: false,
        is_fit: true,
    };
    if let Expr::AggregateFunction(aggregate) = expr
        && let Some(filter) = &aggregate.params.filter
    {
        let mut without = aggregate.clone();
        without.params.filter = None;
        let without = parts(&Expr::AggregateFunction(without))?;
        return Ok(Parts {
            is_fit: without.is_fit && parts(filter)?.is_fit,
            ..without
        });
    }
    expr.apply_children(|child| {
        let child = parts(child)?;
        found.has_placeholder |= child.has_placeholder;
        found.has_column |= child.has_column;
        found.is_fit &= child.is_fit;
        Ok(TreeNodeRecursion::Continue)
    })?;
    match expr {
        Expr::Placeholder(placeholder) => {
            let ty = placeholder.field.as_ref().map(|field| field.data_type());
            found.has_placeholder = true;
            found.is_fit = ty.is_some_and(|ty| !ty.is_nested());
        }
        Expr::Literal(..)
        | Expr::Alias(_)
        | Expr::BinaryExpr(_)
        | Expr::Between(_)
        | Expr::InList(_)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::Negative(_)
        | Expr::Cast(_) => {}
        Expr::ScalarFunction(_) => found.is_fit &= !(found.has_placeholder && found.has_column),
        _ => {
            found.has_column = true;
            found.is_fit &= !found.has_placeholder;
        }
    }
    Ok(found)
}

fn go_on_if(condition: bool) -> TreeNodeRecursion {
    match condition {
        true => TreeNodeRecursion::Continue,
        false => TreeNodeRecursion::Stop,
    }
}

/// Whether a physical plan may be run again: of nodes that are known to begin afresh, and none of
/// them better done with what is known of this run only.
pub(crate) fn is_rerunnable(plan: &Arc<dyn ExecutionPlan>, is_small: bool) -> bool {
    let node = plan.as_ref();
    let is_known = if node.is::<HashJoinExec>() {
        // Which side is the larger matters when there are many rows.
        is_small
    } else if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        // How many rows a whole table has is known without reading it.
        !(aggregate.group_expr().is_empty() && reads_all(plan))
            && node.dynamic_expressions_produced().is_empty()
    } else {
        node.is::<ScanTemplate>()
            || node.is::<PartialsTemplate>()
            || node.is::<FilterExec>()
            || node.is::<ProjectionExec>()
            || node.is::<SortExec>()
            || node.is::<SortPreservingMergeExec>()
            || node.is::<CoalescePartitionsExec>()
            || node.is::<RepartitionExec>()
            || node.is::<CooperativeExec>()
            || node.is::<GlobalLimitExec>()
            || node.is::<LocalLimitExec>()
            || node.is::<UnionExec>()
    };
    is_known
        && plan
            .children()
            .into_iter()
            .all(|child| is_rerunnable(child, is_small))
}

fn reads_all(plan: &Arc<dyn ExecutionPlan>) -> bool {
    match plan.downcast_ref::<ScanTemplate>() {
        Some(template) => template.is_unfiltered(),
        None if plan.is::<PartialsTemplate>() => false,
        None => plan.children().into_iter().all(reads_all),
    }
}
