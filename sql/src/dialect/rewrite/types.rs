//! Types in casts: as DataFusion plans them, and as PostgreSQL names a column after them.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo,
};

use crate::types::PgType;

/// Gives DataFusion the Arrow types that this server keeps PostgreSQL's types in. Without it a
/// `timestamptz` would be one of nanoseconds and `uuid` no type at all.
#[derive(Debug)]
pub struct PgTypePlanner;

impl TypePlanner for PgTypePlanner {
    fn plan_type_field(&self, ty: &DataType) -> PlanResult<Option<FieldRef>> {
        match PgType::from_ast(ty) {
            Ok(ty) => Ok(Some(Arc::new(ty.field("", true)))),
            Err(error) => Err(DataFusionError::External(Box::new(error))),
        }
    }
}

/// A cast that needs more than another type.
pub(super) enum Special {
    /// To one of the `reg…` types: this one.
    Registry(String),
    /// To `character varying(n)`: cut off.
    Cut(u64),
    /// To `character(n)`: cut off, blanks at the end dropped.
    Blank(u64),
}

/// Whether a cast to this type needs more than another type.
pub(super) fn special(ty: &DataType) -> Option<Special> {
    let length = |length: &Option<CharacterLength>| match length {
        Some(CharacterLength::IntegerLength { length, .. }) => Some(*length),
        _ => None,
    };
    match ty {
        DataType::Regclass => Some(Special::Registry("regclass".into())),
        DataType::Varchar(n) | DataType::CharVarying(n) | DataType::CharacterVarying(n) => {
            length(n).map(Special::Cut)
        }
        DataType::Char(n) | DataType::Character(n) => Some(Special::Blank(length(n).unwrap_or(1))),
        DataType::Custom(name, modifiers) => match (custom(name)?, &modifiers[..]) {
            (
                name @ ("regclass" | "regtype" | "regproc" | "regprocedure" | "regnamespace"
                | "regrole" | "regoper" | "regoperator" | "regconfig" | "regdictionary"
                | "regcollation"),
                [],
            ) => Some(Special::Registry(name.into())),
            ("varchar", [n]) => n.parse().ok().map(Special::Cut),
            ("bpchar", [n]) => n.parse().ok().map(Special::Blank),
            _ => None,
        },
        _ => None,
    }
}

/// The type to plan a cast with. All kinds of text are one in Arrow.
pub(super) fn plain(ty: DataType) -> DataType {
    if let DataType::Custom(name, modifiers) = &ty
        && modifiers.is_empty()
        && let Some("text" | "name" | "char" | "cstring" | "unknown" | "varchar" | "bpchar") =
            custom(name)
    {
        return DataType::Text;
    }
    match ty {
        DataType::Varchar(None)
        | DataType::CharVarying(None)
        | DataType::CharacterVarying(None) => DataType::Text,
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, size)) => DataType::Array(
            ArrayElemTypeDef::SquareBracket(Box::new(plain(*element)), size),
        ),
        ty => ty,
    }
}

/// Whether this is the type of object identifiers, or an integer that one fits in.
pub(super) fn is_oid(ty: &DataType) -> bool {
    match ty {
        DataType::Custom(name, _) => matches!(custom(name), Some("oid" | "int4" | "int8")),
        DataType::Int(_) | DataType::Integer(_) | DataType::BigInt(_) => true,
        _ => false,
    }
}

/// The name of a type that sqlparser left as it was written, with or without `pg_catalog.`.
fn custom(name: &ObjectName) -> Option<&str> {
    let mut parts = name
        .0
        .iter()
        .map(|part| part.as_ident().map(|ident| ident.value.as_str()));
    match (parts.next()?, parts.next(), parts.next()) {
        (Some(name), None, None) => Some(name),
        (Some("pg_catalog"), Some(Some(name)), None) => Some(name),
        _ => None,
    }
}

/// The type's name in `pg_type`, which is what a column is called after a cast.
pub(super) fn internal_name(ty: &DataType) -> String {
    let name = match ty {
        DataType::Bool | DataType::Boolean => "bool",
        DataType::SmallInt(_) | DataType::Int2(_) => "int2",
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4",
        DataType::BigInt(_) | DataType::Int8(_) => "int8",
        DataType::Real | DataType::Float4 => "float4",
        DataType::Float(ExactNumberInfo::Precision(1..=24)) => "float4",
        DataType::Float(_) | DataType::Float8 | DataType::DoublePrecision => "float8",
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric",
        DataType::Text => "text",
        DataType::Varchar(_) | DataType::CharVarying(_) | DataType::CharacterVarying(_) => {
            "varchar"
        }
        DataType::Char(_) | DataType::Character(_) => "bpchar",
        DataType::Bytea => "bytea",
        DataType::Date => "date",
        DataType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => "time",
        DataType::Time(..) => "timetz",
        DataType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => "timestamp",
        DataType::Timestamp(..) => "timestamptz",
        DataType::Interval { .. } => "interval",
        DataType::Uuid => "uuid",
        DataType::JSON => "json",
        DataType::JSONB => "jsonb",
        DataType::Regclass => "regclass",
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => {
            return internal_name(element);
        }
        DataType::Custom(name, _) => match name.0.last().and_then(|part| part.as_ident()) {
            Some(ident) => &ident.value,
            None => "?column?",
        },
        other => return other.to_string().to_lowercase(),
    };
    name.to_owned()
}
