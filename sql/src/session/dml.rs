//! INSERT, UPDATE, DELETE, TRUNCATE.
//!
//! UPDATE and DELETE are queries for the numbers of the rows they change; the numbers hold as long
//! as the view that was read. A statement that commits by itself and finds at its commit that the
//! rows were changed meanwhile is run again.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::UInt64Type;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use slicedb_storage::scan::ROW_ID;
use slicedb_storage::{RowId, Transaction, View};

use super::outcome::{Interrupt, unless};
use super::query::{Planner, bind, parameters, select};
use super::write::conform;
use super::{Outcome, Param, Session};
use crate::catalog::TableEntry;
use crate::dialect::{self, Statement, TableName, Truncate};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::plan::pressure::admit;
use crate::types::PgType;

/// How often a statement that commits by itself is run when others are faster.
const ATTEMPTS_MAX: usize = 20;

impl Session {
    pub(super) async fn insert(
        &mut self,
        insert: &ast::Insert,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        refuse_insert(insert)?;
        for attempt in 1.. {
            let result = self.insert_once(insert, text, params, interrupt).await;
            if !self.runs_again(&result, attempt) {
                return result.map(|rows| Outcome::Command(format!("INSERT 0 {rows}")));
            }
        }
        Err(SqlError::internal("INSERT ended without a result"))
    }

    async fn insert_once(
        &mut self,
        insert: &ast::Insert,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
    ) -> Result<u64> {
        let mut writes = self.start_write("INSERT")?;
        let planner = self.planner_for(&mut writes, None)?;
        let (entry, insert) = self.target_of_insert(&planner, insert)?;
        let (params, text, settings) = (params.to_vec(), text.to_owned(), self.format_settings());
        let work = async move {
            let plan = source_of_insert(&planner, insert, &text).await?;
            let plan = bind(plan, &params, &text)?;
            let (_, mut stream) = planner.start(&plan, &text).await?;
            let mut rows = 0;
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(|e| from_datafusion(e, &text))?;
                let count = batch.num_rows();
                let batch = conform(&entry, batch.columns().to_vec(), count, &settings)?;
                rows += count as u64;
                writes
                    .append(entry.def.id, batch)
                    .map_err(|e| named(e, &entry))?;
            }
            Ok((writes, rows))
        };
        // The commit is not interrupted: whoever hears of a cancel knows that nothing was changed.
        let (writes, rows) = unless(interrupt, self.database.runtime().run(work)).await?;
        self.finish_write(writes).await?;
        Ok(rows)
    }

    pub(super) async fn update(
        &mut self,
        update: &ast::Update,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        for attempt in 1.. {
            let result = self
                .change_once("UPDATE", text, params, interrupt, |s, p| {
                    s.query_of_update(p, update)
                })
                .await;
            if !self.runs_again(&result, attempt) {
                return result.map(|rows| Outcome::Command(format!("UPDATE {rows}")));
            }
        }
        Err(SqlError::internal("UPDATE ended without a result"))
    }

    pub(super) async fn delete(
        &mut self,
        delete: &ast::Delete,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        for attempt in 1.. {
            let result = self
                .change_once("DELETE", text, params, interrupt, |s, p| {
                    s.query_of_delete(p, delete)
                })
                .await;
            if !self.runs_again(&result, attempt) {
                return result.map(|rows| Outcome::Command(format!("DELETE {rows}")));
            }
        }
        Err(SqlError::internal("DELETE ended without a result"))
    }

    /// Runs a query whose rows are row numbers and, for UPDATE, the new values of all columns.
    async fn change_once(
        &mut self,
        statement: &str,
        text: &str,
        params: &[Param],
        interrupt: &mut Interrupt,
        query_of: impl Fn(&Session, &Planner) -> Result<(Arc<TableEntry>, ast::Query)>,
    ) -> Result<u64> {
        let pressure = self.database.engine().pressure().clone();
        admit(&pressure)?;
        let mut writes = self.start_write(statement)?;
        let planner = self.planner_for(&mut writes, None)?;
        let (entry, query) = query_of(self, &planner)?;
        let planner = self.planner_of(planner.view, Some(entry.def.id))?;
        let (params, text, settings) = (params.to_vec(), text.to_owned(), self.format_settings());
        let work = async move {
            let plan = planner.plan_query(query, &text).await?.plan;
            let plan = bind(plan, &params, &text)?;
            let (_, mut stream) = planner.start(&plan, &text).await?;
            let mut rows = 0;
            let mut changed = Vec::new();
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(|e| from_datafusion(e, &text))?;
                let numbers = row_numbers(batch.column(0));
                writes.delete(&planner.view, entry.def.id, &numbers)?;
                rows += numbers.len() as u64;
                if batch.num_columns() > 1 {
                    // They wait here until all are found: nobody else bounds how many.
                    admit(&pressure)?;
                    let columns = batch.columns()[1..].to_vec();
                    changed.push(conform(&entry, columns, batch.num_rows(), &settings)?);
                }
            }
            // All old rows go before the first new one comes: keys may move from row to row.
            for batch in changed {
                writes
                    .append(entry.def.id, batch)
                    .map_err(|e| named(e, &entry))?;
            }
            Ok((writes, rows))
        };
        // The commit is not interrupted: whoever hears of a cancel knows that nothing was changed.
        let (writes, rows) = unless(interrupt, self.database.runtime().run(work)).await?;
        self.finish_write(writes).await?;
        Ok(rows)
    }

    pub(super) async fn truncate(&mut self, truncate: &Truncate) -> Result<Outcome> {
        for attempt in 1.. {
            let result = self.truncate_once(truncate).await;
            if !self.runs_again(&result, attempt) {
                return result.map(|()| Outcome::Command("TRUNCATE TABLE".into()));
            }
        }
        Err(SqlError::internal("TRUNCATE ended without a result"))
    }

    async fn truncate_once(&mut self, truncate: &Truncate) -> Result<()> {
        let mut writes = self.start_write("TRUNCATE TABLE")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        for name in &truncate.tables {
            writes.clear(&view, catalog.find(name)?.def.id)?;
        }
        self.finish_write(writes).await
    }

    /// What a write that begins now reads: the transaction has been taken out of the session.
    pub(super) fn view_for(&mut self, writes: &mut Transaction) -> Result<View> {
        if writes.is_empty() {
            return self.view();
        }
        let base = self.view()?;
        Ok(writes.view(Some(&base.state))?)
    }

    fn planner_for(
        &mut self,
        writes: &mut Transaction,
        row_ids_of: Option<slicedb_storage::TableId>,
    ) -> Result<Planner> {
        let view = self.view_for(writes)?;
        self.planner_of(view, row_ids_of)
    }

    /// Whether a statement is run again: it commits by itself, and others were faster.
    fn runs_again<T>(&self, result: &Result<T>, attempt: usize) -> bool {
        let lost = result
            .as_ref()
            .is_err_and(|e| e.state == SqlState::SERIALIZATION_FAILURE);
        lost && self.is_autocommit() && attempt < ATTEMPTS_MAX
    }

    /// Types of the parameters of a write.
    pub(super) async fn describe_write(
        &mut self,
        statement: &Statement,
        given: Vec<Option<PgType>>,
    ) -> Result<Vec<PgType>> {
        let planner = self.planner(None)?;
        match statement {
            Statement::Insert(insert) => {
                refuse_insert(insert)?;
                let (_, insert) = self.target_of_insert(&planner, insert)?;
                let work = async move {
                    parameters(&source_of_insert(&planner, insert, "").await?, given)
                };
                self.database.runtime().run(work).await
            }
            Statement::Update(_) | Statement::Delete(_) => {
                let (entry, query) = match statement {
                    Statement::Update(update) => self.query_of_update(&planner, update)?,
                    Statement::Delete(delete) => self.query_of_delete(&planner, delete)?,
                    _ => return Err(SqlError::internal("no write")),
                };
                let planner = self.planner_of(planner.view, Some(entry.def.id))?;
                let work =
                    async move { parameters(&planner.plan_query(query, "").await?.plan, given) };
                self.database.runtime().run(work).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The table of an INSERT, and the INSERT with defaults in the place of what is not given.
    fn target_of_insert(
        &self,
        planner: &Planner,
        insert: &ast::Insert,
    ) -> Result<(Arc<TableEntry>, ast::Insert)> {
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::unsupported("INSERT into a function"));
        };
        let entry = self.target(planner, &table_name(name)?)?;
        let mut insert = insert.clone();
        let mut given: Vec<usize> = Vec::new();
        for column in &insert.columns {
            let column = table_name(column)?.name;
            let position = entry.require_column(&column)?;
            if given.contains(&position) {
                let message = format!("column \"{column}\" specified more than once");
                return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
            }
            given.push(position);
        }
        let is_listed = !insert.columns.is_empty();
        if !is_listed {
            given = (0..entry.columns.len()).collect();
        }
        let missing: Vec<usize> = (0..entry.columns.len())
            .filter(|c| !given.contains(c))
            .collect();
        fill_defaults(&entry, &given, &missing, is_listed, &mut insert)?;
        Ok((entry, insert))
    }

    fn target(&self, planner: &Planner, name: &TableName) -> Result<Arc<TableEntry>> {
        Ok(self
            .database
            .catalogs()
            .of(&planner.view.state)?
            .find(name)?
            .clone())
    }

    fn query_of_update(
        &self,
        planner: &Planner,
        update: &ast::Update,
    ) -> Result<(Arc<TableEntry>, ast::Query)> {
        if update.returning.is_some() {
            return Err(SqlError::unsupported("UPDATE … RETURNING"));
        }
        if update.from.is_some() || !update.table.joins.is_empty() {
            return Err(SqlError::unsupported("UPDATE … FROM"));
        }
        let (entry, qualifier) = self.changed_table(planner, &update.table)?;
        let mut values: Vec<Option<ast::Expr>> = vec![None; entry.columns.len()];
        for assignment in &update.assignments {
            let ast::AssignmentTarget::ColumnName(name) = &assignment.target else {
                return Err(SqlError::unsupported(
                    "assigning to several columns at once",
                ));
            };
            let column = entry.require_column(&table_name(name)?.name)?;
            let value = match &assignment.value {
                ast::Expr::Identifier(word)
                    if word.quote_style.is_none() && word.value == "default" =>
                {
                    default_of(&entry, column)?
                }
                value => value.clone(),
            };
            if values[column].replace(value).is_some() {
                let message = format!(
                    "multiple assignments to same column \"{}\"",
                    entry.columns[column].name
                );
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
            }
        }
        let column = |name: &str| {
            ast::Expr::CompoundIdentifier(vec![
                qualifier.clone(),
                ast::Ident::with_quote('"', name),
            ])
        };
        let mut items = vec![named_item(column(ROW_ID), ROW_ID)];
        for (value, c) in values.into_iter().zip(&entry.columns) {
            let value = value.unwrap_or_else(|| column(&c.name));
            items.push(named_item(value, &c.name));
        }
        let query = query_over(items, update.table.clone(), update.selection.clone())?;
        Ok((entry, query))
    }

    fn query_of_delete(
        &self,
        planner: &Planner,
        delete: &ast::Delete,
    ) -> Result<(Arc<TableEntry>, ast::Query)> {
        if delete.returning.is_some() {
            return Err(SqlError::unsupported("DELETE … RETURNING"));
        }
        if delete.using.is_some() {
            return Err(SqlError::unsupported("DELETE … USING"));
        }
        let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) =
            &delete.from;
        let [table] = &tables[..] else {
            return Err(SqlError::unsupported("DELETE from several tables"));
        };
        let (entry, qualifier) = self.changed_table(planner, table)?;
        let row =
            ast::Expr::CompoundIdentifier(vec![qualifier, ast::Ident::with_quote('"', ROW_ID)]);
        let query = query_over(
            vec![named_item(row, ROW_ID)],
            table.clone(),
            delete.selection.clone(),
        )?;
        Ok((entry, query))
    }

    /// The table of an UPDATE or DELETE, and the name that its columns go by.
    fn changed_table(
        &self,
        planner: &Planner,
        table: &ast::TableWithJoins,
    ) -> Result<(Arc<TableEntry>, ast::Ident)> {
        let ast::TableFactor::Table { name, alias, .. } = &table.relation else {
            return Err(SqlError::unsupported("changing anything but a table"));
        };
        let name = table_name(name)?;
        let entry = self.target(planner, &name)?;
        let qualifier = alias
            .as_ref()
            .map_or_else(|| name.name.clone(), |alias| alias.name.value.clone());
        Ok((entry, ast::Ident::with_quote('"', qualifier)))
    }
}

fn row_numbers(column: &ArrayRef) -> Vec<RowId> {
    column
        .as_primitive::<UInt64Type>()
        .values()
        .iter()
        .map(|&row| RowId(row))
        .collect()
}

/// Duplicate keys name the table and its columns.
pub(super) fn named(error: slicedb_storage::Error, entry: &TableEntry) -> SqlError {
    match error {
        slicedb_storage::Error::Duplicate { key, .. } => {
            let columns: Vec<&str> = entry
                .def
                .primary_key()
                .iter()
                .map(|&c| entry.columns[c].name.as_str())
                .collect();
            let message = format!(
                "duplicate key value violates unique constraint \"{}_pkey\"",
                entry.name
            );
            let detail = format!(
                "Key ({})=({}) already exists.",
                columns.join(", "),
                key.join(", ")
            );
            SqlError::new(SqlState::UNIQUE_VIOLATION, message).with_detail(detail)
        }
        other => other.into(),
    }
}

fn refuse_insert(insert: &ast::Insert) -> Result<()> {
    if insert.returning.is_some() {
        return Err(SqlError::unsupported("INSERT … RETURNING"));
    }
    if insert.on.is_some() {
        return Err(SqlError::unsupported("INSERT … ON CONFLICT"));
    }
    Ok(())
}

/// The plan of an INSERT's rows: all columns of the table, in order and of its types.
async fn source_of_insert(
    planner: &Planner,
    mut insert: ast::Insert,
    text: &str,
) -> Result<LogicalPlan> {
    dialect::rewrite_insert(&mut insert)?;
    match planner
        .plan_statement(ast::Statement::Insert(insert), text)
        .await?
    {
        LogicalPlan::Dml(dml) => Ok(Arc::unwrap_or_clone(dml.input)),
        other => Err(SqlError::internal(format!(
            "INSERT was planned as {}",
            other.display()
        ))),
    }
}

/// Puts default expressions in the place of `DEFAULT` and of columns that are not given.
fn fill_defaults(
    entry: &TableEntry,
    given: &[usize],
    missing: &[usize],
    is_listed: bool,
    insert: &mut ast::Insert,
) -> Result<()> {
    let missing: Vec<usize> = missing
        .iter()
        .copied()
        .filter(|&c| entry.columns[c].default.is_some())
        .collect();
    if insert.source.is_none() {
        // INSERT … DEFAULT VALUES
        let row = (0..entry.columns.len())
            .map(|c| default_of(entry, c))
            .collect::<Result<Vec<_>>>()?;
        let items = row
            .into_iter()
            .enumerate()
            .map(|(i, value)| named_item(value, &entry.columns[i].name));
        insert.source = Some(Box::new(select(items.collect())?));
        return Ok(());
    }
    let Some(source) = &mut insert.source else {
        return Ok(());
    };
    if let ast::SetExpr::Values(values) = &mut *source.body {
        let width = values.rows.iter().map(|row| row.len()).max().unwrap_or(0);
        if width > given.len() {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "INSERT has more expressions than target columns",
            ));
        }
        if is_listed && width < given.len() {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "INSERT has more target columns than expressions",
            ));
        }
        let unlisted: Vec<usize> = if is_listed {
            Vec::new()
        } else {
            given[width..].to_vec()
        };
        let names = |columns: &[usize]| -> Vec<ast::ObjectName> {
            let name = |&c: &usize| ast::Ident::with_quote('"', &entry.columns[c].name);
            columns
                .iter()
                .map(|c| ast::ObjectName::from(vec![name(c)]))
                .collect()
        };
        let appended: Vec<usize> = unlisted
            .iter()
            .copied()
            .filter(|&c| entry.columns[c].default.is_some())
            .chain(missing)
            .collect();
        if !is_listed && (width < entry.columns.len() || !appended.is_empty()) {
            insert.columns = names(&given[..width]);
        }
        insert.columns.extend(names(&appended));
        for row in &mut values.rows {
            for (value, &column) in row.content.iter_mut().zip(given) {
                let is_default = matches!(value, ast::Expr::Identifier(word)
                    if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"));
                if is_default {
                    *value = default_of(entry, column)?;
                }
            }
            for &column in &appended {
                row.content.push(default_of(entry, column)?);
            }
        }
        return Ok(());
    }
    if !missing.is_empty() {
        let mut items = vec![ast::SelectItem::Wildcard(
            ast::WildcardAdditionalOptions::default(),
        )];
        for &column in &missing {
            items.push(named_item(
                default_of(entry, column)?,
                &entry.columns[column].name,
            ));
            let name = ast::Ident::with_quote('"', &entry.columns[column].name);
            insert.columns.push(ast::ObjectName::from(vec![name]));
        }
        let inner = std::mem::replace(source, Box::new(select(items)?));
        if let ast::SetExpr::Select(select) = &mut *source.body {
            select.from = vec![ast::TableWithJoins {
                relation: ast::TableFactor::Derived {
                    lateral: false,
                    subquery: inner,
                    alias: Some(alias("source")),
                    sample: None,
                },
                joins: Vec::new(),
            }];
        }
    }
    Ok(())
}

fn alias(name: &str) -> ast::TableAlias {
    ast::TableAlias {
        explicit: true,
        name: ast::Ident::with_quote('"', name),
        columns: Vec::new(),
        at: None,
    }
}

/// The default of a column as an expression; NULL where it has none.
pub(super) fn default_of(entry: &TableEntry, column: usize) -> Result<ast::Expr> {
    match &entry.columns[column].default {
        Some(text) => expression(text),
        None => Ok(ast::Expr::Value(ast::Value::Null.into())),
    }
}

/// An expression out of the catalog.
pub(super) fn expression(text: &str) -> Result<ast::Expr> {
    let parsed = dialect::parse(&format!("SELECT {text}"))?;
    let query = match parsed.into_iter().next().map(|p| p.statement) {
        Some(Statement::Query(query)) => query,
        _ => return Err(SqlError::internal(format!("{text} is no expression"))),
    };
    match *query.body {
        ast::SetExpr::Select(select) => match select.projection.into_iter().next() {
            Some(ast::SelectItem::UnnamedExpr(expr)) => Ok(expr),
            _ => Err(SqlError::internal(format!("{text} is no expression"))),
        },
        _ => Err(SqlError::internal(format!("{text} is no expression"))),
    }
}

fn named_item(expr: ast::Expr, name: &str) -> ast::SelectItem {
    ast::SelectItem::ExprWithAlias {
        expr,
        alias: ast::Ident::with_quote('"', name),
    }
}

/// A table as the source of a query.
pub(super) fn table_factor(name: ast::ObjectName) -> Result<ast::TableWithJoins> {
    let parsed = dialect::parse(&format!("SELECT 1 FROM {name}"))?;
    if let Some(Statement::Query(query)) = parsed.into_iter().next().map(|p| p.statement)
        && let ast::SetExpr::Select(select) = *query.body
        && let Some(table) = select.from.into_iter().next()
    {
        return Ok(table);
    }
    Err(SqlError::internal(format!("{name} is no table")))
}

fn query_over(
    items: Vec<ast::SelectItem>,
    table: ast::TableWithJoins,
    selection: Option<ast::Expr>,
) -> Result<ast::Query> {
    let mut query = select(items)?;
    if let ast::SetExpr::Select(select) = &mut *query.body {
        select.from = vec![table];
        select.selection = selection;
    }
    Ok(query)
}

/// A name of one or two parts.
pub(super) fn table_name(name: &ast::ObjectName) -> Result<TableName> {
    let parts: Vec<&ast::Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    match parts[..] {
        [name] => Ok(TableName {
            schema: None,
            name: name.value.clone(),
            position: 0,
        }),
        [schema, name] | [_, schema, name] => Ok(TableName {
            schema: Some(schema.value.clone()),
            name: name.value.clone(),
            position: 0,
        }),
        _ => Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("improper qualified name: {name}"),
        )),
    }
}
