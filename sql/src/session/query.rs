//! Queries: a parsed query → a plan over the tables of one state → rows.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::{ParamValues, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;

use super::outcome::{Interrupt, unless};
use super::planner::Own;
use super::{OutputColumn, Param, Prepared, RowStream, Rows, RowsTag, Session};
use crate::dialect::{self, OutputNames, Statement};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::errors::from_datafusion;
use crate::plan::pressure::{admit, go_on};
use crate::types::PgType;

impl Session {
    /// Plans and starts a query. The result waits for what may interrupt it.
    ///
    /// What was prepared may have a plan already.
    pub(super) async fn rows_of(
        &mut self,
        query: &ast::Query,
        text: &str,
        params: Vec<Param>,
        tag: RowsTag,
        prepared: Option<&Arc<Prepared>>,
        interrupt: &mut Interrupt,
    ) -> Result<impl FnOnce(Interrupt) -> Rows + use<>> {
        let pressure = self.database.engine().pressure().clone();
        admit(&pressure)?;
        let sight = self.sight()?;
        let reuse = match prepared {
            Some(prepared) => self.reuse(prepared, &params, &sight)?,
            None => None,
        };
        let (query, text) = (query.clone(), text.to_owned());
        let work = self.database.runtime().start(async move {
            let kept = match reuse {
                Some(reuse) => reuse.start(&sight, &query, &text).await?,
                None => None,
            };
            let (columns, stream) = match kept {
                Some(started) => started,
                None => {
                    let mut planner = sight.planner(Own::default());
                    planner.expect(&params);
                    let planned = planner.plan_query(query, &text)?;
                    let plan = bind(planned.plan, &params, &text)?;
                    let (fields, stream) = planner.start(&plan, &text).await?;
                    let columns = output_columns(fields.into_iter(), planned.names);
                    (Arc::new(columns), stream.boxed())
                }
            };
            let stream = stream.map(move |batch| {
                go_on(&pressure)?;
                batch.map_err(|e| from_datafusion(e, &text))
            });
            Ok((columns, stream))
        });
        let (columns, receiver) = unless(interrupt, work).await?;
        if let Some(prepared) = prepared {
            prepared.check(&columns)?;
        }
        Ok(move |interrupt| Rows {
            columns,
            stream: RowStream::of_query(receiver, interrupt),
            tag,
        })
    }

    /// The arguments of `EXECUTE`, as the statement's parameters want them.
    pub(super) async fn arguments(
        &mut self,
        prepared: &Prepared,
        arguments: &[ast::Expr],
    ) -> Result<Vec<Param>> {
        if arguments.len() != prepared.params.len() {
            let message = format!(
                "wrong number of parameters for prepared statement: {}",
                arguments.len()
            );
            let detail = format!(
                "Expected {} parameters but got {}.",
                prepared.params.len(),
                arguments.len()
            );
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).with_detail(detail));
        }
        let mut values = Vec::with_capacity(arguments.len());
        for (argument, ty) in arguments.iter().zip(&prepared.params) {
            values.push(self.constant(argument, ty).await?);
        }
        Ok(values)
    }

    /// The value of an expression without columns, as an array of one row of the type.
    pub(super) async fn constant(&mut self, expr: &ast::Expr, ty: &PgType) -> Result<Param> {
        let planner = self.planner()?;
        let query = select(vec![ast::SelectItem::UnnamedExpr(expr.clone())])?;
        let (wanted, settings) = (ty.clone(), self.format_settings());
        self.database
            .runtime()
            .run(async move {
                let planned = planner.plan_query(query, "")?;
                let (_, mut stream) = planner.start(&planned.plan, "").await?;
                let batch = stream.next().await.transpose().map_err(plain)?;
                let value = batch
                    .filter(|b| b.num_rows() == 1)
                    .map(|b| b.column(0).clone());
                let value =
                    value.ok_or_else(|| SqlError::internal("an expression had no value"))?;
                super::write::convert(&value, &wanted, &settings)
            })
            .await
    }
}

/// Columns of a result, under the names that PostgreSQL gives them.
pub(super) fn output_columns(
    fields: impl Iterator<Item = FieldRef>,
    names: OutputNames,
) -> Vec<OutputColumn> {
    let columns = fields.enumerate().map(|(i, field)| {
        let name = match &names {
            Some(names) => names.get(i).cloned(),
            None => None,
        };
        let name = name.unwrap_or_else(|| dialect::output_name(field.name()).to_string());
        OutputColumn::new(Arc::new(field.as_ref().clone().with_name(name)))
    });
    columns.collect()
}

/// A plan with its parameters' values in their places.
pub(super) fn bind(plan: LogicalPlan, params: &[Param], text: &str) -> Result<LogicalPlan> {
    let missing = plan
        .get_parameter_names()
        .map_err(|e| from_datafusion(e, text))?;
    if missing.is_empty() {
        return Ok(plan);
    }
    let scalars = scalars(params, text)?;
    for name in &missing {
        let number = name
            .strip_prefix('$')
            .and_then(|n| n.parse::<usize>().ok())
            .unwrap_or(0);
        if number == 0 || number > scalars.len() {
            return Err(SqlError::new(
                SqlState::UNDEFINED_PARAMETER,
                format!("there is no parameter {name}"),
            ));
        }
    }
    plan.with_param_values(ParamValues::from(scalars))
        .map_err(|e| from_datafusion(e, text))
}

/// Values of parameters.
pub(super) fn scalars(params: &[Param], text: &str) -> Result<Vec<ScalarValue>> {
    let scalars = params
        .iter()
        .map(|p| ScalarValue::try_from_array(p, 0))
        .collect::<PlanResult<Vec<_>>>();
    scalars.map_err(|e| from_datafusion(e, text))
}

pub(super) fn plain(error: datafusion::error::DataFusionError) -> SqlError {
    from_datafusion(error, "")
}

/// `SELECT items`, to be filled further.
pub(super) fn select(items: Vec<ast::SelectItem>) -> Result<ast::Query> {
    let parsed = dialect::parse("SELECT 1")?;
    let Some(Statement::Query(mut query)) = parsed.into_iter().next().map(|p| p.statement) else {
        return Err(SqlError::internal("SELECT 1 is no query"));
    };
    if let ast::SetExpr::Select(select) = &mut *query.body {
        select.projection = items;
    }
    Ok(*query)
}
