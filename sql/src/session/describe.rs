//! What a statement wants and returns, without running it: types of parameters, columns of rows.

use std::collections::HashMap;

use arrow::datatypes::FieldRef;
use datafusion::common::{ParamValues, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::LogicalPlan;

use super::query::{output_columns, plain};
use super::{OutputColumn, Session, placeholders};
use crate::dialect::{CopyDirection, CopySource, Statement};
use crate::error::Result;
use crate::types::PgType;

impl Session {
    /// Types of the parameters and columns of the result, without running anything.
    pub(super) async fn describe(
        &mut self,
        statement: &Statement,
        text: &str,
        mut given: Vec<Option<PgType>>,
    ) -> Result<(Vec<PgType>, Option<Vec<OutputColumn>>)> {
        match statement {
            Statement::Query(query) => placeholders::fill(&**query, &mut given),
            Statement::Insert(insert) => placeholders::fill(&**insert, &mut given),
            Statement::Update(update) => placeholders::fill(&**update, &mut given),
            Statement::Delete(delete) => placeholders::fill(&**delete, &mut given),
            _ => {}
        }
        match statement {
            Statement::Query(query) => {
                let mut planner = self.planner()?;
                planner.expect_types(&given);
                let (query, text) = ((**query).clone(), text.to_owned());
                let work = async move {
                    let planned = planner.plan_query(query, &text)?;
                    let params = parameters(&planned.plan, given)?;
                    let nulls = params
                        .iter()
                        .map(|ty| ScalarValue::try_new_null(&ty.arrow()));
                    let nulls = nulls.collect::<PlanResult<Vec<_>>>().map_err(plain)?;
                    let typed = planned
                        .plan
                        .with_param_values(ParamValues::from(nulls))
                        .map_err(plain)?;
                    let schema = planner
                        .state
                        .optimize(&typed)
                        .map_err(plain)?
                        .schema()
                        .clone();
                    let fields = schema.fields().iter().cloned();
                    Ok((params, Some(output_columns(fields, planned.names))))
                };
                self.database.runtime().run(work).await
            }
            Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
                self.describe_write(statement, given).await
            }
            Statement::Show(name) => Ok((Vec::new(), Some(self.show_columns(name)))),
            Statement::Explain(explain) => {
                let (params, _) = Box::pin(self.describe(&explain.statement, text, given)).await?;
                Ok((params, Some(super::show::text_columns(&["QUERY PLAN"]))))
            }
            Statement::Execute(execute) => {
                let prepared = self.named(&execute.name)?;
                Ok((
                    Vec::new(),
                    prepared.columns.as_ref().map(|columns| columns.to_vec()),
                ))
            }
            Statement::Admin(call) => Ok((Vec::new(), super::admin::columns(call))),
            Statement::Copy(copy) if copy.direction == CopyDirection::Out => {
                if let CopySource::Query(query) = &copy.source {
                    // A query that cannot be planned is told at once.
                    let planner = self.planner()?;
                    let query = (**query).clone();
                    let work = async move { planner.plan_query(query, "").map(drop) };
                    self.database.runtime().run(work).await?;
                }
                Ok((Vec::new(), None))
            }
            _ => Ok((Vec::new(), None)),
        }
    }
}

/// Types of a plan's parameters: as given, or as the plan needs them.
pub(super) fn parameters(plan: &LogicalPlan, given: Vec<Option<PgType>>) -> Result<Vec<PgType>> {
    let found: HashMap<String, Option<FieldRef>> = plan.get_parameter_fields().map_err(plain)?;
    let numbers = found
        .keys()
        .filter_map(|name| name.strip_prefix('$')?.parse::<usize>().ok());
    let count = numbers.max().unwrap_or(0).max(given.len());
    let mut types = Vec::with_capacity(count);
    for number in 1..=count {
        let inferred = found
            .get(&format!("${number}"))
            .cloned()
            .flatten()
            .map(|f| PgType::of_field(&f));
        types.push(match given.get(number - 1).cloned().flatten() {
            Some(PgType::Unknown) | None => match inferred {
                Some(PgType::Unknown) | None => PgType::Text,
                Some(ty) => ty,
            },
            Some(ty) => ty,
        });
    }
    Ok(types)
}
