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

/// Opens `dir` until it opens, with files that are missing linked from `staging`.
///
/// # Errors
/// What was said first, when that does not help; no link is left then.
pub(super) fn open<T>(
    dir: &Path,
    staging: &Path,
    open: impl Fn() -> Result<T, rocksdb::Error>,
) -> Result<T, rocksdb::Error> {
    let mut found = open();
    let Err(first) = &found else { return found };
    let first = first.clone();
    let mut left = candidates(staging);
    let mut links = Vec::new();
    while let Err(error) = &found {
        let missing = named(dir, &error.to_string()).filter(|path| !path.exists());
        let Some(missing) = missing else { break };
        let mut fits = None;
        for (nth, candidate) in left.iter().enumerate() {
            if std::fs::hard_link(candidate, &missing).is_err() {
                break;
            }
            found = open();
            let still = found.as_ref().err();
            let still = still.and_then(|e| named(dir, &e.to_string()));
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
