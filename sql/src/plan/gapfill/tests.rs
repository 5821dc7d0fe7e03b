//! However its rows are cut into batches, a gap fill gives the same.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::common::ScalarValue;

use super::fill::{Filler, Layout, Pulled};
use super::node::{Fill, Kind};
use crate::functions::Steps;

/// Times, keys and values, in the order of keys and times.
const ROWS: [(i64, i64, Option<i64>); 9] = [
    (-20, 1, Some(9)),
    (10, 1, Some(1)),
    (40, 1, Some(7)),
    (90, 1, None),
    (20, 2, None),
    (30, 2, Some(3)),
    (50, 3, Some(5)),
    (0, 4, Some(2)),
    (70, 4, Some(4)),
];

fn fill(kind: Kind) -> Fill {
    Fill {
        kind,
        name: "filled".to_owned(),
        has_prev: false,
        has_next: false,
    }
}

/// Buckets of 10 from 0 to 60: by key the value, carried, carried over NULL, and interpolated.
fn layout() -> Arc<Layout> {
    let names = ["time", "key", "v", "a", "b", "c"];
    let fields = names.map(|name| Field::new(name, DataType::Int64, true));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let width = ScalarValue::Int64(Some(10));
    Arc::new(Layout {
        input: schema.clone(),
        output: schema,
        width: 3,
        time: 0,
        keys: vec![1],
        fills: vec![
            fill(Kind::Locf { missing: false }),
            fill(Kind::Locf { missing: true }),
            fill(Kind::Interpolate),
        ],
        steps: Steps::new(&width, None, &DataType::Int64).expect("a width"),
        start: 0,
        finish: 60,
    })
}

fn input(layout: &Layout) -> RecordBatch {
    let times: Int64Array = ROWS.iter().map(|row| Some(row.0)).collect();
    let keys: Int64Array = ROWS.iter().map(|row| Some(row.1)).collect();
    let values: Arc<dyn Array> = Arc::new(ROWS.iter().map(|row| row.2).collect::<Int64Array>());
    let mut columns: Vec<Arc<dyn Array>> = vec![Arc::new(times), Arc::new(keys)];
    columns.resize(6, values);
    RecordBatch::try_new(layout.input.clone(), columns).expect("columns of one length")
}

/// What comes of batches of `cut` rows, in batches of `batch_rows`.
fn filled(cut: usize, batch_rows: usize) -> RecordBatch {
    let layout = layout();
    let rows = input(&layout);
    let mut filler = Filler::new(layout.clone(), batch_rows, None).expect("a machine");
    let mut at = 0;
    let mut out = Vec::new();
    loop {
        match filler.pull().expect("no fault") {
            Pulled::Batch(batch) => {
                assert!(batch.num_rows() <= batch_rows);
                out.push(batch);
            }
            Pulled::Over => return concat_batches(&layout.output, &out).expect("one schema"),
            Pulled::Hungry if at == rows.num_rows() => filler.end(),
            Pulled::Hungry => {
                let length = cut.min(rows.num_rows() - at);
                filler.push(&rows.slice(at, length)).expect("no fault");
                at += length;
            }
        }
    }
}

#[test]
fn batches_do_not_matter() {
    let whole = filled(ROWS.len(), 8192);
    for cut in 1..=ROWS.len() {
        for batch_rows in [1, 2, 3, 7, 8192] {
            assert_eq!(
                filled(cut, batch_rows),
                whole,
                "{cut} rows, {batch_rows} rows"
            );
        }
    }
}

#[test]
fn every_group_has_every_bucket() {
    let whole = filled(ROWS.len(), 8192);
    let column = |n: usize| whole.column(n).as_primitive::<Int64Type>();
    let of_key = |key: i64, n: usize| -> Vec<Option<i64>> {
        let rows = (0..whole.num_rows()).filter(|&row| column(1).value(row) == key);
        let value = |row: usize| column(n).is_valid(row).then(|| column(n).value(row));
        rows.map(value).collect()
    };
    let some = |values: &[i64]| values.iter().copied().map(Some).collect::<Vec<_>>();
    assert_eq!(of_key(1, 0), some(&[-20, 0, 10, 20, 30, 40, 50, 90]));
    assert_eq!(of_key(1, 3), {
        let mut carried = some(&[9, 9, 1, 1, 1, 7, 7]);
        carried.push(None);
        carried
    });
    assert_eq!(of_key(1, 4), some(&[9, 9, 1, 1, 1, 7, 7, 7]));
    let line = vec![
        Some(9),
        Some(4),
        Some(1),
        Some(3),
        Some(5),
        Some(7),
        None,
        None,
    ];
    assert_eq!(of_key(1, 5), line);
    assert_eq!(of_key(2, 0), some(&[0, 10, 20, 30, 40, 50]));
    assert_eq!(
        of_key(2, 4),
        vec![None, None, None, Some(3), Some(3), Some(3)]
    );
    assert_eq!(of_key(4, 5), some(&[2, 2, 3, 3, 3, 3, 4]));
}
