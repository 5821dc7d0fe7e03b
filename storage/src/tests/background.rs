//! Background work by itself: it is called when there is work, and not only looked for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{batch, events, tiny};
use crate::vfs::FaultVfs;
use crate::{Engine, Error, Level, Options, TableId};

const EVENTS: TableId = TableId(1);

#[test]
fn a_call_while_work_is_under_way_is_not_lost() {
    let dir = TempDir::new().expect("a directory");
    // Nobody looks for work by himself within the test's patience.
    let options = Options {
        maintenance_interval_ms: 600_000,
        memtable_seal_bytes: 32 << 10,
        memtable_max_bytes: 64 << 10,
        background: true,
        ..tiny()
    };
    let vfs = Arc::new(FaultVfs::new(1));
    let engine = Engine::open(vfs, dir.path(), options).expect("the engine opens");
    let mut setup = engine.begin();
    setup.put_table(events(EVENTS));
    setup.commit_wait().expect("a table");
    let started = Instant::now();
    let patience = Duration::from_secs(60);
    for round in 0..60 {
        let rows: Vec<_> = (0..200).map(|i| (i, round * 1000, Some(i), None)).collect();
        let mut writes = engine.begin();
        writes.append(EVENTS, batch(&rows)).expect("appended");
        writes.commit_wait().expect("committed");
        assert!(started.elapsed() < patience, "round {round}");
    }
    while engine.usage().expect("figures").memtable_bytes >= 32 << 10 {
        assert!(started.elapsed() < patience, "rows are not sealed");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Each seal calls for merges: the runs do not pile up.
    let runs = || {
        let state = engine.state();
        let table = state.table(EVENTS).expect("a table");
        let runs = table.segments.iter().map(|run| run.segment.meta.run);
        runs.collect::<HashSet<u64>>().len()
    };
    while runs() >= 2 * tiny().compaction_runs {
        assert!(started.elapsed() < patience, "{} runs", runs());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(engine);
    assert!(started.elapsed() < patience, "the stop is heard");
}

#[test]
fn rows_that_are_gone_leave_memory_whatever_was_merged_meanwhile() {
    let dir = TempDir::new().expect("a directory");
    let vfs = Arc::new(FaultVfs::new(1));
    let engine = Engine::open(vfs, dir.path(), tiny()).expect("the engine opens");
    let mut setup = engine.begin();
    setup.put_table(events(EVENTS));
    setup.commit_wait().expect("a table");
    let add = |time| {
        let rows: Vec<_> = (0..50).map(|key| (key, time, None, None)).collect();
        let mut writes = engine.begin();
        writes.append(EVENTS, batch(&rows)).expect("appended");
        writes.commit_wait().expect("committed");
    };
    for time in 0..tiny().compaction_runs as i64 {
        add(time);
        engine.seal().expect("sealed");
    }
    add(10);
    let chunk = {
        let state = engine.state();
        Arc::downgrade(&state.table(EVENTS).expect("a table").memory[0].chunk)
    };
    engine.compact().expect("merged");
    let mut writes = engine.begin();
    let view = writes.view(None).expect("a view");
    writes.clear(&view, EVENTS).expect("cleared");
    drop(view);
    writes.commit_wait().expect("committed");
    // The committer lets go of the state before a moment after it has answered.
    let started = Instant::now();
    while chunk.strong_count() > 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "still held");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Not only when the disk is full.
#[test]
fn writers_do_not_wait_for_seals_that_fail() {
    let dir = TempDir::new().expect("a directory");
    let options = Options {
        memtable_seal_bytes: 32 << 10,
        memtable_max_bytes: 64 << 10,
        background: true,
        ..tiny()
    };
    let vfs = Arc::new(FaultVfs::new(1));
    let engine = Engine::open(vfs, dir.path(), options).expect("the engine opens");
    let mut setup = engine.begin();
    setup.put_table(events(EVENTS));
    setup.commit_wait().expect("a table");
    let add = || {
        let rows: Vec<_> = (0..100).map(|i| (i, 0, Some(i), None)).collect();
        let mut writes = engine.begin();
        writes.append(EVENTS, batch(&rows)).expect("appended");
        writes.commit_wait()
    };
    let staging = dir.path().join("staging");
    std::fs::remove_dir(&staging).expect("an empty folder");
    let refused = (0..1000).find_map(|_| add().err());
    let Some(Error::Io { op, path, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        op == "create" && path.starts_with(&staging),
        "{op} {path:?}"
    );
    std::fs::create_dir(&staging).expect("the folder");
    let started = Instant::now();
    while let Err(e) = add() {
        assert!(started.elapsed() < Duration::from_secs(60), "{e}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn writers_are_slowed_and_memory_is_sealed_when_it_runs_out() {
    let dir = TempDir::new().expect("a directory");
    let options = Options {
        maintenance_interval_ms: 10,
        memtable_seal_bytes: 64 << 10,
        memtable_max_bytes: 1 << 30,
        background: true,
        ..tiny()
    };
    let vfs = Arc::new(FaultVfs::new(1));
    let engine = Engine::open(vfs, dir.path(), options).expect("the engine opens");
    let mut setup = engine.begin();
    setup.put_table(events(EVENTS));
    setup.commit_wait().expect("a table");
    engine.pressure().set(Level::High);
    let started = Instant::now();
    let rows: Vec<_> = (0..400).map(|i| (i, 0, Some(i), None)).collect();
    let mut writes = engine.begin();
    writes.append(EVENTS, batch(&rows)).expect("appended");
    assert!(started.elapsed() >= Duration::from_millis(100));
    writes.commit_wait().expect("slow, yet it goes on");
    while engine.usage().expect("figures").memtable_bytes > 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "not sealed");
        std::thread::sleep(Duration::from_millis(5));
    }
    engine.pressure().set(Level::Eased);
    let started = Instant::now();
    let mut writes = engine.begin();
    writes.append(EVENTS, batch(&rows)).expect("appended");
    assert!(started.elapsed() < Duration::from_millis(100));
}
