//! Text that is printed reads back, and any bytes are an answer.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;

fn types() -> Vec<PgType> {
    vec![
        PgType::Bool,
        PgType::Int4,
        PgType::Float4,
        PgType::Float8,
        PgType::NUMERIC,
        PgType::Numeric {
            precision: 10,
            scale: 2,
        },
        PgType::Varchar(Some(3)),
        PgType::Char(3),
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
        PgType::Array(Box::new(PgType::Int4)),
        PgType::Array(Box::new(PgType::Text)),
        PgType::Array(Box::new(PgType::Timestamptz)),
    ]
}

fn written(ty: &PgType, builder: &mut ColumnBuilder, format: Format) -> Vec<u8> {
    let settings = FormatSettings::default();
    let encoder = Encoder::new(&ty.field("v", true), &builder.finish(), format, &settings)
        .expect("an encoder");
    let mut out = Vec::new();
    encoder.write(0, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A text is refused and leaves the column as it was, or what it means prints and reads back.
    #[test]
    fn any_text_is_an_answer(
        text in prop_oneof![
            "[-+0-9a-zA-Z:./ {},\\\\\"]{0,30}",
            "[0-9]{1,4}[-/.][0-9]{1,3}[-/.][0-9]{1,4}[ T]?[0-9:.]{0,12}[-+ ]?[0-9:]{0,5}",
            "[-+P0-9YMDTHS:. a-z]{0,20}",
            any::<String>(),
        ],
        at in 0..21_usize,
    ) {
        let ty = &types()[at];
        let settings = FormatSettings::default();
        let mut builder = ColumnBuilder::new(ty, 1, &settings);
        let before = builder.byte_len();
        match builder.append_text(text.as_bytes()) {
            Err(_) => prop_assert_eq!((builder.len(), builder.byte_len()), (0, before)),
            Ok(()) => {
                let printed = written(ty, &mut builder, Format::Text);
                builder.append_text(&printed).expect("what was printed");
                prop_assert_eq!(written(ty, &mut builder, Format::Text), printed);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in vec(any::<u8>(), 0..40), at in 0..21_usize) {
        let ty = &types()[at];
        let settings = FormatSettings::default();
        let mut builder = ColumnBuilder::new(ty, 1, &settings);
        let before = builder.byte_len();
        let _ = builder.append_text(&bytes);
        builder.finish();
        match builder.append_binary(&bytes) {
            Err(_) => prop_assert_eq!((builder.len(), builder.byte_len()), (0, before)),
            Ok(()) => { written(ty, &mut builder, Format::Text); }
        }
    }
}
