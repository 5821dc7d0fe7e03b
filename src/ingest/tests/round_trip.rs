//! What is encoded decodes to the same, in every format, whatever the values and the pieces are.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::Schema;
use proptest::collection::vec;
use proptest::prelude::*;
use slicedb_sql::types::ColumnBuilder;

use super::*;

/// The types of a table with one column of each kind.
pub(super) fn all_types() -> Vec<(&'static str, PgType)> {
    vec![
        ("bool", PgType::Bool),
        ("int2", PgType::Int2),
        ("int4", PgType::Int4),
        ("int8", PgType::Int8),
        ("float4", PgType::Float4),
        ("float8", PgType::Float8),
        (
            "decimal",
            PgType::Numeric {
                precision: 20,
                scale: 4,
            },
        ),
        ("text", PgType::Text),
        ("bytea", PgType::Bytea),
        ("date", PgType::Date),
        ("time", PgType::Time),
        ("timestamp", PgType::Timestamp),
        ("timestamptz", PgType::Timestamptz),
        ("interval", PgType::Interval),
        ("uuid", PgType::Uuid),
        ("texts", PgType::Array(Box::new(PgType::Text))),
    ]
}

/// Characters that the formats take notice of, and others.
fn text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        '\t', '\n', '\r', '\\', '"', '\'', ',', '|', ' ', '.', 'N', 'x', '{', '}', '\u{8}', 'é',
        '日', '😀',
    ]);
    vec(
        prop_oneof![3 => odd, 1 => any::<char>().prop_map(|c| if c == '\0' { '0' } else { c })],
        0..12,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

/// A value of a type in binary form; None is NULL.
fn value(ty: &PgType) -> BoxedStrategy<Option<Vec<u8>>> {
    // Days and microseconds of the years from 4713 BC to about 10000 AD.
    let days = -2_451_544_i32..3_000_000;
    let micros = -211_800_000_000_000_000_i64..250_000_000_000_000_000;
    let bytes = match ty {
        PgType::Bool => any::<bool>().prop_map(|v| vec![u8::from(v)]).boxed(),
        PgType::Int2 => any::<i16>().prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
        PgType::Int4 => any::<i32>().prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
        PgType::Int8 => any::<i64>().prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
        PgType::Float4 => any::<f32>().prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
        PgType::Float8 => prop_oneof![
            any::<f64>(),
            any::<i32>().prop_map(|cents| f64::from(cents) / 100.0),
        ]
        .prop_map(|v| v.to_be_bytes().to_vec())
        .boxed(),
        PgType::Date => prop_oneof![9 => days, 1 => Just(i32::MAX), 1 => Just(i32::MIN)]
            .prop_map(|v| v.to_be_bytes().to_vec())
            .boxed(),
        PgType::Time => (0..=86_400_000_000_i64)
            .prop_map(|v| v.to_be_bytes().to_vec())
            .boxed(),
        PgType::Timestamp | PgType::Timestamptz => {
            prop_oneof![9 => micros, 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
                .prop_map(|v| v.to_be_bytes().to_vec())
                .boxed()
        }
        PgType::Interval => (
            -1_000_000_000_000_000_i64..1_000_000_000_000_000,
            any::<i16>(),
            any::<i16>(),
        )
            .prop_map(|(micros, days, months)| {
                let (days, months) = (i32::from(days), i32::from(months));
                [
                    &micros.to_be_bytes()[..],
                    &days.to_be_bytes(),
                    &months.to_be_bytes(),
                ]
                .concat()
            })
            .boxed(),
        PgType::Uuid => any::<[u8; 16]>().prop_map(|v| v.to_vec()).boxed(),
        PgType::Bytea => vec(any::<u8>(), 0..12).boxed(),
        PgType::Numeric { .. } => (0..=9999_u16, any::<bool>(), 0..=9999_u16)
            .prop_map(|(whole, negative, fraction)| {
                let sign = if negative && (whole, fraction) != (0, 0) {
                    0x4000
                } else {
                    0
                };
                [2, 0, sign, 4, whole, fraction]
                    .iter()
                    .flat_map(|word| word.to_be_bytes())
                    .collect()
            })
            .boxed(),
        PgType::Array(_) => vec(prop::option::of(text()), 0..4)
            .prop_map(|items| {
                let mut bytes: Vec<u8> = Vec::new();
                let words = [u32::from(!items.is_empty()), 1, 25];
                words
                    .iter()
                    .for_each(|word| bytes.extend(word.to_be_bytes()));
                if !items.is_empty() {
                    bytes.extend((items.len() as u32).to_be_bytes());
                    bytes.extend(1_u32.to_be_bytes());
                }
                for item in items {
                    match item {
                        None => bytes.extend((-1_i32).to_be_bytes()),
                        Some(text) => {
                            bytes.extend((text.len() as u32).to_be_bytes());
                            bytes.extend(text.into_bytes());
                        }
                    }
                }
                bytes
            })
            .boxed(),
        _ => text().prop_map(String::into_bytes).boxed(),
    };
    prop::option::weighted(0.85, bytes).boxed()
}

/// Rows of the table of all types.
pub(super) fn batch() -> impl Strategy<Value = RecordBatch> {
    let row: Vec<_> = all_types().iter().map(|(_, ty)| value(ty)).collect();
    vec(row, 1..12).prop_map(|rows| {
        let types = all_types();
        let fields: Vec<_> = types
            .iter()
            .map(|(name, ty)| ty.field(name, true))
            .collect();
        let mut builders: Vec<_> = types
            .iter()
            .map(|(_, ty)| ColumnBuilder::new(ty, rows.len(), &FormatSettings::default()))
            .collect();
        for row in rows {
            for (builder, value) in builders.iter_mut().zip(row) {
                match value {
                    None => builder.append_null(),
                    Some(bytes) => builder.append_binary(&bytes).expect("a value"),
                }
            }
        }
        let arrays: Vec<ArrayRef> = builders.iter_mut().map(ColumnBuilder::finish).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a batch")
    })
}

fn any_options() -> impl Strategy<Value = CopyOptions> {
    let formats = prop_oneof![
        Just(CopyFormat::Text),
        Just(CopyFormat::Csv),
        Just(CopyFormat::Binary)
    ];
    let null = prop::sample::select(vec!["\\N", "", "NULL", "-"]);
    let bytes = prop::sample::select(vec![
        (b'\t', b'"', b'"'),
        (b',', b'"', b'\\'),
        (b'|', b'\'', b'\''),
        (b';', b'"', b'\''),
    ]);
    (formats, null, bytes, any::<bool>(), any::<bool>()).prop_map(
        |(format, null, (delimiter, quote, escape), header, force)| {
            let mut options = CopyOptions::new(format);
            if format != CopyFormat::Binary {
                options.null = null.to_owned();
                options.delimiter = delimiter;
                if header {
                    options.header = slicedb_sql::dialect::CopyHeader::Match;
                }
            }
            if format == CopyFormat::Csv {
                (options.quote, options.escape) = (quote, escape);
                if force {
                    options.force_quote = slicedb_sql::dialect::ForceColumns::All;
                }
            }
            options
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_survive(
        batch in batch(),
        options in any_options(),
        pieces in vec(1..200_usize, 1..8),
    ) {
        let types = all_types();
        let settings = FormatSettings::default();
        let mut options = options;
        if options.format == CopyFormat::Text {
            // Text that looks like NULL is NULL in the text format; PostgreSQL says so too.
            options.null = "\\N".to_owned();
        }
        let data = encode(&options, &types, std::slice::from_ref(&batch), &settings);
        let decoded = decode(&options, &types, &data, &pieces).expect("rows");
        let decoded = arrow::compute::concat_batches(&batch.schema(), &decoded).expect("a batch");
        // NaN differs from itself, so the bytes are compared.
        let [_, _, binary] = formats();
        let bytes = |batch: &RecordBatch| encode(&binary, &types, std::slice::from_ref(batch), &settings);
        prop_assert_eq!(bytes(&decoded), bytes(&batch));
    }

    #[test]
    fn any_bytes_are_an_answer(
        options in any_options(),
        data in vec(prop::sample::select(b"12ab\t,\"\\\n\r.|N\xff\0PGCOPY".to_vec()), 0..80),
        pieces in vec(1..20_usize, 1..8),
    ) {
        let types = [("a", PgType::Int4), ("b", PgType::Text)];
        let whole = decode(&options, &types, &data, &[usize::MAX]);
        let cut = decode(&options, &types, &data, &pieces);
        match (whole, cut) {
            (Err(whole), Err(cut)) => prop_assert_eq!(whole, cut),
            (Ok(whole), Ok(cut)) => {
                let rows = |batches: Vec<RecordBatch>| -> usize { batches.iter().map(RecordBatch::num_rows).sum() };
                prop_assert_eq!(rows(whole), rows(cut));
            }
            (whole, cut) => prop_assert!(false, "{whole:?} but in pieces {cut:?}"),
        }
    }
}
