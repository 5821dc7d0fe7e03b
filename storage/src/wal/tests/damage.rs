//! Bytes that are not what was written: flipped, cut off, gone. Either the answer is the same, or
//! the error says where; only the last group of all may be taken for torn.

use super::*;

/// Where the last group begins and its frames end, in the newest file, and its first transaction.
fn last_group(vfs: &FaultVfs) -> (usize, usize, u64) {
    let ordinals = files::list(vfs, Path::new(DIR)).unwrap();
    let mut first = 0;
    let recovered = recovery::recover(
        vfs,
        Path::new(DIR),
        &ordinals,
        Sequence(0),
        &mut |_, _| Ok(()),
        &mut Err,
    );
    let recovered = recovered.unwrap().unwrap();
    let last = recovered.stop.last_group.unwrap();
    let mut at = last.start;
    while at < last.end {
        let found =
            frame::find(&recovered.newest.bytes, at, recovered.newest.header.epoch).unwrap();
        if first == 0 {
            first = found.sequence;
        }
        at = found.end;
    }
    (last.start, last.end, first)
}

#[test]
fn every_flipped_byte_is_harmless_or_reported() {
    let (vfs, written) = three_files();
    let (start, end, first) = last_group(&vfs);
    let mut reported = 0;
    for ordinal in 1..=3 {
        let path = log_file(ordinal);
        let whole = vfs.get(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            vfs.put(&path, bytes);
            let (damage, _) = check(&vfs, 0);
            match open(&vfs.fork(), 0) {
                Ok((_, replayed)) => {
                    assert!(damage.is_empty(), "{ordinal} {at} {damage:?}");
                    if ordinal == 3 && (start..end).contains(&at) {
                        assert!(written.starts_with(&replayed), "{at}");
                        assert!(replayed.len() as u64 >= first - 1, "{at}");
                    } else {
                        assert_eq!(replayed, written, "{ordinal} {at}");
                    }
                }
                Err(Error::Corrupt {
                    file,
                    offset,
                    reason,
                }) => {
                    reported += 1;
                    assert_eq!(file, path, "{at} {reason}");
                    assert!(offset as usize <= at, "{ordinal} {at} {offset} {reason}");
                    assert_eq!(damage.len(), 1, "{ordinal} {at} {damage:?}");
                    assert_eq!(
                        damage[0].to_string(),
                        Error::corrupt(file, offset, reason).to_string()
                    );
                }
                Err(error) => panic!("{ordinal} {at}: {error}"),
            }
        }
        vfs.put(&path, whole);
    }
    assert!(reported > 20_000, "{reported}");
}

#[test]
fn a_last_group_cut_at_any_byte_keeps_its_whole_transactions() {
    let (vfs, written) = three_files();
    let (start, end, first) = last_group(&vfs);
    let path = log_file(3);
    let whole = vfs.get(&path).unwrap();
    let mut kept = std::collections::BTreeSet::new();
    for at in start..=end {
        for zeros in [false, true] {
            let mut bytes = whole.clone();
            bytes.truncate(at);
            if zeros {
                bytes.resize(whole.len(), 0);
            }
            vfs.put(&path, bytes);
            assert!(check(&vfs, 0).0.is_empty());
            let (mut wal, mut replayed) = open(&vfs, 0).unwrap();
            assert!(written.starts_with(&replayed), "{at}");
            let last = replayed.len() as u64;
            assert!(last >= first - 1, "{at}");
            kept.insert(last);
            // It goes on as if the rest had never been.
            commit(&mut wal, 2, 9).unwrap();
            replayed.extend([transaction(last + 1, 9), transaction(last + 2, 9)]);
            let again = open(&vfs, 0).unwrap().1;
            assert_eq!(again, replayed, "{at}");
            for ordinal in 4..6 {
                if names(&vfs).contains(&format!("wal-000000000{ordinal}.log")) {
                    vfs.remove(&log_file(ordinal)).unwrap();
                }
            }
        }
    }
    assert_eq!(kept.len() as u64, written.len() as u64 - first + 2);
}

#[test]
fn a_torn_last_group_may_have_holes_anywhere() {
    let (vfs, written) = log_of(&[3, 3, 4], 32 << 10);
    let (start, end, first) = last_group(&vfs);
    let path = log_file(1);
    let whole = vfs.get(&path).unwrap();
    let sectors: Vec<usize> = (start..end).step_by(512).collect();
    assert!((3..16).contains(&sectors.len()), "{}", sectors.len());
    for lost in 0..1_u32 << sectors.len() {
        let mut bytes = whole.clone();
        for (index, at) in sectors.iter().enumerate() {
            if lost & (1 << index) != 0 {
                bytes[*at..at + 512].fill(0);
            }
        }
        let vfs = vfs.fork();
        vfs.put(&path, bytes);
        let (mut wal, replayed) = open(&vfs, 0).unwrap();
        assert!(written.starts_with(&replayed));
        assert!(replayed.len() as u64 >= first - 1);
        assert_eq!(replayed.len() == written.len(), lost == 0);
        // No piece of it is left to be found later.
        let rest = &vfs.get(&path).unwrap()[wal.current.end as usize..];
        assert!(rest.iter().all(|byte| *byte == 0));
        commit(&mut wal, 1, 0).unwrap();
    }
}

#[test]
fn missing_files_are_named_with_what_was_in_them() {
    let reason = |vfs: &FaultVfs, after| open(vfs, after).err().unwrap().to_string();
    let (vfs, written) = three_files();
    let whole = vfs.fork();

    vfs.remove(&log_file(2)).unwrap();
    assert_eq!(
        reason(&vfs, 0),
        "data corrupted in /data/wal/wal-0000000002.log at offset 0: this file of the log is missing"
    );
    let damage = check(&vfs, 0).0;
    assert_eq!(damage.len(), 2);
    assert_eq!(
        damage[1].to_string(),
        "data corrupted in /data/wal/wal-0000000003.log at offset 0: \
         sequences 5 to 6 are missing before this file"
    );

    vfs.remove(&log_file(1)).unwrap();
    assert_eq!(
        reason(&vfs, 4),
        "data corrupted in /data/wal/wal-0000000003.log at offset 0: \
         sequences 5 to 6 are missing before this file"
    );
    assert_eq!(open(&vfs, 6).unwrap().1, written[6..]);

    vfs.remove(&log_file(3)).unwrap();
    assert_eq!(
        reason(&vfs, 4),
        "data corrupted in /data/wal at offset 0: the write-ahead log has no files, and 4 is sealed"
    );
    assert_eq!(check(&vfs, 4).0.len(), 1);

    let error = reason(&whole, 99);
    assert!(
        error.contains("the log ends with sequence 9, and 99 is sealed"),
        "{error}"
    );
}

#[test]
fn files_in_each_others_place_are_reported() {
    let (vfs, _) = three_files();
    let (one, two) = (vfs.get(log_file(1)).unwrap(), vfs.get(log_file(2)).unwrap());
    vfs.put(log_file(1), two);
    vfs.put(log_file(2), one);
    let error = open(&vfs, 0).err().unwrap().to_string();
    assert!(
        error.ends_with("at offset 0: this is the log's file 2"),
        "{error}"
    );
    assert_eq!(check(&vfs, 0).0.len(), 2);
}

#[test]
fn a_later_format_is_refused_and_not_called_damage() {
    let (vfs, _) = three_files();
    let mut bytes = vfs.get(log_file(3)).unwrap();
    bytes[8] = 2;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..12]);
    crc.update(&bytes[16..4096]);
    bytes[12..16].copy_from_slice(&crc.finalize().to_le_bytes());
    vfs.put(log_file(3), bytes);
    let error = open(&vfs, 0).err().unwrap();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert!(
        error.to_string().contains("has format version 2"),
        "{error}"
    );
}

#[test]
fn check_reads_on_behind_damage_and_changes_nothing() {
    let (vfs, written) = three_files();
    for ordinal in [1, 2] {
        let mut bytes = vfs.get(log_file(ordinal)).unwrap();
        bytes[4096 + 60] ^= 0xff;
        vfs.put(log_file(ordinal), bytes);
    }
    let before: Vec<_> = vfs.paths().iter().map(|path| vfs.get(path)).collect();
    let changes = |vfs: &FaultVfs| {
        let operations = vfs.operations().into_iter();
        operations
            .filter(|one| *one != crate::vfs::fault::Operation::Read)
            .count()
    };
    let operations = changes(&vfs);
    let (damage, visited) = check(&vfs, 0);
    assert_eq!(damage.len(), 2, "{damage:?}");
    assert!(visited.len() == 4 && visited.iter().all(|one| written.contains(one)));
    assert_eq!(visited.last(), written.last());
    let after: Vec<_> = vfs.paths().iter().map(|path| vfs.get(path)).collect();
    assert!(before == after && operations == changes(&vfs));
}

#[test]
fn losing_newest_files_is_noticed() {
    let vfs = FaultVfs::new(1);
    let noted = Noted::default();
    let options = WalOptions {
        file_bytes: 12 << 10,
        files_kept_max: 0,
    };
    let (mut wal, _) = open_noting(&vfs, options, 0, &noted).unwrap();
    for count in [3, 1, 2, 1, 2] {
        commit(&mut wal, count, 0).unwrap();
    }
    drop(wal);
    assert_eq!(noted.load(Relaxed), 3);
    let missing = Error::corrupt(log_file(3), 0, "this file of the log is missing").to_string();
    for lost in [vec![3], vec![2, 3], vec![1, 2, 3]] {
        let vfs = vfs.fork();
        for &ordinal in &lost {
            vfs.remove(&log_file(ordinal)).unwrap();
        }
        let opened = open_noting(&vfs, options, 0, &noted).map(|(_, replayed)| replayed);
        assert_eq!(opened.unwrap_err().to_string(), missing, "{lost:?}");
        let damage = Wal::check(&vfs, Path::new(DIR), Sequence(0), 3, &mut |_, _| Ok(()));
        assert_eq!(damage[0].to_string(), missing, "{lost:?}");
    }
    assert!(open_noting(&vfs, options, 0, &noted).is_ok());
}

#[test]
fn a_file_is_noted_before_a_group_of_it_is_acknowledged() {
    let vfs = FaultVfs::new(1);
    let full = Arc::new(AtomicU64::new(0));
    let (fails, noted) = (full.clone(), Noted::default());
    let note = noted.clone();
    let register = Register {
        newest: 0,
        note: Box::new(move |ordinal| {
            if fails.load(Relaxed) > 0 {
                let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                return Err(Error::io("write", "rocks")(full));
            }
            note.store(ordinal, Relaxed);
            Ok(())
        }),
    };
    let (dir, mut replay) = (Path::new(DIR), |_, _| Ok(()));
    let vfs = Arc::new(vfs);
    let mut wal = Wal::open(
        vfs.clone(),
        dir,
        options(),
        Sequence(0),
        register,
        &mut replay,
    )
    .unwrap();
    assert_eq!(noted.load(Relaxed), 0);
    full.store(1, Relaxed);
    assert!(commit(&mut wal, 2, 0).unwrap_err().is_disk_full());
    full.store(0, Relaxed);
    commit(&mut wal, 3, 1).unwrap();
    assert_eq!(noted.load(Relaxed), 1);
    drop(wal);
    let (_, replayed) = open_noting(&vfs, options(), 0, &noted).unwrap();
    let expected: Vec<Transaction> = (1..=3).map(|sequence| transaction(sequence, 1)).collect();
    assert_eq!(replayed, expected);
}
