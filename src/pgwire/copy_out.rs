//! COPY TO STDOUT, in both protocols.
//!
//! One row is one CopyData, because clients take each for a row. The header of the binary format
//! travels with the first row and the header line of the others alone, as PostgreSQL sends them.

use arrow::array::RecordBatch;
use futures::StreamExt;
use pgwire::messages::copy::{CopyDone, CopyOutResponse};
use slicedb_sql::dialect::CopyFormat;
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::{CopyOut, Rows};

use crate::ingest::CopyEncoder;

use super::channel::FLUSH_BYTES;
use super::error::Fault;
use super::session::Connection;

impl Connection<'_> {
    /// Sends the rows of a COPY, and tells its tag.
    pub(super) async fn copy_out(&mut self, copy: CopyOut) -> Result<String, Fault> {
        let CopyOut { options, rows } = copy;
        let Rows {
            columns,
            mut stream,
            tag,
        } = rows;
        let binary = options.format == CopyFormat::Binary;
        let formats = vec![i16::from(binary); columns.len()];
        self.tell_notices();
        self.channel.put(&CopyOutResponse::new(
            binary.into(),
            formats.len() as i16,
            formats,
        ));

        let settings = self.session.format_settings();
        let encoder = CopyEncoder::new(&options, &columns, &settings)?;
        // What the next CopyData begins with.
        let mut head = Vec::new();
        encoder.header(&mut head);
        if !binary && !head.is_empty() {
            self.channel
                .append(|output| data(output, &mut head, |_| {}))?;
        }
        let mut count = 0;
        while let Some(batch) = self.channel.race_cancel(stream.next()).await? {
            let batch: RecordBatch = batch?;
            let rows = encoder.batch(&batch)?;
            for row in 0..batch.num_rows() {
                self.channel
                    .append(|output| data(output, &mut head, |output| rows.write(row, output)))?;
                if self.channel.pending() >= FLUSH_BYTES {
                    self.channel.flush_or_cancel().await?;
                }
            }
            count += batch.num_rows() as u64;
        }
        encoder.trailer(&mut head);
        if !head.is_empty() {
            self.channel
                .append(|output| data(output, &mut head, |_| {}))?;
        }
        self.channel.put(&CopyDone::new());
        Ok(tag.finish(count))
    }
}

// One CopyData: 'd' | length i32 be | head | what `write` writes. Leaves the head empty.
fn data(
    output: &mut Vec<u8>,
    head: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), SqlError> {
    let start = output.len();
    output.extend_from_slice(&[b'd', 0, 0, 0, 0]);
    output.append(head);
    write(output);
    let length = i32::try_from(output.len() - start - 1).map_err(|_| {
        let message = "row is too big, a message has at most 2 GiB";
        SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
    })?;
    output[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
