//! An aggregate over the events of the other tests, as the crate above keeps one: count, sum and
//! least value by key and hour. It must equal the rows after every step, wherever they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType, UInt64Type,
};

use super::Row;
use crate::derived::{Derive, Derived, Deriving, Part, stale_def};
use crate::scan::Place;
use crate::table::{DAY_US, HOUR_US, chunk_start};
use crate::{
    Engine, Error, Layout, Result, RowId, Scan, ScanRequest, State, TableDef, TableId, Transaction,
};

const PARTIALS: TableId = TableId(3);
const STALE: TableId = TableId(4);
/// A value of which no sum can be computed.
pub(super) const POISON: i64 = 499;

/// Count, sum and least value by key and hour.
type Groups = BTreeMap<(i64, i64), Summary>;
type Summary = (i64, i64, Option<i64>);

/// Where an aggregate is stale: of one key or of all, from and to.
struct Stale(Vec<(Option<i64>, i64, i64)>);

impl Stale {
    fn has(&self, (key, hour): (i64, i64)) -> bool {
        let end = hour.saturating_add(HOUR_US - 1);
        let meets = |range: &(Option<i64>, i64, i64)| {
            range.0.is_none_or(|k| k == key) && range.1 <= end && range.2 >= hour
        };
        self.0.iter().any(meets)
    }
}

pub(super) struct Hourly;

struct Computing(Groups);

impl Derive for Hourly {
    fn begin(&self, _: &State, partials: TableId) -> Result<Box<dyn Deriving>> {
        assert_eq!(partials, PARTIALS);
        Ok(Box::new(Computing(Groups::new())))
    }

    fn reach(&self, _: &State, partials: TableId, (from, to): (i64, i64)) -> Result<(i64, i64)> {
        assert_eq!(partials, PARTIALS);
        let end = chunk_start(to, HOUR_US).saturating_add(HOUR_US - 1);
        Ok((chunk_start(from, HOUR_US), end))
    }

    fn combine(&self, _: &State, partials: TableId, rows: RecordBatch) -> Result<RecordBatch> {
        assert_eq!(partials, PARTIALS);
        let mut groups = Groups::new();
        for (group, state) in partial_rows(&rows) {
            add(&mut groups, group, state);
        }
        Ok(partial_batch(groups))
    }
}

impl Deriving for Computing {
    fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        let values = rows.column(2).as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let value = values.is_valid(row).then(|| values.value(row));
            if value == Some(POISON) {
                return Err(Error::Invalid("a sum is out of range".into()));
            }
            let key = rows.column(0).as_primitive::<Int64Type>().value(row);
            let times = rows.column(1).as_primitive::<TimestampMicrosecondType>();
            add_row(&mut self.0, key, times.value(row), value);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<RecordBatch>> {
        Ok(vec![partial_batch(self.0)])
    }
}

fn add_row(groups: &mut Groups, key: i64, time: i64, value: Option<i64>) {
    let group = (key, chunk_start(time, HOUR_US));
    add(groups, group, (1, value.unwrap_or(0), value));
}

fn add(groups: &mut Groups, group: (i64, i64), (count, sum, least): (i64, i64, Option<i64>)) {
    let state = groups.entry(group).or_insert((0, 0, None));
    state.0 += count;
    state.1 += sum;
    state.2 = [state.2, least].into_iter().flatten().min();
}

fn partials_def() -> TableDef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("hour", time, false),
        Field::new("count", DataType::Int64, false),
        Field::new("sum", DataType::Int64, false),
        Field::new("min", DataType::Int64, true),
    ]);
    let layout = Layout::TimeSeries {
        time: 1,
        key: Some(0),
        chunk_us: DAY_US,
        retention_us: None,
    };
    let mut def = TableDef::new(PARTIALS, Arc::new(schema), layout).expect("a definition");
    def.derived = Some(Derived {
        source: TableId(1),
        part: Part::Partials,
    });
    def
}

fn partial_batch(groups: Groups) -> RecordBatch {
    let hours = groups.keys().map(|group| group.1);
    let hours = TimestampMicrosecondArray::from_iter_values(hours).with_timezone("UTC");
    let keys = groups.keys().map(|group| Some(group.0));
    let counts = groups.values().map(|state| Some(state.0));
    let sums = groups.values().map(|state| Some(state.1));
    let least = groups.values().map(|state| state.2);
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(keys.collect::<Int64Array>()),
        Arc::new(hours),
        Arc::new(counts.collect::<Int64Array>()),
        Arc::new(sums.collect::<Int64Array>()),
        Arc::new(least.collect::<Int64Array>()),
    ];
    RecordBatch::try_new(partials_def().schema, columns).expect("a batch")
}

type Partial = ((i64, i64), (i64, i64, Option<i64>));

fn partial_rows(rows: &RecordBatch) -> Vec<Partial> {
    let int = |column: usize| rows.column(column).as_primitive::<Int64Type>();
    let hours = rows.column(1).as_primitive::<TimestampMicrosecondType>();
    let row = |row: usize| {
        let least = int(4).is_valid(row).then(|| int(4).value(row));
        let group = (int(0).value(row), hours.value(row));
        (group, (int(2).value(row), int(3).value(row), least))
    };
    (0..rows.num_rows()).map(row).collect()
}

/// Creates the aggregate, with all there is marked as stale.
pub(super) fn create(engine: &Engine) {
    let mut setup = engine.begin();
    let view = setup.view(None).expect("a view");
    let source = view
        .state
        .table(TableId(1))
        .expect("the source")
        .def
        .clone();
    setup.put_table(partials_def());
    setup.put_table(stale_def(STALE, PARTIALS, &source).expect("a definition"));
    let view = setup.view(None).expect("a view");
    let all = crate::derived::Ranges::of_all(i64::MIN, i64::MAX);
    setup.mark(&view.state, TableId(1), &all).expect("marked");
    setup.commit_wait().expect("created");
}

fn read(state: &State, table: TableId, request: ScanRequest) -> Vec<RecordBatch> {
    let columns = state
        .table(table)
        .expect("a table")
        .def
        .schema
        .fields()
        .len();
    let request = ScanRequest {
        columns: (0..columns).collect(),
        row_ids: true,
        ..request
    };
    let scan = Scan::new(state, table, request).expect("a scan");
    let batches = scan.units().iter();
    batches
        .filter_map(|unit| scan.read(unit).expect("readable"))
        .collect()
}

fn ids(rows: &RecordBatch) -> Vec<RowId> {
    let ids = rows
        .column(rows.num_columns() - 1)
        .as_primitive::<UInt64Type>();
    ids.values().iter().map(|id| RowId(*id)).collect()
}

fn stale(state: &State) -> (Stale, Vec<RowId>) {
    let (mut ranges, mut numbers) = (Vec::new(), Vec::new());
    for rows in read(state, STALE, ScanRequest::default()) {
        let keys = rows.column(0).as_primitive::<Int64Type>();
        let time = |column: usize| {
            rows.column(column)
                .as_primitive::<TimestampMicrosecondType>()
        };
        for row in 0..rows.num_rows() {
            let key = keys.is_valid(row).then(|| keys.value(row));
            ranges.push((key, time(1).value(row), time(2).value(row)));
        }
        numbers.extend(ids(&rows));
    }
    (Stale(ranges), numbers)
}

fn events(state: &State, place: Place, wanted: impl Fn((i64, i64)) -> bool, groups: &mut Groups) {
    let request = ScanRequest {
        place,
        ..ScanRequest::default()
    };
    for rows in read(state, TableId(1), request) {
        let values = rows.column(2).as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let key = rows.column(0).as_primitive::<Int64Type>().value(row);
            let times = rows.column(1).as_primitive::<TimestampMicrosecondType>();
            let value = values.is_valid(row).then(|| values.value(row));
            if wanted((key, chunk_start(times.value(row), HOUR_US))) {
                add_row(groups, key, times.value(row), value);
            }
        }
    }
}

/// The aggregate answers as the rows would.
pub(super) fn assert_exact(state: &State, rows: &[Row], when: &str) {
    let mut expected = Groups::new();
    for row in rows {
        add_row(&mut expected, row.0, row.1, row.2);
    }
    let (stale, _) = stale(state);
    let mut found = Groups::new();
    for rows in read(state, PARTIALS, ScanRequest::default()) {
        for (group, partial) in partial_rows(&rows) {
            if !stale.has(group) {
                add(&mut found, group, partial);
            }
        }
    }
    events(state, Place::Memory, |group| !stale.has(group), &mut found);
    events(state, Place::Anywhere, |group| stale.has(group), &mut found);
    assert!(found == expected, "{when}: the aggregate differs");
}

/// Computes anew what is stale. `meanwhile` comes before the commit.
pub(super) fn repair(engine: &Engine, meanwhile: impl FnOnce()) {
    let still = engine.hold_still();
    let mut writes: Transaction = engine.begin();
    let view = writes.view(None).expect("a view");
    let (stale, numbers) = stale(&view.state);
    for rows in read(&view.state, PARTIALS, ScanRequest::default()) {
        let dead = partial_rows(&rows).into_iter().zip(ids(&rows));
        let dead: Vec<RowId> = dead
            .filter(|(p, _)| stale.has(p.0))
            .map(|(_, id)| id)
            .collect();
        writes.delete(&view, PARTIALS, &dead).expect("deleted");
    }
    let mut groups = Groups::new();
    events(
        &view.state,
        Place::Segments,
        |group| stale.has(group),
        &mut groups,
    );
    writes.delete(&view, STALE, &numbers).expect("deleted");
    writes
        .attach(PARTIALS, vec![partial_batch(groups)])
        .expect("attached");
    meanwhile();
    writes.commit_wait().expect("repaired");
    drop(still);
}

/// An engine with events and their aggregate, of which nothing is stale.
fn with_aggregate() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::TempDir::new().expect("a directory");
    let engine = super::open(Arc::new(crate::vfs::RealVfs), dir.path());
    let mut setup = engine.begin();
    setup.put_table(super::events(TableId(1)));
    setup.commit_wait().expect("created");
    create(&engine);
    repair(&engine, || {});
    (dir, engine)
}

fn insert(engine: &Engine, rows: &[Row]) {
    let mut writes = engine.begin();
    writes
        .append(TableId(1), super::batch(rows))
        .expect("appended");
    writes.commit_wait().expect("committed");
}

#[test]
fn a_table_is_not_dropped_under_an_aggregate_that_was_created_meanwhile() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let engine = super::open(Arc::new(crate::vfs::RealVfs), dir.path());
    let mut setup = engine.begin();
    setup.put_table(super::events(TableId(1)));
    setup.commit_wait().expect("created");
    let mut drop_alone = engine.begin();
    drop_alone.drop_table(TableId(1));
    create(&engine);
    let refused = drop_alone.commit_wait();
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    let mut drop_all = engine.begin();
    for table in [TableId(1), PARTIALS, STALE] {
        drop_all.drop_table(table);
    }
    drop_all.commit_wait().expect("dropped together");
}

#[test]
fn partials_of_one_group_become_one_row() {
    let (_dir, engine) = with_aggregate();
    for round in 0..6 {
        let rows: Vec<Row> = (0..200).map(|i| (i % 20, round, Some(i), None)).collect();
        insert(&engine, &rows);
        engine.seal().expect("sealed");
    }
    let partials = |engine: &Engine| engine.state().table(PARTIALS).map(|t| t.rows());
    assert_eq!(partials(&engine), Some(120), "one for each group and seal");
    engine.compact().expect("merged");
    let left = partials(&engine).expect("the table");
    assert!(left <= 60, "{left} rows of 20 groups");
}

#[test]
fn what_cannot_be_computed_is_stale() {
    let (_dir, engine) = with_aggregate();
    let rows: Vec<Row> = vec![(1, 5, Some(POISON), None), (2, HOUR_US * 3, Some(1), None)];
    insert(&engine, &rows);
    engine.seal().expect("sealed all the same");
    assert_exact(&engine.state(), &rows, "after the seal");
    let (stale, _) = stale(&engine.state());
    assert!(stale.has((1, 0)) && stale.has((2, HOUR_US * 3)));
}

#[test]
fn retention_leaves_the_aggregate_and_waits_for_what_is_stale() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let engine = super::open(Arc::new(crate::vfs::RealVfs), dir.path());
    let mut def = super::events(TableId(1));
    def.layout = Layout::TimeSeries {
        time: 1,
        key: Some(0),
        chunk_us: HOUR_US,
        retention_us: Some(DAY_US),
    };
    let mut setup = engine.begin();
    setup.put_table(def);
    setup.commit_wait().expect("created");
    create(&engine);
    let rows: Vec<Row> = (0..100).map(|i| (i % 7, i, Some(i), None)).collect();
    insert(&engine, &rows);
    engine.seal().expect("sealed");
    engine.expire().expect("nothing is dropped");
    let raw = |engine: &Engine| engine.state().table(TableId(1)).map(|t| t.rows());
    assert_eq!(raw(&engine), Some(100), "it is needed");
    repair(&engine, || {});
    engine.expire().expect("dropped");
    assert_eq!(raw(&engine), Some(0));
    let state = engine.state();
    assert_eq!(
        state.table(PARTIALS).map(|t| t.rows()),
        Some(7),
        "it stands"
    );
    let told = read(&state, STALE, ScanRequest::default());
    let gone: Vec<bool> = told
        .iter()
        .flat_map(|rows| rows.column(3).as_boolean().values())
        .collect();
    assert_eq!(gone, [true]);
    let late: Vec<Row> = vec![(1, 7, Some(1), None)];
    insert(&engine, &late);
    let mut writes = engine.begin();
    let view = writes.view(None).expect("a view");
    let found = super::scan(&view.state, TableId(1), ScanRequest::default());
    let refused = writes.delete(&view, TableId(1), &[found[0].1]);
    assert!(matches!(refused, Err(Error::Expired(_))), "{refused:?}");
    assert!(
        crate::derived::times(&state, STALE, false)
            .expect("read")
            .is_empty()
    );
}

#[test]
fn deletes_that_know_nothing_of_a_new_aggregate_conflict() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let engine = super::open(Arc::new(crate::vfs::RealVfs), dir.path());
    let mut setup = engine.begin();
    setup.put_table(super::events(TableId(1)));
    setup
        .append(TableId(1), super::batch(&[(1, 1, Some(1), None)]))
        .expect("appended");
    setup.commit_wait().expect("created");
    let mut writes = engine.begin();
    let view = writes.view(None).expect("a view");
    let found = super::scan(&view.state, TableId(1), ScanRequest::default());
    writes
        .delete(&view, TableId(1), &[found[0].1])
        .expect("deleted");
    create(&engine);
    let refused = writes.commit_wait();
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
}
