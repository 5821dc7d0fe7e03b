//! RETURNING: a query over the rows that a statement has changed.
//!
//! The rows are kept until the statement has done its work, and told when it has committed: who
//! reads them may rely on them. So they are bounded.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNode;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use slicedb_storage::View;

use super::super::planner::{Own, Planned, Planner};
use super::super::query::{bind, output_columns};
use super::super::{OutputColumn, Param, Session};
use super::tree::{query_over, quoted, table_as};
use crate::catalog::TableEntry;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::types::PgType;

/// The name of the changed rows as a table. None that is typed has it.
const ROWS: &str = "rows\u{1}";
/// Memory of the rows that a statement returns.
const BYTES_MAX: usize = 64 << 20;

/// What a statement returns.
pub(super) struct Returning {
    query: ast::Query,
    /// The table's columns in the session's zone.
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
    bytes: usize,
}

/// The rows that a statement returns, with their columns.
pub(super) struct Returned {
    pub(super) columns: Vec<OutputColumn>,
    pub(super) batches: Vec<RecordBatch>,
}

impl Returning {
    /// For a list of items, if there is one, over rows of a table that goes by a name.
    pub(super) fn of(
        session: &Session,
        entry: &TableEntry,
        name: &ast::Ident,
        items: Option<&Vec<ast::SelectItem>>,
    ) -> Result<Option<Returning>> {
        let Some(items) = items else {
            return Ok(None);
        };
        let zone: Arc<str> = session.settings.time_zone().to_string().into();
        let in_zone = |field: &Arc<Field>| match field.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone()));
                Arc::new(field.as_ref().clone().with_data_type(zoned))
            }
            _ => field.clone(),
        };
        let fields: Vec<_> = entry.def.schema.fields().iter().map(in_zone).collect();
        let rows = ast::ObjectName::from(vec![quoted(ROWS)]);
        Ok(Some(Returning {
            query: query_over(items.clone(), vec![table_as(rows, name)?], None)?,
            schema: Arc::new(Schema::new(fields)),
            rows: Vec::new(),
            bytes: 0,
        }))
    }

    /// Keeps changed rows: all columns of the table.
    pub(super) fn keep(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let cannot = |e: arrow::error::ArrowError| SqlError::internal(e.to_string());
        let columns = columns
            .iter()
            .zip(self.schema.fields())
            .map(|(values, field)| cast(values, field.data_type()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(cannot)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(cannot)?;
        self.bytes += batch.get_array_memory_size();
        if self.bytes > BYTES_MAX {
            let message = format!("RETURNING holds more than {} MiB of rows", BYTES_MAX >> 20);
            return Err(SqlError::new(SqlState::OUT_OF_MEMORY, message)
                .with_hint("Change fewer rows at a time, or leave RETURNING out."));
        }
        self.rows.push(batch);
        Ok(())
    }

    fn planner(&mut self, session: &Session, view: View) -> Result<Planner> {
        let rows = std::mem::take(&mut self.rows);
        let table = MemTable::try_new(self.schema.clone(), vec![rows])
            .map_err(|e| from_datafusion(e, ""))?;
        let table: Arc<dyn TableProvider> = Arc::new(table);
        let mut planner = session.planner_of(
            view,
            Own {
                tables: vec![(ROWS.to_owned(), table)],
                ..Own::default()
            },
        )?;
        // Rows are returned in the order in which they were changed.
        planner.in_order();
        Ok(planner)
    }

    /// The plan of the items, to tell their types.
    pub(super) async fn plan(
        mut self,
        session: &Session,
        view: View,
        given: &[Option<PgType>],
        text: &str,
    ) -> Result<(LogicalPlan, Vec<OutputColumn>)> {
        let mut planner = self.planner(session, view)?;
        planner.expect_types(given);
        let (query, text) = (self.query, text.to_owned());
        let work = async move {
            let Planned { plan, names } = planner.plan_query(query, &text)?;
            refuse_aggregates(&plan)?;
            let columns = output_columns(plan.schema().fields().iter().cloned(), names);
            Ok((plan, columns))
        };
        session.database.runtime().run(work).await
    }

    /// The items of the rows that were kept.
    pub(super) async fn rows(
        mut self,
        session: &Session,
        view: View,
        params: &[Param],
        text: &str,
    ) -> Result<Returned> {
        let mut planner = self.planner(session, view)?;
        planner.expect(params);
        let (query, text, params) = (self.query, text.to_owned(), params.to_vec());
        let work = async move {
            let Planned { plan, names } = planner.plan_query(query, &text)?;
            refuse_aggregates(&plan)?;
            let plan = bind(plan, &params, &text)?;
            let (fields, mut stream) = planner.start(&plan, &text).await?;
            let mut batches = Vec::new();
            while let Some(batch) = stream.next().await {
                batches.push(batch.map_err(|e| from_datafusion(e, &text))?);
            }
            let columns = output_columns(fields.into_iter(), names);
            Ok(Returned { columns, batches })
        };
        session.database.runtime().run(work).await
    }
}

/// Rows are returned one by one.
fn refuse_aggregates(plan: &LogicalPlan) -> Result<()> {
    let is_grouped = |plan: &LogicalPlan| Ok(matches!(plan, LogicalPlan::Aggregate(_)));
    if plan.exists(is_grouped).unwrap_or(false) {
        let message = "aggregate functions are not allowed in RETURNING";
        return Err(SqlError::new(SqlState::GROUPING_ERROR, message));
    }
    Ok(())
}
