//! [`PgType::from_ast`]: the type that a statement names.
//!
//! The SQL parser reads the type names of many databases; only PostgreSQL's own are types here.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as Ast, ExactNumberInfo, TimezoneInfo,
};

use super::PgType;
use crate::error::{Result, SqlError, SqlState};

/// The longest `n` of `varchar(n)` and `char(n)`.
const LENGTH_MAX: u64 = 10_485_760;

impl PgType {
    /// The type of a type name; 42704 if PostgreSQL has none, 0A000 if it is not supported here.
    pub fn from_ast(ast: &Ast) -> Result<PgType> {
        Ok(match ast {
            Ast::Bool | Ast::Boolean => PgType::Bool,
            Ast::SmallInt(None) | Ast::Int2(None) => PgType::Int2,
            Ast::Int(None) | Ast::Integer(None) | Ast::Int4(None) => PgType::Int4,
            Ast::BigInt(None) | Ast::Int8(None) => PgType::Int8,
            Ast::Real | Ast::Float4 => PgType::Float4,
            Ast::Float8 | Ast::DoublePrecision => PgType::Float8,
            Ast::Float(info) => float(info)?,
            Ast::Numeric(info) | Ast::Decimal(info) | Ast::Dec(info) => numeric(info)?,
            Ast::Text => PgType::Text,
            Ast::Varchar(length) | Ast::CharVarying(length) | Ast::CharacterVarying(length) => {
                PgType::Varchar(characters(length.as_ref(), "varchar")?)
            }
            Ast::Char(length) | Ast::Character(length) => {
                PgType::Char(characters(length.as_ref(), "char")?.unwrap_or(1))
            }
            Ast::Bytea => PgType::Bytea,
            Ast::Date => PgType::Date,
            Ast::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                microseconds(*precision, "time")?;
                PgType::Time
            }
            Ast::Time(_, _) => return Err(SqlError::unsupported("type time with time zone")),
            Ast::Timestamp(precision, zone) => {
                microseconds(*precision, "timestamp")?;
                match zone {
                    TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => PgType::Timestamp,
                    TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => PgType::Timestamptz,
                }
            }
            Ast::Interval {
                fields: None,
                precision,
            } => {
                microseconds(*precision, "interval")?;
                PgType::Interval
            }
            Ast::Interval { .. } => {
                return Err(SqlError::unsupported("an interval type with fields"));
            }
            Ast::Uuid => PgType::Uuid,
            Ast::JSON => PgType::Json,
            Ast::JSONB => PgType::Jsonb,
            Ast::Array(
                ArrayElemTypeDef::SquareBracket(element, _)
                | ArrayElemTypeDef::AngleBracket(element)
                | ArrayElemTypeDef::Parenthesis(element),
            ) => match PgType::from_ast(element)? {
                nested @ PgType::Array(_) => nested,
                element => PgType::Array(Box::new(element)),
            },
            Ast::Custom(name, modifiers) => {
                let parts: Vec<String> = name
                    .0
                    .iter()
                    .map(|part| match part.as_ident() {
                        Some(ident) if ident.quote_style.is_none() => ident.value.to_lowercase(),
                        Some(ident) => ident.value.clone(),
                        None => part.to_string(),
                    })
                    .collect();
                custom(&parts, modifiers)?
            }
            Ast::Regclass => return Err(SqlError::unsupported("type regclass")),
            Ast::Bit(_) | Ast::BitVarying(_) | Ast::VarBit(_) => {
                return Err(SqlError::unsupported(format!("type {ast}").to_lowercase()));
            }
            other => return Err(absent(&other.to_string().to_lowercase())),
        })
    }
}

fn absent(name: &str) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_OBJECT,
        format!("type \"{name}\" does not exist"),
    )
}

/// Names that the parser leaves to us, perhaps after `pg_catalog.`.
fn custom(parts: &[String], modifiers: &[String]) -> Result<PgType> {
    let name = match parts {
        [name] => name,
        [schema, name] if schema == "pg_catalog" => name,
        _ => return Err(absent(&parts.join("."))),
    };
    let length = match modifiers {
        [] => None,
        [n] => match n.parse::<u64>() {
            Ok(n) => Some(checked_length(n, name)?),
            Err(_) => {
                let message = format!("invalid type modifier for type {name}: {n}");
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        },
        _ => {
            let message = "type modifier is not allowed here".to_owned();
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
    };
    let ty = match name.as_str() {
        "bpchar" => return Ok(PgType::Char(length.unwrap_or(0))),
        "varchar" => return Ok(PgType::Varchar(length)),
        "bool" => PgType::Bool,
        "int2" => PgType::Int2,
        "int4" => PgType::Int4,
        "int8" => PgType::Int8,
        "float4" => PgType::Float4,
        "float8" => PgType::Float8,
        "numeric" => PgType::NUMERIC,
        "text" => PgType::Text,
        "name" => PgType::Name,
        "oid" => PgType::Oid,
        "bytea" => PgType::Bytea,
        "date" => PgType::Date,
        "time" => PgType::Time,
        "timestamp" => PgType::Timestamp,
        "timestamptz" => PgType::Timestamptz,
        "interval" => PgType::Interval,
        "uuid" => PgType::Uuid,
        "json" => PgType::Json,
        "jsonb" => PgType::Jsonb,
        "unknown" => PgType::Unknown,
        "void" => PgType::Void,
        "serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8" => {
            return Err(SqlError::unsupported(format!("type {name}")));
        }
        "timetz" | "money" | "inet" | "cidr" | "macaddr" | "macaddr8" | "xml" | "tsvector"
        | "tsquery" | "point" | "line" | "lseg" | "box" | "path" | "polygon" | "circle"
        | "int4range" | "int8range" | "numrange" | "tsrange" | "tstzrange" | "daterange"
        | "regtype" | "regproc" | "regprocedure" | "regoper" | "regrole" | "regnamespace"
        | "xid" | "cid" | "tid" | "pg_lsn" | "hstore" | "citext" => {
            return Err(SqlError::unsupported(format!("type {name}")));
        }
        _ => return Err(absent(&parts.join("."))),
    };
    match length {
        None => Ok(ty),
        Some(_) => {
            let message = format!("type modifier is not allowed for type \"{name}\"");
            Err(SqlError::new(SqlState::SYNTAX_ERROR, message))
        }
    }
}

/// `float(p)` is real up to 24 binary digits and double precision up to 53.
fn float(info: &ExactNumberInfo) -> Result<PgType> {
    match info {
        ExactNumberInfo::None | ExactNumberInfo::Precision(25..=53) => Ok(PgType::Float8),
        ExactNumberInfo::Precision(1..=24) => Ok(PgType::Float4),
        ExactNumberInfo::Precision(0) => Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "precision for type float must be at least 1 bit",
        )),
        ExactNumberInfo::Precision(_) | ExactNumberInfo::PrecisionAndScale(..) => {
            Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "precision for type float must be less than 54 bits",
            ))
        }
    }
}

fn numeric(info: &ExactNumberInfo) -> Result<PgType> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => return Ok(PgType::NUMERIC),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if !(1..=1000).contains(&precision) {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("NUMERIC precision {precision} must be between 1 and 1000"),
        ));
    }
    if precision > 38 {
        return Err(
            SqlError::unsupported(format!("numeric precision {precision}"))
                .with_hint("A numeric has at most 38 digits here."),
        );
    }
    // PostgreSQL allows scales beyond the precision: numeric(2,4) holds 0.0012.
    if !(-1000..=1000).contains(&scale) {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("NUMERIC scale {scale} must be between -1000 and 1000"),
        ));
    }
    if !(0..=precision as i64).contains(&scale) {
        return Err(
            SqlError::unsupported(format!("numeric({precision},{scale})"))
                .with_hint("The scale of a numeric is between 0 and its precision here."),
        );
    }
    Ok(PgType::Numeric {
        precision: precision as u8,
        scale: scale as i8,
    })
}

fn characters(length: Option<&CharacterLength>, name: &str) -> Result<Option<u32>> {
    match length {
        None => Ok(None),
        Some(CharacterLength::IntegerLength { length, .. }) => {
            checked_length(*length, name).map(Some)
        }
        Some(CharacterLength::Max) => Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            format!("{name}(max) is not a type"),
        )),
    }
}

fn checked_length(length: u64, name: &str) -> Result<u32> {
    let fault = match length {
        0 => format!("length for type {name} must be at least 1"),
        1..=LENGTH_MAX => return Ok(length as u32),
        _ => format!("length for type {name} cannot exceed {LENGTH_MAX}"),
    };
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, fault))
}

/// Times are kept in microseconds; a coarser type would have to round, which nothing here does.
fn microseconds(precision: Option<u64>, name: &str) -> Result<()> {
    match precision {
        None | Some(6) => Ok(()),
        Some(precision) => Err(SqlError::unsupported(format!("type {name}({precision})"))
            .with_hint("Times have microsecond precision; leave the precision out.")),
    }
}
