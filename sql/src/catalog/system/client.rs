//! What `psql` asks the catalogs and DataFusion cannot plan, said so that it can.
//!
//! Only queries of system tables are touched, and only where the answer is known beforehand: what is
//! computed for each row of a table that has no rows, the elements of an array that is never there,
//! and `tableoid`, which is the same for all rows of a table.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, ArrayElemTypeDef, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor, Value, Visit,
    VisitMut, Visitor, VisitorMut,
};

use super::definition::{self, Definition};

/// Rewrites a query. To be called before the dialect's rules, which take `ARRAY(SELECT …)` apart.
pub fn rewrite_system_query(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Selects);
}

struct Selects;

impl VisitorMut for Selects {
    type Break = ();

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
        let _ = VisitMut::visit(&mut select.projection, &mut Elements);
        let _ = VisitMut::visit(select, &mut TableOids { tables: &tables });
        ControlFlow::Continue(())
    }
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

fn words(name: &ObjectName) -> Vec<&str> {
    name.0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.as_str())
        .collect()
}

/// Whether a table never has rows.
fn is_empty(definition: &'static Definition) -> bool {
    super::filler(definition).is_none()
        && super::rows::fixed(definition).is_ok_and(|rows| rows.num_rows() == 0)
}

/// A subquery in the result of a query without rows is never run; a null stands as well there.
fn forget_subquery(item: &mut SelectItem) {
    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
        && has_subquery(expr)
    {
        *expr = null(DataType::Text);
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

fn null(data_type: DataType) -> Expr {
    Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(Expr::Value(Value::Null.into())),
        data_type,
        array: false,
        format: None,
    }
}

/// `ARRAY(SELECT … FROM unnest(c.reloptions) x)`: tables have no such options.
struct Elements;

impl VisitorMut for Elements {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && let FunctionArguments::Subquery(query) = &function.args
            && words(&function.name) == ["array"]
            && let SetExpr::Select(select) = &*query.body
            && let [from] = &select.from[..]
            && from.joins.is_empty()
            && let TableFactor::Table {
                name,
                args: Some(args),
                ..
            } = &from.relation
            && words(name).last() == Some(&"unnest")
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::CompoundIdentifier(column)))] =
                &args.args[..]
            && column
                .last()
                .is_some_and(|column| column.value == "reloptions")
        {
            let text = DataType::Text;
            *expr = null(DataType::Array(ArrayElemTypeDef::SquareBracket(
                Box::new(text),
                None,
            )));
        }
        ControlFlow::Continue(())
    }
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
