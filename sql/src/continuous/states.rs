//! Aggregates that the states of others tell: an average from a sum and a count, one kind of variance
//! from another, a count from an average.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::functions::core::expr_fn::{coalesce, nullif};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, lit};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::Definition;
use super::below::lowered;
use super::definition::KeptAggregate;

/// Functions whose states are the same.
const FAMILIES: [&[&str]; 3] = [
    SPREADS,
    &["covar_samp", "covar_pop"],
    &[
        "regr_slope",
        "regr_intercept",
        "regr_count",
        "regr_r2",
        "regr_avgx",
        "regr_avgy",
        "regr_sxx",
        "regr_syy",
        "regr_sxy",
    ],
];
/// Their first state is the count of values.
const SPREADS: &[&str] = &["var", "var_pop", "stddev", "stddev_pop"];

/// A function and the columns, or what is computed of columns, that are its states.
pub(super) struct Told {
    /// Names it within all aggregates.
    pub(super) name: String,
    pub(super) function: Arc<AggregateFunctionExpr>,
    pub(super) states: Vec<Expr>,
}

impl Told {
    /// What is kept for the `n`th aggregate, in a table of this name.
    pub(super) fn kept(table: &str, n: usize, kept: &KeptAggregate) -> Told {
        let states = kept.states.iter();
        let states = states.map(|field| Expr::Column(Column::new(Some(table), field.name())));
        Told {
            name: format!("merge {table}.{n}"),
            function: kept.function.clone(),
            states: states.collect(),
        }
    }
}

/// Finds the states of calls over the source, with columns named by themselves.
pub(super) struct States<'a> {
    definition: &'a Definition,
    /// What the definition reads.
    rows: DFSchema,
}

impl<'a> States<'a> {
    /// # Errors
    /// None but those of a bug.
    pub(super) fn of(definition: &'a Definition) -> Result<Self> {
        let rows = DFSchema::try_from(definition.input.as_ref().clone())?;
        Ok(States { definition, rows })
    }

    /// The function of a call with its states, if they are kept.
    ///
    /// # Errors
    /// None but those of a bug.
    pub(super) fn told(&self, call: &AggregateFunction) -> Result<Option<Told>> {
        let table = &self.definition.shape.table;
        let expr = Expr::AggregateFunction(call.clone());
        let aggregates = &self.definition.shape.aggregates;
        if let Some(n) = aggregates.iter().position(|kept| *kept == expr) {
            let kept = &self.definition.aggregates[n];
            return Ok(Some(Told::kept(table, n, kept)));
        }
        let params = &call.params;
        if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() {
            return Ok(None);
        }
        let Some(states) = self.told_by_others(call)? else {
            return Ok(None);
        };
        let mut bare = call.clone();
        // What is counted is settled in the states.
        bare.params.filter = None;
        if call.func.name() == "count" {
            bare.params.args = vec![lit(1_i64)];
        }
        let bare = Expr::AggregateFunction(bare);
        let lowered = lowered("answer", &bare, &self.rows, &self.definition.input)?;
        let function = lowered.aggregate;
        let fields = function.state_fields()?;
        let states = states.into_iter().zip(&fields);
        let states = states.map(|(state, field)| cast(state, field.data_type().clone()));
        Ok(Some(Told {
            name: format!("merge {table}.{}", expr.schema_name()),
            function,
            states: states.collect(),
        }))
    }

    fn told_by_others(&self, call: &AggregateFunction) -> Result<Option<Vec<Expr>>> {
        let name = call.func.name();
        Ok(match name {
            "avg" => match (self.count(call), self.sum(call)?) {
                // Of no values it keeps no count.
                (Some(count), Some(sum)) => {
                    let count = cast(count, DataType::UInt64);
                    Some(vec![nullif(count, lit(0_u64)), sum])
                }
                _ => None,
            },
            "count" => {
                let count = self.count(call).map(|count| cast(count, DataType::Int64));
                count.map(|count| vec![coalesce(vec![count, lit(0_i64)])])
            }
            "sum" => {
                let other = self.kept(call, |kept| kept.func.name() == "avg");
                let is_same = |n: &usize| self.args_of(*n) == Some(&call.params.args[..]);
                other.filter(is_same).map(|n| vec![self.state(n, 1)])
            }
            _ => {
                let family = FAMILIES.iter().find(|family| family.contains(&name));
                family.and_then(|family| {
                    let other = self.kept(call, |kept| {
                        family.contains(&kept.func.name()) && kept.params.args == call.params.args
                    })?;
                    let states = self.definition.aggregates[other].states.len();
                    Some((0..states).map(|s| self.state(other, s)).collect())
                })
            }
        })
    }

    /// How many values a call is of.
    fn count(&self, call: &AggregateFunction) -> Option<Expr> {
        let [value] = &call.params.args[..] else {
            return None;
        };
        let value = self.bare(value);
        let is_of_all = self.is_never_null(value);
        let other = self.kept(call, |kept| {
            let [other] = &kept.params.args[..] else {
                return false;
            };
            let other = self.bare(other);
            let is_same = other == value || (is_of_all && self.is_never_null(other));
            let name = kept.func.name();
            is_same && (matches!(name, "count" | "avg") || SPREADS.contains(&name))
        })?;
        Some(self.state(other, 0))
    }

    /// The sum of the values that a call is of.
    fn sum(&self, call: &AggregateFunction) -> Result<Option<Expr>> {
        let [value] = &call.params.args[..] else {
            return Ok(None);
        };
        let value = self.bare(value);
        let other = self.kept(call, |kept| {
            kept.func.name() == "sum"
                && matches!(&kept.params.args[..], [other] if self.bare(other) == value)
        });
        Ok(other.map(|n| self.state(n, 0)))
    }

    /// The first aggregate that counts the same rows as a call and is wanted.
    fn kept(
        &self,
        call: &AggregateFunction,
        is_wanted: impl Fn(&AggregateFunction) -> bool,
    ) -> Option<usize> {
        let mut aggregates = self.definition.shape.aggregates.iter();
        aggregates.position(|kept| match kept {
            Expr::AggregateFunction(kept) => {
                let params = &kept.params;
                params.filter == call.params.filter
                    && !params.distinct
                    && params.order_by.is_empty()
                    && params.null_treatment.is_none()
                    && is_wanted(kept)
            }
            _ => false,
        })
    }

    fn args_of(&self, n: usize) -> Option<&[Expr]> {
        match self.definition.shape.aggregates.get(n)? {
            Expr::AggregateFunction(kept) => Some(&kept.params.args),
            _ => None,
        }
    }

    /// A value without the casts of whole numbers, which each function wants its own of.
    fn bare<'e>(&self, mut value: &'e Expr) -> &'e Expr {
        while let Expr::Cast(Cast { expr, .. }) = value {
            let from = expr.get_type(&self.rows);
            if !from.is_ok_and(|from| from.is_integer()) {
                break;
            }
            value = expr;
        }
        value
    }

    fn is_never_null(&self, value: &Expr) -> bool {
        match value {
            Expr::Literal(value, _) => !value.is_null(),
            Expr::Column(column) => {
                let schema = &self.definition.source.def.schema;
                let field = schema.field_with_name(column.name());
                field.is_ok_and(|field| !field.is_nullable())
            }
            _ => false,
        }
    }

    fn state(&self, n: usize, s: usize) -> Expr {
        let field = &self.definition.aggregates[n].states[s];
        let table = &*self.definition.shape.table;
        Expr::Column(Column::new(Some(table), field.name()))
    }
}

fn cast(expr: Expr, to: DataType) -> Expr {
    datafusion::logical_expr::cast(expr, to)
}
