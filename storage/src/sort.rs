//! Sort order of a table's rows: ascending, nulls last, by the columns that its layout names.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};

use crate::table::TableDef;
use crate::{Error, Result};

const ORDER: SortOptions = SortOptions {
    descending: false,
    nulls_first: false,
};

/// The permutation that sorts `batch`: row `i` of the result is row `permutation[i]`. `None` when
/// the rows stand in order already. Equal rows keep their order.
pub fn permutation(def: &TableDef, batch: &RecordBatch) -> Result<Option<Vec<u32>>> {
    let columns = def.sort_columns();
    if columns.is_empty() || batch.num_rows() < 2 {
        return Ok(None);
    }
    let columns: Vec<ArrayRef> = columns
        .into_iter()
        .map(|c| batch.column(c).clone())
        .collect();
    if let Some((keys, times)) = as_integers(&columns) {
        return Ok(integer_permutation(keys, times));
    }
    let columns: Vec<SortColumn> = columns
        .into_iter()
        .map(|values| SortColumn {
            values,
            options: Some(ORDER),
        })
        .collect();
    let indices = lexsort_to_indices(&columns, None).map_err(cannot_sort)?;
    let sorted = indices.values();
    if sorted.iter().enumerate().all(|(i, &row)| i as u32 == row) {
        return Ok(None);
    }
    Ok(Some(sorted.to_vec()))
}

/// The rows in the order of `permutation`.
pub fn reorder(batch: &RecordBatch, permutation: &[u32]) -> Result<RecordBatch> {
    take_record_batch(batch, &UInt32Array::from(permutation.to_vec())).map_err(cannot_sort)
}

/// The common case, a bigint key and a time: compared as integers, many times faster.
fn as_integers(columns: &[ArrayRef]) -> Option<(&[i64], &[i64])> {
    let [key, time] = columns else { return None };
    let is_plain = *key.data_type() == DataType::Int64
        && matches!(time.data_type(), DataType::Timestamp(..))
        && key.null_count() == 0
        && time.null_count() == 0;
    is_plain.then(|| {
        (
            key.as_primitive::<Int64Type>().values().as_ref(),
            time.as_primitive::<TimestampMicrosecondType>()
                .values()
                .as_ref(),
        )
    })
}

fn integer_permutation(keys: &[i64], times: &[i64]) -> Option<Vec<u32>> {
    let ordered = |i: usize| (keys[i - 1], times[i - 1]) <= (keys[i], times[i]);
    if (1..keys.len()).all(ordered) {
        return None;
    }
    let mut rows: Vec<(i64, i64, u32)> = keys
        .iter()
        .zip(times)
        .zip(0u32..)
        .map(|((&key, &time), row)| (key, time, row))
        .collect();
    rows.sort_unstable();
    Some(rows.into_iter().map(|(_, _, row)| row).collect())
}

/// Compares rows of different batches of one table by its sort order.
pub struct RowOrder {
    converter: RowConverter,
    columns: Vec<usize>,
}

impl RowOrder {
    /// The order by the given columns.
    pub fn new(def: &TableDef, columns: Vec<usize>) -> Result<Self> {
        let fields = columns
            .iter()
            .map(|&c| SortField::new_with_options(def.schema.field(c).data_type().clone(), ORDER))
            .collect();
        Ok(RowOrder {
            converter: RowConverter::new(fields).map_err(cannot_sort)?,
            columns,
        })
    }

    /// The rows' keys, comparable with the keys of other batches.
    pub fn keys(&self, batch: &RecordBatch) -> Result<Rows> {
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|&c| batch.column(c).clone())
            .collect();
        self.key_rows(&columns)
    }

    /// The same from the key's columns alone.
    pub fn key_rows(&self, columns: &[ArrayRef]) -> Result<Rows> {
        self.converter.convert_columns(columns).map_err(cannot_sort)
    }
}

fn cannot_sort(error: arrow::error::ArrowError) -> Error {
    Error::Invalid(format!("the rows cannot be sorted: {error}"))
}
