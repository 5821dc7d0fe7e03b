//! Merges that meet what they did not expect: damage, and rows that take much memory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::{Row, batch, events, scan, tiny};
use crate::vfs::FaultVfs;
use crate::{Engine, Error, Options, ScanRequest, TableId};

const EVENTS: TableId = TableId(1);
const OTHERS: TableId = TableId(2);

fn engine(dir: &TempDir, pack_rows: usize) -> Engine {
    let options = Options {
        wal_file_bytes: 64 << 20,
        transaction_memory_bytes: 1 << 30,
        pack_rows,
        segment_rows_max: 1 << 20,
        ..tiny()
    };
    let vfs = Arc::new(FaultVfs::new(1));
    Engine::open(vfs, dir.path(), options).expect("the engine opens")
}

fn add(engine: &Engine, table: TableId, rows: &[Row]) {
    let mut writes = engine.begin();
    writes.append(table, batch(rows)).expect("appended");
    writes.commit_wait().expect("committed");
}

fn files(dir: &Path) -> HashSet<PathBuf> {
    let files = std::fs::read_dir(dir.join("rocks")).expect("a folder");
    let files = files.map(|file| file.expect("an entry").path());
    files
        .filter(|path| path.extension().is_some_and(|e| e == "sst"))
        .collect()
}

#[test]
fn a_damaged_segment_does_not_keep_others_from_being_merged() {
    let dir = TempDir::new().expect("a directory");
    let engine = engine(&dir, 64);
    let mut setup = engine.begin();
    setup.put_table(events(EVENTS));
    setup.put_table(events(OTHERS));
    setup.commit_wait().expect("tables");
    let text = |key: i64| {
        Some(format!(
            "{:x}",
            (key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ))
    };
    let rows: Vec<Row> = (0..3_000)
        .map(|key| (key, 0, Some(key), text(key)))
        .collect();
    add(&engine, EVENTS, &rows);
    engine.seal().expect("sealed");
    let damaged = files(dir.path());
    for path in &damaged {
        let mut bytes = std::fs::read(path).expect("a file");
        // RocksDB has seen the first and the last block.
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).expect("a file");
    }
    for _ in 0..tiny().compaction_runs {
        for table in [EVENTS, OTHERS] {
            add(&engine, table, &rows);
        }
        engine.seal().expect("sealed");
    }
    let segments = |table| engine.state().table(table).map_or(0, |t| t.segments.len());
    let refused = engine.compact();
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    engine.compact().expect("the others");
    assert_eq!(segments(OTHERS), 1);
    // The segments that the merge met damage with stay as they are.
    assert!(segments(EVENTS) > 1);
}

#[test]
fn rows_that_take_much_memory_make_small_packs() {
    let dir = TempDir::new().expect("a directory");
    let engine = engine(&dir, 32 * 1024);
    let mut setup = engine.begin();
    setup.put_table(events(EVENTS));
    setup.commit_wait().expect("a table");
    let text = |key: i64| Some(format!("{key:05} ").repeat(4_000));
    for part in 0..3 {
        let keys = part * 500..(part + 1) * 500;
        let rows: Vec<Row> = keys.map(|key| (key, 0, None, text(key))).collect();
        add(&engine, EVENTS, &rows);
        engine.seal().expect("sealed");
    }
    for merged in [false, true] {
        if merged {
            engine.compact().expect("merged");
        }
        let state = engine.state();
        let table = state.table(EVENTS).expect("a table");
        assert_eq!(table.segments.len() == 1, merged);
        for run in &table.segments {
            let rows = run.segment.meta.packs.iter().map(|pack| pack.rows);
            assert!(
                rows.clone().all(|rows| rows < 700),
                "{:?}",
                rows.collect::<Vec<_>>()
            );
        }
        let found = scan(&state, EVENTS, ScanRequest::default());
        assert_eq!(found.len(), 1_500);
        assert!(found.iter().all(|(row, _)| row.3 == text(row.0)));
    }
}
