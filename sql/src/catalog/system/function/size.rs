//! Rows and bytes. A table's bytes are those of its segments and of its rows in memory; the log, which
//! holds the rows of all tables, counts for none. A primary key needs no bytes of its own, since rows
//! are sorted by it.

use super::Param::{Named, Oid, Text};
use super::{Arg, Param, Returns, Spec};
use crate::catalog::system::Context;
use crate::catalog::system::relation::{DATABASE, Relation};
use crate::catalog::system::rows::Cell;
use crate::error::{Result, SqlError, SqlState};

const RELATION: &[&[Param]] = &[&[Named]];

pub(super) const FUNCTIONS: &[Spec] = &[
    Spec {
        name: "pg_relation_size",
        takes: &[&[Named], &[Named, Text]],
        returns: Returns::Int8,
        row: relation,
    },
    Spec {
        name: "pg_table_size",
        takes: RELATION,
        returns: Returns::Int8,
        row: relation,
    },
    Spec {
        name: "pg_total_relation_size",
        takes: RELATION,
        returns: Returns::Int8,
        row: relation,
    },
    Spec {
        name: "pg_indexes_size",
        takes: RELATION,
        returns: Returns::Int8,
        row: indexes,
    },
    Spec {
        name: "pg_database_size",
        takes: RELATION,
        returns: Returns::Int8,
        row: database,
    },
    Spec {
        name: "pg_tablespace_size",
        takes: RELATION,
        returns: Returns::Int8,
        row: |context, args| {
            // `pg_global`, where PostgreSQL keeps what databases share.
            let is_global = args[0].oid() == 1664 || args[0].text() == "pg_global";
            Ok(if is_global { 0 } else { context.bytes() }.into())
        },
    },
    Spec {
        name: "pg_stat_get_live_tuples",
        takes: &[&[Oid]],
        returns: Returns::Int8,
        row: |context, args| match context.relation(args[0].oid()) {
            Some(Relation::Table(table)) => Ok(context.size(table).0.into()),
            _ => Ok(0.into()),
        },
    },
];

/// As PostgreSQL: null for an oid that is not there, an error for a name that is not there.
fn relation(context: &Context, args: &[Arg<'_>]) -> Result<Cell> {
    match (context.named(args[0]), args[0]) {
        (Some(Relation::Table(table)), _) => Ok(context.size(table).1.into()),
        (Some(Relation::Index(_) | Relation::System(_)), _) => Ok(0.into()),
        (None, Arg::Text(name)) if args[0].oid() == 0 => {
            let message = format!("relation \"{name}\" does not exist");
            Err(SqlError::new(SqlState::UNDEFINED_TABLE, message))
        }
        (None, _) => Ok(Cell(None)),
    }
}

fn indexes(context: &Context, args: &[Arg<'_>]) -> Result<Cell> {
    Ok(relation(context, args)?.0.map(|_| 0).into())
}

fn database(context: &Context, args: &[Arg<'_>]) -> Result<Cell> {
    let here = match args[0] {
        Arg::Text(name) => name == context.session.database,
        arg => arg.oid() == DATABASE,
    };
    if !here {
        let message = match args[0] {
            Arg::Text(name) => format!("database \"{name}\" does not exist"),
            arg => format!("database with OID {} does not exist", arg.oid()),
        };
        return Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, message));
    }
    Ok(context.bytes().into())
}

impl Context {
    /// Bytes of all tables.
    fn bytes(&self) -> u64 {
        self.catalog.tables().map(|table| self.size(table).1).sum()
    }
}
