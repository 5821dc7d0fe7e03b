//! What a write wants and returns, without running it.

use super::super::describe::parameters;
use super::super::{OutputColumn, Session, assign};
use super::conflict::Conflict;
use super::returning::Returning;
use super::{change, insert};
use crate::dialect::Statement;
use crate::error::{Result, SqlError};
use crate::types::PgType;

impl Session {
    /// Types of the parameters of a write, and the columns that it returns.
    pub(in crate::session) async fn describe_write(
        &mut self,
        statement: &Statement,
        mut given: Vec<Option<PgType>>,
    ) -> Result<(Vec<PgType>, Option<Vec<OutputColumn>>)> {
        let view = self.view()?;
        let catalog = self.database.catalogs().of(&view.state)?;
        // Plans beside the main one that have parameters.
        let mut more = Vec::new();
        let (entry, name, returning, plan) = match statement {
            Statement::Insert(insert) => {
                let (entry, name) = self.target_of_insert(&view, insert)?;
                let source = insert::source(&entry, insert)?;
                assign::fill(&source.query, &entry, &mut given);
                let conflict = Conflict::of(self, &view, &entry, &name, insert.on.as_ref(), None)?;
                if let Some(conflict) = conflict {
                    more.extend(conflict.plan(self, &mut given).await?);
                }
                let (mut planner, functions) = self.assigning(view.clone(), &entry, None)?;
                planner.expect_types(&given);
                let target = entry.clone();
                let work = async move { source.plan(&planner, &target, &functions, "").await };
                let plan = self.database.runtime().run(work).await?;
                (entry, name, insert.returning.clone(), plan)
            }
            Statement::Update(_) | Statement::Delete(_) => {
                let change = match statement {
                    Statement::Update(update) => change::of_update(&catalog, update)?,
                    Statement::Delete(delete) => change::of_delete(&catalog, delete)?,
                    _ => return Err(SqlError::internal("no write")),
                };
                assign::fill(&change.query, &change.entry, &mut given);
                let id = change.entry.def.id;
                let (mut planner, _) = self.assigning(view.clone(), &change.entry, Some(id))?;
                planner.expect_types(&given);
                let query = change.query;
                let work = async move { Ok(planner.plan_query(query, "")?.plan) };
                let plan = self.database.runtime().run(work).await?;
                (change.entry, change.qualifier, change.returning, plan)
            }
            _ => return Ok((Vec::new(), None)),
        };
        let returning = Returning::of(self, &entry, &name, returning.as_ref())?;
        let mut columns = None;
        if let Some(returning) = returning {
            let (plan, returned) = returning.plan(self, view, &given, "").await?;
            more.push(plan);
            columns = Some(returned);
        }
        let mut types = parameters(&plan, given.clone())?;
        for plan in more {
            let found = parameters(&plan, given.clone())?;
            types.extend(found.into_iter().skip(types.len()));
        }
        Ok((types, columns))
    }
}
