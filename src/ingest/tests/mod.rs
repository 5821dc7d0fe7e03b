//! Tests of COPY against PostgreSQL and against itself.

mod differential;
mod faults;
#[path = "../../../sql/src/types/tests/postgres.rs"]
mod postgres;
mod round_trip;
mod speed;

use arrow::array::RecordBatch;
use slicedb_sql::dialect::{CopyFormat, CopyOptions};
use slicedb_sql::error::SqlError;
use slicedb_sql::session::OutputColumn;
use slicedb_sql::types::{FormatSettings, PgType};

use self::postgres::Postgres;
use super::{CopyColumn, CopyDecoder, CopyEncoder};

fn columns(types: &[(&str, PgType)]) -> Vec<CopyColumn> {
    types
        .iter()
        .map(|(name, ty)| CopyColumn {
            name: (*name).to_owned(),
            ty: ty.clone(),
        })
        .collect()
}

/// Decodes data that comes in pieces of these lengths, the last one as often as needed.
fn decode(
    options: &CopyOptions,
    types: &[(&str, PgType)],
    mut data: &[u8],
    pieces: &[usize],
) -> Result<Vec<RecordBatch>, SqlError> {
    let settings = FormatSettings::default();
    let mut decoder = CopyDecoder::new(options, columns(types), "t", &settings);
    let mut batches = Vec::new();
    let mut lengths = pieces.iter().copied();
    let mut length = usize::MAX;
    while !data.is_empty() {
        length = lengths.next().unwrap_or(length);
        let (piece, rest) = data.split_at(length.clamp(1, data.len()));
        decoder.push(piece)?;
        batches.extend(decoder.batch(3));
        data = rest;
    }
    batches.extend(decoder.finish()?);
    Ok(batches)
}

/// Encodes batches with header and trailer.
fn encode(
    options: &CopyOptions,
    types: &[(&str, PgType)],
    batches: &[RecordBatch],
    settings: &FormatSettings,
) -> Vec<u8> {
    let columns: Vec<OutputColumn> = types
        .iter()
        .map(|(name, ty)| OutputColumn {
            field: ty.field(name, true).into(),
            ty: ty.clone(),
            table_oid: 0,
            column_number: 0,
        })
        .collect();
    let encoder = CopyEncoder::new(options, &columns, settings).expect("an encoder");
    let mut out = Vec::new();
    encoder.header(&mut out);
    for batch in batches {
        let rows = encoder.batch(batch).expect("rows");
        for row in 0..batch.num_rows() {
            rows.write(row, &mut out);
        }
    }
    encoder.trailer(&mut out);
    out
}

fn formats() -> [CopyOptions; 3] {
    [CopyFormat::Text, CopyFormat::Csv, CopyFormat::Binary].map(CopyOptions::new)
}
