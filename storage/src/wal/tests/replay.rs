//! What was synced comes back, through every shape of groups and files.

use proptest::prelude::*;

use super::*;
use crate::vfs::RealVfs;

#[test]
fn a_new_log_is_empty_and_what_is_synced_comes_back() {
    let vfs = FaultVfs::new(1);
    let (mut wal, replayed) = open(&vfs, 0).unwrap();
    assert_eq!((wal.last_sequence(), replayed), (Sequence(0), vec![]));
    wal.sync().unwrap();
    commit(&mut wal, 1, 0).unwrap();
    commit(&mut wal, 6, 0).unwrap();
    // Appended, not synced: nobody was told that it is there.
    wal.append(Sequence(8), &frames(8, 0)).unwrap();
    assert_eq!(wal.last_sequence(), Sequence(8));
    drop(wal);

    let (wal, replayed) = open(&vfs, 0).unwrap();
    assert_eq!(replayed, transactions(1..=7));
    assert_eq!(wal.last_sequence(), Sequence(7));
    drop(wal);
    let (_, replayed) = open(&vfs, 5).unwrap();
    assert_eq!(replayed, transactions(6..=7));
}

#[test]
fn a_log_goes_on_in_the_same_file_however_often_it_is_opened() {
    let vfs = FaultVfs::new(1);
    for last in 1..=8 {
        let (mut wal, replayed) = open(&vfs, 0).unwrap();
        assert_eq!(replayed, transactions(1..=last - 1));
        commit(&mut wal, 1, 0).unwrap();
    }
    for _ in 0..10 {
        open(&vfs, 0).unwrap();
    }
    assert_eq!(names(&vfs).len(), 3, "{:?}", names(&vfs));
}

#[test]
fn files_are_released_recycled_and_removed() {
    let vfs = FaultVfs::new(1);
    let (mut wal, _) = open(&vfs, 0).unwrap();
    for _ in 0..30 {
        commit(&mut wal, 1, 0).unwrap();
    }
    let before = names(&vfs);
    assert!(before.len() > 5);
    let bytes = wal.bytes();
    wal.release(Sequence(0)).unwrap();
    assert_eq!((names(&vfs), wal.bytes()), (before, bytes));
    wal.release(Sequence(30)).unwrap();
    let after = names(&vfs);
    let logs = after.iter().filter(|name| name.starts_with("wal-"));
    let spares = after.iter().filter(|name| name.starts_with("spare-"));
    assert_eq!((logs.count(), spares.count(), after.len()), (1, 2, 3));
    assert!(wal.bytes() <= 16 << 10);

    // The spares are used before any file is made, and across a restart.
    drop(wal);
    let (mut wal, replayed) = open(&vfs, 30).unwrap();
    assert_eq!(replayed, []);
    let created = vfs.count(crate::vfs::fault::Operation::Create);
    while names(&vfs).len() == 3 {
        commit(&mut wal, 1, 0).unwrap();
        wal.release(wal.last_sequence()).unwrap();
        if wal.last_sequence() > Sequence(90) {
            break;
        }
    }
    assert_eq!(created, vfs.count(crate::vfs::fault::Operation::Create));
    let (_, replayed) = open(&vfs, 90).unwrap();
    assert_eq!(replayed, transactions(91..=91));
}

#[test]
fn stale_frames_of_a_recycled_file_are_never_replayed() {
    let vfs = FaultVfs::new(1);
    vfs.set_now(0);
    let (mut wal, _) = open(&vfs, 0).unwrap();
    for round in 0..40 {
        commit(&mut wal, 1 + round % 4, 0).unwrap();
        let last = wal.last_sequence().0;
        wal.release(Sequence(last - 1)).unwrap();
        let newest = log_file(wal.current.header.ordinal);
        let stale = vfs.get(&newest).unwrap()[wal.current.end as usize..].to_vec();
        // A tear, at a place where a frame of the file's earlier life goes on.
        let (mut again, replayed) = open(&vfs.fork(), last - 1).unwrap();
        assert_eq!(replayed, transactions(last..=last));
        commit(&mut again, 1, 0).unwrap();
        if round == 39 {
            assert!(stale.iter().any(|byte| *byte != 0), "nothing was stale");
        }
    }
    assert!(wal.current.header.ordinal > 10);
}

#[test]
fn a_group_larger_than_a_file_gets_a_larger_file() {
    let vfs = FaultVfs::new(1);
    let (mut wal, _) = open(&vfs, 0).unwrap();
    let large = |sequence: u64| {
        let payload = Bytes::from(vec![sequence as u8; 50_000]);
        let frame = Frame {
            kind: FrameKind::Block,
            table: TableId(1),
            schema_version: 2,
            payload,
        };
        (Sequence(sequence), vec![frame; 2])
    };
    let mut expected = Vec::new();
    for sequence in 1..=9 {
        let one = match sequence % 3 {
            0 => large(sequence),
            _ => transaction(sequence, 0),
        };
        wal.append(one.0, &one.1).unwrap();
        wal.sync().unwrap();
        expected.push(one);
    }
    assert!(wal.bytes() > 300_000);
    drop(wal);
    let (mut wal, replayed) = open(&vfs, 0).unwrap();
    assert_eq!(replayed, expected);
    commit(&mut wal, 30, 0).unwrap();
    wal.release(Sequence(39)).unwrap();
    for name in names(&vfs).iter().filter(|name| name.starts_with("spare-")) {
        let bytes = vfs.get(Path::new(DIR).join(name)).unwrap();
        assert_eq!(bytes.len(), 16 << 10, "{name}");
    }
}

#[test]
fn prepare_makes_a_spare_in_steps() {
    let vfs = FaultVfs::new(1);
    let options = WalOptions {
        file_bytes: 5 << 19,
        files_kept_max: 1,
    };
    let (mut wal, _) = open_with(&vfs, options, 0).unwrap();
    let mut steps = 1;
    while wal.prepare().unwrap() {
        steps += 1;
    }
    assert_eq!(steps, 3);
    assert!(!wal.prepare().unwrap());
    assert_eq!(names(&vfs).len(), 2);
}

#[test]
fn an_error_of_replay_ends_the_opening() {
    let (vfs, _) = three_files();
    let mut seen = 0;
    let opened = Wal::open(
        Arc::new(vfs),
        Path::new(DIR),
        options(),
        Sequence(0),
        register(&Noted::default()),
        &mut |_, _| {
            seen += 1;
            match seen {
                3 => Err(Error::Invalid("no".into())),
                _ => Ok(()),
            }
        },
    );
    assert!(matches!(opened, Err(Error::Invalid(_))));
    assert_eq!(seen, 3);
}

#[test]
fn the_log_works_on_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data/wal");
    let mut after = 0;
    for round in 0..5 {
        let mut replayed = Vec::new();
        let vfs = Arc::new(RealVfs);
        let mut wal = Wal::open(
            vfs,
            &dir,
            options(),
            Sequence(after),
            register(&Noted::default()),
            &mut |sequence, frames| {
                replayed.push((sequence, frames));
                Ok(())
            },
        )
        .unwrap();
        let last = round * 40;
        assert_eq!(replayed, transactions(after + 1..=last));
        for _ in 0..10 {
            commit(&mut wal, 4, 0).unwrap();
        }
        after = last + 25;
        wal.release(Sequence(after)).unwrap();
        while wal.prepare().unwrap() {}
    }
    let damage = Wal::check(&RealVfs, &dir, Sequence(after), 0, &mut |_, _| Ok(()));
    assert!(damage.is_empty(), "{damage:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_shape_comes_back(
        groups in prop::collection::vec(prop::collection::vec(prop::collection::vec(0..9000_usize, 0..4), 1..4), 0..12),
        file_blocks in 1..12_u64,
        kept in 0..3_usize,
        after in 0..20_u64,
    ) {
        let vfs = FaultVfs::new(1);
        let options = WalOptions { file_bytes: file_blocks * 4096, files_kept_max: kept };
        let (mut wal, _) = open_with(&vfs, options, 0).unwrap();
        let mut expected = Vec::new();
        for group in groups {
            for lengths in group {
                let sequence = wal.last_sequence().next();
                let frames: Vec<Frame> = lengths.iter().map(|length| Frame {
                    kind: FrameKind::Record,
                    table: TableId(7),
                    schema_version: 1,
                    payload: Bytes::from(vec![sequence.0 as u8; *length]),
                }).collect();
                wal.append(sequence, &frames).unwrap();
                expected.push((sequence, frames));
            }
            wal.sync().unwrap();
        }
        let after = after.min(wal.last_sequence().0);
        expected.drain(..after as usize);
        wal.release(Sequence(after)).unwrap();
        let (damage, visited) = check(&vfs, after);
        prop_assert!(damage.is_empty());
        prop_assert_eq!(&visited, &expected);
        let (_, replayed) = open_with(&vfs, options, after).unwrap();
        prop_assert_eq!(&replayed, &expected);
    }
}
