//! What partials are grouped by.
//!
//! What a definition groups by is a key as it is, as long as it is computed from the source's row
//! alone. What takes columns of joined tables is grouped by above the join, so that a changed
//! reference row is no matter of the partials: the keys are then the source's columns that the
//! join and what is above it look at. Of the time they see the slot of [`super::quarters`].

use std::collections::BTreeMap;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::definition::plain;
use super::parts::{covers, refuse, time_argument};
use super::quarters;
use crate::error::{Result, SqlError};
use crate::functions::Width;

/// The keys of partials, as expressions over the source.
pub(super) struct Keys<'a> {
    /// What the partials' table is called in plans.
    table: &'a str,
    source: &'a DFSchema,
    /// Position of the time among the source's columns.
    time: usize,
    pub(super) exprs: Vec<Expr>,
    /// The source's columns that are seen above, with their keys.
    pub(super) columns: BTreeMap<usize, usize>,
    /// The key that is the slot of buckets whose zone is told by a column.
    pub(super) quarter: Option<usize>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(table: &'a str, source: &'a DFSchema, time: usize) -> Self {
        Keys {
            table,
            source,
            time,
            exprs: Vec::new(),
            columns: BTreeMap::new(),
            quarter: None,
        }
    }

    /// The key that is an expression over the source.
    pub(super) fn add(&mut self, expr: Expr) -> usize {
        let expr = expr.unalias();
        match self.exprs.iter().position(|known| *known == expr) {
            Some(known) => known,
            None => {
                self.exprs.push(expr);
                self.exprs.len() - 1
            }
        }
    }

    /// A key as what is above sees it.
    pub(super) fn column(&self, key: usize) -> Expr {
        key_column(self.table, key)
    }

    /// The slot of buckets whose zone is told by a column.
    ///
    /// # Errors
    /// None but those of a bug.
    pub(super) fn quarter(&mut self) -> Result<usize> {
        if let Some(known) = self.quarter {
            return Ok(known);
        }
        let (qualifier, field) = self.source.qualified_field(self.time);
        let time = Expr::Column(Column::from((qualifier, field)));
        let key = self.add(quarters::of(time));
        Ok(*self.quarter.insert(key))
    }

    /// An expression above a join: over keys, and over the source's columns, which become keys.
    ///
    /// # Errors
    /// 0A000 when it takes the time in a way that does not leave whole buckets.
    pub(super) fn above(&mut self, expr: &Expr) -> Result<Expr> {
        let mut refused = None;
        let seen = expr.clone().transform_down(|expr| {
            if let Expr::ScalarFunction(call) = &expr
                && self.is_zoned_bucket(call)
            {
                return match self.zoned_bucket(call) {
                    Ok(call) => Ok(Transformed::new(call, true, TreeNodeRecursion::Jump)),
                    Err(e) => {
                        refused = Some(e);
                        Err(DataFusionError::Plan("refused".into()))
                    }
                };
            }
            if let Expr::Column(column) = &expr
                && let Some(at) = self.source.maybe_index_of_column(column)
            {
                if at == self.time {
                    refused = Some(time_above());
                    return Err(DataFusionError::Plan("refused".into()));
                }
                let key = self.add(expr.clone());
                self.columns.insert(at, key);
            }
            Ok(Transformed::no(expr))
        });
        match refused {
            Some(e) => Err(e),
            None => seen.data().map_err(plain),
        }
    }

    /// Whether a call divides the source's time by what a column tells.
    pub(super) fn is_zoned_bucket(&self, call: &ScalarFunction) -> bool {
        let Some((Expr::Column(time), others)) = time_argument(&call.args) else {
            return false;
        };
        call.name() == "time_bucket"
            && self.source.maybe_index_of_column(time) == Some(self.time)
            && others.iter().any(|arg| !arg.column_refs().is_empty())
    }

    /// The same bucket out of the quarter of an hour.
    fn zoned_bucket(&mut self, call: &ScalarFunction) -> Result<Expr> {
        let [
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(width)), _),
            _,
            zone,
        ] = call.args.as_slice()
        else {
            return Err(refuse("time_bucket with a zone of a joined table takes a constant width, the time and the zone")
                .with_hint("Leave out origin and offset."));
        };
        let width = Width::of(*width).map_err(plain)?;
        if !quarters::divide(width) {
            return Err(refuse(
                "a bucket in the zone of a joined table is as wide as some quarters of an hour",
            ));
        }
        let zone = self.above(zone)?;
        let quarter = self.quarter()?;
        let quarter = quarters::in_zone(self.column(quarter), zone.clone());
        let args = vec![call.args[0].clone(), quarter, zone];
        let func = call.func.clone();
        Ok(Expr::ScalarFunction(ScalarFunction { func, args }))
    }

    /// Whether an expression is over the source alone.
    pub(super) fn covers(&self, expr: &Expr) -> bool {
        covers(self.source, expr)
    }

    /// Whether an expression is a plain column of the source, and which.
    pub(super) fn source_column(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Column(column) => self.source.maybe_index_of_column(column),
            _ => None,
        }
    }

    /// The type of a key.
    pub(super) fn field(&self, key: usize) -> Result<arrow::datatypes::FieldRef> {
        let (_, field) = self.exprs[key].to_field(self.source).map_err(plain)?;
        Ok(field)
    }
}

/// A key as what is above partials sees it.
pub(super) fn key_column(table: &str, key: usize) -> Expr {
    Expr::Column(Column::new(Some(table.to_owned()), key_name(key)))
}

/// The column of a key.
pub(super) fn key_name(key: usize) -> String {
    format!("key{key}")
}

fn time_above() -> SqlError {
    refuse("the time of a row can be joined or grouped with columns of other tables only as a time bucket")
        .with_hint("Use time_bucket(width, the time column[, the zone]) in GROUP BY.")
}
