//! How rows of the two sides compare: by their keys, then by their times.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;

use super::exec::{Physical, Side};

/// How keys and times of both sides compare.
pub(super) struct Order {
    keys: Option<RowConverter>,
    times: RowConverter,
}

impl Order {
    pub(super) fn new(side: &Side, time_order: SortOptions) -> Result<Order> {
        let schema = side.input.schema();
        let ascending = SortOptions {
            descending: false,
            nulls_first: false,
        };
        let field = |expr: &Physical, order| {
            Ok(SortField::new_with_options(expr.data_type(&schema)?, order))
        };
        let keys = side.keys.iter().map(|key| field(key, ascending));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        Ok(Order {
            keys: match keys.is_empty() {
                true => None,
                false => Some(RowConverter::new(keys)?),
            },
            times: RowConverter::new(vec![field(&side.time, time_order)?])?,
        })
    }

    pub(super) fn of(&self, side: &Side, batch: &RecordBatch) -> Result<Ordered> {
        let value = |expr: &Physical| expr.evaluate(batch)?.into_array(batch.num_rows());
        let keys = side.keys.iter().map(value).collect::<Result<Vec<_>>>()?;
        let time = value(&side.time)?;
        Ok(Ordered {
            rows: Arc::new((
                match &self.keys {
                    Some(converter) => Some(converter.convert_columns(&keys)?),
                    None => None,
                },
                self.times.convert_columns(std::slice::from_ref(&time))?,
            )),
            columns: [keys, vec![time]].concat(),
        })
    }
}

/// Keys and times of a batch.
pub(super) struct Ordered {
    pub(super) rows: Arc<(Option<Rows>, Rows)>,
    columns: Vec<ArrayRef>,
}

impl Ordered {
    /// Whether the row can have no partner.
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.columns.iter().any(|column| column.is_null(row))
    }
}
