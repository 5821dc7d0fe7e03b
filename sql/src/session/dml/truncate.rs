//! TRUNCATE.

use super::super::outcome::{Interrupt, unless};
use super::super::{Outcome, Session};
use crate::dialect::Truncate;
use crate::error::{Result, SqlError, SqlState};

impl Session {
    pub(in crate::session) async fn truncate(
        &mut self,
        truncate: &Truncate,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        for attempt in 1.. {
            let result = self.truncate_once(truncate, interrupt).await;
            if !self.runs_again(&result, attempt) {
                return result.map(|()| Outcome::Command("TRUNCATE TABLE".into()));
            }
        }
        Err(SqlError::internal("TRUNCATE ended without a result"))
    }

    async fn truncate_once(
        &mut self,
        truncate: &Truncate,
        interrupt: &mut Interrupt,
    ) -> Result<()> {
        let mut writes = self.start_write("TRUNCATE TABLE")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let mut tables = Vec::with_capacity(truncate.tables.len());
        for name in &truncate.tables {
            let found = catalog.find(name).map_err(|e| match e.state {
                SqlState::WRONG_OBJECT_TYPE => {
                    SqlError::new(e.state, format!("\"{}\" is not a table", name.name))
                }
                _ => e,
            });
            tables.push(found?.def.id);
        }
        let work = async move {
            for table in tables {
                writes.clear(&view, table)?;
                tokio::task::yield_now().await;
            }
            Ok(writes)
        };
        let writes = unless(interrupt, self.database.runtime().run(work)).await?;
        self.finish_write(writes).await
    }
}
