//! Tests of the engine as a whole.

mod background;
mod check;
mod derived;
mod merges;
mod model;
mod moves;
mod undecided;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType, UInt64Type,
};

use crate::table::HOUR_US;
use crate::vfs::Vfs;
use crate::{Engine, Layout, Options, RowId, Scan, ScanRequest, State, TableDef, TableId};

/// Sizes so small that everything happens often.
pub(super) fn tiny() -> Options {
    Options {
        wal_file_bytes: 16 << 10,
        memtable_seal_bytes: usize::MAX,
        memtable_max_bytes: usize::MAX,
        transaction_memory_bytes: 24 << 10,
        cache_bytes: 64 << 10,
        pack_rows: 64,
        segment_rows_max: 512,
        compaction_runs: 3,
        maintenance_interval_ms: 5,
        background: false,
        ..Options::default()
    }
}

pub(super) fn open(vfs: Arc<dyn Vfs>, dir: &Path) -> Engine {
    Engine::open_with(vfs, dir, tiny(), Arc::new(derived::Hourly)).expect("the engine opens")
}

/// A time-series table of key, time, value, text.
pub(super) fn events(id: TableId) -> TableDef {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new(
            "ts",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            false,
        ),
        Field::new("value", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ]);
    let layout = Layout::TimeSeries {
        time: 1,
        key: Some(0),
        chunk_us: HOUR_US,
        retention_us: None,
    };
    TableDef::new(id, Arc::new(schema), layout).expect("a definition")
}

/// A reference table with the first of four columns as its key.
pub(super) fn things(id: TableId) -> TableDef {
    let schema = events(id).schema.clone();
    TableDef::new(
        id,
        schema,
        Layout::Reference {
            primary_key: vec![0],
        },
    )
    .expect("a definition")
}

/// One row of either table.
pub(super) type Row = (i64, i64, Option<i64>, Option<String>);

pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int64Array>()),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1))
                .with_timezone("UTC"),
        ),
        Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.3.as_deref()).collect::<StringArray>()),
    ];
    RecordBatch::try_new(events(TableId(0)).schema, columns).expect("a batch")
}

/// The rows of a scan with their numbers, in no order.
pub(super) fn scan(state: &State, table: TableId, request: ScanRequest) -> Vec<(Row, RowId)> {
    let request = ScanRequest {
        columns: vec![0, 1, 2, 3],
        row_ids: true,
        ..request
    };
    let scan = Scan::new(state, table, request).expect("a scan");
    let mut rows = Vec::new();
    for unit in scan.units() {
        let Some(batch) = scan.read(unit).expect("readable") else {
            continue;
        };
        let value = batch.column(2).as_primitive::<Int64Type>();
        let text = batch.column(3).as_string::<i32>();
        for row in 0..batch.num_rows() {
            use arrow::array::Array;
            let values = (
                batch.column(0).as_primitive::<Int64Type>().value(row),
                batch
                    .column(1)
                    .as_primitive::<TimestampMicrosecondType>()
                    .value(row),
                value.is_valid(row).then(|| value.value(row)),
                text.is_valid(row).then(|| text.value(row).to_owned()),
            );
            rows.push((
                values,
                RowId(batch.column(4).as_primitive::<UInt64Type>().value(row)),
            ));
        }
    }
    rows
}
