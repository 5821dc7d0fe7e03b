//! COPY's formats: bytes of a client to batches, and batches to bytes.
//!
//! Nothing here does IO. [`CopyDecoder`] is pushed whatever pieces arrive, cut anywhere, and hands
//! out batches; [`CopyEncoder`] writes a batch row by row. Both speak PostgreSQL's three formats.
//!
//! | file | answers |
//! |---|---|
//! | `decoder`, `rows` | pieces to batches; where in the data a fault is |
//! | `scan` | where in 64 bytes the delimiters, line ends and quotes are |
//! | `text`, `csv`, `binary` | what a row is in each format |
//! | `line_end`, `header` | which line ends the data has, what the first line must say |
//! | `encoder` | rows to bytes in each format |

mod binary;
mod csv;
mod decoder;
mod encoder;
mod header;
mod line_end;
mod rows;
mod scan;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use decoder::{CopyColumn, CopyDecoder};
pub(crate) use encoder::CopyEncoder;
