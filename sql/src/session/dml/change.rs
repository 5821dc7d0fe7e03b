//! UPDATE and DELETE as queries for the numbers of the rows they change.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use slicedb_storage::scan::ROW_ID;

use super::super::assign;
use super::tree::{column_of, default_of, is_default, named_item, query_over, quoted, table_name};
use crate::catalog::{Catalog, TableEntry};
use crate::error::{Result, SqlError, SqlState};

/// What an UPDATE or DELETE does, as a query.
pub(super) struct Change {
    pub(super) entry: Arc<TableEntry>,
    /// The name that the table's columns go by.
    pub(super) qualifier: ast::Ident,
    /// Its rows are the number of a row and, where they are wanted, all columns.
    pub(super) query: ast::Query,
    /// The columns are those of a new row in the place of the old one.
    pub(super) is_update: bool,
    /// A row may be found several times; the first counts.
    pub(super) is_joined: bool,
    /// New rows may have keys that other rows had.
    pub(super) moves_keys: bool,
    pub(super) returning: Option<Vec<ast::SelectItem>>,
}

/// An UPDATE as a query.
pub(super) fn of_update(catalog: &Catalog, update: &ast::Update) -> Result<Change> {
    if !update.table.joins.is_empty() {
        return Err(SqlError::unsupported("UPDATE of a join"));
    }
    let (entry, qualifier) = changed_table(catalog, &update.table)?;
    let values = assigned(&entry, &update.assignments)?;
    let mut items = vec![named_item(column_of(&qualifier, ROW_ID), ROW_ID)];
    let keys = entry.def.primary_key();
    let moves_keys = keys.iter().any(|&key| values[key].is_some());
    for (number, (value, column)) in values.into_iter().zip(&entry.columns).enumerate() {
        let value = match value {
            Some(value) => assign::to_column(number, value),
            None => column_of(&qualifier, &column.name),
        };
        items.push(named_item(value, &column.name));
    }
    let mut from = vec![update.table.clone()];
    if let Some(
        ast::UpdateTableFromKind::AfterSet(tables) | ast::UpdateTableFromKind::BeforeSet(tables),
    ) = &update.from
    {
        from.extend(tables.iter().cloned());
    }
    let is_joined = from.len() > 1;
    Ok(Change {
        query: query_over(items, from, update.selection.clone())?,
        entry,
        qualifier,
        is_update: true,
        is_joined,
        moves_keys,
        returning: update.returning.clone(),
    })
}

/// A DELETE as a query.
pub(super) fn of_delete(catalog: &Catalog, delete: &ast::Delete) -> Result<Change> {
    let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) =
        &delete.from;
    let [table] = &tables[..] else {
        return Err(SqlError::unsupported("DELETE from several tables"));
    };
    let (entry, qualifier) = changed_table(catalog, table)?;
    let mut items = vec![named_item(column_of(&qualifier, ROW_ID), ROW_ID)];
    if delete.returning.is_some() {
        let columns = entry.columns.iter();
        items.extend(columns.map(|c| named_item(column_of(&qualifier, &c.name), &c.name)));
    }
    let mut from = vec![table.clone()];
    from.extend(delete.using.iter().flatten().cloned());
    let is_joined = from.len() > 1;
    Ok(Change {
        query: query_over(items, from, delete.selection.clone())?,
        entry,
        qualifier,
        is_update: false,
        is_joined,
        moves_keys: false,
        returning: delete.returning.clone(),
    })
}

/// For each column of a table what is assigned to it.
pub(super) fn assigned(
    entry: &TableEntry,
    assignments: &[ast::Assignment],
) -> Result<Vec<Option<ast::Expr>>> {
    let mut values: Vec<Option<ast::Expr>> = vec![None; entry.columns.len()];
    let mut put = |name: &ast::ObjectName, value: &ast::Expr| {
        let column = entry.require_column(&table_name(name)?.name)?;
        let value = match is_default(value) {
            true => default_of(entry, column)?,
            false => value.clone(),
        };
        if values[column].replace(value).is_some() {
            let name = &entry.columns[column].name;
            let message = format!("multiple assignments to same column \"{name}\"");
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        Ok(())
    };
    for assignment in assignments {
        match &assignment.target {
            ast::AssignmentTarget::ColumnName(name) => put(name, &assignment.value)?,
            ast::AssignmentTarget::Tuple(names) => {
                let row = match &assignment.value {
                    ast::Expr::Tuple(row) => &row[..],
                    ast::Expr::Nested(one) => std::slice::from_ref(&**one),
                    _ => {
                        return Err(SqlError::unsupported(
                            "assigning a subquery to several columns",
                        ));
                    }
                };
                if row.len() != names.len() {
                    let message = "number of columns does not match number of values";
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
                }
                for (name, value) in names.iter().zip(row) {
                    put(name, value)?;
                }
            }
        }
    }
    Ok(values)
}

/// The table of an UPDATE or DELETE, and the name that its columns go by.
fn changed_table(
    catalog: &Catalog,
    table: &ast::TableWithJoins,
) -> Result<(Arc<TableEntry>, ast::Ident)> {
    let ast::TableFactor::Table { name, alias, .. } = &table.relation else {
        return Err(SqlError::unsupported("changing anything but a table"));
    };
    let name = table_name(name)?;
    let entry = catalog.find(&name)?.clone();
    let qualifier = match alias {
        Some(alias) => alias.name.value.clone(),
        None => name.name,
    };
    Ok((entry, quoted(qualifier)))
}
