//! A failed ingest that RocksDB's own manifest remembers.
//!
//! When the sync of its manifest fails, RocksDB takes an ingest back and removes the files that it
//! had linked. The record that names them may stand in the manifest all the same, and then whoever
//! opens the directory next finds them missing and refuses. So the directory is opened as the next
//! start would, and each file that is missing there is linked from `staging` once more. No
//! manifest of ours names the segment: the start removes it as any other.
//!
//! Nothing but links is made. RocksDB compares size and identity of each file with what its manifest
//! holds, so that a wrong file is told from the right one.

use std::path::{Path, PathBuf};

/// RocksDB's default.
const THREADS: i32 = 16;

/// Opens `dir` until it opens, with files that are missing linked from `staging`. `open` is told with
/// how many threads RocksDB opens files: with one, its error is always that of the first file that
/// does not fit, and so tells whether a link helped.
///
/// # Errors
/// What was said first, when that does not help; no link is left then.
pub(super) fn open<T>(
    dir: &Path,
    staging: &Path,
    open: impl Fn(i32) -> Result<T, rocksdb::Error>,
) -> Result<T, rocksdb::Error> {
    let first = match open(THREADS) {
        Err(first) => first,
        opened => return opened,
    };
    let mut left = candidates(staging);
    if left.is_empty() {
        return Err(first);
    }
    let mut found = open(1);
    let mut links = Vec::new();
    while let Err(error) = &found {
        let missing = named(dir, error.as_ref()).filter(|path| !path.exists());
        let Some(missing) = missing else { break };
        let mut fits = None;
        for (nth, candidate) in left.iter().enumerate() {
            if std::fs::hard_link(candidate, &missing).is_err() {
                break;
            }
            found = open(1);
            let still = found.as_ref().err();
            let still = still.and_then(|e| named(dir, e.as_ref()));
            if still.as_ref() != Some(&missing) {
                fits = Some(nth);
                break;
            }
            unlink(&missing);
        }
        let Some(nth) = fits else { break };
        left.remove(nth);
        tracing::warn!(file = %missing.display(), "linked the file of an ingest that failed once more");
        links.push(missing);
    }
    if found.is_err() {
        links.iter().for_each(|link| unlink(link));
        return Err(first);
    }
    found
}

fn unlink(link: &Path) {
    // A file that nobody names goes when RocksDB opens the directory.
    let _ = std::fs::remove_file(link);
}

fn candidates(staging: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(staging).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// The segment file that an error names.
fn named(dir: &Path, error: &str) -> Option<PathBuf> {
    let prefix = format!("{}/", dir.display());
    let names = error.split(prefix.as_str()).skip(1);
    let number = |rest: &str| -> Option<PathBuf> {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        let is_file = !digits.is_empty() && rest[digits.len()..].starts_with(".sst");
        is_file.then(|| dir.join(format!("{digits}.sst")))
    };
    names.into_iter().find_map(number)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::Store;
    use super::super::keys::SegmentKey;
    use super::*;
    use crate::{SegmentId, TableId};

    fn key(number: u64) -> SegmentKey {
        SegmentKey {
            table: TableId(1),
            chunk: 0,
            segment: SegmentId(number),
        }
    }

    fn segment_files(dir: &Path) -> Vec<PathBuf> {
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|e| e == "sst");
        candidates(dir).into_iter().filter(is_segment).collect()
    }

    /// Several files of the same size, in another order than their numbers.
    #[test]
    fn files_that_are_missing_come_back_from_staging() {
        let root = TempDir::new().expect("a directory");
        let (dir, staging) = (root.path().join("rocks"), root.path().join("staging"));
        let store = Store::open(&dir, &staging).expect("a store");
        let value = |number: u64| [number as u8; 100];
        let write = |number| {
            let value = value(number);
            let values = [(0, 0, value.as_slice())];
            store.write_segment(key(number), values.into_iter())
        };
        let files: Result<Vec<_>, _> = (1..=3).map(write).collect();
        store.ingest(&files.expect("files")).expect("ingested");
        drop(store);
        for (nth, file) in segment_files(&dir).into_iter().rev().enumerate() {
            std::fs::rename(&file, staging.join(format!("segment-{nth}.sst"))).expect("moved");
        }
        std::fs::write(staging.join("segment-0-half.sst"), [7; 100]).expect("a file");
        let refused = Store::open_for_reading(&dir, &staging);
        assert!(refused.is_err(), "RocksDB looks for its files");

        let store = Store::open(&dir, &staging).expect("the files are there again");
        for number in 1..=3 {
            let found = store.value(key(number), 0, 0).expect("a value");
            assert_eq!(found, value(number).as_slice());
        }
        assert!(candidates(&staging).is_empty());
    }

    #[test]
    fn without_the_files_the_first_error_stands_and_no_link_is_left() {
        let root = TempDir::new().expect("a directory");
        let (dir, staging) = (root.path().join("rocks"), root.path().join("staging"));
        let store = Store::open(&dir, &staging).expect("a store");
        let value = [1; 100];
        let file = store.write_segment(key(1), [(0, 0, value.as_slice())].into_iter());
        store.ingest(&[file.expect("a file")]).expect("ingested");
        drop(store);
        for file in segment_files(&dir) {
            std::fs::remove_file(file).expect("removed");
        }
        std::fs::write(staging.join("segment-9.sst"), [7; 100]).expect("a file");
        let refused = Store::open(&dir, &staging)
            .err()
            .expect("a file is missing");
        assert!(refused.to_string().contains("No such file"), "{refused}");
        assert!(segment_files(&dir).is_empty());
    }

    #[test]
    fn an_error_names_a_file() {
        let dir = Path::new("/data/rocks");
        let error = "Corruption: IO error: No such file or directory: While open a file for random read: \
                     /data/rocks/000027.sst: No such file or directory  The file /data/rocks/MANIFEST-000024 may be corrupted.";
        assert_eq!(named(dir, error), Some(dir.join("000027.sst")));
        assert_eq!(
            named(dir, "The file /data/rocks/MANIFEST-000024 may be"),
            None
        );
        assert_eq!(named(dir, "/other/000027.sst"), None);
    }
}
