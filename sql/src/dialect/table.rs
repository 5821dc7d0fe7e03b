//! Names of tables, and the statements that make and drop them.

mod create;

use datafusion::sql::sqlparser::ast;
use std::fmt;

use crate::types::PgType;

pub(crate) use create::{option, parse_create, parse_drop};

/// A table as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The schema, where one was given.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
    /// Where it stands in the statement, in characters from 1.
    pub position: usize,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

/// `CREATE TABLE`.
#[derive(Debug, Clone)]
pub struct CreateTable {
    /// Its name.
    pub name: TableName,
    /// A table that is there already is no error.
    pub if_not_exists: bool,
    /// The columns, in order.
    pub columns: Vec<ColumnDefinition>,
    /// Names of the key's columns; empty without a key. Each is one of `columns`, once.
    pub primary_key: Vec<String>,
    /// `WITH (…)`; names that began with `timescaledb.` begin with `tsdb.` here.
    pub options: Vec<(String, OptionValue)>,
}

/// A column of `CREATE TABLE`.
#[derive(Debug, Clone)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: PgType,
    /// Whether NULL is refused. True for columns of the primary key too.
    pub not_null: bool,
    /// The value where none is given.
    pub default: Option<ast::Expr>,
    /// Where it stands in the statement, in characters from 1.
    pub position: usize,
}

/// The value of an option in `WITH (…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// The name alone, which means true.
    Bare,
    /// `'text'`.
    Text(String),
    /// `42`, `-1.5`.
    Number(String),
    /// `true`, `off`, `somebody`.
    Word(String),
}

impl OptionValue {
    /// The value as text; `true` for a bare name.
    pub fn as_str(&self) -> &str {
        match self {
            OptionValue::Bare => "true",
            OptionValue::Text(text) | OptionValue::Number(text) | OptionValue::Word(text) => text,
        }
    }

    /// The value as a truth value, where it is one as PostgreSQL spells them.
    pub fn as_bool(&self) -> Option<bool> {
        match self.as_str().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        }
    }
}

/// `DROP TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct DropTable {
    /// The tables, at least one.
    pub names: Vec<TableName>,
    /// A table that is not there is no error.
    pub if_exists: bool,
    /// `CASCADE`.
    pub cascade: bool,
}
