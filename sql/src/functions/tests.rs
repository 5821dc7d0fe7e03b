//! Functions in the engine that calls them: queries and their answers in data files, which
//! `UPDATE=1 cargo test` rewrites.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast;

use crate::dialect::tests::golden;
use crate::dialect::{OutputNames, PgTypePlanner, Statement, parse, rewrite_query};
use crate::error::SqlError;
use crate::plan::errors::from_datafusion;
use crate::types::FormatSettings;

/// An engine with our functions and a table of five orders.
pub(crate) fn engine() -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .set_bool("datafusion.sql_parser.parse_float_as_decimal", true)
        .set_bool("datafusion.sql_parser.collect_spans", true);
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_expr_planners(crate::plan::expr_planners())
        .with_default_features()
        .with_type_planner(Arc::new(PgTypePlanner))
        .with_analyzer_rules(crate::plan::analyzer_rules(&FormatSettings::default()))
        .build();
    let context = SessionContext::new_with_state(state);
    for function in super::scalar_functions() {
        context.register_udf(function.as_ref().clone());
    }
    for function in super::session_functions(&FormatSettings::default()) {
        context.register_udf(function.as_ref().clone());
    }
    for function in super::aggregate_functions() {
        context.register_udaf(function.as_ref().clone());
    }
    let hour = 3_600_000_000i64;
    let day = 1_704_067_200_000_000; // 2024-01-01
    let times = [
        Some(day),
        Some(day + hour),
        None,
        Some(day - hour),
        Some(day + 30 * hour),
    ];
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC")),
        ),
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
        (
            "n",
            Arc::new(Int32Array::from(vec![
                Some(10),
                None,
                Some(30),
                Some(40),
                Some(50),
            ])),
        ),
        (
            "gross",
            Arc::new(
                Decimal128Array::from(vec![1050, 2000, 305, -400, 999])
                    .with_precision_and_scale(12, 2)
                    .expect("a decimal"),
            ),
        ),
        (
            "price",
            Arc::new(Float64Array::from(vec![1.5, 2.5, f64::NAN, -1.0, 0.0])),
        ),
        (
            "region",
            Arc::new(StringArray::from(vec![
                Some("eu"),
                Some("us"),
                Some("eu"),
                None,
                Some("us"),
            ])),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![19723, 19724, 19725, 19726, 19727])),
        ),
        (
            "paid",
            Arc::new(BooleanArray::from(vec![true, false, true, true, false])),
        ),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .expect("a batch");
    let table = MemTable::try_new(
        batch.schema(),
        vec![vec![batch.slice(0, 2)], vec![batch.slice(2, 3)]],
    );
    context
        .register_table("orders", Arc::new(table.expect("a table")))
        .expect("a new table");
    context
}

/// Plans a query as a session does.
pub(crate) async fn plan(
    context: &SessionContext,
    sql: &str,
) -> Result<(LogicalPlan, OutputNames), SqlError> {
    let parsed = parse(sql)?.remove(0);
    let Statement::Query(mut query) = parsed.statement else {
        panic!("{sql} is no query")
    };
    let names = rewrite_query(&mut query)?;
    let statement = EngineStatement::Statement(Box::new(ast::Statement::Query(query)));
    let plan = context.state().statement_to_plan(statement).await;
    Ok((plan.map_err(|error| from_datafusion(error, sql))?, names))
}

/// Runs a query.
pub(crate) async fn run(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>, SqlError> {
    let (plan, _) = plan(context, sql).await?;
    let frame = context
        .execute_logical_plan(plan)
        .await
        .map_err(|error| from_datafusion(error, sql))?;
    frame
        .collect()
        .await
        .map_err(|error| from_datafusion(error, sql))
}

/// Names and types of the columns, then the rows; or the error.
pub(crate) fn answer(sql: &str) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let context = engine();
        match run(&context, sql).await {
            Ok(batches) => {
                let mut lines = Vec::new();
                if let Some(batch) = batches.first() {
                    let schema = batch.schema();
                    let types: Vec<String> = schema
                        .fields()
                        .iter()
                        .map(|field| field.data_type().to_string())
                        .collect();
                    lines.push(types.join(" | "));
                }
                for batch in &batches {
                    for row in 0..batch.num_rows() {
                        let cells: Vec<String> = batch
                            .columns()
                            .iter()
                            .map(|column| match column.is_null(row) {
                                true => "NULL".to_owned(),
                                false => array_value_to_string(column, row).expect("a value"),
                            })
                            .collect();
                        lines.push(cells.join(" | "));
                    }
                }
                lines.join("\n")
            }
            Err(error) => described(&error, sql),
        }
    })
}

/// An error with its place, detail and hint.
pub(crate) fn described(error: &SqlError, sql: &str) -> String {
    let mut text = error.to_string();
    if let Some(position) = error.position {
        let rest: String = sql.chars().skip(position - 1).take(12).collect();
        text += &format!("\n  at {position}: {rest:?}");
    }
    for (what, more) in [("detail", &error.detail), ("hint", &error.hint)] {
        if let Some(more) = more {
            text += &format!("\n  {what}: {more}");
        }
    }
    text
}

#[test]
fn time_bucket() {
    golden("functions/tests/time_bucket.txt", answer);
}

#[test]
fn first_and_last() {
    golden("functions/tests/first_last.txt", answer);
}

#[test]
fn small_functions() {
    golden("functions/tests/small.txt", answer);
}

/// Buckets of a column: what the fast path answers is what each row alone would.
#[test]
fn buckets_agree_row_by_row() {
    use super::{Bucketer, Width};
    let widths = [
        Width::Fixed(1),
        Width::Fixed(7_000_000),
        Width::Fixed(3_600_000_000),
        Width::Fixed(7 * 86_400_000_000),
        Width::Months(1),
        Width::Months(7),
        Width::Months(36),
    ];
    let mut state = 3u64;
    for width in widths {
        let bucketer = Bucketer::new(width);
        for _ in 0..2_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // 1800 to 2140.
            let time = (state >> 11) as i64 % 10_700_000_000_000_000 - 5_350_000_000_000_000;
            let start = bucketer.bucket(time).expect("in range");
            let end = bucketer.next(start).expect("in range");
            assert!(start <= time && time < end, "{width:?} {time}");
            assert_eq!(bucketer.bucket(start).expect("in range"), start);
            assert_eq!(bucketer.bucket(end - 1).expect("in range"), start);
            assert_eq!(bucketer.bucket(end).expect("in range"), end);
        }
    }
}

/// A filter on a bucket becomes one on the time, by which a scan can skip.
#[tokio::test]
async fn filters_on_buckets_reach_the_time() {
    let context = engine();
    let sql = "SELECT id FROM orders WHERE time_bucket('1 hour', ts) = '2024-01-01 01:00:00+00'::timestamptz";
    let (plan, _) = plan(&context, sql).await.expect("a plan");
    let plan = context
        .state()
        .optimize(&plan)
        .expect("a plan")
        .display_indent()
        .to_string();
    assert!(!plan.contains("time_bucket"), "{plan}");
    let rows = run(&context, sql).await.expect("rows");
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}
