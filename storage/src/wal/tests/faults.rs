//! Operations that fail: a full disk is an error and nothing else, any other failure closes the log,
//! and neither loses what was acknowledged or brings back what was refused.

use std::io::ErrorKind;

use super::*;
use crate::vfs::fault::{Fault, Operation};

/// A log in use, and what its replay may answer.
struct Run {
    vfs: FaultVfs,
    acknowledged: Vec<Transaction>,
    /// Appended when the log failed for good: a prefix of them may be there.
    in_doubt: Vec<Transaction>,
    sealed: u64,
    salt: u64,
    refused: u64,
    closed: bool,
    what: String,
}

impl Run {
    fn new(seed: u64) -> Run {
        Run {
            vfs: FaultVfs::new(seed),
            acknowledged: Vec::new(),
            in_doubt: Vec::new(),
            sealed: 0,
            salt: 0,
            refused: 0,
            closed: false,
            what: String::new(),
        }
    }

    /// Commits groups, releases and prepares, until it is done or the log is closed.
    fn work(&mut self, wal: &mut Wal, groups: u64) {
        for round in 0..groups {
            self.salt += 1;
            let first = wal.last_sequence().0 + 1;
            let count = 1 + round % 3;
            let group: Vec<_> = (first..first + count)
                .map(|sequence| transaction(sequence, self.salt))
                .collect();
            match commit(wal, count, self.salt) {
                Ok(()) => self.acknowledged.extend(group),
                Err(error) => self.refuse(wal, &error, group),
            }
            if round % 4 == 3 && !self.closed {
                self.sealed =
                    self.acknowledged.len() as u64 - self.acknowledged.len().min(3) as u64;
                if let Err(error) = wal.release(Sequence(self.sealed)) {
                    self.refuse(wal, &error, Vec::new());
                }
            }
            if round % 4 == 1
                && !self.closed
                && let Err(error) = wal.prepare()
            {
                self.refuse(wal, &error, Vec::new());
            }
            if self.closed {
                return;
            }
        }
    }

    fn refuse(&mut self, wal: &mut Wal, error: &Error, group: Vec<Transaction>) {
        self.refused += 1;
        let last = self.acknowledged.len() as u64;
        if error.is_disk_full()
            && !error.to_string().contains("could not sync")
            && wal.failed.is_none()
        {
            assert_eq!(wal.last_sequence(), Sequence(last));
            return;
        }
        self.in_doubt = group;
        self.closed = true;
        for _ in 0..2 {
            let again = wal.sync().unwrap_err();
            assert!(matches!(again, Error::Closed(_)), "{again}");
        }
        assert!(matches!(
            wal.append(wal.last_sequence().next(), &[]),
            Err(Error::Closed(_))
        ));
        assert!(matches!(wal.release(Sequence(last)), Err(Error::Closed(_))));
        assert!(matches!(wal.prepare(), Err(Error::Closed(_))));
    }

    /// Opens the log again, on this disk, and takes over what is there.
    fn reopen(&mut self) -> Wal {
        let (wal, replayed) =
            open(&self.vfs, self.sealed).unwrap_or_else(|e| panic!("{}: {e}", self.what));
        let mut all = self.acknowledged[..self.sealed as usize].to_vec();
        all.extend(replayed);
        let acknowledged = self.acknowledged.len();
        assert!(
            all.len() >= acknowledged,
            "{}: an acknowledged transaction is gone",
            self.what
        );
        assert!(
            all.starts_with(&self.acknowledged),
            "{}: acknowledged transactions differ",
            self.what
        );
        assert!(
            self.in_doubt.starts_with(&all[acknowledged..]),
            "{}: a refused transaction is back",
            self.what
        );
        self.acknowledged = all;
        self.in_doubt.clear();
        self.closed = false;
        wal
    }
}

/// Runs a log with a fault at every place where it can occur; answers how many places there were.
fn everywhere(fault: impl Fn(u64) -> Fault, restart_first: bool, survivable: bool) -> u64 {
    for nth in 1.. {
        let mut run = Run::new(nth);
        run.what = format!("{:?}, restart first: {restart_first}", fault(nth));
        let (mut wal, _) = open(&run.vfs, 0).unwrap();
        run.vfs.fail(fault(nth));
        run.work(&mut wal, 16);
        if run.refused == 0 {
            return nth - 1;
        }
        assert_eq!(run.closed, !survivable, "{}", run.what);
        run.vfs.heal();
        if !run.closed {
            run.work(&mut wal, 5);
            assert!(!run.closed);
        }
        drop(wal);
        if restart_first {
            // The process starts again on the same page cache, works, and then the power goes.
            let mut wal = run.reopen();
            run.work(&mut wal, 5);
        }
        run.vfs = run.vfs.crash();
        let mut wal = run.reopen();
        run.work(&mut wal, 12);
        assert!(!run.closed);
        run.vfs = run.vfs.crash();
        run.reopen();
        assert!(check(&run.vfs, run.sealed).0.is_empty());
    }
    unreachable!()
}

#[test]
fn the_kth_failure_of_every_operation_loses_nothing() {
    let mut places = Vec::new();
    for operation in [
        Operation::Write,
        Operation::Sync,
        Operation::Create,
        Operation::Rename,
        Operation::Remove,
        Operation::SyncDir,
        Operation::Read,
    ] {
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            let survivable = kind == ErrorKind::StorageFull
                && ![Operation::Sync, Operation::SyncDir, Operation::Read].contains(&operation);
            for restart_first in [false, true] {
                let once = |nth| Fault::nth(operation, nth).kind(kind);
                places.push(everywhere(once, restart_first, survivable));
                everywhere(|nth| once(nth).forever(), restart_first, survivable);
                everywhere(|nth| once(nth).short(), restart_first, survivable);
                everywhere(|nth| once(nth).short().forever(), restart_first, survivable);
            }
        }
    }
    assert!(places.iter().all(|places| *places >= 1), "{places:?}");
    assert!(places[0] >= 20, "{places:?}");
}

#[test]
fn a_failed_sync_closes_the_log_until_it_is_opened_again() {
    let vfs = FaultVfs::new(1);
    let (mut wal, _) = open(&vfs, 0).unwrap();
    commit(&mut wal, 1, 0).unwrap();
    vfs.fail(Fault::nth(Operation::Sync, 1).kind(ErrorKind::StorageFull));
    let error = commit(&mut wal, 1, 0).unwrap_err();
    assert!(matches!(error, Error::Io { op: "sync", .. }), "{error}");
    let error = wal.sync().unwrap_err();
    assert_eq!(
        error.to_string(),
        "write-ahead log is closed since an earlier sync failed; restart the server"
    );
    assert!(matches!(error, Error::Closed(_)));
    let synced = vfs.count(Operation::Sync);
    let _ = (wal.sync(), wal.prepare(), wal.release(Sequence(1)));
    assert_eq!(vfs.count(Operation::Sync), synced, "a sync was tried again");
}

#[test]
fn a_name_that_was_not_synced_is_before_the_log_goes_on() {
    for seed in 0..30 {
        let vfs = FaultVfs::new(seed);
        let (mut wal, _) = open(&vfs, 0).unwrap();
        commit(&mut wal, 5, 0).unwrap();
        vfs.fail(Fault::nth(Operation::SyncDir, 1));
        commit(&mut wal, 5, 1).unwrap_err();
        let (mut wal, replayed) = open(&vfs, 0).unwrap();
        assert_eq!(replayed, transactions(1..=5));
        commit(&mut wal, 1, 0).unwrap();
        assert_eq!(wal.current.header.ordinal, 2);
        assert_eq!(open(&vfs.crash(), 0).unwrap().1, transactions(1..=6));
    }
}

#[test]
fn a_full_disk_drops_the_group_and_the_log_goes_on() {
    let vfs = FaultVfs::new(1);
    let (mut wal, _) = open(&vfs, 0).unwrap();
    commit(&mut wal, 5, 0).unwrap();
    // The file is full; the next group needs another one.
    vfs.fail(
        Fault::nth(Operation::Write, 1)
            .kind(ErrorKind::StorageFull)
            .forever(),
    );
    for attempt in 1..=3 {
        let error = commit(&mut wal, 5, attempt).unwrap_err();
        assert!(error.is_disk_full(), "{error}");
        assert_eq!(wal.last_sequence(), Sequence(5));
        assert_eq!(names(&vfs), ["wal-0000000001.log"]);
    }
    vfs.heal();
    commit(&mut wal, 2, 0).unwrap();
    assert_eq!(open(&vfs.crash(), 0).unwrap().1, transactions(1..=7));
}

#[test]
fn no_byte_of_a_dropped_group_is_ever_replayed() {
    // Room for all of it in the first file, so that it is the group's own write that fails.
    let options = WalOptions {
        file_bytes: 64 << 10,
        files_kept_max: 2,
    };
    let mut written_in_part = 0;
    for seed in 0..300 {
        let vfs = FaultVfs::new(seed);
        let (mut wal, _) = open_with(&vfs, options, 0).unwrap();
        commit(&mut wal, 1, 0).unwrap();
        let clean = vfs.fork();
        vfs.fail(
            Fault::nth(Operation::Write, 1)
                .kind(ErrorKind::StorageFull)
                .short(),
        );
        let error = commit(&mut wal, 4, 66).unwrap_err().to_string();
        assert!(error.contains("wal-0000000001.log"), "{error}");
        // The error is out. Whether the power goes now or only the process ends, 66 is gone.
        for after in [vfs.crash(), vfs.fork()] {
            assert!(check(&after, 0).0.is_empty(), "{seed}");
            let replayed = open_with(&after, options, 0).unwrap().1;
            assert!(replayed == transactions(1..=1), "{seed}");
        }
        // The same group and sequences again; the older file stays in the log.
        commit(&mut wal, 4, 0).unwrap();
        let replayed = open_with(&vfs.crash(), options, 0).unwrap().1;
        assert!(replayed == transactions(1..=5), "{seed}");
        vfs.fail(Fault::power_cut(1 + seed % 2));
        let _ = commit(&mut wal, 4, 7);
        let replayed = open_with(&vfs.crash(), options, 0).unwrap().1;
        assert!(replayed.starts_with(&transactions(1..=5)), "{seed}");

        // Had it not been cut off, a part of it would have been there to find.
        let (mut wal, _) = open_with(&clean, options, 0).unwrap();
        clean.fail(Fault::nth(Operation::Write, 1).short());
        commit(&mut wal, 4, 66).unwrap_err();
        let left = open_with(&clean.fork(), options, 0).unwrap().1;
        written_in_part += u32::from(left.len() > 1);
    }
    assert!(written_in_part > 100, "{written_in_part}");
}

#[test]
fn a_start_needs_no_space_on_a_full_disk() {
    let (vfs, written) = three_files();
    let full = |nth| Fault::nth(Operation::Create, nth).kind(ErrorKind::StorageFull);
    vfs.fail(full(1).forever());
    let (mut wal, replayed) = open(&vfs, 0).unwrap();
    assert_eq!(replayed, written);
    assert!(commit(&mut wal, 9, 0).unwrap_err().is_disk_full());
    // Even where blocks of the newest file are not there yet.
    vfs.fail(
        Fault::nth(Operation::Write, 2)
            .kind(ErrorKind::StorageFull)
            .forever(),
    );
    let (mut wal, replayed) = open(&vfs, 0).unwrap();
    assert_eq!(replayed, written);
    vfs.heal();
    commit(&mut wal, 1, 0).unwrap();
    assert_eq!(open(&vfs.crash(), 0).unwrap().1.len(), written.len() + 1);
}
