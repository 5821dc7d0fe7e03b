//! Flipped bits and lost files: reported, or without effect.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::directory::{Directory, newest_log, used};
use super::verdict::judge;
use crate::crash::chance::{Chance, number};

/// Two at a time, since each mostly waits for processes to start.
const THREADS: u64 = 2;

/// Kinds of files: folder and beginning of the name, end of the name, weight.
const KINDS: &[(&str, &str, u64)] = &[
    ("wal/wal-", ".log", 9),
    ("rocks/", ".sst", 9),
    ("rocks/", ".log", 2),
    ("rocks/MANIFEST", "", 2),
    ("rocks/CURRENT", "", 1),
];

#[test]
fn flipped_bits_never_change_an_answer() {
    let mut chance = Chance::from_environment("flipped_bits_never_change_an_answer");
    let flips = number("SLICEDB_FLIPS", 150);
    let directory = Directory::build();
    let reported = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let mut chance = chance.fork();
            let (directory, reported) = (&directory, &reported);
            scope.spawn(move || {
                for _ in 0..flips / THREADS {
                    let is_reported = flip(directory, &mut chance);
                    reported.fetch_add(u64::from(is_reported), Ordering::Relaxed);
                }
            });
        }
    });
    println!("{flips} flips, {} of them reported", reported.into_inner());
}

fn flip(directory: &Directory, chance: &mut Chance) -> bool {
    let mut weight = chance.below(KINDS.iter().map(|kind| kind.2).sum());
    let kind = KINDS.iter().find(|kind| {
        let is_it = weight < kind.2;
        weight = weight.saturating_sub(kind.2);
        is_it
    });
    let &(prefix, suffix, _) = kind.expect("a kind");
    let files = directory.files(prefix, suffix);
    let (file, length) = &files[chance.below(files.len() as u64) as usize];
    // Most of a log file is zeros that nobody has written to yet.
    let used = used(&directory.data().join(file));
    let end = if chance.one_in(10) { *length } else { used };
    if end == 0 {
        return false;
    }
    let (offset, bit) = (chance.below(end), chance.below(8));
    let newest = newest_log(&directory.data());
    let is_tail = newest.ends_with(file) && offset >= directory.marker.start;
    let what = format!("bit {bit} of byte {offset} of {file} ({length} bytes, {used} used)");
    judge(directory, &what, is_tail, &|data: &Path| {
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(data.join(file));
        let file = file.expect("a file");
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).expect("a byte");
        file.write_all_at(&[byte[0] ^ 1 << bit], offset)
            .expect("a byte");
    })
}

#[test]
fn lost_and_cut_files_are_reported() {
    let directory = Directory::build();
    let newest = newest_log(&directory.data());
    for &(prefix, suffix, _) in KINDS {
        for (file, length) in directory.files(prefix, suffix) {
            let lost = judge(&directory, &format!("{file} lost"), false, &|data| {
                std::fs::remove_file(data.join(&file)).expect("a file");
            });
            // What is cut from the newest file of the log looks torn by a crash.
            if newest.ends_with(&file) {
                assert!(lost, "{file} is not missed");
                continue;
            }
            judge(&directory, &format!("{file} cut"), false, &|data| {
                let cut = std::fs::File::options().write(true).open(data.join(&file));
                cut.and_then(|f| f.set_len(length / 2)).expect("a file");
            });
        }
    }
}
