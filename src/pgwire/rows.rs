//! Result rows: from Arrow batches straight into the output buffer.
//!
//! ```text
//! DataRow: 'D' | length i32 be | columns i16 be | per column: length i32 be, -1 for NULL | value
//! ```
//!
//! Nothing is allocated per row or value. The buffer is sent whenever it has grown to 64 KiB, and the
//! next batch is asked for only after that: a slow reader holds its query back.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use pgwire::messages::data::{FieldDescription, RowDescription};
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::{OutputColumn, RowStream, Rows, RowsTag};
use slicedb_sql::types::{Encoder, Format, FormatSettings};

use super::channel::{Channel, FLUSH_BYTES};
use super::error::{Fault, clean};

/// As many columns as PostgreSQL's results can have.
const COLUMNS_MAX: usize = 1_664;

/// A result that is being read.
pub(super) struct Cursor {
    columns: Arc<Vec<OutputColumn>>,
    stream: RowStream,
    tag: RowsTag,
    // A batch that was read in part, and how many of its rows are gone.
    rest: Option<(RecordBatch, usize)>,
    ended: bool,
}

impl Cursor {
    /// A result of which nothing has been read.
    pub(super) fn new(rows: Rows) -> Self {
        let Rows {
            columns,
            stream,
            tag,
        } = rows;
        Cursor {
            columns,
            stream,
            tag,
            rest: None,
            ended: false,
        }
    }

    /// The columns of the result.
    pub(super) fn columns(&self) -> &[OutputColumn] {
        &self.columns
    }

    /// What CommandComplete says after `rows` rows.
    pub(super) fn tag(&self, rows: u64) -> String {
        self.tag.finish(rows)
    }

    /// Sends at most `limit` further rows, and tells how many there were.
    pub(super) async fn send(
        &mut self,
        channel: &mut Channel,
        formats: &[Format],
        settings: &FormatSettings,
        limit: u64,
    ) -> Result<u64, Fault> {
        let mut sent = 0;
        while sent < limit {
            let Some((batch, start)) = self.next(channel).await? else {
                break;
            };
            let encoders = encoders(&self.columns, &batch, formats, settings)?;
            let wanted = usize::try_from(limit - sent).unwrap_or(usize::MAX);
            let end = batch.num_rows().min(start.saturating_add(wanted));
            let mut row = start;
            while row < end {
                row = channel.append(|output| write_rows(&encoders, row..end, output))?;
                if channel.pending() >= FLUSH_BYTES {
                    channel.flush_or_cancel().await?;
                }
            }
            sent += (end - start) as u64;
            if end < batch.num_rows() {
                self.rest = Some((batch, end));
            }
        }
        Ok(sent)
    }

    // Rows that have not been sent: the rest of a batch or a new one.
    async fn next(&mut self, channel: &mut Channel) -> Result<Option<(RecordBatch, usize)>, Fault> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        // A stream must not be asked again after its end.
        if self.ended {
            return Ok(None);
        }
        match channel.race_cancel(self.stream.next()).await? {
            Some(batch) => Ok(Some((batch?, 0))),
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }
}

/// The RowDescription of `columns`.
pub(super) fn description(
    columns: &[OutputColumn],
    formats: &[Format],
) -> Result<RowDescription, SqlError> {
    if columns.len() > COLUMNS_MAX {
        let message = format!("target lists can have at most {COLUMNS_MAX} entries");
        return Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message));
    }
    let fields = columns.iter().enumerate().map(|(index, column)| {
        FieldDescription::new(
            clean(column.field.name()),
            column.table_oid.cast_signed(),
            column.column_number,
            column.ty.oid(),
            column.ty.typlen(),
            column.ty.typmod(),
            code(format_of(formats, index)),
        )
    });
    Ok(RowDescription::new(fields.collect()))
}

/// The format code of the protocol.
pub(super) fn code(format: Format) -> i16 {
    match format {
        Format::Text => 0,
        Format::Binary => 1,
    }
}

fn format_of(formats: &[Format], index: usize) -> Format {
    formats.get(index).copied().unwrap_or(Format::Text)
}

fn encoders(
    columns: &[OutputColumn],
    batch: &RecordBatch,
    formats: &[Format],
    settings: &FormatSettings,
) -> Result<Vec<Encoder>, SqlError> {
    if columns.len() != batch.num_columns() {
        let (described, got) = (columns.len(), batch.num_columns());
        return Err(SqlError::internal(format!(
            "{got} columns instead of {described}"
        )));
    }
    let columns = columns.iter().zip(batch.columns()).enumerate();
    columns
        .map(|(index, (column, array))| {
            Encoder::new(&column.field, array, format_of(formats, index), settings)
        })
        .collect()
}

// Writes rows until the buffer has enough; tells the first row that was not written.
fn write_rows(
    encoders: &[Encoder],
    rows: Range<usize>,
    output: &mut Vec<u8>,
) -> Result<usize, SqlError> {
    let columns = (encoders.len() as u16).to_be_bytes();
    let end = rows.end;
    for row in rows {
        let start = output.len();
        output.extend_from_slice(&[b'D', 0, 0, 0, 0]);
        output.extend_from_slice(&columns);
        for encoder in encoders {
            if encoder.is_null(row) {
                output.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            let at = output.len();
            output.extend_from_slice(&[0; 4]);
            encoder.write(row, output);
            // Fits, or the row does not either.
            let length = (output.len() - at - 4) as u32;
            output[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        let length = i32::try_from(output.len() - start - 1).map_err(|_| {
            let message = "row is too big, a message has at most 2 GiB";
            SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
        })?;
        output[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        if output.len() >= FLUSH_BYTES {
            return Ok(row + 1);
        }
    }
    Ok(end)
}
