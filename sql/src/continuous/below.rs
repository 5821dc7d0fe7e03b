//! The half of a definition that is over the source's rows: its expressions, compiled.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::physical_expr::aggregate::{LoweredAggregate, LoweredAggregateBuilder};
use datafusion::physical_expr::planner::create_physical_expr;
use datafusion::physical_plan::PhysicalExpr;

use super::definition::{KeptAggregate, plain};
use super::parts::{Source, refuse};
use crate::error::Result;

/// What compiles expressions over the columns of the source that are read.
pub(super) struct Below {
    /// Positions of the source's columns that are read.
    pub(super) reads: Vec<usize>,
    /// These columns.
    pub(super) input: SchemaRef,
    /// The same as the expressions name them.
    schema: DFSchema,
    props: ExecutionProps,
}

impl Below {
    /// For these expressions, the source's filters and its time.
    pub(super) fn new<'e>(
        source: &Source<'_>,
        time: usize,
        exprs: impl Iterator<Item = &'e Expr>,
    ) -> Result<Self> {
        let mut reads = BTreeSet::from([time]);
        for column in exprs.flat_map(Expr::column_refs) {
            reads.extend(source.schema.maybe_index_of_column(column));
        }
        // Filters below an alias name the table by itself.
        for column in source
            .filters
            .iter()
            .flat_map(|filter| filter.column_refs())
        {
            reads.extend(source.entry.column(column.name()));
        }
        let reads: Vec<usize> = reads.into_iter().collect();
        let fields = reads.iter().map(|&at| {
            let (qualifier, field) = source.schema.qualified_field(at);
            (qualifier.cloned(), field.clone())
        });
        let metadata = source.schema.metadata().clone();
        let schema = DFSchema::new_with_metadata(fields.collect(), metadata).map_err(plain)?;
        Ok(Below {
            reads,
            input: Arc::new(schema.as_arrow().clone()),
            schema,
            props: ExecutionProps::new(),
        })
    }

    /// Where a column of the source stands among those that are read.
    pub(super) fn position(&self, column: usize) -> usize {
        let at = self.reads.iter().position(|&at| at == column);
        at.unwrap_or_default()
    }

    /// An expression.
    ///
    /// # Errors
    /// When it cannot be computed.
    pub(super) fn physical(&self, expr: &Expr) -> Result<Arc<dyn PhysicalExpr>> {
        self.compiled(expr, &self.schema)
    }

    /// An expression that may name the table otherwise.
    ///
    /// # Errors
    /// When it cannot be computed.
    pub(super) fn bare(&self, expr: &Expr) -> Result<Arc<dyn PhysicalExpr>> {
        let bare = DFSchema::try_from(self.schema.as_arrow().clone()).map_err(plain)?;
        self.compiled(&unqualified(expr).map_err(plain)?, &bare)
    }

    fn compiled(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        create_physical_expr(expr, schema, &self.props, &Default::default()).map_err(plain)
    }

    /// The `n`th aggregate.
    ///
    /// # Errors
    /// 0A000 when its states cannot be kept.
    pub(super) fn aggregate(&self, n: usize, call: &Expr) -> Result<KeptAggregate> {
        let lowered = lowered(&format!("answer{n}"), call, &self.schema, &self.input);
        let lowered = lowered.map_err(plain)?;
        let (function, filter) = (lowered.aggregate, lowered.filter);
        if !lowered.order_bys.is_empty() {
            return Err(refuse(format!(
                "ORDER BY within {} is not supported in a continuous aggregate",
                function.fun().name()
            ))
            .with_hint("first(value, time) and last(value, time) can be kept."));
        }
        // Some functions tell only here that they cannot do what is asked.
        function.create_accumulator().map_err(plain)?;
        let states = function.state_fields().map_err(plain)?;
        let states = states.into_iter().enumerate().map(|(s, field)| {
            let field = field.as_ref().clone().with_name(format!("state{n}_{s}"));
            Arc::new(field.with_nullable(true))
        });
        Ok(KeptAggregate {
            states: states.collect(),
            function,
            filter,
        })
    }
}

/// A call of an aggregate function, ready to run.
///
/// # Errors
/// When it cannot be computed.
pub(super) fn lowered(
    name: &str,
    call: &Expr,
    schema: &DFSchema,
    input: &SchemaRef,
) -> datafusion::error::Result<LoweredAggregate> {
    let (props, context) = (ExecutionProps::new(), Default::default());
    LoweredAggregateBuilder::new(call, schema, input, &props, &context)
        .with_name(name)
        .build()
}

/// An expression whose columns are named by themselves.
pub(super) fn unqualified(expr: &Expr) -> datafusion::error::Result<Expr> {
    let renamed = expr.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            expr => Transformed::no(expr),
        })
    });
    renamed.data()
}
