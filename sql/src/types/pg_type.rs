//! [`PgType`]: the closed set of types that a client meets.
//!
//! Oids, lengths and names are PostgreSQL's (`pg_type.dat`, `format_type`). How a type is kept in
//! Arrow stands in `mapping.rs`.

use super::SummaryKind;

/// A type as PostgreSQL knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PgType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric(precision, scale)`; [`PgType::NUMERIC`] is the one without both.
    Numeric {
        /// Digits in all; 0 means not declared.
        precision: u8,
        /// Digits after the point; negative rounds before it.
        scale: i8,
    },
    /// `text`
    Text,
    /// `character varying(n)`, in characters
    Varchar(Option<u32>),
    /// `character(n)`, in characters; 0 is `bpchar` without a length.
    Char(u32),
    /// `name`: identifiers of the catalogs
    Name,
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    Timestamptz,
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `oid`
    Oid,
    /// A literal whose type nobody told yet.
    Unknown,
    /// What a function without a result returns.
    Void,
    /// What many rows were summarised to.
    Summary(SummaryKind),
    /// An array of any of the others.
    Array(Box<PgType>),
}

/// Element oid and array oid; only types that have arrays.
const ARRAY_OIDS: [(u32, u32); 20] = [
    (16, 1000),
    (17, 1001),
    (19, 1003),
    (20, 1016),
    (21, 1005),
    (23, 1007),
    (25, 1009),
    (26, 1028),
    (114, 199),
    (700, 1021),
    (701, 1022),
    (1042, 1014),
    (1043, 1015),
    (1082, 1182),
    (1083, 1183),
    (1114, 1115),
    (1184, 1185),
    (1186, 1187),
    (1700, 1231),
    (2950, 2951),
];
const JSONB: (u32, u32) = (3802, 3807);

impl PgType {
    /// `numeric` without precision and scale.
    pub const NUMERIC: PgType = PgType::Numeric {
        precision: 0,
        scale: 0,
    };

    /// The oid in `pg_type`.
    pub fn oid(&self) -> u32 {
        match self {
            PgType::Bool => 16,
            PgType::Bytea => 17,
            PgType::Name => 19,
            PgType::Int8 => 20,
            PgType::Int2 => 21,
            PgType::Int4 => 23,
            PgType::Text => 25,
            PgType::Oid => 26,
            PgType::Json => 114,
            PgType::Float4 => 700,
            PgType::Float8 => 701,
            PgType::Unknown => 705,
            PgType::Char(_) => 1042,
            PgType::Varchar(_) => 1043,
            PgType::Date => 1082,
            PgType::Time => 1083,
            PgType::Timestamp => 1114,
            PgType::Timestamptz => 1184,
            PgType::Interval => 1186,
            PgType::Numeric { .. } => 1700,
            PgType::Void => 2278,
            PgType::Uuid => 2950,
            PgType::Jsonb => JSONB.0,
            PgType::Summary(kind) => kind.oid(),
            PgType::Array(element) => element.array_oid(),
        }
    }

    /// The oid of the array of this type; `text[]` for what has none.
    fn array_oid(&self) -> u32 {
        let element = self.oid();
        if let PgType::Array(_) = self {
            return element; // PostgreSQL has one array type for any number of dimensions.
        }
        if element == JSONB.0 {
            return JSONB.1;
        }
        ARRAY_OIDS
            .iter()
            .find(|(of, _)| *of == element)
            .map_or(1009, |(_, array)| *array)
    }

    /// The type of an oid as drivers send it with Parse, without a modifier.
    pub fn from_oid(oid: u32) -> Option<PgType> {
        if oid == JSONB.1 {
            return Some(PgType::Array(Box::new(PgType::Jsonb)));
        }
        if let Some((element, _)) = ARRAY_OIDS.iter().find(|(_, array)| *array == oid) {
            return PgType::from_oid(*element).map(|element| PgType::Array(Box::new(element)));
        }
        Some(match oid {
            16 => PgType::Bool,
            17 => PgType::Bytea,
            19 => PgType::Name,
            20 => PgType::Int8,
            21 => PgType::Int2,
            23 => PgType::Int4,
            25 => PgType::Text,
            26 => PgType::Oid,
            114 => PgType::Json,
            700 => PgType::Float4,
            701 => PgType::Float8,
            705 => PgType::Unknown,
            1042 => PgType::Char(0),
            1043 => PgType::Varchar(None),
            1082 => PgType::Date,
            1083 => PgType::Time,
            1114 => PgType::Timestamp,
            1184 => PgType::Timestamptz,
            1186 => PgType::Interval,
            1700 => PgType::NUMERIC,
            2278 => PgType::Void,
            2950 => PgType::Uuid,
            3802 => PgType::Jsonb,
            _ => return SummaryKind::from_oid(oid).map(PgType::Summary),
        })
    }

    /// Bytes of a value, -1 for any length, -2 for a C string.
    pub fn typlen(&self) -> i16 {
        match self {
            PgType::Bool => 1,
            PgType::Int2 => 2,
            PgType::Int4 | PgType::Float4 | PgType::Date | PgType::Oid | PgType::Void => 4,
            PgType::Int8
            | PgType::Float8
            | PgType::Time
            | PgType::Timestamp
            | PgType::Timestamptz => 8,
            PgType::Interval | PgType::Uuid => 16,
            PgType::Name => 64,
            PgType::Unknown => -2,
            PgType::Numeric { .. }
            | PgType::Text
            | PgType::Varchar(_)
            | PgType::Char(_)
            | PgType::Bytea
            | PgType::Json
            | PgType::Jsonb
            | PgType::Summary(_)
            | PgType::Array(_) => -1,
        }
    }

    /// The type modifier; -1 is none. Lengths and numeric modifiers count four bytes of header.
    pub fn typmod(&self) -> i32 {
        match self {
            PgType::Varchar(Some(n)) => *n as i32 + 4,
            PgType::Char(n) if *n > 0 => *n as i32 + 4,
            PgType::Numeric { precision, scale } if *precision > 0 => {
                ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4
            }
            PgType::Array(element) => element.typmod(),
            _ => -1,
        }
    }

    /// The name as `format_type` writes it: `character varying(10)`.
    pub fn name(&self) -> String {
        match self {
            PgType::Varchar(Some(n)) => format!("character varying({n})"),
            PgType::Char(0) => "bpchar".to_owned(),
            PgType::Char(n) => format!("character({n})"),
            PgType::Numeric { precision, scale } if *precision > 0 => {
                format!("numeric({precision},{scale})")
            }
            PgType::Array(element) => match element.as_ref() {
                PgType::Array(_) => element.name(),
                _ => format!("{}[]", element.name()),
            },
            _ => self.base_name().to_owned(),
        }
    }

    /// The name without modifiers, as errors about values write it.
    pub fn base_name(&self) -> &'static str {
        match self {
            PgType::Bool => "boolean",
            PgType::Int2 => "smallint",
            PgType::Int4 => "integer",
            PgType::Int8 => "bigint",
            PgType::Float4 => "real",
            PgType::Float8 => "double precision",
            PgType::Numeric { .. } => "numeric",
            PgType::Text => "text",
            PgType::Varchar(_) => "character varying",
            PgType::Char(_) => "character",
            PgType::Name => "name",
            PgType::Bytea => "bytea",
            PgType::Date => "date",
            PgType::Time => "time without time zone",
            PgType::Timestamp => "timestamp without time zone",
            PgType::Timestamptz => "timestamp with time zone",
            PgType::Interval => "interval",
            PgType::Uuid => "uuid",
            PgType::Json => "json",
            PgType::Jsonb => "jsonb",
            PgType::Oid => "oid",
            PgType::Unknown => "unknown",
            PgType::Void => "void",
            PgType::Summary(kind) => kind.name(),
            PgType::Array(_) => "array",
        }
    }
}
