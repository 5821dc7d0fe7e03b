//! Which Arrow type keeps which PostgreSQL type, and back.
//!
//! Several PostgreSQL types share an Arrow type (`text`, `json` and `name` are all Utf8). A field
//! then carries the name under [`PG_TYPE_METADATA`]. Expressions may copy a field's metadata to a
//! result of another type, so the name counts only while it fits the Arrow type.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use super::{PgType, SummaryKind};

/// The key of a field's metadata that names its PostgreSQL type.
pub const PG_TYPE_METADATA: &str = "pg_type";

/// Precision and scale that keep a `numeric` without either.
pub(super) const BARE_NUMERIC: (u8, i8) = (38, 9);

impl PgType {
    /// The Arrow type that keeps values of this type.
    pub fn arrow(&self) -> DataType {
        match self {
            PgType::Bool => DataType::Boolean,
            PgType::Int2 => DataType::Int16,
            PgType::Int4 => DataType::Int32,
            PgType::Int8 => DataType::Int64,
            PgType::Float4 => DataType::Float32,
            PgType::Float8 => DataType::Float64,
            PgType::Numeric { .. } => {
                let (precision, scale) = self.decimal();
                if precision > 38 {
                    DataType::Decimal256(precision, scale)
                } else {
                    DataType::Decimal128(precision, scale)
                }
            }
            PgType::Text
            | PgType::Varchar(_)
            | PgType::Char(_)
            | PgType::Name
            | PgType::Json
            | PgType::Jsonb
            | PgType::Unknown
            | PgType::Void => DataType::Utf8,
            PgType::Bytea | PgType::Summary(_) => DataType::Binary,
            PgType::Date => DataType::Date32,
            PgType::Time => DataType::Time64(TimeUnit::Microsecond),
            PgType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            PgType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            PgType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            PgType::Uuid => DataType::FixedSizeBinary(16),
            PgType::Oid => DataType::UInt32,
            PgType::Array(element) => {
                DataType::List(Field::new_list_field(element.arrow(), true).into())
            }
        }
    }

    /// Precision and scale of the decimals that keep a numeric.
    pub(super) fn decimal(&self) -> (u8, i8) {
        match self {
            PgType::Numeric { precision, scale } if *precision > 0 => (*precision, *scale),
            _ => BARE_NUMERIC,
        }
    }

    /// A field of this type, named in its metadata where the Arrow type alone does not tell.
    pub fn field(&self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.arrow(), nullable);
        if PgType::of_arrow(field.data_type()) == *self {
            return field;
        }
        field.with_metadata(HashMap::from([(PG_TYPE_METADATA.to_owned(), self.name())]))
    }

    /// The type of a field: what its metadata says if that fits, or else what its Arrow type says.
    pub fn of_field(field: &Field) -> PgType {
        field
            .metadata()
            .get(PG_TYPE_METADATA)
            .and_then(|name| PgType::from_metadata(name))
            .filter(|named| named.fits(field.data_type()))
            .unwrap_or_else(|| PgType::of_arrow(field.data_type()))
    }

    /// The type of any Arrow type, also of those that only expressions yield.
    pub fn of_arrow(data_type: &DataType) -> PgType {
        match data_type {
            DataType::Boolean => PgType::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => PgType::Int2,
            DataType::Int32 | DataType::UInt16 => PgType::Int4,
            // PostgreSQL's row_number() and the like are bigint; DataFusion counts in UInt64.
            DataType::Int64 | DataType::UInt64 => PgType::Int8,
            DataType::UInt32 => PgType::Oid,
            DataType::Float16 | DataType::Float32 => PgType::Float4,
            DataType::Float64 => PgType::Float8,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => PgType::Numeric {
                precision: *precision,
                scale: *scale,
            },
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => PgType::Bytea,
            DataType::Date32 => PgType::Date,
            DataType::Date64 | DataType::Timestamp(_, None) => PgType::Timestamp,
            DataType::Timestamp(_, Some(_)) => PgType::Timestamptz,
            DataType::Time32(_) | DataType::Time64(_) => PgType::Time,
            DataType::Duration(_) | DataType::Interval(_) => PgType::Interval,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => match PgType::of_field(item) {
                nested @ PgType::Array(_) => nested,
                element => PgType::Array(Box::new(element)),
            },
            DataType::Dictionary(_, value) => PgType::of_arrow(value),
            DataType::RunEndEncoded(_, value) => PgType::of_field(value),
            DataType::Null
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Struct(_)
            | DataType::Map(..)
            | DataType::Union(..) => PgType::Text,
        }
    }

    /// Reads a name that [`PgType::name`] wrote, of those that metadata needs.
    fn from_metadata(name: &str) -> Option<PgType> {
        if let Some(element) = name.strip_suffix("[]") {
            let element = PgType::from_metadata(element)?;
            return Some(PgType::Array(Box::new(element)));
        }
        let length = |prefix: &str| -> Option<u32> {
            name.strip_prefix(prefix)?.strip_suffix(')')?.parse().ok()
        };
        Some(match name {
            "character varying" => PgType::Varchar(None),
            "bpchar" => PgType::Char(0),
            "name" => PgType::Name,
            "json" => PgType::Json,
            "jsonb" => PgType::Jsonb,
            "uuid" => PgType::Uuid,
            "oid" => PgType::Oid,
            "numeric" => PgType::NUMERIC,
            "unknown" => PgType::Unknown,
            "void" => PgType::Void,
            _ => match (length("character varying("), length("character(")) {
                (Some(n), _) => PgType::Varchar(Some(n)),
                (_, Some(n)) => PgType::Char(n),
                _ => return SummaryKind::from_name(name).map(PgType::Summary),
            },
        })
    }

    /// Whether values of this Arrow type can be values of this type.
    fn fits(&self, data_type: &DataType) -> bool {
        match (self, data_type) {
            (PgType::Uuid, _) => *data_type == DataType::FixedSizeBinary(16),
            (PgType::Numeric { precision: 0, .. }, _) => {
                *data_type == DataType::Decimal128(BARE_NUMERIC.0, BARE_NUMERIC.1)
            }
            (
                PgType::Array(element),
                DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _),
            ) => element.fits(item.data_type()),
            _ => PgType::of_arrow(&self.arrow()) == PgType::of_arrow(data_type),
        }
    }
}
