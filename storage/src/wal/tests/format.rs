//! The bytes themselves: a golden dump of today's, and files of every format version, which are
//! never written again and must always replay.
//!
//! `UPDATE=1` rewrites the dump, and writes the fixture of a format version that has none yet.

use std::ops::RangeInclusive;

use super::*;

fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn update() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

/// Transactions with payloads of a line. The fixtures were written with these, so they stay as they
/// are.
fn lines(range: RangeInclusive<u64>) -> Vec<Transaction> {
    let kinds = [FrameKind::Block, FrameKind::Table, FrameKind::Record];
    let frame = |sequence, index| Frame {
        kind: kinds[index as usize],
        table: TableId(16 + index),
        schema_version: 3,
        payload: format!("frame {index} of transaction {sequence}").into(),
    };
    let transaction = |sequence| {
        let frames = (0..sequence as u32 % 4).map(|index| frame(sequence, index));
        (Sequence(sequence), frames.collect())
    };
    range.map(transaction).collect()
}

/// Two files of two blocks after the header; the second is a recycled one with stale frames. The
/// first three transactions are sealed, and the last two stand in one group.
fn small_log() -> FaultVfs {
    let vfs = FaultVfs::new(1);
    let options = WalOptions {
        file_bytes: 12 << 10,
        files_kept_max: 1,
    };
    let (mut wal, _) = open_with(&vfs, options, 0).unwrap();
    for (sequence, frames) in lines(1..=7) {
        wal.append(sequence, &frames).unwrap();
        if sequence.0 != 6 {
            wal.sync().unwrap();
        }
        if sequence.0 == 4 {
            wal.release(Sequence(3)).unwrap();
        }
    }
    vfs
}

/// Sixteen bytes a line; runs of one byte that fill whole lines are told in words.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..]
            .iter()
            .take_while(|byte| **byte == bytes[at])
            .count()
            / 16
            * 16;
        if run >= 32 {
            out += &format!("{at:06x}  {:02x} × {run}\n", bytes[at]);
            at += run;
            continue;
        }
        let line = &bytes[at..bytes.len().min(at + 16)];
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = line.iter().map(|byte| match byte {
            0x20..0x7f => char::from(*byte),
            _ => '.',
        });
        out += &format!("{at:06x}  {}  {}\n", hex.join(" "), String::from_iter(text));
        at += 16;
    }
    out
}

#[test]
fn the_bytes_of_a_small_log_are_as_drawn() {
    let vfs = small_log();
    let mut out = String::new();
    for path in vfs.paths() {
        let bytes = vfs.get(&path).unwrap();
        out += &format!(
            "{}, {} bytes\n{}\n",
            path.display(),
            bytes.len(),
            dump(&bytes)
        );
    }
    let golden = tests_dir().join("golden/wal/small_log.txt");
    if update() {
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        std::fs::write(&golden, &out).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap();
    assert!(
        out == expected,
        "the bytes changed; UPDATE=1 rewrites {}",
        golden.display()
    );
}

#[test]
fn files_of_every_format_version_replay() {
    let written = tests_dir().join(format!("fixtures/v{}/wal", header::FORMAT_VERSION));
    if update() && !written.exists() {
        std::fs::create_dir_all(&written).unwrap();
        let vfs = small_log();
        for path in vfs.paths() {
            let file = written.join(path.file_name().unwrap());
            std::fs::write(file, vfs.get(&path).unwrap()).unwrap();
        }
    }
    for version in 1..=header::FORMAT_VERSION {
        let fixture = tests_dir().join(format!("fixtures/v{version}/wal"));
        let vfs = FaultVfs::new(1);
        for entry in std::fs::read_dir(&fixture).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            vfs.put(Path::new(DIR).join(name), std::fs::read(&path).unwrap());
        }
        let (damage, visited) = check(&vfs, 3);
        assert!(damage.is_empty(), "{damage:?}");
        assert!(visited == lines(4..=7), "version {version}");
        let (mut wal, replayed) = open(&vfs, 3).unwrap();
        assert!(replayed == visited, "version {version}");
        commit(&mut wal, 1, 0).unwrap();
    }
}
