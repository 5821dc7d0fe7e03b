//! Text to statements: PostgreSQL's grammar as far as this server goes.
//!
//! | file | answers |
//! |---|---|
//! | `parse` | a message to its statements; which word begins which |
//! | `statement` | which statements there are |
//! | `limits`, `expansion` | how large a statement may be |
//! | `source`, `spelling`, `temporal`, `cursor`, `words` | tokens, places among them, reserved words |
//! | `grammar`, `query`, `refuse` | what sqlparser reads, and what of that PostgreSQL does not |
//! | `copy`, `table`, `transaction`, `settings`, `prepared`, `cursors`, `explain`, `admin`, `aggregate`, `alter` | statements that we read ourselves |
//! | `rewrite` | a query as PostgreSQL means it, in words that DataFusion plans so |
//!
//! A statement is parsed **once**, for both protocols, with one dialect; the tree is what is
//! planned. sqlparser reads queries and expressions. It does not read statements that it would read
//! differently from PostgreSQL (`COPY`, `SET`, `CREATE TABLE … WITH (tsdb.…)`, cursors) and it reads
//! the syntax of a dozen other databases, which [`parse`] refuses rather than runs.

mod admin;
mod aggregate;
mod alter;
mod copy;
mod cursor;
mod cursors;
mod expansion;
mod explain;
mod grammar;
mod limits;
mod parse;
mod prepared;
mod query;
mod refuse;
mod rewrite;
mod settings;
mod source;
mod spelling;
mod statement;
mod table;
mod temporal;
mod transaction;
mod words;

#[cfg(test)]
pub(crate) mod tests;

pub use admin::{AdminArgument, AdminCall, AdminFunction, AdminValue, DimensionKind};
pub use aggregate::{CreateAggregate, DropAggregate, RefreshView};
pub(crate) use alter::with_item;
pub use alter::{AlterAction, AlterKind, AlterView, NewColumn};
pub use copy::{
    Copy, CopyDirection, CopyFormat, CopyHeader, CopyOptions, CopySource, ForceColumns,
};
pub use cursors::{Declare, Fetch, FetchCount, FetchDirection};
pub use parse::parse;
#[cfg(test)]
pub(crate) use rewrite::MAKERS;
pub use rewrite::{
    OutputNames, PgTypePlanner, output_name, rewrite_delete, rewrite_expr, rewrite_insert,
    rewrite_query, rewrite_update,
};
pub(crate) use rewrite::{ask_columns, call, may_ask_columns};
pub(crate) use source::{position_of, position_of_location};
pub use statement::{
    Discard, Execute, Explain, ExplainFormat, Parsed, Prepare, SetValue, Statement, Truncate,
};
pub use table::{ColumnDefinition, CreateTable, DropTable, OptionValue, TableName};
pub use transaction::{IsolationLevel, TransactionModes};
pub use words::is_quoted;
