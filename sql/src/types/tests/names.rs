//! Types, their names, oids and Arrow types, against themselves and PostgreSQL.

use arrow::datatypes::{DataType, Field};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::super::*;
use super::postgres::Postgres;

fn scalars() -> Vec<PgType> {
    vec![
        PgType::Bool,
        PgType::Int2,
        PgType::Int4,
        PgType::Int8,
        PgType::Float4,
        PgType::Float8,
        PgType::NUMERIC,
        PgType::Numeric {
            precision: 10,
            scale: 2,
        },
        PgType::Numeric {
            precision: 38,
            scale: 9,
        },
        PgType::Text,
        PgType::Varchar(None),
        PgType::Varchar(Some(10)),
        PgType::Char(3),
        PgType::Name,
        PgType::Bytea,
        PgType::Date,
        PgType::Time,
        PgType::Timestamp,
        PgType::Timestamptz,
        PgType::Interval,
        PgType::Uuid,
        PgType::Json,
        PgType::Jsonb,
        PgType::Oid,
    ]
}

fn all() -> Vec<PgType> {
    let arrays = scalars()
        .into_iter()
        .map(|element| PgType::Array(Box::new(element)));
    let mut types: Vec<PgType> = scalars().into_iter().chain(arrays).collect();
    types.extend([PgType::Unknown, PgType::Void, PgType::Char(0)]);
    types
}

#[test]
fn a_field_tells_its_type() {
    for ty in all() {
        // An array remembers the type of its elements, but no modifier of a numeric without one.
        assert_eq!(PgType::of_field(&ty.field("c", true)), ty);
    }
}

#[test]
fn metadata_counts_only_while_it_fits() {
    let json = PgType::Json.field("c", true);
    let cast = Field::new("c", DataType::Int64, true).with_metadata(json.metadata().clone());
    assert_eq!(PgType::of_field(&cast), PgType::Int8);
    let view = Field::new("c", DataType::Utf8View, true).with_metadata(json.metadata().clone());
    assert_eq!(PgType::of_field(&view), PgType::Json);
    let bare = PgType::NUMERIC.field("c", true);
    let sum =
        Field::new("c", DataType::Decimal128(38, 2), true).with_metadata(bare.metadata().clone());
    assert_eq!(
        PgType::of_field(&sum),
        PgType::Numeric {
            precision: 38,
            scale: 2
        }
    );
}

#[test]
fn an_oid_tells_its_type() {
    for ty in all() {
        let back = PgType::from_oid(ty.oid()).unwrap_or_else(|| panic!("{}", ty.name()));
        assert_eq!(back.oid(), ty.oid());
        assert_eq!(back.typmod(), -1);
    }
    assert_eq!(PgType::from_oid(0), None);
    assert_eq!(PgType::from_oid(600), None);
}

fn from_sql(name: &str) -> Result<PgType, String> {
    let ast = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(name)
        .and_then(|mut parser| parser.parse_data_type())
        .map_err(|fault| fault.to_string())?;
    PgType::from_ast(&ast).map_err(|fault| fault.to_string())
}

#[test]
fn sql_names_types() {
    for ty in all() {
        assert_eq!(from_sql(&ty.name()).as_ref(), Ok(&ty), "{}", ty.name());
    }
    for (name, wanted) in [
        ("int", Ok(PgType::Int4)),
        ("INT8", Ok(PgType::Int8)),
        ("float", Ok(PgType::Float8)),
        ("float(24)", Ok(PgType::Float4)),
        (
            "decimal(10)",
            Ok(PgType::Numeric {
                precision: 10,
                scale: 0,
            }),
        ),
        ("char", Ok(PgType::Char(1))),
        ("bpchar", Ok(PgType::Char(0))),
        ("varchar(5)", Ok(PgType::Varchar(Some(5)))),
        ("timestamptz", Ok(PgType::Timestamptz)),
        ("timestamp(6)", Ok(PgType::Timestamp)),
        ("int[]", Ok(PgType::Array(Box::new(PgType::Int4)))),
        ("int[][]", Ok(PgType::Array(Box::new(PgType::Int4)))),
        ("pg_catalog.int4", Ok(PgType::Int4)),
        ("money", Err("0A000: type money is not supported")),
        ("serial", Err("0A000: type serial is not supported")),
        (
            "timestamp(3)",
            Err("0A000: type timestamp(3) is not supported"),
        ),
        (
            "numeric(50)",
            Err("0A000: numeric precision 50 is not supported"),
        ),
        (
            "numeric(0)",
            Err("22023: NUMERIC precision 0 must be between 1 and 1000"),
        ),
        (
            "varchar(0)",
            Err("22023: length for type varchar must be at least 1"),
        ),
        ("tinyint", Err("42704: type \"tinyint\" does not exist")),
        ("nothing", Err("42704: type \"nothing\" does not exist")),
    ] {
        assert_eq!(from_sql(name), wanted.map_err(str::to_owned), "{name}");
    }
}

#[test]
fn oids_and_names_are_postgresqls() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let mut script = String::new();
    let mut wanted = String::new();
    for ty in all() {
        let (oid, typmod) = (ty.oid(), ty.typmod());
        script.push_str(&format!(
            "SELECT oid, typlen, format_type(oid, {typmod}) FROM pg_type WHERE oid = {oid};\n"
        ));
        wanted.push_str(&format!("{oid}|{}|{}\n", ty.typlen(), ty.name()));
    }
    let live = String::from_utf8(postgres.run(&script)).expect("UTF-8");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (live, wanted) in lines(&live).iter().zip(lines(&wanted)) {
        assert_eq!(*live, wanted);
    }
    assert_eq!(live.lines().count(), all().len());
}
