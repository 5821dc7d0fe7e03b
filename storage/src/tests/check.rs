//! What `check` finds, and that it changes nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::{batch, events, open};
use crate::check::Report;
use crate::vfs::RealVfs;
use crate::{Engine, Error, TableId, check};

const EVENTS: TableId = TableId(1);

/// A directory with sealed rows, rows in the log, and segments that only the log names.
fn directory() -> (TempDir, Engine) {
    let dir = TempDir::new().expect("a directory");
    let engine = open(Arc::new(RealVfs), dir.path());
    let mut setup = engine.begin();
    setup.put_table(events(EVENTS));
    setup.commit_wait().expect("a table");
    write(&engine, 0, 300);
    engine.seal().expect("sealed");
    write(&engine, 1, 300);
    // More than a transaction keeps in memory.
    write(&engine, 2, 3000);
    (dir, engine)
}

fn write(engine: &Engine, at: i64, rows: i64) {
    let rows: Vec<_> = (0..rows)
        .map(|i| (i, at, Some(i), Some(format!("a text of row {i}"))))
        .collect();
    let mut writes = engine.begin();
    for part in rows.chunks(250) {
        writes.append(EVENTS, batch(part)).expect("appended");
    }
    writes.commit_wait().expect("committed");
}

/// Every entry: its bytes, and when it was changed.
type Tree = BTreeMap<PathBuf, (Option<Vec<u8>>, (i64, i64))>;

fn tree(dir: &Path) -> Tree {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.metadata().expect("metadata");
            let modified = (metadata.mtime(), metadata.mtime_nsec());
            if metadata.is_dir() {
                folders.push(path.clone());
                found.insert(path, (None, modified));
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                found.insert(path, (Some(bytes), modified));
            }
        }
    }
    found
}

fn checked(dir: &Path) -> Report {
    check(Arc::new(RealVfs), dir, &mut |_, _| {}).expect("a check")
}

fn newest_log(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("wal")).expect("a log");
    let logs = files.map(|file| file.expect("an entry").path());
    let is_log = |path: &PathBuf| path.to_string_lossy().contains("/wal-");
    logs.filter(is_log).max().expect("a file of the log")
}

#[test]
fn a_check_changes_nothing_and_reads_what_only_the_log_names() {
    let (dir, engine) = directory();
    let in_use = check(Arc::new(RealVfs), dir.path(), &mut |_, _| {}).map(drop);
    let message = in_use.expect_err("the engine uses it").to_string();
    assert!(
        message.ends_with("is in use by another process"),
        "{message}"
    );
    let named = engine.state().table(EVENTS).map_or(0, |t| t.segments.len());
    drop(engine);
    let stray = dir.path().join("staging/segment-77.sst");
    std::fs::write(&stray, "under construction").expect("a file");
    let before = tree(dir.path());
    let mut heard = (0, 0);
    let report = check(Arc::new(RealVfs), dir.path(), &mut |done, all| {
        heard = (done, all);
    });
    let report = report.expect("a check");
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    assert!(named > 1, "large transactions write segments");
    assert_eq!((report.tables, report.segments), (1, named));
    assert_eq!(heard, (named, named));
    assert_eq!(report.orphans, 0);
    assert!(report.rows > 3000, "{}", report.rows);
    assert_eq!(tree(dir.path()), before);
    // Neither without the file that servers take: a backup may lack it.
    std::fs::remove_file(dir.path().join("lock")).expect("a lock");
    let before = tree(dir.path());
    assert!(checked(dir.path()).damage.is_empty());
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn damage_in_a_segment_that_only_the_log_names_is_found() {
    let (dir, engine) = directory();
    drop(engine);
    let files = std::fs::read_dir(dir.path().join("rocks")).expect("a folder");
    let files = files.map(|file| file.expect("an entry").path());
    let newest = files
        .filter(|path| path.extension().is_some_and(|e| e == "sst"))
        .max()
        .expect("a segment file");
    let mut bytes = std::fs::read(&newest).expect("a file");
    bytes[100] ^= 4;
    std::fs::write(&newest, bytes).expect("a file");
    let damage = checked(dir.path()).damage;
    assert!(
        matches!(damage[..], [Error::Corrupt { .. }, ..]),
        "{damage:?}"
    );
}

#[test]
fn a_lost_newest_log_file_is_refused_and_reported() {
    let (dir, engine) = directory();
    drop(engine);
    let newest = newest_log(dir.path());
    std::fs::remove_file(&newest).expect("a file");
    let missing = Error::corrupt(&newest, 0, "this file of the log is missing").to_string();
    let damage = checked(dir.path()).damage;
    assert!(
        damage.iter().any(|e| e.to_string() == missing),
        "{damage:?}"
    );
    let opened = Engine::open(Arc::new(RealVfs), dir.path(), super::tiny()).map(drop);
    assert_eq!(opened.expect_err("a file is gone").to_string(), missing);
}
