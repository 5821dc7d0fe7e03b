//! What `psql` asks the catalogs and DataFusion cannot plan, said so that it can.
//!
//! Queries of system tables are changed where the answer stays the same because of what is known of
//! the catalogs: a subquery for each row of a table without rows, a subquery that finds one row by its
//! key, the elements of an array that is never there, `tableoid`. Queries of other tables are not
//! touched.

mod build;
mod correlation;
mod subquery;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinOperator,
    ObjectName, Query, Select, SelectItem, TableAlias, TableFactor, Value, Visit, VisitMut,
    Visitor, VisitorMut,
};

use super::definition::{self, Definition};
use build::{call, null, words};
use subquery::{Exists, Subqueries, aggregate, is_aggregate};

/// Rewrites a query. To be called after the dialect's rules, which give columns their names.
pub fn rewrite_system_query(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Selects);
    let _ = VisitMut::visit(query, &mut Subqueries);
}

struct Selects;

impl VisitorMut for Selects {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(rows) = subscripts(expr) {
            *expr = rows;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        view_of_function(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let tables = system_tables(select);
        if tables.is_empty() {
            return ControlFlow::Continue(());
        }
        if tables
            .iter()
            .any(|table| table.required && is_empty(table.definition))
        {
            select.projection.iter_mut().for_each(forget_subquery);
        }
        let _ = VisitMut::visit(&mut select.projection, &mut Exists);
        let _ = VisitMut::visit(select, &mut TableOids { tables: &tables });
        ControlFlow::Continue(())
    }
}

/// `generate_subscripts(array, 1)`, which is rows.
fn subscripts(expr: &mut Expr) -> Option<Expr> {
    let Expr::Function(function) = expr else {
        return None;
    };
    let FunctionArguments::List(list) = &mut function.args else {
        return None;
    };
    let (["generate_subscripts"], [array, dimension]) =
        (&words(&function.name)[..], &mut list.args[..])
    else {
        return None;
    };
    if dimension.to_string() != "1" {
        return None;
    }
    match array {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(array)) => {
            let array = std::mem::replace(array, Expr::Value(Value::Null.into()));
            Some(call("unnest", vec![call("array_subscripts", vec![array])]))
        }
        _ => None,
    }
}

/// The functions that views are made of: the rows are the same.
const FUNCTIONS: [(&str, &str); 7] = [
    ("pg_available_extensions", "pg_available_extensions"),
    ("pg_cursor", "pg_cursors"),
    ("pg_lock_status", "pg_locks"),
    ("pg_prepared_statement", "pg_prepared_statements"),
    ("pg_prepared_xact", "pg_prepared_xacts"),
    ("pg_show_all_settings", "pg_settings"),
    ("pg_timezone_names", "pg_timezone_names"),
];

/// `FROM pg_timezone_names()` is `FROM pg_timezone_names`.
fn view_of_function(factor: &mut TableFactor) {
    let TableFactor::Table {
        name, alias, args, ..
    } = factor
    else {
        return;
    };
    if args.as_ref().is_none_or(|args| !args.args.is_empty()) {
        return;
    }
    let function = match words(name)[..] {
        [name] | ["pg_catalog", name] => name,
        _ => return,
    };
    let Some((function, view)) = FUNCTIONS.iter().find(|(known, _)| *known == function) else {
        return;
    };
    if alias.is_none() && function != view {
        *alias = Some(TableAlias {
            explicit: true,
            name: Ident::new(*function),
            columns: Vec::new(),
            at: None,
        });
    }
    *name = ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new(*view)]);
    *args = None;
}

/// A system table in a FROM.
struct Table {
    /// What its columns are named with.
    alias: String,
    definition: &'static Definition,
    /// Whether there are rows only where it has some.
    required: bool,
}

fn system_tables(select: &Select) -> Vec<Table> {
    let mut tables = Vec::new();
    for from in &select.from {
        // Rows of what stands further left are kept unless a later join keeps those of its right.
        let required =
            |joins: &[ast::Join]| joins.iter().all(|join| !keeps_right(&join.join_operator));
        tables.extend(system_table(&from.relation, required(&from.joins)));
        for (join, at) in from.joins.iter().zip(1..) {
            let required = required(&from.joins[at..]) && !keeps_left(&join.join_operator);
            tables.extend(system_table(&join.relation, required));
        }
    }
    tables
}

/// Whether a join keeps rows of its left side that find no others.
fn keeps_left(operator: &JoinOperator) -> bool {
    !matches!(
        operator,
        JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
    )
}

/// Whether a join keeps rows of its right side that find no others.
fn keeps_right(operator: &JoinOperator) -> bool {
    !matches!(
        operator,
        JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::CrossJoin(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
    )
}

fn system_table(factor: &TableFactor, required: bool) -> Option<Table> {
    let TableFactor::Table {
        name,
        alias,
        args: None,
        ..
    } = factor
    else {
        return None;
    };
    let (schema, name) = match &words(name)[..] {
        [name] => ("pg_catalog", *name),
        [schema, name] => (*schema, *name),
        _ => return None,
    };
    let definition = definition::find(schema, name)?;
    let alias = alias
        .as_ref()
        .map_or(name, |alias| alias.name.value.as_str())
        .to_owned();
    Some(Table {
        alias,
        definition,
        required,
    })
}

/// Whether a table never has rows.
fn is_empty(definition: &'static Definition) -> bool {
    super::filler(definition).is_none()
        && super::rows::fixed(definition).is_ok_and(|rows| rows.num_rows() == 0)
}

/// A subquery in the result of a query without rows is never run; a null stands as well there. Of an
/// aggregate only the arguments are never computed.
fn forget_subquery(item: &mut SelectItem) {
    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
        && has_subquery(expr)
    {
        match expr {
            Expr::Function(function) if is_aggregate(function).is_some() => {
                if let FunctionArguments::List(list) = &mut function.args {
                    for argument in &mut list.args {
                        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument {
                            *argument = null(DataType::Text);
                        }
                    }
                }
            }
            _ if aggregate(expr).is_some() => {}
            _ => *expr = null(DataType::Text),
        }
    }
}

fn has_subquery(expr: &Expr) -> bool {
    struct Found;
    impl Visitor for Found {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Found).is_break()
}

/// `l.tableoid` is the oid of the table that `l` stands for.
struct TableOids<'a> {
    tables: &'a [Table],
}

impl VisitorMut for TableOids<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [alias, column] = &parts[..]
            && column.value == "tableoid"
            && let Some(table) = self.tables.iter().find(|table| table.alias == alias.value)
        {
            *expr = Expr::Cast {
                kind: ast::CastKind::Cast,
                expr: Box::new(Expr::Value(
                    Value::Number(table.definition.oid.to_string(), false).into(),
                )),
                data_type: DataType::Custom(Ident::new("oid").into(), Vec::new()),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    }
}
