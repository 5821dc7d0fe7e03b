//! Functions over summaries whose names mean something else too.
//!
//! `sum`, `stddev` and `corr` of a summary ask it; of anything else they are aggregates. DataFusion
//! asks for a function before it knows the types of its arguments, so that a call is settled here:
//! by how the argument is written, or, where that is a column, by its name after a first plan has
//! failed ([`ask_columns`]). `topn` makes rows: it is the `unnest` of an array. And
//! `FROM unnest(vector)` is a table of the times and values of its points.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArguments, Ident, Query, Select, SelectItem, SetExpr, TableAlias,
    TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};

use super::build::{arguments, call, derived, empty_query, empty_select, take};

/// Functions that ask a summary and are aggregates too.
const SHARED: [&str; 3] = ["sum", "stddev", "corr"];

/// Functions that answer a summary.
pub(crate) const MAKERS: [&str; 19] = [
    "approx_count_distinct",
    "candlestick",
    "candlestick_agg",
    "counter_agg",
    "freq_agg",
    "gauge_agg",
    "hyperloglog",
    "lttb",
    "max_n",
    "max_n_by",
    "mcv_agg",
    "min_n",
    "min_n_by",
    "percentile_agg",
    "rollup",
    "stats_agg",
    "tdigest",
    "time_weight",
    "uddsketch",
];

/// Settles what can be told from how a query is written.
pub(super) fn settle<T: VisitMut>(tree: &mut T) {
    let _ = tree.visit(&mut Settle);
}

/// Whether a query calls a function that may ask a column.
pub(crate) fn may_ask_columns<T: Visit>(tree: &T) -> bool {
    tree.visit(&mut MayAsk).is_break()
}

/// Settles calls of columns that are summaries: of these names, or named so by a query within.
/// Answers whether there are any.
pub(crate) fn ask_columns<T: Visit + VisitMut>(tree: &mut T, mut names: HashSet<String>) -> bool {
    // A name may be given on from query to query.
    loop {
        let before = names.len();
        let _ = Visit::visit(&*tree, &mut Named(&mut names));
        if names.len() == before {
            break;
        }
    }
    let mut ask = Ask {
        names: &names,
        found: false,
    };
    let _ = VisitMut::visit(tree, &mut ask);
    ask.found
}

fn name_of(function: &Function) -> Option<&str> {
    let [name] = &function.name.0[..] else {
        return None;
    };
    name.as_ident().map(|ident| ident.value.as_str())
}

fn is_shared(function: &Function) -> bool {
    function.over.is_none() && name_of(function).is_some_and(|name| SHARED.contains(&name))
}

fn first_argument(function: &Function) -> Option<&Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    match list.args.first()? {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// Whether an expression is a summary by how it is written.
fn is_summary(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_summary(inner),
        Expr::Function(function) => name_of(function).is_some_and(|name| MAKERS.contains(&name)),
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match &select.projection[..] {
                [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => {
                    is_summary(expr)
                }
                _ => false,
            },
            _ => false,
        },
        _ => false,
    }
}

/// The name of a column.
fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Nested(inner) => column(inner),
        Expr::Identifier(ident) => Some(&ident.value),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.as_str()),
        _ => None,
    }
}

/// Calls the function over summaries.
fn ask(function: &mut Function) {
    if let Some(name) = name_of(function).map(|name| format!("summary_{name}")) {
        function.name = Ident::new(name).into();
    }
}

struct Settle;

impl VisitorMut for Settle {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            if is_shared(function) && first_argument(function).is_some_and(is_summary) {
                ask(function);
            } else if name_of(function) == Some("topn") && function.over.is_none() {
                let args = arguments(function).map(take).collect();
                *expr = call("unnest", vec![call("topn_array", args)]);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::UNNEST {
            alias, array_exprs, ..
        } = table
            && let [vector] = &mut array_exprs[..]
            && is_summary(vector)
        {
            *table = points(take(vector), alias.take());
        }
        ControlFlow::Continue(())
    }
}

/// The table of the points of a vector.
fn points(vector: Expr, alias: Option<TableAlias>) -> TableFactor {
    let item = |expr, name: &str| SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', name),
    };
    let query = |select: Select| {
        Box::new(Query {
            body: Box::new(SetExpr::Select(Box::new(select))),
            ..empty_query()
        })
    };
    let inner = query(Select {
        projection: vec![item(vector, "vector")],
        ..empty_select()
    });
    let each = |function: &str| {
        let column = Expr::Identifier(Ident::with_quote('"', "vector"));
        call("unnest", vec![call(function, vec![column])])
    };
    let outer = query(Select {
        projection: vec![
            item(each("timevector_times"), "time"),
            item(each("timevector_values"), "value"),
        ],
        from: vec![derived(inner, "vectors", Vec::new())],
        ..empty_select()
    });
    TableFactor::Derived {
        lateral: false,
        subquery: outer,
        alias: Some(alias.unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::new("unnest"),
            columns: Vec::new(),
            at: None,
        })),
        sample: None,
    }
}

struct MayAsk;

impl Visitor for MayAsk {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function)
                if is_shared(function) && first_argument(function).and_then(column).is_some() =>
            {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Gathers the names that queries give to summaries.
struct Named<'a>(&'a mut HashSet<String>);

impl Visitor for Named<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { expr, alias } = item
                && (is_summary(expr) || column(expr).is_some_and(|name| self.0.contains(name)))
            {
                self.0.insert(alias.value.clone());
            }
        }
        ControlFlow::Continue(())
    }
}

struct Ask<'a> {
    names: &'a HashSet<String>,
    found: bool,
}

impl VisitorMut for Ask<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && is_shared(function)
            && let Some(name) = first_argument(function).and_then(column)
            && self.names.contains(name)
        {
            ask(function);
            self.found = true;
        }
        ControlFlow::Continue(())
    }
}
