//! `format_type(oid, typmod)`: a type as SQL spells it.

use datafusion::arrow::datatypes::DataType;

use super::simple::Simple;
use crate::types::PgType;

/// The function.
pub(super) fn functions() -> Vec<Simple> {
    vec![Simple::new(
        "format_type",
        vec![vec![DataType::Int64, DataType::Int64]],
        |row| {
            let Some(oid) = row[0].and_then(|oid| oid.parse::<u32>().ok()) else {
                return Ok(None);
            };
            Ok(Some(format_type(
                oid,
                row[1].and_then(|typmod| typmod.parse().ok()),
            )))
        },
    )]
}

/// As `format_type_extended`: a type that is not known is `???`, none is `-`.
fn format_type(oid: u32, typmod: Option<i32>) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let Some(ty) = PgType::from_oid(oid) else {
        return other(oid).unwrap_or("???").to_owned();
    };
    match (ty, typmod.unwrap_or(-1)) {
        (PgType::Array(element), typmod) => {
            format!("{}[]", format_type(element.oid(), Some(typmod)))
        }
        (PgType::Varchar(_), 4..) => format!("character varying({})", typmod.unwrap_or(-1) - 4),
        (PgType::Char(_), 4..) => format!("character({})", typmod.unwrap_or(-1) - 4),
        // Without a length it is the type that pads nothing.
        (PgType::Char(_), _) => if typmod.is_some() {
            "bpchar"
        } else {
            "character"
        }
        .to_owned(),
        (PgType::Varchar(_), _) => "character varying".to_owned(),
        (PgType::Numeric { .. }, modifier @ 4..) => {
            let modifier = modifier - 4;
            // Eleven bits of scale, signed.
            let scale = ((modifier & 0x7ff) ^ 1024) - 1024;
            format!("numeric({},{scale})", (modifier >> 16) & 0xffff)
        }
        (PgType::Time, precision @ 0..) => format!("time({precision}) without time zone"),
        (PgType::Timestamp, precision @ 0..) => format!("timestamp({precision}) without time zone"),
        (PgType::Timestamptz, precision @ 0..) => format!("timestamp({precision}) with time zone"),
        (ty, _) => ty.name(),
    }
}

/// Types that only the catalogs have.
fn other(oid: u32) -> Option<&'static str> {
    Some(match oid {
        18 => "\"char\"",
        22 => "int2vector",
        24 => "regproc",
        27 => "tid",
        28 => "xid",
        29 => "cid",
        30 => "oidvector",
        142 => "xml",
        194 => "pg_node_tree",
        869 => "inet",
        650 => "cidr",
        1002 => "\"char\"[]",
        1034 => "aclitem[]",
        1033 => "aclitem",
        1266 => "time with time zone",
        2205 => "regclass",
        2206 => "regtype",
        2249 => "record",
        2276 => "\"any\"",
        2277 => "anyarray",
        2279 => "trigger",
        2283 => "anyelement",
        3220 => "pg_lsn",
        4089 => "regnamespace",
        4096 => "regrole",
        _ => return None,
    })
}
