//! One connection's conversation with the database.
//!
//! A statement is parsed ([`Session::parse`]), planned ([`Session::prepare`]) and run
//! ([`Session::execute`]). Its answer is an [`Outcome`]. Nothing of one session reaches another but
//! what it commits.

mod activity;
mod add_column;
mod admin;
mod aggregate;
mod alter;
mod assign;
mod clock;
mod copy;
mod ddl;
mod definitions;
mod dependents;
mod describe;
mod dml;
mod explain;
mod generic;
mod materialized;
mod names;
mod outcome;
mod placeholders;
mod plan_cache;
mod planner;
mod query;
mod repairer;
mod server_settings;
mod settings;
mod show;
mod sleep;
mod transaction;
mod use_aggregates;
mod watch;
mod write;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::catalog::system::SessionInfo;
pub use crate::database::{Database, DatabaseOptions};
use crate::dialect::{self, Parsed, Statement};
use crate::error::{Result, SqlError, SqlState};
use crate::types::{FormatSettings, PgType};
use activity::Registered;
pub use activity::{Activities, Activity};
pub use copy::CopyIn;
pub(crate) use definitions::Definitions;
pub(crate) use names::Functions;
use outcome::unless;
pub use outcome::{
    Canceller, CopyOut, Interrupt, Notice, Outcome, OutputColumn, Param, Prepared, RowStream, Rows,
    RowsTag, Severity, TransactionStatus,
};
pub(crate) use plan_cache::PlanCache;
pub(crate) use repairer::Repairer;
pub use server_settings::{ServerSetting, ServerSettings, ServerSource, ServerValue, Unit};
pub use settings::{Kind, SERVER_VERSION, SETTINGS, Setting, Settings};
use transaction::Open;
pub(crate) use watch::Watcher;
pub use watch::{Breach, Lag, Watch};

/// Statements that `PREPARE` may keep in one session.
const PREPARED_MAX: usize = 256;

/// Who connects, and how.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The client's name for itself.
    pub application_name: String,
    /// The number that cancel requests name.
    pub pid: i32,
    /// Where the client is.
    pub client: Option<SocketAddr>,
    /// Settings that the client asks for.
    pub settings: Vec<(String, String)>,
}

/// A session.
pub struct Session {
    database: Database,
    info: SessionInfo,
    activity: Registered,
    settings: Settings,
    /// What `RESET` goes back to.
    initial: Settings,
    /// What the client was told last.
    reported: Settings,
    open: Option<Open>,
    notices: Vec<Notice>,
    /// By the name that `PREPARE` gave.
    prepared: Arc<HashMap<String, Arc<Prepared>>>,
    canceller: Canceller,
}

/// Whether a write has a RETURNING.
fn returns_rows(statement: &Statement) -> bool {
    match statement {
        Statement::Insert(insert) => insert.returning.is_some(),
        Statement::Update(update) => update.returning.is_some(),
        Statement::Delete(delete) => delete.returning.is_some(),
        _ => false,
    }
}

impl Session {
    pub(crate) fn new(database: Database, options: SessionOptions) -> Result<Self> {
        let mut settings = Settings::new(database.settings().clone());
        settings.set("application_name", Some(&options.application_name))?;
        for (name, value) in &options.settings {
            settings.set(name, Some(value))?;
        }
        let now_us = database.engine().now();
        let activity = Activity {
            pid: options.pid,
            user: options.user.clone(),
            application_name: options.application_name,
            client: options.client,
            connected_us: now_us,
            transaction_us: None,
            statement_us: None,
            changed_us: now_us,
            state: "idle",
            statement: String::new(),
        };
        let activities = database.activities().clone();
        let canceller = Canceller::new();
        let activity = activities.register(activity, canceller.clone());
        let info = SessionInfo {
            user: options.user,
            database: options.database,
            pid: options.pid,
            client: options.client,
            activities,
            watch: database.watch().clone(),
            ..SessionInfo::default()
        };
        Ok(Session {
            database,
            info,
            activity,
            initial: settings.clone(),
            reported: settings.clone(),
            settings,
            open: None,
            notices: Vec::new(),
            prepared: Arc::default(),
            canceller,
        })
    }

    /// Who asks, for what a statement sees of the system.
    fn info(&self) -> Arc<SessionInfo> {
        Arc::new(SessionInfo {
            now_us: self.database.engine().now(),
            settings: self.visible_settings(),
            initial: self.initial.clone(),
            prepared: self.prepared.clone(),
            ..self.info.clone()
        })
    }

    /// Tells others that the session waits for its client.
    pub fn rest(&mut self) {
        self.apply_changes();
        let state = match self.status() {
            TransactionStatus::Idle => "idle",
            TransactionStatus::InTransaction => "idle in transaction",
            TransactionStatus::Failed => "idle in transaction (aborted)",
        };
        let name = Settings::find("application_name").map(|s| self.settings.value(s));
        let now_us = self.database.engine().now();
        self.activity.rest(state, name.unwrap_or_default(), now_us);
    }

    /// Takes a text apart into statements.
    pub fn parse(&self, sql: &str) -> Result<Vec<Parsed>> {
        dialect::parse(sql)
    }

    /// Plans a statement. Types of parameters that are `None` are inferred.
    pub async fn prepare(
        &mut self,
        parsed: Parsed,
        types: Vec<Option<PgType>>,
    ) -> Result<Arc<Prepared>> {
        self.refuse_if_failed(&parsed.statement)?;
        self.begin_activity(&parsed.text);
        let mut interrupt = self.canceller.interrupt(self.settings.statement_timeout());
        let (params, columns) = unless(
            &mut interrupt,
            Box::pin(self.describe(&parsed.statement, &parsed.text, types)),
        )
        .await?;
        Ok(Prepared::new(parsed, params, columns))
    }

    /// Plans and runs a statement without parameters.
    pub async fn run(&mut self, parsed: Parsed) -> Result<Outcome> {
        self.start(Prepared::new(parsed, Vec::new(), None), Vec::new(), false)
            .await
    }

    /// Runs a planned statement.
    pub async fn execute(
        &mut self,
        prepared: &Arc<Prepared>,
        params: Vec<Param>,
    ) -> Result<Outcome> {
        self.start(prepared.clone(), params, true).await
    }

    async fn start(
        &mut self,
        prepared: Arc<Prepared>,
        params: Vec<Param>,
        runs_again: bool,
    ) -> Result<Outcome> {
        self.refuse_if_failed(&prepared.parsed.statement)?;
        self.begin_activity(&prepared.parsed.text);
        if runs_again
            && matches!(prepared.parsed.statement, Statement::Query(_))
            && let Some(rows) = self.answer(&prepared, &params)?
        {
            return Ok(Outcome::Rows(rows));
        }
        let timeout = self.settings.statement_timeout();
        // On the heap, because it is large and an idle connection shall not pay for it.
        Box::pin(self.dispatch(&prepared, params, timeout, runs_again)).await
    }

    async fn dispatch(
        &mut self,
        prepared: &Arc<Prepared>,
        params: Vec<Param>,
        timeout: Option<std::time::Duration>,
        runs_again: bool,
    ) -> Result<Outcome> {
        let (statement, text) = (&prepared.parsed.statement, &*prepared.parsed.text);
        let mut interrupt = self.canceller.interrupt(timeout);
        match statement {
            // Rows that the client has been told cannot be taken back by running it again.
            Statement::Update(_) | Statement::Delete(_) | Statement::Truncate(_)
                if !returns_rows(statement) =>
            {
                self.note_write(prepared, &params);
            }
            Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Copy(_)
            | Statement::CreateTable(_)
            | Statement::DropTable(_)
            | Statement::CreateAggregate(_)
            | Statement::DropAggregate(_)
            | Statement::RefreshAggregate(_)
            | Statement::AlterView(_) => {
                // Never run again: with another write before or behind it, nothing is.
                self.note_write(prepared, &params);
                self.note_write(prepared, &params);
            }
            _ => {}
        }
        match statement {
            Statement::Query(query) => {
                let (tag, prepared) = (RowsTag::Select, runs_again.then_some(prepared));
                let rows = self.rows_of(query, text, params, tag, prepared, &mut interrupt);
                Ok(Outcome::Rows(rows.await?(interrupt)))
            }
            Statement::Insert(insert) => self.insert(insert, text, &params, &mut interrupt).await,
            Statement::Update(update) => self.update(update, text, &params, &mut interrupt).await,
            Statement::Delete(delete) => self.delete(delete, text, &params, &mut interrupt).await,
            Statement::Truncate(truncate) => self.truncate(truncate, &mut interrupt).await,
            Statement::CreateTable(create) => self.create_table(create).await,
            Statement::DropTable(drop) => self.drop_table(drop).await,
            Statement::CreateAggregate(create) => {
                self.create_aggregate(create, text, &mut interrupt).await
            }
            Statement::DropAggregate(drop) => self.drop_aggregate(drop).await,
            Statement::RefreshAggregate(refresh) => {
                self.refresh_aggregate(refresh, &mut interrupt).await
            }
            Statement::AlterView(alter) => self.alter_view(alter, &mut interrupt).await,
            Statement::Explain(explain) => {
                unless(&mut interrupt, self.explain(explain, text, params)).await
            }
            Statement::Copy(copy) => self.copy(copy, text, interrupt).await,
            Statement::Admin(call) => self.admin(call, &mut interrupt).await,
            Statement::Begin(modes) => self.begin(modes).map(|()| Outcome::Command("BEGIN".into())),
            Statement::Commit { chain } => Ok(Outcome::Command(self.commit(*chain).await?.into())),
            Statement::Rollback { chain } => {
                self.rollback(*chain);
                Ok(Outcome::Command("ROLLBACK".into()))
            }
            Statement::Savepoint(name) => {
                self.savepoint(name.clone())?;
                Ok(Outcome::Command("SAVEPOINT".into()))
            }
            Statement::ReleaseSavepoint(name) => {
                self.release(name)?;
                Ok(Outcome::Command("RELEASE".into()))
            }
            Statement::RollbackTo(name) => {
                self.rollback_to(name)?;
                Ok(Outcome::Command("ROLLBACK".into()))
            }
            Statement::Set { name, value, local } => self.set(name, value, *local),
            Statement::SetTransaction(modes) => {
                self.set_modes(modes)?;
                Ok(Outcome::Command("SET".into()))
            }
            Statement::SetSessionCharacteristics(modes) => self.set_characteristics(modes),
            Statement::Show(name) => self.show(name),
            Statement::Reset(name) => self.reset(name),
            Statement::Discard(what) => self.discard(*what),
            Statement::Prepare(prepare) => {
                if self.prepared.contains_key(&prepare.name) {
                    let message = format!("prepared statement \"{}\" already exists", prepare.name);
                    return Err(SqlError::new(
                        SqlState::DUPLICATE_PREPARED_STATEMENT,
                        message,
                    ));
                }
                if self.prepared.len() >= PREPARED_MAX {
                    let message =
                        format!("a session can keep at most {PREPARED_MAX} prepared statements");
                    return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
                }
                let types = prepare.types.iter().cloned().map(Some).collect();
                let described = self.describe(&prepare.statement, &prepare.text, types);
                let (params, columns) = unless(&mut interrupt, described).await?;
                let parsed = Parsed {
                    statement: (*prepare.statement).clone(),
                    text: prepare.text.clone(),
                    offset: 0,
                };
                let name = prepare.name.clone();
                let prepared = Prepared::new(parsed, params, columns);
                Arc::make_mut(&mut self.prepared).insert(name, prepared);
                Ok(Outcome::Command("PREPARE".into()))
            }
            Statement::Execute(execute) => {
                let prepared = self.named(&execute.name)?;
                let params = unless(
                    &mut interrupt,
                    self.arguments(&prepared, &execute.arguments),
                )
                .await?;
                Box::pin(self.dispatch(&prepared, params, timeout, true)).await
            }
            Statement::Deallocate(Some(name)) => {
                self.named(name)?;
                Arc::make_mut(&mut self.prepared).remove(name);
                Ok(Outcome::Command("DEALLOCATE".into()))
            }
            Statement::Deallocate(None) => {
                self.prepared = Arc::default();
                Ok(Outcome::Command("DEALLOCATE ALL".into()))
            }
            Statement::Declare(_)
            | Statement::Fetch(_)
            | Statement::Move(_)
            | Statement::Close(_) => Err(SqlError::unsupported(statement.name())
                .with_hint("Use a portal with a row limit (the driver's fetch size).")),
            Statement::Unlisten => Ok(Outcome::Command("UNLISTEN".into())),
        }
    }

    fn begin_activity(&mut self, text: &str) {
        self.apply_changes();
        self.activity.begin(text, self.database.engine().now());
    }

    /// The statement that `PREPARE` named so.
    fn named(&self, name: &str) -> Result<Arc<Prepared>> {
        self.prepared.get(name).cloned().ok_or_else(|| {
            let message = format!("prepared statement \"{name}\" does not exist");
            SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        })
    }

    fn refuse_if_failed(&self, statement: &Statement) -> Result<()> {
        let ends = matches!(
            statement,
            Statement::Commit { .. } | Statement::Rollback { .. } | Statement::RollbackTo(_)
        );
        if self.status() == TransactionStatus::Failed && !ends {
            let message =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(SqlError::new(SqlState::IN_FAILED_SQL_TRANSACTION, message));
        }
        Ok(())
    }

    pub(super) fn warn(&mut self, state: SqlState, message: &str) {
        self.tell(Severity::Warning, SqlError::new(state, message));
    }

    pub(super) fn notify(&mut self, message: SqlError) {
        self.tell(Severity::Notice, message);
    }

    /// A message for the client, unless it wants none so mild.
    fn tell(&mut self, severity: Severity, message: SqlError) {
        let least = self.settings.get("client_min_messages");
        let is_wanted = match (least.as_deref(), severity) {
            (Ok("error"), _) => false,
            (Ok("warning"), severity) => severity == Severity::Warning,
            _ => true,
        };
        if is_wanted {
            self.notices.push(Notice { severity, message });
        }
    }

    /// Messages that came up since this was asked last.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Settings that changed since this was asked last and that the client is told of.
    pub fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        if self.settings == self.reported {
            return Vec::new();
        }
        let changes = self.settings.reported_changes(&self.reported);
        self.reported = self.settings.clone();
        changes
    }

    /// Settings that a new client is told of.
    pub fn startup_parameters(&self) -> Vec<(String, String)> {
        let reported = SETTINGS.iter().filter(|setting| setting.reported);
        reported
            .map(|s| (s.name.to_owned(), self.settings.value(s).to_owned()))
            .collect()
    }

    /// How values are read and printed now.
    pub fn format_settings(&self) -> FormatSettings {
        self.settings.format(self.database.engine().now())
    }

    /// Ends the running statement from elsewhere.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}
