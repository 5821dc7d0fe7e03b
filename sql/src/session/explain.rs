//! EXPLAIN: the plan of a statement, and with ANALYZE what it did.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use futures::StreamExt;
use serde_json::{Value, json};

use super::query::bind;
use super::show::text_columns;
use super::{Outcome, Param, RowStream, Rows, RowsTag, Session};
use crate::dialect::{Explain, ExplainFormat, Statement};
use crate::error::{Result, SqlError};
use crate::plan::errors::from_datafusion;

impl Session {
    pub(super) async fn explain(
        &mut self,
        explain: &Explain,
        text: &str,
        params: Vec<Param>,
    ) -> Result<Outcome> {
        let Statement::Query(query) = &*explain.statement else {
            return Err(SqlError::unsupported(format!(
                "EXPLAIN {}",
                explain.statement.name()
            )));
        };
        let mut planner = self.planner()?;
        planner.expect(&params);
        let (query, owned, explain) = ((**query).clone(), text.to_owned(), explain.clone());
        let lines = self
            .database
            .runtime()
            .run(async move {
                let started = Instant::now();
                let planned = planner.plan_query(query, &owned)?;
                let plan = bind(planned.plan, &params, &owned)?;
                let physical = planner.physical(&plan, &owned).await?;
                let planning = started.elapsed();
                let started = Instant::now();
                let mut rows = 0;
                if explain.analyze {
                    let mut stream = physical.stream(&owned)?;
                    while let Some(batch) = stream.next().await {
                        rows += batch.map_err(|e| from_datafusion(e, &owned))?.num_rows();
                    }
                }
                let execution = started.elapsed();
                let physical = physical.plan;
                if explain.format == ExplainFormat::Json {
                    let mut top = json!({ "Plan": as_json(&physical, explain.analyze) });
                    if explain.analyze {
                        top["Planning Time"] = json!(milliseconds(planning));
                        top["Execution Time"] = json!(milliseconds(execution));
                    }
                    let text = serde_json::to_string_pretty(&json!([top])).unwrap_or_default();
                    return Ok(vec![text]);
                }
                let shown = match explain.analyze {
                    true => DisplayableExecutionPlan::with_metrics(physical.as_ref()),
                    false => DisplayableExecutionPlan::new(physical.as_ref()),
                };
                let shown = shown.indent(explain.verbose).to_string();
                let mut lines: Vec<String> = shown.lines().map(str::to_owned).collect();
                if explain.analyze {
                    lines.push(format!("Planning Time: {:.3} ms", milliseconds(planning)));
                    lines.push(format!(
                        "Execution Time: {:.3} ms ({rows} rows)",
                        milliseconds(execution)
                    ));
                }
                Ok(lines)
            })
            .await?;
        let columns = text_columns(&["QUERY PLAN"]);
        let schema = Arc::new(Schema::new(vec![columns[0].field.clone()]));
        let texts: ArrayRef = Arc::new(StringArray::from(lines));
        let batch = RecordBatch::try_new(schema, vec![texts])
            .map_err(|e| SqlError::internal(e.to_string()))?;
        let stream = RowStream::ready(vec![batch]);
        Ok(Outcome::Rows(Rows {
            columns: Arc::new(columns),
            stream,
            tag: RowsTag::Explain,
        }))
    }
}

fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn as_json(plan: &Arc<dyn ExecutionPlan>, analyze: bool) -> Value {
    let one_line = DisplayableExecutionPlan::new(plan.as_ref())
        .one_line()
        .to_string();
    let mut node = json!({ "Node Type": plan.name(), "Details": one_line.trim() });
    if analyze && let Some(metrics) = plan.metrics() {
        for metric in metrics.aggregate_by_name().iter() {
            node[metric.value().name()] = json!(metric.value().as_usize());
        }
    }
    let children: Vec<Value> = plan
        .children()
        .into_iter()
        .map(|child| as_json(child, analyze))
        .collect();
    if !children.is_empty() {
        node["Plans"] = Value::Array(children);
    }
    node
}
