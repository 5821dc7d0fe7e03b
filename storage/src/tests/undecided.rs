//! Commits whose sync fails: until a restart nobody knows whether they are durable.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Row, batch, events, open, scan};
use crate::vfs::FaultVfs;
use crate::vfs::fault::{Fault, Operation};
use crate::{Engine, Error, ScanRequest, TableId};

const EVENTS: TableId = TableId(1);

/// For want of room too: unlike a write, a sync leaves the commit where a start finds it. So the
/// segments that it names must stay.
#[test]
fn a_failed_sync_leaves_a_large_transaction_whole() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        let dir = TempDir::new().expect("a directory");
        let vfs = FaultVfs::new(1);
        let engine = open(Arc::new(vfs.clone()), dir.path());
        let mut setup = engine.begin();
        setup.put_table(events(EVENTS));
        setup.commit_wait().expect("a table");
        // From then on only commits sync.
        until(|| {
            vfs.paths()
                .iter()
                .any(|p| p.to_string_lossy().contains("spare-"))
        });
        let rows: Vec<Row> = (0..2000).map(|i| (i, 0, Some(i), None)).collect();
        let mut writes = engine.begin();
        writes.append(EVENTS, batch(&rows)).expect("appended");
        assert!(!engine.segments().is_empty(), "the rows are in segments");
        vfs.fail(Fault::nth(Operation::Sync, 1).kind(kind));
        let undecided = writes.commit_wait();
        assert!(
            matches!(undecided, Err(Error::Undecided(_))),
            "{undecided:?}"
        );
        let seen = scan(&engine.state(), EVENTS, ScanRequest::default());
        assert!(seen.is_empty(), "nobody sees what may not be there");
        let mut writes = engine.begin();
        writes.append(EVENTS, batch(&rows[..1])).expect("appended");
        let refused = writes.commit_wait();
        assert!(matches!(refused, Err(Error::Closed(_))), "{refused:?}");
        // Segments that go, go within a few of the intervals at which the thread looks.
        std::thread::sleep(Duration::from_millis(100));
        drop(engine);
        let engine = open(Arc::new(vfs), dir.path());
        let found = scan(&engine.state(), EVENTS, ScanRequest::default());
        assert_eq!(found.len(), rows.len());
    }
}

fn until(holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Engine {
    fn segments(&self) -> Vec<crate::rocks::keys::SegmentKey> {
        self.shared.home.store.segments().expect("a list")
    }
}
