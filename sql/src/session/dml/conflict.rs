//! `ON CONFLICT`: rows whose primary key is there already are left out, or change the row that is.
//!
//! Proposed rows come in batches. Each batch is joined by key with the table as the statement found
//! it, which two queries do that are planned once: one tells the conflicts, one the rows as they
//! shall be. Keys that the statement itself has proposed are remembered.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array, make_comparator};
use arrow::compute::{SortOptions, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use datafusion::catalog::{Session as PlanSession, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr};
use futures::StreamExt;
use parking_lot::Mutex;
use slicedb_storage::scan::ROW_ID;
use slicedb_storage::{Transaction, View};

use super::super::planner::{Own, Planner};
use super::super::query::bind;
use super::super::write::conform;
use super::super::{Param, Session, assign};
use super::tree::{column_of, named_item, query_over, quoted, table_as, table_of};
use super::{append, change, row_numbers};
use crate::catalog::TableEntry;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::types::{FormatSettings, PgType};

/// PostgreSQL's name of the rows that are proposed.
const EXCLUDED: &str = "excluded";
/// The column with the number of a proposed row. No name that is typed has it.
const NUMBER: &str = "row\u{1}";

/// What becomes of rows whose key is there.
pub(super) struct Conflict {
    entry: Arc<TableEntry>,
    planner: Planner,
    proposed: Arc<Proposed>,
    /// Numbers of the proposed rows whose key is there.
    conflicts: Plan,
    /// Numbers of the rows that change, and their new columns; nothing changes without it.
    changes: Option<Plan>,
    keys: RowConverter,
    seen: HashSet<Box<[u8]>>,
    params: Vec<Param>,
    settings: FormatSettings,
}

/// A query, and its plan when it has run once.
struct Plan {
    query: ast::Query,
    plan: Option<LogicalPlan>,
}

impl Conflict {
    /// What an INSERT says about conflicts; nothing where there can be none. Without parameters it is
    /// only told what it wants.
    pub(super) fn of(
        session: &Session,
        view: &View,
        entry: &Arc<TableEntry>,
        name: &ast::Ident,
        on: Option<&ast::OnInsert>,
        params: Option<&[Param]>,
    ) -> Result<Option<Conflict>> {
        let conflict = match on {
            None => return Ok(None),
            Some(ast::OnInsert::OnConflict(conflict)) => conflict,
            Some(_) => return Err(SqlError::unsupported("this form of ON")),
        };
        check_target(entry, conflict)?;
        let keys = entry.def.primary_key();
        if keys.is_empty() {
            return Ok(None);
        }
        let fields = keys
            .iter()
            .map(|&key| SortField::new(entry.def.schema.field(key).data_type().clone()));
        let keys =
            RowConverter::new(fields.collect()).map_err(|e| SqlError::internal(e.to_string()))?;
        let proposed = Arc::new(Proposed::new(entry));
        let own = Own {
            row_ids_of: Some(entry.def.id),
            tables: vec![(EXCLUDED.to_owned(), proposed.clone())],
            ..Own::default()
        };
        let planner = session.planner_of(view.clone(), own)?;
        let (mut planner, _) = session.with_assignments(planner, entry)?;
        planner.expect(params.unwrap_or_default());
        let count = params.map(<[Param]>::len);
        let changes = match &conflict.action {
            ast::OnConflictAction::DoNothing => None,
            ast::OnConflictAction::DoUpdate(update) => {
                Some(Plan::new(changes(entry, name, update, count)?))
            }
        };
        Ok(Some(Conflict {
            entry: entry.clone(),
            planner,
            proposed,
            conflicts: Plan::new(conflicts(entry, name, count)?),
            changes,
            keys,
            seen: HashSet::new(),
            params: params.unwrap_or_default().to_vec(),
            settings: session.format_settings(),
        }))
    }

    /// The plan of the rows that change, to tell the types of its parameters.
    pub(super) async fn plan(
        self,
        session: &Session,
        given: &mut Vec<Option<PgType>>,
    ) -> Result<Option<LogicalPlan>> {
        let Some(changes) = self.changes else {
            return Ok(None);
        };
        assign::fill(&changes.query, &self.entry, given);
        let mut planner = self.planner;
        planner.expect_types(given);
        let work = async move { Ok(planner.plan_query(changes.query, "")?.plan) };
        session.database.runtime().run(work).await.map(Some)
    }

    /// Writes proposed rows, of all columns of the table. Returns the rows that are new, and those
    /// that have changed.
    pub(super) async fn write(
        &mut self,
        writes: &mut Transaction,
        batch: RecordBatch,
        text: &str,
    ) -> Result<Vec<RecordBatch>> {
        let batch = self.first_of_each(batch)?;
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let mut params = self.params.clone();
        params.extend(bounds(batch.column(self.entry.def.primary_key()[0]))?);
        self.proposed.set(&batch)?;
        let mut is_new = vec![true; batch.num_rows()];
        for found in self.conflicts.run(&self.planner, &params, text).await? {
            for &number in found.column(0).as_primitive::<UInt64Type>().values() {
                is_new[number as usize] = false;
            }
        }
        let new = filtered(&batch, &BooleanArray::from(is_new))?;
        let mut written = vec![new];
        if let Some(changes) = &mut self.changes {
            for found in changes.run(&self.planner, &params, text).await? {
                let numbers = row_numbers(found.column(0));
                writes.delete(&self.planner.view, self.entry.def.id, &numbers)?;
                let columns = found.columns()[1..].to_vec();
                written.push(conform(
                    &self.entry,
                    columns,
                    found.num_rows(),
                    &self.settings,
                )?);
            }
        }
        for batch in &written {
            append(writes, &self.entry, batch.clone())?;
        }
        Ok(written)
    }

    /// The rows whose keys the statement has not proposed before.
    fn first_of_each(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let keys: Vec<ArrayRef> = self
            .entry
            .def
            .primary_key()
            .iter()
            .map(|&key| batch.column(key).clone())
            .collect();
        let keys = self
            .keys
            .convert_columns(&keys)
            .map_err(|e| SqlError::internal(e.to_string()))?;
        let is_first: Vec<bool> = keys
            .iter()
            .map(|key| self.seen.insert(key.as_ref().into()))
            .collect();
        if self.changes.is_some() && is_first.contains(&false) {
            let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            return Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, message).with_hint(
                "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
            ));
        }
        filtered(&batch, &BooleanArray::from(is_first))
    }
}

/// The target must be the primary key, which is all the uniqueness there is.
fn check_target(entry: &TableEntry, conflict: &ast::OnConflict) -> Result<()> {
    let keys = entry.def.primary_key();
    match &conflict.conflict_target {
        Some(ast::ConflictTarget::Columns(names)) => {
            let columns = names.iter().map(|name| entry.require_column(&name.value));
            let columns: HashSet<usize> = columns.collect::<Result<_>>()?;
            if keys.is_empty() || columns != keys.iter().copied().collect() {
                let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                return Err(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message));
            }
        }
        Some(ast::ConflictTarget::OnConstraint(name)) => {
            let name = name.0.last().and_then(|part| part.as_ident());
            let name = name.map_or("", |name| name.value.as_str());
            if keys.is_empty() || name != format!("{}_pkey", entry.name) {
                let message = format!(
                    "constraint \"{name}\" for table \"{}\" does not exist",
                    entry.name
                );
                return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
            }
        }
        None if matches!(conflict.action, ast::OnConflictAction::DoUpdate(_)) => {
            let message =
                "ON CONFLICT DO UPDATE requires inference specification or constraint name";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message)
                .with_hint("For example, ON CONFLICT (column_name)."));
        }
        None => {}
    }
    Ok(())
}

fn conflicts(entry: &TableEntry, name: &ast::Ident, params: Option<usize>) -> Result<ast::Query> {
    let items = vec![named_item(column_of(&quoted(EXCLUDED), NUMBER), NUMBER)];
    joined(items, entry, name, params, None)
}

fn changes(
    entry: &TableEntry,
    name: &ast::Ident,
    update: &ast::DoUpdate,
    params: Option<usize>,
) -> Result<ast::Query> {
    let mut items = vec![named_item(column_of(name, ROW_ID), ROW_ID)];
    let values = change::assigned(entry, &update.assignments)?;
    for (number, (value, column)) in values.into_iter().zip(&entry.columns).enumerate() {
        let value = match value {
            Some(value) => assign::to_column(number, value),
            None => column_of(name, &column.name),
        };
        items.push(named_item(value, &column.name));
    }
    joined(items, entry, name, params, update.selection.clone())
}

/// A query over the table and the rows proposed, joined by key. Two more parameters bound the
/// first column of the key, so that only a part of the table is read.
fn joined(
    items: Vec<ast::SelectItem>,
    entry: &TableEntry,
    name: &ast::Ident,
    params: Option<usize>,
    selection: Option<Expr>,
) -> Result<ast::Query> {
    let excluded = quoted(EXCLUDED);
    let from = vec![
        table_as(table_of(entry), name)?,
        table_as(ast::ObjectName::from(vec![excluded.clone()]), &excluded)?,
    ];
    let operation = |left, op, right| Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    };
    let parameter =
        |number: usize| Expr::Value(ast::Value::Placeholder(format!("${number}")).into());
    let keys = entry.def.primary_key();
    let key = |&key: &usize| entry.columns[key].name.as_str();
    let first = column_of(name, key(&keys[0]));
    let bounds = params.map(|params| {
        [
            operation(first.clone(), BinaryOperator::GtEq, parameter(params + 1)),
            operation(first, BinaryOperator::LtEq, parameter(params + 2)),
        ]
    });
    let equal = keys.iter().map(key).map(|key| {
        let (left, right) = (column_of(name, key), column_of(&excluded, key));
        operation(left, BinaryOperator::Eq, right)
    });
    let condition = equal
        .chain(bounds.into_iter().flatten())
        .chain(selection.map(|expr| Expr::Nested(Box::new(expr))))
        .reduce(|left, right| operation(left, BinaryOperator::And, right));
    query_over(items, from, condition)
}

/// The smallest and the largest value, as parameters.
fn bounds(keys: &ArrayRef) -> Result<[Param; 2]> {
    let compare = make_comparator(keys, keys, SortOptions::default())
        .map_err(|e| SqlError::internal(e.to_string()))?;
    let (mut least, mut most) = (0, 0);
    for row in 1..keys.len() {
        if compare(row, least).is_lt() {
            least = row;
        }
        if compare(row, most).is_gt() {
            most = row;
        }
    }
    Ok([keys.slice(least, 1), keys.slice(most, 1)])
}

fn filtered(batch: &RecordBatch, kept: &BooleanArray) -> Result<RecordBatch> {
    filter_record_batch(batch, kept).map_err(|e| SqlError::internal(e.to_string()))
}

impl Plan {
    fn new(query: ast::Query) -> Self {
        Plan { query, plan: None }
    }

    async fn run(
        &mut self,
        planner: &Planner,
        params: &[Param],
        text: &str,
    ) -> Result<Vec<RecordBatch>> {
        let plan = match &self.plan {
            Some(plan) => plan.clone(),
            None => {
                let planned = planner.plan_query(self.query.clone(), text)?;
                self.plan.insert(planned.plan).clone()
            }
        };
        let plan = bind(plan, params, text)?;
        let (_, mut stream) = planner.start(&plan, text).await?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch.map_err(|e| from_datafusion(e, text))?);
        }
        Ok(batches)
    }
}

/// The rows proposed, as a table.
#[derive(Debug)]
struct Proposed {
    schema: SchemaRef,
    batch: Mutex<RecordBatch>,
}

impl Proposed {
    fn new(entry: &TableEntry) -> Self {
        let number = Arc::new(Field::new(NUMBER, DataType::UInt64, false));
        let fields = entry.def.schema.fields().iter().cloned().chain([number]);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Proposed {
            batch: Mutex::new(RecordBatch::new_empty(schema.clone())),
            schema,
        }
    }

    fn set(&self, batch: &RecordBatch) -> Result<()> {
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(UInt64Array::from_iter_values(
            0..batch.num_rows() as u64,
        )));
        *self.batch.lock() = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|e| SqlError::internal(e.to_string()))?;
        Ok(())
    }
}

#[async_trait]
impl TableProvider for Proposed {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn PlanSession,
        projection: Option<&Vec<usize>>,
        filters: &[PlanExpr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let batch = self.batch.lock().clone();
        let table = MemTable::try_new(self.schema.clone(), vec![vec![batch]])?;
        table.scan(state, projection, filters, limit).await
    }
}
