//! The engine: everything a data directory holds, behind one handle.
//!
//! ```text
//! DIR/lock        held while a process uses the directory
//! DIR/wal/        the write-ahead log
//! DIR/rocks/      RocksDB: sealed columns and the manifest
//! DIR/staging/    segment files under construction, emptied at start
//! DIR/spill/      what queries spill, emptied at start; the crate above writes it
//! ```

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use tracing::warn;

use crate::background::{Background, Bell};
use crate::change::Change;
use crate::committer::{Committer, Done, Work, stopped};
use crate::derived::{Derive, NoDerive};
use crate::manifest::Checkpoint;
use crate::moves::Moves;
use crate::pressure::Pressure;
use crate::recover::recover;
use crate::retention::Clock;
use crate::rocks::Store;
use crate::rocks::keys::SegmentKey;
use crate::segment::SegmentHome;
use crate::segment::cache::ColumnCache;
use crate::state::State;
use crate::vfs::Vfs;
use crate::{Error, Options, Result, SegmentId, TableId};

/// Stacks of the engine's threads: expressions of derived tables are evaluated on them, as deep as
/// statements may nest. Memory is taken only as deep as it is used.
const STACK_BYTES: usize = 64 << 20;

/// Commits that wait for the committer, at most.
const QUEUE_MAX: usize = 1024;

/// A data directory in use. Clones share it; the last one to go shuts it down.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    _threads: Arc<Threads>,
}

/// What the engine's threads and transactions share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) home: Arc<SegmentHome>,
    pub(crate) next_segment: AtomicU64,
    next_table: AtomicU32,
    state: RwLock<Arc<State>>,
    queue: SyncSender<Work>,
    pub(crate) gauges: Mutex<Gauges>,
    /// Signalled when memory becomes free and when the engine closes.
    room: Condvar,
    private_bytes: AtomicUsize,
    /// Calls the thread that seals.
    pub(crate) sealing_bell: Bell,
    /// Calls the thread that merges, expires and removes files.
    pub(crate) merging_bell: Bell,
    /// Keeps seals apart from each other.
    pub(crate) sealing: Mutex<()>,
    /// Keeps merges apart from each other.
    pub(crate) compacting: Mutex<()>,
    /// Inputs of merges that met damage.
    pub(crate) unmergeable: Mutex<HashSet<SegmentId>>,
    /// Whether memory runs out.
    pub(crate) pressure: Pressure,
    /// Where background work moved rows.
    pub(crate) moves: Arc<Moves>,
    /// The time that retention goes by.
    pub(crate) clock: Clock,
    /// Computes derived tables.
    pub(crate) derive: Arc<dyn Derive>,
}

/// Figures that waiting writers and background work look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauges {
    pub(crate) memory_bytes: usize,
    pub(crate) wal_bytes: u64,
    /// When the oldest unsealed commit came, in microseconds since 1970 UTC.
    pub(crate) unsealed_since: Option<i64>,
    pub(crate) closed: Option<String>,
    /// Why the last seal failed. Until one succeeds nobody waits for room.
    pub(crate) seal_error: Option<Error>,
    pub(crate) stopping: bool,
}

/// What the engine holds, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Memory of unsealed rows in bytes.
    pub memtable_bytes: usize,
    /// Memory of rows of transactions under way in bytes.
    pub transaction_bytes: usize,
    /// Memory of the cache of column values in bytes.
    pub cache_bytes: u64,
    /// Bytes of the log that are not released.
    pub wal_bytes: u64,
    /// Bytes of segment files.
    pub segment_bytes: u64,
}

/// See [`Engine::hold_still`].
pub struct Still<'a> {
    _merging: MutexGuard<'a, ()>,
    _sealing: MutexGuard<'a, ()>,
}

struct Threads {
    shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
    background: Mutex<Option<Background>>,
    /// Held by the process while it uses the directory.
    _lock: File,
}

impl Engine {
    /// Opens or creates the data directory and brings it to where the log ends.
    ///
    /// # Errors
    /// [`Error::Invalid`] when another process uses the directory or its format is unknown;
    /// [`Error::Corrupt`] when the log or the manifest is damaged.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path, options: Options) -> Result<Engine> {
        Engine::open_with(vfs, dir, options, Arc::new(NoDerive))
    }

    /// [`Engine::open`] with who computes derived tables.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: Options,
        derive: Arc<dyn Derive>,
    ) -> Result<Engine> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        restrict(dir)?;
        let lock = lock(dir)?;
        let (reaper, reaped) = std::sync::mpsc::channel();
        let store = Arc::new(Store::open(&dir.join("rocks"), &dir.join("staging"))?);
        let cache = ColumnCache::new(options.cache_bytes);
        let home = Arc::new(SegmentHome {
            store,
            cache,
            reaper,
        });
        let recovered = recover(vfs.clone(), dir, &options, &home)?;
        let (queue, work) = sync_channel(QUEUE_MAX);
        let state = Arc::new(recovered.state);
        let shared = Arc::new(Shared {
            next_segment: AtomicU64::new(recovered.checkpoint.next_segment),
            next_table: AtomicU32::new(recovered.checkpoint.next_table),
            state: RwLock::new(state.clone()),
            queue,
            gauges: Mutex::new(Gauges::default()),
            room: Condvar::new(),
            private_bytes: AtomicUsize::new(0),
            sealing_bell: Bell::default(),
            merging_bell: Bell::default(),
            sealing: Mutex::new(()),
            compacting: Mutex::new(()),
            unmergeable: Mutex::default(),
            pressure: Pressure::default(),
            moves: Arc::new(Moves::new()),
            clock: Clock::default(),
            derive,
            options,
            vfs,
            home,
        });
        shared.publish(state.clone(), recovered.wal.bytes());
        let committer = Committer {
            shared: shared.clone(),
            wal: recovered.wal,
            staged: state,
            persisted: Arc::new(recovered.persisted),
            sealed: recovered.checkpoint.sealed,
            frozen: None,
            attached: Vec::new(),
            doubt: None,
        };
        let committer = spawn("slicedb-commit", move || committer.run(work))?;
        let background = Background::start(&shared, reaped)?;
        let threads = Threads {
            shared: shared.clone(),
            committer: Mutex::new(Some(committer)),
            background: Mutex::new(Some(background)),
            _lock: lock,
        };
        Ok(Engine {
            shared,
            _threads: Arc::new(threads),
        })
    }

    /// The newest state that is durable.
    pub fn state(&self) -> Arc<State> {
        self.shared.state()
    }

    /// A number that no table has.
    pub fn new_table_id(&self) -> TableId {
        TableId(self.shared.next_table.fetch_add(1, Ordering::Relaxed))
    }

    /// What it holds.
    pub fn usage(&self) -> Result<Usage> {
        let gauges = self.shared.gauges.lock().clone();
        Ok(Usage {
            memtable_bytes: gauges.memory_bytes,
            transaction_bytes: self.shared.private_bytes(),
            cache_bytes: self.shared.home.cache.bytes(),
            wal_bytes: gauges.wal_bytes,
            segment_bytes: self.shared.home.store.segment_bytes()?,
        })
    }

    /// Whether the process holds too much memory: to be set by whoever can tell.
    pub fn pressure(&self) -> &Pressure {
        &self.shared.pressure
    }

    /// Keeps seals and merges from beginning, after those under way have ended: as long as it is
    /// held, rows leave memory and segments only when transactions delete them.
    pub fn hold_still(&self) -> Still<'_> {
        // In this order, or else a seal would wait for a long merge.
        let merging = self.shared.compacting.lock();
        Still {
            _merging: merging,
            _sealing: self.shared.sealing.lock(),
        }
    }

    /// The engine's clock: microseconds since 1970 UTC.
    pub fn now(&self) -> i64 {
        self.shared.vfs.now()
    }
}

impl Shared {
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.read().clone()
    }

    /// Makes a state visible.
    pub(crate) fn publish(&self, state: Arc<State>, wal_bytes: u64) {
        let memory_bytes = state.memory_bytes();
        let has_rows = memory_bytes > 0;
        let generation = state.generation;
        *self.state.write() = state;
        self.moves.publish(generation);
        let mut gauges = self.gauges.lock();
        gauges.memory_bytes = memory_bytes;
        gauges.wal_bytes = wal_bytes;
        gauges.unsealed_since = match gauges.unsealed_since {
            Some(since) if has_rows => Some(since),
            _ => has_rows.then(|| self.vfs.now()),
        };
        if memory_bytes >= self.options.memtable_seal_bytes
            || wal_bytes >= self.options.wal_max_bytes
        {
            self.sealing_bell.ring();
        }
        self.room.notify_all();
    }

    /// What is in memory after a seal counts its age from now.
    pub(crate) fn begin_age(&self) {
        self.gauges.lock().unsealed_since = None;
    }

    /// Tells writers that wait for room why there is none, or that there is hope again.
    pub(crate) fn set_seal_error(&self, error: Option<Error>) {
        self.gauges.lock().seal_error = error;
        self.room.notify_all();
    }

    /// Sends a change to the committer, after waiting for room in memory.
    pub(crate) fn commit(&self, change: Change, done: Done) {
        let adds_rows = change.rows.values().any(|rows| !rows.blocks.is_empty());
        if let Err(e) = self.wait_for_room(adds_rows) {
            return done(Err(e));
        }
        let state = self.state();
        let versions = |id: TableId| {
            let created = change
                .tables
                .get(&id)
                .and_then(|def| def.as_ref().map(|d| d.version));
            created
                .or_else(|| state.table(id).map(|t| t.def.version))
                .unwrap_or_default()
        };
        let frames = change.frames(&versions);
        if let Err(refused) = self.queue.send(Work::Commit {
            change,
            frames,
            done,
        }) && let Work::Commit { done, .. } = refused.0
        {
            done(Err(stopped(())));
        }
    }

    fn wait_for_room(&self, adds_rows: bool) -> Result<()> {
        let mut gauges = self.gauges.lock();
        loop {
            if let Some(reason) = &gauges.closed {
                return Err(Error::Closed(reason.clone()));
            }
            if !adds_rows || gauges.memory_bytes < self.options.memtable_max_bytes {
                return Ok(());
            }
            if let Some(e) = &gauges.seal_error {
                return Err(e.clone());
            }
            self.sealing_bell.ring();
            self.room.wait(&mut gauges);
        }
    }

    /// Sends work to the committer and waits for the answer.
    pub(crate) fn ask<T>(&self, work: impl FnOnce(SyncSender<T>) -> Work) -> Result<T> {
        let (reply, answer) = sync_channel(1);
        self.queue.send(work(reply)).map_err(stopped)?;
        answer.recv().map_err(stopped)
    }

    /// Refuses every later commit.
    pub(crate) fn close(&self, reason: &str) {
        let mut gauges = self.gauges.lock();
        gauges.closed.get_or_insert_with(|| reason.to_owned());
        self.room.notify_all();
    }

    pub(crate) fn gauges(&self) -> Gauges {
        self.gauges.lock().clone()
    }

    pub(crate) fn private_bytes(&self) -> usize {
        self.private_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn reserve_private(&self, bytes: usize) {
        self.private_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn release_private(&self, bytes: usize) {
        self.private_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A checkpoint with the numbers that are used up.
    pub(crate) fn used_numbers(&self) -> Checkpoint {
        Checkpoint {
            next_segment: self.next_segment.load(Ordering::Relaxed),
            next_table: self.next_table.load(Ordering::Relaxed),
            ..Checkpoint::default()
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.gauges.lock().stopping = true;
        self.shared.close("the engine is shut down");
        self.shared.sealing_bell.ring();
        self.shared.merging_bell.ring();
        if let Some(background) = self.background.lock().take() {
            background.join();
        }
        // A committer that is gone already needs no telling.
        let _ = self.shared.queue.send(Work::Stop);
        if let Some(committer) = self.committer.lock().take()
            && committer.join().is_err()
        {
            warn!("the committer had stopped after an internal error");
        }
    }
}

/// Takes the directory for this process.
fn lock(dir: &Path) -> Result<File> {
    let path: PathBuf = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    file.try_lock().map_err(|e| in_use(dir, e))?;
    Ok(file)
}

/// Why a directory could not be taken.
pub(crate) fn in_use(dir: &Path, error: TryLockError) -> Error {
    match error {
        TryLockError::WouldBlock => Error::Invalid(format!(
            "data directory {} is in use by another process",
            dir.display()
        )),
        TryLockError::Error(error) => Error::io("lock", dir)(error),
    }
}

/// Nobody else on the machine may read the data.
fn restrict(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
        .map_err(Error::io("restrict", dir))
}

pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map_err(Error::io("start thread", name))
}

/// Keys of segments that nobody holds, on their way to being removed.
pub(crate) type Reaped = Receiver<SegmentKey>;
