//! Transactions across seals and merges: nobody hears of a conflict unless somebody else wrote.

use std::sync::Arc;

use tempfile::TempDir;

use super::{Row, batch, events, open, scan, tiny};
use crate::committer::{Compact, Work};
use crate::vfs::FaultVfs;
use crate::{Engine, Error, KeyRange, RowId, ScanRequest, State, TableId, Value, View, compaction};

const EVENTS: TableId = TableId(1);

struct Events {
    dir: TempDir,
    vfs: Arc<FaultVfs>,
    engine: Engine,
}

impl Events {
    /// Forty rows, of keys 0 to 9, in four commits.
    fn new() -> Events {
        let dir = TempDir::new().expect("a directory");
        let vfs = Arc::new(FaultVfs::new(1));
        let engine = open(vfs.clone(), dir.path());
        let mut setup = engine.begin();
        setup.put_table(events(EVENTS));
        setup.commit_wait().expect("a table");
        let events = Events { dir, vfs, engine };
        for time in 0..4 {
            events.add(&(0..10).map(|key| row(key, time)).collect::<Vec<_>>());
        }
        events
    }

    fn add(&self, rows: &[Row]) {
        let mut writes = self.engine.begin();
        writes.append(EVENTS, batch(rows)).expect("appended");
        writes.commit_wait().expect("committed");
    }

    /// Each row in a segment of its own kind, so that a merge is due.
    fn seal_apart(&self) {
        for time in 10..13 {
            self.engine.seal().expect("sealed");
            self.add(&[row(20, time)]);
        }
        self.engine.seal().expect("sealed");
    }

    fn keys(&self) -> Vec<i64> {
        keys(&self.engine.state())
    }

    fn reopened(self) -> Events {
        let Events { dir, vfs, engine } = self;
        drop(engine);
        let engine = open(vfs.clone(), dir.path());
        Events { dir, vfs, engine }
    }
}

fn row(key: i64, time: i64) -> Row {
    (key, time, Some(key * 100 + time), None)
}

fn keys(state: &State) -> Vec<i64> {
    let rows = scan(state, EVENTS, ScanRequest::default());
    let mut keys: Vec<i64> = rows.into_iter().map(|(row, _)| row.0).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn rows_of(view: &View, key: i64) -> Vec<RowId> {
    let key = Some(Value::Int(key.into()));
    let range = KeyRange {
        min: key.clone(),
        max: key,
    };
    let request = ScanRequest {
        keys: Some(vec![range]),
        ..ScanRequest::default()
    };
    let rows = scan(&view.state, EVENTS, request);
    rows.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn deletes_follow_their_rows_through_seals_and_merges() {
    let events = Events::new();
    // States keep the store open.
    {
        let mut writes = events.engine.begin();
        let view = writes.view(None).expect("a view");
        writes
            .delete(&view, EVENTS, &rows_of(&view, 3))
            .expect("deleted");
        events.engine.seal().expect("sealed");
        let view = writes.view(None).expect("nobody else wrote");
        assert_eq!(rows_of(&view, 3), []);
        // Others may write other rows meanwhile.
        let mut other = events.engine.begin();
        let seen = other.view(None).expect("a view");
        other
            .delete(&seen, EVENTS, &rows_of(&seen, 4))
            .expect("deleted");
        events.seal_apart();
        other.commit_wait().expect("committed");
        let old = rows_of(&view, 5);
        events.engine.compact().expect("merged");
        let merged = events.engine.state();
        assert!(merged.table(EVENTS).is_some_and(|t| t.segments.len() < 4));
        // Rows that the statement found before the merge.
        writes.delete(&view, EVENTS, &old).expect("deleted");
        writes
            .append(EVENTS, batch(&[row(30, 0)]))
            .expect("appended");
        let view = writes.view(None).expect("nobody else wrote them");
        assert_eq!(keys(&view.state), [0, 1, 2, 6, 7, 8, 9, 20, 30]);
        events.seal_apart();
        writes.commit_wait().expect("committed");
    }
    let expected = [0, 1, 2, 6, 7, 8, 9, 20, 30];
    assert_eq!(events.keys(), expected);
    assert_eq!(events.reopened().keys(), expected);
}

#[test]
fn rows_that_another_deleted_are_a_conflict_wherever_they_are() {
    for merges in [false, true] {
        let events = Events::new();
        let mut first = events.engine.begin();
        let mut second = events.engine.begin();
        let view = first.view(None).expect("a view");
        for writes in [&mut first, &mut second] {
            writes
                .delete(&view, EVENTS, &rows_of(&view, 3))
                .expect("deleted");
        }
        events.engine.seal().expect("sealed");
        first.commit_wait().expect("the first wins");
        if merges {
            events.seal_apart();
            events.engine.compact().expect("merged");
        }
        let seen = second.view(None).map(drop);
        assert!(matches!(seen, Err(Error::Conflict(_))), "{seen:?}");
        let lost = second.commit_wait();
        assert!(matches!(lost, Err(Error::Conflict(_))), "{lost:?}");
        assert!(!events.keys().contains(&3));
    }
}

#[test]
fn a_table_is_cleared_wherever_its_rows_went_and_later_rows_stay() {
    let events = Events::new();
    events.seal_apart();
    // States keep the store open.
    {
        let mut writes = events.engine.begin();
        let view = writes.view(None).expect("a view");
        writes.clear(&view, EVENTS).expect("cleared");
        // A merge of cleared segments with one that came later.
        events.add(&[row(40, 0)]);
        events.engine.seal().expect("sealed");
        events.engine.compact().expect("merged");
        let view = writes.view(None).expect("a view");
        assert_eq!(keys(&view.state), [40]);
        writes.commit_wait().expect("committed");
    }
    assert_eq!(events.keys(), [40]);
    assert_eq!(events.reopened().keys(), [40]);
}

#[test]
fn a_merge_takes_along_what_was_deleted_while_it_ran() {
    let events = Events::new();
    events.seal_apart();
    let shared = &events.engine.shared;
    let state = events.engine.state();
    let table = state.table(EVENTS).expect("a table");
    let choice = compaction::choose(table, &tiny()).expect("a merge is due");
    let (outputs, moved) =
        compaction::merge(&table.def, &choice, &shared.builder(), None, &|| false).expect("merged");
    let mut writes = events.engine.begin();
    let view = writes.view(None).expect("a view");
    for key in [3, 20] {
        writes
            .delete(&view, EVENTS, &rows_of(&view, key))
            .expect("deleted");
    }
    writes.commit_wait().expect("committed");
    let compact = Compact {
        table: EVENTS,
        inputs: choice.inputs,
        outputs,
        moved,
    };
    let installed = shared.ask(|reply| Work::Compact(compact, reply));
    assert!(installed.expect("an answer").expect("installed"));
    drop((view, state));
    let expected = [0, 1, 2, 4, 5, 6, 7, 8, 9];
    assert_eq!(events.keys(), expected);
    let events = events.reopened();
    assert_eq!(events.keys(), expected);
    let rows = events.engine.state().table(EVENTS).map(|t| t.rows());
    assert_eq!(rows, Some(36));
}

#[test]
fn equal_rows_are_told_apart() {
    let dir = TempDir::new().expect("a directory");
    let engine = open(Arc::new(FaultVfs::new(1)), dir.path());
    let mut setup = engine.begin();
    setup.put_table(events(EVENTS));
    setup.commit_wait().expect("a table");
    for _ in 0..4 {
        let mut writes = engine.begin();
        let equal = vec![row(1, 1); 50];
        writes.append(EVENTS, batch(&equal)).expect("appended");
        writes.commit_wait().expect("committed");
        engine.seal().expect("sealed");
    }
    let mut writes = engine.begin();
    let view = writes.view(None).expect("a view");
    let some: Vec<RowId> = rows_of(&view, 1).into_iter().step_by(3).collect();
    writes.delete(&view, EVENTS, &some).expect("deleted");
    engine.compact().expect("merged");
    writes.commit_wait().expect("committed");
    let rows = engine.state().table(EVENTS).map(|t| t.rows());
    assert_eq!(rows, Some(200 - some.len() as u64));
}
