//! The `reg…` types: oids that know names. `'orders'::regclass` is `to_regclass_oid('orders')` here
//! and `oid::regclass` is `regclass_text(oid)`; the dialect writes them so.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::Param::{Named, Text};
use super::{Arg, Param, Returns, Spec};
use crate::catalog::system::Context;
use crate::catalog::system::relation::{NAMESPACES, quote, split_name};
use crate::catalog::system::rows::{Cell, fixed_text, type_row};
use crate::error::{Result, SqlError, SqlState};
use crate::types::PgType;

/// What a `reg…` type names.
#[derive(Clone, Copy)]
enum Kind {
    Class,
    Collation,
    Namespace,
    Function,
    Role,
    Type,
    /// Operators and text search, of which there are none.
    None,
}

const TEXT: &[&[Param]] = &[&[Text]];
const NAMED: &[&[Param]] = &[&[Named]];

/// The functions of one type: the cast from text, the cast to text, and the one that answers null
/// for what is not there.
macro_rules! kinds {
    ($($to_oid:literal $to_text:literal $or_null:literal $kind:ident)*) => {
        pub(super) const FUNCTIONS: &[Spec] = &[$(
            Spec {
                name: $to_oid,
                takes: TEXT,
                returns: Returns::Oid,
                row: |context, args| Kind::$kind.require(context, args[0].text()).map(Cell::from),
            },
            Spec {
                name: $to_text,
                takes: NAMED,
                returns: Returns::Text,
                row: |context, args| Kind::$kind.display(context, args[0]).map(Cell::from),
            },
            Spec {
                name: $or_null,
                takes: TEXT,
                returns: Returns::Text,
                row: |context, args| {
                    let found = Kind::$kind.find(context, args[0].text());
                    Ok(found.map(|oid| Kind::$kind.name(context, oid)).into())
                },
            },
        )*];
    };
}
kinds! {
    "to_regclass_oid" "regclass_text" "to_regclass" Class
    "to_regcollation_oid" "regcollation_text" "to_regcollation" Collation
    "to_regconfig_oid" "regconfig_text" "to_regconfig" None
    "to_regdictionary_oid" "regdictionary_text" "to_regdictionary" None
    "to_regnamespace_oid" "regnamespace_text" "to_regnamespace" Namespace
    "to_regoper_oid" "regoper_text" "to_regoper" None
    "to_regoperator_oid" "regoperator_text" "to_regoperator" None
    "to_regproc_oid" "regproc_text" "to_regproc" Function
    "to_regprocedure_oid" "regprocedure_text" "to_regprocedure" Function
    "to_regrole_oid" "regrole_text" "to_regrole" Role
    "to_regtype_oid" "regtype_text" "to_regtype" Type
}

impl Kind {
    /// The oid of a name, or of digits, or an error.
    fn require(self, context: &Context, text: &str) -> Result<u32> {
        if text == "-" {
            return Ok(0);
        }
        if let Ok(oid) = text.parse() {
            return Ok(oid);
        }
        self.find(context, text).ok_or_else(|| {
            let (state, message) = match self {
                Kind::Class => (
                    SqlState::UNDEFINED_TABLE,
                    format!("relation \"{text}\" does not exist"),
                ),
                Kind::Namespace => (
                    SqlState::INVALID_SCHEMA_NAME,
                    format!("schema \"{text}\" does not exist"),
                ),
                Kind::Function => (
                    SqlState::UNDEFINED_FUNCTION,
                    format!("function \"{text}\" does not exist"),
                ),
                Kind::Role => (
                    SqlState::UNDEFINED_OBJECT,
                    format!("role \"{text}\" does not exist"),
                ),
                Kind::Type => (
                    SqlState::UNDEFINED_OBJECT,
                    format!("type \"{text}\" does not exist"),
                ),
                Kind::Collation => (
                    SqlState::UNDEFINED_OBJECT,
                    format!("collation \"{text}\" for encoding \"UTF8\" does not exist"),
                ),
                Kind::None => (
                    SqlState::UNDEFINED_OBJECT,
                    format!("\"{text}\" does not exist"),
                ),
            };
            SqlError::new(state, message)
        })
    }

    /// The oid of a name.
    fn find(self, context: &Context, text: &str) -> Option<u32> {
        if let Kind::Type = self {
            return type_oid(context, text);
        }
        if let Kind::Class = self {
            return context.relation_named(text).map(|relation| relation.oid());
        }
        // A function may be named with its arguments, which none of the few needs to be told by.
        let parts = split_name(text.split('(').next().unwrap_or(text))?;
        let name = match &parts[..] {
            [name] => name,
            [schema, name] if schema == "pg_catalog" => name,
            _ => return None,
        };
        match self {
            Kind::Namespace => NAMESPACES
                .iter()
                .find(|(_, n)| n == name)
                .map(|(oid, _)| *oid),
            Kind::Role => context
                .roles()
                .into_iter()
                .find(|(_, n)| n == name)
                .map(|(oid, _)| oid),
            Kind::Function => fixed_text("pg_proc", "proname", name, "oid")?.parse().ok(),
            Kind::Collation => fixed_text("pg_collation", "collname", name, "oid")?
                .parse()
                .ok(),
            Kind::Class | Kind::Type | Kind::None => None,
        }
    }

    /// The text of an oid, or of a name once it is found.
    fn display(self, context: &Context, arg: Arg<'_>) -> Result<String> {
        let oid = match arg {
            Arg::Text(text) => self.require(context, text)?,
            arg => arg.oid(),
        };
        Ok(self.name(context, oid))
    }

    /// The name of an oid: `-` for none, digits for one that is not there.
    fn name(self, context: &Context, oid: u32) -> String {
        if oid == 0 {
            return "-".to_owned();
        }
        let text = oid.to_string();
        let found = match self {
            Kind::Class => context.relation(oid).map(|relation| relation.display()),
            Kind::Type => type_name(context, oid),
            Kind::Namespace => NAMESPACES
                .iter()
                .find(|(o, _)| *o == oid)
                .map(|(_, name)| quote(name)),
            Kind::Role => context
                .roles()
                .into_iter()
                .find(|(o, _)| *o == oid)
                .map(|(_, name)| quote(name)),
            Kind::Function => fixed_text("pg_proc", "oid", &text, "proname").map(quote),
            Kind::Collation => fixed_text("pg_collation", "oid", &text, "collname").map(quote),
            Kind::None => None,
        };
        found.unwrap_or(text)
    }
}

/// A type by any of its names: as SQL writes it, as `pg_type` has it, or that of a table's rows.
fn type_oid(context: &Context, text: &str) -> Option<u32> {
    let internal = split_name(text).and_then(|parts| match &parts[..] {
        [name] => fixed_text("pg_type", "typname", name, "oid"),
        [schema, name] if schema == "pg_catalog" => fixed_text("pg_type", "typname", name, "oid"),
        _ => None,
    });
    // `char` is character(1) and `"char"` is what pg_type calls char.
    if let Some(oid) = internal
        && (text.contains('"') || oid != "18")
    {
        return oid.parse().ok();
    }
    let dialect = PostgreSqlDialect {};
    let parsed = Parser::new(&dialect)
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_data_type());
    if let Some(ty) = parsed
        .ok()
        .and_then(|parsed| PgType::from_ast(&parsed).ok())
    {
        return Some(ty.oid());
    }
    match context.relation_named(text)? {
        super::super::relation::Relation::Table(table) => Some(table.oid + 1),
        _ => None,
    }
}

/// The name of a type, without a modifier.
fn type_name(context: &Context, oid: u32) -> Option<String> {
    if let Some(ty) = PgType::from_oid(oid) {
        return Some(ty.name());
    }
    if fixed_text("pg_type", "oid", &oid.to_string(), "oid").is_some() {
        let name = type_row(oid).name;
        return Some(match name.strip_prefix('_') {
            Some(element) => format!("{}[]", internal_name(element)),
            None => internal_name(name),
        });
    }
    context
        .catalog
        .relations()
        .find(|table| table.oid + 1 == oid)
        .map(|table| quote(&table.name))
}

fn internal_name(name: &str) -> String {
    if name == "char" {
        "\"char\"".to_owned()
    } else {
        quote(name)
    }
}
