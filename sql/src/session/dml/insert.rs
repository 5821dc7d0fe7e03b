//! The rows of an INSERT: a plan of all columns of the table, in order and of their types.
//!
//! Values of `VALUES` are each assigned to their column, as PostgreSQL does, so that rows of one list
//! may differ in type; the columns of a `SELECT` are. What is not given has its default, computed for
//! each row.

use std::sync::Arc;

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF};
use datafusion::sql::sqlparser::ast::{self, SetExpr};

use super::super::assign;
use super::super::planner::Planner;
use super::super::query::select;
use super::tree::{default_of, is_default, named_item, table_name, values};
use crate::catalog::TableEntry;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;

/// The source of an INSERT, in words that can be planned.
pub(super) struct Source {
    pub(super) query: ast::Query,
    /// The columns of the table that the query's columns are for, in order.
    columns: Vec<usize>,
    /// The statement lists its columns, so that the query must give them all.
    is_listed: bool,
    /// The query's columns have been assigned.
    is_assigned: bool,
}

/// The source of an INSERT into a table.
pub(super) fn source(entry: &TableEntry, insert: &ast::Insert) -> Result<Source> {
    let is_listed = !insert.columns.is_empty();
    let columns = match is_listed {
        true => listed(entry, &insert.columns)?,
        false => (0..entry.columns.len()).collect(),
    };
    let Some(query) = &insert.source else {
        // INSERT … DEFAULT VALUES
        let assigned = |c| Ok(assign::to_column(c, default_of(entry, c)?));
        let row = (0..entry.columns.len()).map(assigned);
        return Ok(Source {
            query: values(row.collect::<Result<_>>()?)?,
            columns,
            is_listed,
            is_assigned: true,
        });
    };
    let mut query = (**query).clone();
    let is_cut = query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some();
    let mut is_assigned = false;
    match &mut *query.body {
        SetExpr::Values(rows) if !is_cut => {
            assign_rows(
                entry,
                &columns,
                is_listed,
                &mut rows.rows.iter_mut().map(|row| &mut row.content),
            )?;
            is_assigned = true;
        }
        SetExpr::Select(select) => assign_untyped(&columns, &mut select.projection),
        _ => {}
    }
    Ok(Source {
        query,
        columns,
        is_listed,
        is_assigned,
    })
}

fn listed(entry: &TableEntry, names: &[ast::ObjectName]) -> Result<Vec<usize>> {
    let mut columns: Vec<usize> = Vec::with_capacity(names.len());
    for name in names {
        let name = table_name(name)?.name;
        let column = entry.require_column(&name)?;
        if columns.contains(&column) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Assigns each value of a VALUES list.
fn assign_rows(
    entry: &TableEntry,
    columns: &[usize],
    is_listed: bool,
    rows: &mut dyn Iterator<Item = &mut Vec<ast::Expr>>,
) -> Result<()> {
    let mut width = None;
    for row in rows {
        if *width.get_or_insert(row.len()) != row.len() {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                "VALUES lists must all be the same length",
            ));
        }
        check_width(row.len(), columns.len(), is_listed)?;
        for (value, &column) in row.iter_mut().zip(columns) {
            let given = match is_default(value) {
                true => default_of(entry, column)?,
                false => std::mem::replace(value, ast::Expr::Value(ast::Value::Null.into())),
            };
            *value = assign::to_column(column, given);
        }
    }
    Ok(())
}

/// Assigns what has no type of its own in a select list: strings and parameters, as far as their
/// places are known.
fn assign_untyped(columns: &[usize], items: &mut [ast::SelectItem]) {
    for (item, &column) in items.iter_mut().zip(columns) {
        let (ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. }) =
            item
        else {
            return;
        };
        if let ast::Expr::Value(value) = expr
            && !matches!(value.value, ast::Value::Number(..) | ast::Value::Boolean(_))
        {
            let value = std::mem::replace(expr, ast::Expr::Value(ast::Value::Null.into()));
            *expr = assign::to_column(column, value);
        }
    }
}

fn check_width(width: usize, columns: usize, is_listed: bool) -> Result<()> {
    let message = if width > columns {
        "INSERT has more expressions than target columns"
    } else if is_listed && width < columns {
        "INSERT has more target columns than expressions"
    } else {
        return Ok(());
    };
    Err(SqlError::new(SqlState::SYNTAX_ERROR, message))
}

impl Source {
    /// The plan of the rows. The planner has the functions of the table's columns.
    pub(super) async fn plan(
        self,
        planner: &Planner,
        entry: &TableEntry,
        functions: &[Arc<ScalarUDF>],
        text: &str,
    ) -> Result<LogicalPlan> {
        let given = planner.plan_query(self.query, text)?.plan;
        let width = given.schema().fields().len();
        check_width(width, self.columns.len(), self.is_listed)?;
        let supplied = &self.columns[..width];
        let missing = |column: &usize| !supplied.contains(column);
        let defaults =
            defaults_of(planner, entry, (0..entry.columns.len()).filter(missing)).await?;
        let mut defaults = defaults.into_iter();
        let mut items = Vec::with_capacity(entry.columns.len());
        for (number, column) in entry.columns.iter().enumerate() {
            let value = match supplied.iter().position(|&c| c == number) {
                Some(place) => {
                    let value = Column::from(given.schema().qualified_field(place));
                    match self.is_assigned {
                        true => Expr::Column(value),
                        false => functions[number].call(vec![Expr::Column(value)]),
                    }
                }
                None if column.default.is_some() => defaults
                    .next()
                    .ok_or_else(|| SqlError::internal("a default is missing"))?,
                None => functions[number].call(vec![Expr::Literal(ScalarValue::Null, None)]),
            };
            items.push(value.alias(&column.name));
        }
        LogicalPlanBuilder::from(given)
            .project(items)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|e| from_datafusion(e, text))
    }
}

/// The defaults of those columns that have one, assigned to them.
async fn defaults_of(
    planner: &Planner,
    entry: &TableEntry,
    columns: impl Iterator<Item = usize>,
) -> Result<Vec<Expr>> {
    let mut items = Vec::new();
    for column in columns.filter(|&c| entry.columns[c].default.is_some()) {
        let value = assign::to_column(column, default_of(entry, column)?);
        items.push(named_item(value, &entry.columns[column].name));
    }
    if items.is_empty() {
        return Ok(Vec::new());
    }
    match planner.plan_query(select(items)?, "")?.plan {
        LogicalPlan::Projection(projection) => {
            Ok(projection.expr.into_iter().map(Expr::unalias).collect())
        }
        other => Err(SqlError::internal(format!(
            "defaults were planned as {}",
            other.display()
        ))),
    }
}
