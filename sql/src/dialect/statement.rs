//! The statements that this server knows: one closed enum.
//!
//! What is not here does not exist: [`parse`](super::parse) answers 0A000 for the statements that
//! PostgreSQL has and this server has not, and 42601 for the rest. Every name is already folded
//! and every clause that is not kept in a field was refused, never ignored.

use datafusion::sql::sqlparser::ast;

use super::admin::AdminCall;
use super::aggregate::{CreateAggregate, DropAggregate, RefreshView};
use super::alter::AlterView;
use super::copy::Copy;
use super::cursors::{Declare, Fetch};
use super::table::{CreateTable, DropTable, TableName};
use super::transaction::TransactionModes;

/// A statement with its own text.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What to do.
    pub statement: Statement,
    /// The statement's own text, without the semicolon and the space and comments around it.
    pub text: String,
    /// Characters of the message before `text`. A position in `text` plus this is one in the
    /// message.
    pub offset: usize,
}

/// A statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// `SELECT`, `VALUES`, `TABLE`, with or without `WITH`.
    Query(Box<ast::Query>),
    /// `INSERT`.
    Insert(Box<ast::Insert>),
    /// `UPDATE`.
    Update(Box<ast::Update>),
    /// `DELETE`.
    Delete(Box<ast::Delete>),
    /// `TRUNCATE`.
    Truncate(Truncate),
    /// `CREATE TABLE`.
    CreateTable(CreateTable),
    /// `DROP TABLE`.
    DropTable(DropTable),
    /// `CREATE MATERIALIZED VIEW`.
    CreateAggregate(CreateAggregate),
    /// `DROP MATERIALIZED VIEW`.
    DropAggregate(DropAggregate),
    /// `REFRESH MATERIALIZED VIEW`.
    RefreshAggregate(RefreshView),
    /// `ALTER MATERIALIZED VIEW`, `ALTER VIEW`, the options of `ALTER TABLE`.
    AlterView(AlterView),
    /// `EXPLAIN`.
    Explain(Explain),
    /// `BEGIN`, `START TRANSACTION`.
    Begin(TransactionModes),
    /// `COMMIT`, `END`.
    Commit {
        /// `AND CHAIN`.
        chain: bool,
    },
    /// `ROLLBACK`, `ABORT`.
    Rollback {
        /// `AND CHAIN`.
        chain: bool,
    },
    /// `SAVEPOINT name`.
    Savepoint(String),
    /// `RELEASE SAVEPOINT name`.
    ReleaseSavepoint(String),
    /// `ROLLBACK TO SAVEPOINT name`.
    RollbackTo(String),
    /// `SET name = value`, also in its spellings of several words.
    Set {
        /// The setting, as in `pg_settings`.
        name: String,
        /// What it becomes.
        value: SetValue,
        /// Until the end of the transaction.
        local: bool,
    },
    /// `SET TRANSACTION`: this transaction.
    SetTransaction(TransactionModes),
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION`: those to come.
    SetSessionCharacteristics(TransactionModes),
    /// `SHOW name`; `all` for `SHOW ALL`.
    Show(String),
    /// `RESET name`; `all` for `RESET ALL`.
    Reset(String),
    /// `DISCARD`.
    Discard(Discard),
    /// `COPY`.
    Copy(Copy),
    /// `PREPARE`.
    Prepare(Prepare),
    /// `EXECUTE`.
    Execute(Execute),
    /// `DEALLOCATE name`; `None` for `DEALLOCATE ALL`.
    Deallocate(Option<String>),
    /// `DECLARE … CURSOR`.
    Declare(Declare),
    /// `FETCH`.
    Fetch(Fetch),
    /// `MOVE`: as `FETCH`, without the rows.
    Move(Fetch),
    /// `CLOSE name`; `None` for `CLOSE ALL`.
    Close(Option<String>),
    /// `UNLISTEN`: nothing is ever listened to, so there is nothing to do. Connection pools send it
    /// with every connection that they get back.
    Unlisten,
    /// A call of one of TimescaleDB's administrative functions.
    Admin(AdminCall),
}

impl Statement {
    /// The words that begin it, as PostgreSQL names the statement in errors.
    pub fn name(&self) -> &'static str {
        match self {
            Statement::Admin(call) if call.function.is_procedure() => "CALL",
            Statement::Query(_) | Statement::Admin(_) => "SELECT",
            Statement::Insert(_) => "INSERT",
            Statement::Update(_) => "UPDATE",
            Statement::Delete(_) => "DELETE",
            Statement::Truncate(_) => "TRUNCATE TABLE",
            Statement::CreateTable(_) => "CREATE TABLE",
            Statement::DropTable(_) => "DROP TABLE",
            Statement::CreateAggregate(_) => "CREATE MATERIALIZED VIEW",
            Statement::DropAggregate(_) => "DROP MATERIALIZED VIEW",
            Statement::RefreshAggregate(_) => "REFRESH MATERIALIZED VIEW",
            Statement::AlterView(alter) => alter.kind.statement(),
            Statement::Explain(_) => "EXPLAIN",
            Statement::Begin(_) => "BEGIN",
            Statement::Commit { .. } => "COMMIT",
            Statement::Rollback { .. } | Statement::RollbackTo(_) => "ROLLBACK",
            Statement::Savepoint(_) => "SAVEPOINT",
            Statement::ReleaseSavepoint(_) => "RELEASE",
            Statement::Set { .. }
            | Statement::SetTransaction(_)
            | Statement::SetSessionCharacteristics(_) => "SET",
            Statement::Show(_) => "SHOW",
            Statement::Reset(_) => "RESET",
            Statement::Discard(Discard::All) => "DISCARD ALL",
            Statement::Discard(Discard::Plans) => "DISCARD PLANS",
            Statement::Discard(Discard::Sequences) => "DISCARD SEQUENCES",
            Statement::Discard(Discard::Temp) => "DISCARD TEMP",
            Statement::Copy(_) => "COPY",
            Statement::Prepare(_) => "PREPARE",
            Statement::Execute(_) => "EXECUTE",
            Statement::Deallocate(Some(_)) => "DEALLOCATE",
            Statement::Deallocate(None) => "DEALLOCATE ALL",
            Statement::Declare(_) => "DECLARE CURSOR",
            Statement::Fetch(_) => "FETCH",
            Statement::Move(_) => "MOVE",
            Statement::Close(Some(_)) => "CLOSE CURSOR",
            Statement::Close(None) => "CLOSE CURSOR ALL",
            Statement::Unlisten => "UNLISTEN",
        }
    }
}

/// `TRUNCATE [TABLE] a, b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Truncate {
    /// The tables, at least one.
    pub tables: Vec<TableName>,
    /// `CASCADE`.
    pub cascade: bool,
}

/// `EXPLAIN`.
#[derive(Debug, Clone)]
pub struct Explain {
    /// Run the statement and tell what happened.
    pub analyze: bool,
    /// Tell more.
    pub verbose: bool,
    /// Tell estimates. On unless switched off.
    pub costs: bool,
    /// The form of the answer.
    pub format: ExplainFormat,
    /// What is explained: a query, `INSERT`, `UPDATE` or `DELETE`.
    pub statement: Box<Statement>,
}

/// The form of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainFormat {
    /// Indented lines.
    Text,
    /// One JSON value.
    Json,
}

/// What `SET` gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetValue {
    /// `DEFAULT`, and `LOCAL` for the time zone.
    Default,
    /// One or several values, as text: `SET search_path TO a, b`.
    Values(Vec<String>),
}

/// What `DISCARD` throws away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// Everything that a session has gathered.
    All,
    /// Cached plans.
    Plans,
    /// State of sequences.
    Sequences,
    /// Temporary tables.
    Temp,
}

/// `PREPARE name(types) AS statement`.
#[derive(Debug, Clone)]
pub struct Prepare {
    /// The statement's name.
    pub name: String,
    /// The types given for the first parameters; the rest are inferred.
    pub types: Vec<crate::types::PgType>,
    /// What is prepared: a query, `INSERT`, `UPDATE` or `DELETE`.
    pub statement: Box<Statement>,
    /// Its text, as from `SELECT` or `INSERT` on.
    pub text: String,
}

/// `EXECUTE name(arguments)`.
#[derive(Debug, Clone)]
pub struct Execute {
    /// The statement's name.
    pub name: String,
    /// Values of the parameters, in order.
    pub arguments: Vec<ast::Expr>,
}
