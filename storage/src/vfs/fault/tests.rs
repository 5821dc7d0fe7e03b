//! What the disk in memory promises to the tests that rely on it.

use std::io::ErrorKind;
use std::path::Path;

use super::*;

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

fn disk(seed: u64) -> FaultVfs {
    let vfs = FaultVfs::new(seed);
    vfs.create_dir(Path::new("/d")).unwrap();
    vfs
}

#[test]
fn a_crash_keeps_what_was_synced_and_mixes_the_rest_by_sectors() {
    let (mut none, mut all, mut mixed) = (0, 0, 0);
    for seed in 0..200 {
        let vfs = disk(seed);
        let file = vfs.create(&path("x")).unwrap();
        file.write_at(0, &[1; 4096]).unwrap();
        file.sync().unwrap();
        vfs.sync_dir(Path::new("/d")).unwrap();
        file.write_at(512, &[2; 2048]).unwrap();
        file.write_at(1000, &[3; 4]).unwrap();
        let after = vfs.crash().get(path("x")).unwrap();
        assert_eq!(after.len(), 4096);
        assert!(after[..512].iter().chain(&after[2560..]).all(|b| *b == 1));
        // A later write to a sector never reaches the disk without the earlier one.
        if after[1000] == 3 {
            assert_eq!(after[512], 2);
        }
        for sector in after.chunks(512) {
            assert!(sector.iter().all(|b| *b == sector[0] || *b == 3));
        }
        match after.iter().filter(|b| **b == 1).count() {
            2048 => all += 1,
            4096 => none += 1,
            _ => mixed += 1,
        }
    }
    assert!(none > 10 && all > 10 && mixed > 50, "{none} {all} {mixed}");
}

#[test]
fn names_are_durable_once_their_directory_is_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let vfs = disk(seed);
        vfs.create(&path("a")).unwrap();
        vfs.sync_dir(Path::new("/d")).unwrap();
        vfs.rename(&path("a"), &path("b")).unwrap();
        vfs.create(&path("c")).unwrap();
        let after = vfs.crash();
        seen.insert(after.list(Path::new("/d")).unwrap().concat());
        assert_eq!(vfs.list(Path::new("/d")).unwrap(), ["b", "c"]);
        vfs.sync_dir(Path::new("/d")).unwrap();
        assert_eq!(vfs.crash().list(Path::new("/d")).unwrap(), ["b", "c"]);
    }
    assert_eq!(Vec::from_iter(seen), ["a", "ac", "b", "bc"]);
}

#[test]
fn what_a_failed_sync_did_not_write_no_later_sync_writes() {
    let mut lost = 0;
    for seed in 0..50 {
        let vfs = disk(seed);
        let file = vfs.create(&path("x")).unwrap();
        file.write_at(0, &[0; 1024]).unwrap();
        file.sync().unwrap();
        vfs.sync_dir(Path::new("/d")).unwrap();
        file.write_at(0, &[7; 1024]).unwrap();
        vfs.fail(Fault::nth(Operation::Sync, 1));
        file.sync().unwrap_err();
        file.sync().unwrap();
        assert_eq!(vfs.get(path("x")).unwrap(), [7; 1024]);
        lost += u32::from(vfs.crash().get(path("x")).unwrap() != [7; 1024]);
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn faults_hit_the_operation_they_are_meant_for() {
    let vfs = disk(1);
    let file = vfs.create(&path("x")).unwrap();
    vfs.fail(Fault::nth(Operation::Write, 2).kind(ErrorKind::StorageFull));
    file.write_at(0, b"a").unwrap();
    file.sync().unwrap();
    let error = file.write_at(1, b"b").unwrap_err();
    assert!(error.is_disk_full());
    assert!(error.to_string().starts_with("could not write /d/x: "));
    file.write_at(1, b"c").unwrap();
    assert_eq!(vfs.get(path("x")).unwrap(), b"ac");

    vfs.fail(Fault::nth(Operation::Sync, 1).forever());
    file.sync().unwrap_err();
    file.sync().unwrap_err();
    vfs.heal();
    file.sync().unwrap();
    assert_eq!(vfs.count(Operation::Sync), 4);

    vfs.fail(Fault::power_cut(2));
    file.write_at(2, b"d").unwrap();
    vfs.rename(&path("x"), &path("y")).unwrap_err();
    vfs.remove(&path("x")).unwrap_err();
    assert_eq!(vfs.list(Path::new("/d")).unwrap(), ["x"]);
}

#[test]
fn a_short_write_writes_a_part() {
    let mut parts = BTreeSet::new();
    for seed in 0..50 {
        let vfs = disk(seed);
        let file = vfs.create(&path("x")).unwrap();
        vfs.fail(Fault::nth(Operation::Write, 1).short());
        file.write_at(0, b"abcd").unwrap_err();
        parts.insert(vfs.get(path("x")).unwrap().len());
    }
    assert_eq!(Vec::from_iter(parts), [0, 1, 2, 3, 4]);
}

#[test]
fn the_clock_stands_until_it_is_set() {
    let vfs = disk(1);
    assert_eq!(vfs.now(), 1_704_067_200_000_000);
    vfs.set_now(-5);
    assert_eq!(
        (vfs.now(), vfs.crash().now(), vfs.fork().now()),
        (-5, -5, -5)
    );
}
