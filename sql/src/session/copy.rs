//! COPY between the client and a table.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use datafusion::sql::sqlparser::ast;
use slicedb_storage::Transaction;

use super::dml::default_of;
use super::outcome::Interrupt;
use super::query::select;
use super::write::conform;
use super::{CopyOut, Outcome, OutputColumn, RowsTag, Session};
use crate::catalog::{Catalog, PUBLIC, RelationKind, TableEntry};
use crate::dialect::{Copy, CopyDirection, CopyOptions, CopySource, ForceColumns, TableName};
use crate::error::{Result, SqlError, SqlState};
use crate::types::FormatSettings;

/// A COPY FROM STDIN under way. Dropped, it leaves nothing.
pub struct CopyIn {
    /// How the bytes look.
    pub options: CopyOptions,
    /// The columns that come, in order.
    pub columns: Vec<OutputColumn>,
    /// Name of the table, for messages.
    pub table: String,
    entry: Arc<TableEntry>,
    /// For each column of the table where it comes from.
    sources: Vec<Source>,
    writes: Transaction,
    settings: FormatSettings,
    rows: u64,
    interrupt: Option<Interrupt>,
}

enum Source {
    /// This column of the stream.
    Stream(usize),
    /// The column's default: an array of one row.
    Default(ArrayRef),
}

impl CopyIn {
    /// What ends the statement while its rows are awaited: a cancel, or the end of its time.
    pub fn take_interrupt(&mut self) -> Interrupt {
        let none = || -> Interrupt { Box::pin(std::future::pending()) };
        self.interrupt.take().unwrap_or_else(none)
    }

    /// Adds rows, of `columns`. May wait for the disk.
    pub fn append(&mut self, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let mut columns = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            columns.push(match source {
                Source::Stream(column) => batch.column(*column).clone(),
                Source::Default(value) => take(value, &UInt32Array::from(vec![0; rows]), None)
                    .map_err(|e| SqlError::internal(e.to_string()))?,
            });
        }
        let batch = conform(&self.entry, columns, rows, &self.settings)
            .map_err(|e| e.in_context(format!("COPY {}", self.table)))?;
        self.rows += rows as u64;
        self.writes
            .append(self.entry.def.id, batch)
            .map_err(|e| super::dml::named(e, &self.entry))
    }

    /// Ends the COPY: its rows are part of the session's transaction, or durable when there is
    /// none. Answers the tag.
    pub async fn finish(self, session: &mut Session) -> Result<String> {
        let rows = self.rows;
        session.finish_write(self.writes).await?;
        Ok(format!("COPY {rows}"))
    }
}

impl Session {
    pub(super) async fn copy(
        &mut self,
        copy: &Copy,
        text: &str,
        mut interrupt: Interrupt,
    ) -> Result<Outcome> {
        let view = self.view()?;
        let catalog = self.database.catalogs().of(&view.state)?;
        match (&copy.direction, &copy.source) {
            (CopyDirection::In, CopySource::Table { name, columns }) => {
                let found = catalog.find(name);
                let entry = found.map_err(|e| refused(&catalog, name, "to", e))?.clone();
                self.copy_in(copy, entry, columns, interrupt).await
            }
            (CopyDirection::In, CopySource::Query(_)) => Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "cannot copy from STDIN into a query",
            )),
            (CopyDirection::Out, source) => {
                let query = match source {
                    CopySource::Query(query) => (**query).clone(),
                    CopySource::Table { name, columns } => {
                        let found = catalog.find(name);
                        let entry = found.map_err(|e| refused(&catalog, name, "from", e))?;
                        let chosen = chosen(entry, columns)?;
                        check_forced(entry, &chosen, &copy.options)?;
                        table_query(name, entry, &chosen)?
                    }
                };
                let rows = self
                    .rows_of(
                        &query,
                        text,
                        Vec::new(),
                        RowsTag::Copy,
                        None,
                        &mut interrupt,
                    )
                    .await?;
                Ok(Outcome::CopyOut(CopyOut {
                    options: copy.options.clone(),
                    rows: rows(interrupt),
                }))
            }
        }
    }

    async fn copy_in(
        &mut self,
        copy: &Copy,
        entry: Arc<TableEntry>,
        columns: &[String],
        interrupt: Interrupt,
    ) -> Result<Outcome> {
        let chosen = chosen(&entry, columns)?;
        check_forced(&entry, &chosen, &copy.options)?;
        let mut sources = Vec::with_capacity(entry.columns.len());
        for column in 0..entry.columns.len() {
            sources.push(match chosen.iter().position(|&c| c == column) {
                Some(position) => Source::Stream(position),
                None => {
                    let default = default_of(&entry, column)?;
                    Source::Default(self.constant(&default, &entry.columns[column].ty).await?)
                }
            });
        }
        let writes = self.start_write("COPY FROM")?;
        Ok(Outcome::CopyIn(CopyIn {
            options: copy.options.clone(),
            columns: chosen.iter().map(|&c| table_column(&entry, c)).collect(),
            table: entry.name.clone(),
            sources,
            writes,
            settings: self.format_settings(),
            rows: 0,
            interrupt: Some(interrupt),
            entry,
        }))
    }
}

/// Why a relation cannot be copied, `to` or `from` it.
fn refused(catalog: &Catalog, name: &TableName, way: &str, error: SqlError) -> SqlError {
    let schema = name.schema.as_deref().unwrap_or(PUBLIC);
    let kind = match catalog.relation(schema, &name.name).map(|found| found.kind) {
        Some(RelationKind::MaterializedView) => "materialized view",
        Some(RelationKind::View) => "view",
        Some(RelationKind::Table) | None => return without_position(error),
    };
    let message = format!("cannot copy {way} {kind} \"{}\"", name.name);
    let refused = SqlError::new(SqlState::WRONG_OBJECT_TYPE, message);
    match way {
        "from" => refused.with_hint("Try the COPY (SELECT ...) TO variant."),
        _ => refused,
    }
}

/// PostgreSQL gives no position in utility statements.
fn without_position(error: SqlError) -> SqlError {
    SqlError {
        position: None,
        ..error
    }
}

/// A column of a table as a column of a result.
fn table_column(entry: &TableEntry, column: usize) -> OutputColumn {
    let field = entry.def.schema.fields()[column].clone();
    OutputColumn {
        table_oid: entry.oid,
        column_number: column as i16 + 1,
        ..OutputColumn::new(field)
    }
}

/// Positions of the listed columns; of all without a list.
fn chosen(entry: &TableEntry, columns: &[String]) -> Result<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..entry.columns.len()).collect());
    }
    let mut chosen = Vec::with_capacity(columns.len());
    for name in columns {
        let position = entry.require_column(name)?;
        if chosen.contains(&position) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        chosen.push(position);
    }
    Ok(chosen)
}

fn check_forced(entry: &TableEntry, chosen: &[usize], options: &CopyOptions) -> Result<()> {
    let lists = [
        ("FORCE_QUOTE", &options.force_quote),
        ("FORCE_NOT_NULL", &options.force_not_null),
        ("FORCE_NULL", &options.force_null),
    ];
    for (option, list) in lists {
        let ForceColumns::Columns(names) = list else {
            continue;
        };
        for name in names {
            if !chosen.contains(&entry.require_column(name)?) {
                let message = format!("{option} column \"{name}\" not referenced by COPY");
                return Err(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message));
            }
        }
    }
    Ok(())
}

fn table_query(name: &TableName, entry: &TableEntry, chosen: &[usize]) -> Result<ast::Query> {
    let quoted = |name: &str| ast::Ident::with_quote('"', name);
    let column = |&c: &usize| {
        ast::SelectItem::UnnamedExpr(ast::Expr::Identifier(quoted(&entry.columns[c].name)))
    };
    let mut query = select(chosen.iter().map(column).collect())?;
    let parts = name
        .schema
        .iter()
        .map(|schema| quoted(schema))
        .chain([quoted(&name.name)]);
    let from = super::dml::table_factor(ast::ObjectName::from(parts.collect::<Vec<_>>()))?;
    if let ast::SetExpr::Select(select) = &mut *query.body {
        select.from = vec![from];
    }
    Ok(query)
}
