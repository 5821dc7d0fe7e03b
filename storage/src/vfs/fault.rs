//! A disk in memory that fails, tears and forgets on demand: the seam through which this crate's
//! tests, and those of the crates above, prove what survives.
//!
//! Three kinds of trouble, all decided by a seed:
//!
//! - [`FaultVfs::fail`]: the k-th operation of a kind fails, once or from then on, a write possibly
//!   after a part of it. A failed sync behaves as Linux's: what it did not write, no later sync
//!   writes either.
//! - [`FaultVfs::crash`]: a new disk with what a power cut leaves. Of the 512-byte sectors written
//!   since their file's last sync each stands as it was at some moment since; of the names changed
//!   since their directory's last sync each change may or may not have happened (but changes of one
//!   name keep their order, as a journal keeps them).
//! - [`FaultVfs::set_now`], [`FaultVfs::pass`]: the clock, and time.
//!
//! A process that is killed without a power cut sees the same `FaultVfs` again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Vfs, VfsFile};
use crate::{Error, Result};

mod disk;
mod order;

pub use order::{Fault, Operation};

use disk::{Inode, Loss, Random};
use order::Failure;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct FaultVfs {
    state: Arc<Mutex<State>>,
}

type InodeId = usize;

#[derive(Debug, Clone)]
enum NameChange {
    Create(PathBuf, InodeId),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug)]
struct State {
    random: Random,
    now: i64,
    uptime: i64,
    dirs: BTreeSet<PathBuf>,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, InodeId>,
    durable_names: BTreeMap<PathBuf, InodeId>,
    pending_names: Vec<NameChange>,
    operations: Vec<Operation>,
    faults: Vec<Fault>,
}

impl FaultVfs {
    /// An empty disk, whose misfortunes follow from `seed`. The clock stands at 2024-01-01 UTC.
    pub fn new(seed: u64) -> FaultVfs {
        FaultVfs::with(State {
            random: Random(seed),
            now: 1_704_067_200_000_000,
            uptime: 0,
            dirs: BTreeSet::new(),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            operations: Vec::new(),
            faults: Vec::new(),
        })
    }

    fn with(state: State) -> FaultVfs {
        FaultVfs {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Adds an order to fail; several may wait at once.
    pub fn fail(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// Takes all orders back.
    pub fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// Every operation so far, in order, failed ones too.
    pub fn operations(&self) -> Vec<Operation> {
        self.state.lock().operations.clone()
    }

    /// How many operations of a kind there were so far.
    pub fn count(&self, operation: Operation) -> u64 {
        let state = self.state.lock();
        let same = state.operations.iter().filter(|one| **one == operation);
        same.count() as u64
    }

    /// The disk that a power cut at this moment leaves. This one goes on as if nothing had been.
    pub fn crash(&self) -> FaultVfs {
        let state = &mut *self.state.lock();
        let random = &mut state.random;
        let loss = Loss::draw(random);
        let mut names = state.durable_names.clone();
        let mut undone: BTreeSet<&Path> = BTreeSet::new();
        for change in &state.pending_names {
            let lost = loss.kept(1, random) == 0;
            if lost || change.paths().any(|path| undone.contains(path)) {
                undone.extend(change.paths());
            } else {
                change.apply(&mut names);
            }
        }
        let mut inodes = Vec::new();
        for id in names.values_mut() {
            inodes.push(Inode::durable(state.inodes[*id].after_cut(loss, random)));
            *id = inodes.len() - 1;
        }
        FaultVfs::with(State {
            random: Random(random.next()),
            now: state.now,
            uptime: 0,
            dirs: state.dirs.clone(),
            inodes,
            durable_names: names.clone(),
            names,
            pending_names: Vec::new(),
            operations: Vec::new(),
            faults: Vec::new(),
        })
    }

    /// A disk with the same files, all of them durable, and no faults.
    pub fn fork(&self) -> FaultVfs {
        let state = self.state.lock();
        let copy = FaultVfs::new(state.random.0);
        for (path, id) in &state.names {
            copy.put(path, state.inodes[*id].bytes().to_vec());
        }
        copy.state.lock().dirs = state.dirs.clone();
        copy.state.lock().now = state.now;
        copy
    }

    /// Lets time pass, in microseconds.
    pub fn pass(&self, us: i64) {
        let mut state = self.state.lock();
        state.now += us;
        state.uptime += us;
    }

    /// Sets the clock, in microseconds since 1970 UTC, while no time passes.
    pub fn set_now(&self, now: i64) {
        self.state.lock().now = now;
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// What a file holds, for a test to look at.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let id = state.names.get(path.as_ref())?;
        Some(state.inodes[*id].bytes().to_vec())
    }

    /// Makes a file hold these bytes, durably: damage, or a fixture.
    pub fn put(&self, path: impl AsRef<Path>, bytes: Vec<u8>) {
        let state = &mut *self.state.lock();
        let path = path.as_ref();
        let id = state.names.get(path).copied().unwrap_or_else(|| {
            state.inodes.push(Inode::default());
            state.inodes.len() - 1
        });
        state.inodes[id] = Inode::durable(bytes);
        let dirs = path.ancestors().skip(1).map(Path::to_path_buf);
        state.dirs.extend(dirs);
        state.durable_names.insert(path.to_path_buf(), id);
        state.names.insert(path.to_path_buf(), id);
    }
}

impl State {
    /// Counts an operation, and answers how it fails if it is to.
    fn begin(&mut self, operation: Operation) -> Option<Failure> {
        self.operations.push(operation);
        order::next(&mut self.faults, operation)
    }

    fn check(&mut self, operation: Operation, op: &'static str, path: &Path) -> Result<()> {
        match self.begin(operation) {
            Some(failure) => Err(Error::io(op, path)(failure.error)),
            None => Ok(()),
        }
    }

    fn find(&self, op: &'static str, path: &Path) -> Result<InodeId> {
        let found = self.names.get(path).copied();
        found.ok_or_else(|| Error::io(op, path)(io::ErrorKind::NotFound.into()))
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

impl NameChange {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let (one, other) = match self {
            NameChange::Create(path, _) | NameChange::Remove(path) => (path, None),
            NameChange::Rename(from, to) => (from, Some(to)),
        };
        std::iter::once(one.as_path()).chain(other.map(PathBuf::as_path))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, InodeId>) {
        match self {
            NameChange::Create(path, id) => {
                names.insert(path.clone(), *id);
            }
            NameChange::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

impl Vfs for FaultVfs {
    fn open(&self, path: &Path) -> Result<Arc<dyn VfsFile>> {
        let state = &mut *self.state.lock();
        state.check(Operation::Read, "open", path)?;
        let id = state.find("open", path)?;
        Ok(self.file(path, id))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn VfsFile>> {
        let state = &mut *self.state.lock();
        state.check(Operation::Create, "create", path)?;
        if state.names.contains_key(path) {
            return Err(Error::io("create", path)(
                io::ErrorKind::AlreadyExists.into(),
            ));
        }
        if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
            return Err(Error::io("create", path)(io::ErrorKind::NotFound.into()));
        }
        state.inodes.push(Inode::default());
        let id = state.inodes.len() - 1;
        state.change_name(NameChange::Create(path.to_path_buf(), id));
        Ok(self.file(path, id))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let state = &mut *self.state.lock();
        state.check(Operation::Read, "list", dir)?;
        if !state.dirs.contains(dir) {
            return Err(Error::io("list", dir)(io::ErrorKind::NotFound.into()));
        }
        let entries = state.names.keys().chain(&state.dirs);
        let mut names: Vec<String> = entries
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_string()))
            .collect();
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let state = &mut *self.state.lock();
        state.check(Operation::Rename, "rename", from)?;
        state.find("rename", from)?;
        state.change_name(NameChange::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let state = &mut *self.state.lock();
        state.check(Operation::Remove, "remove", path)?;
        state.find("remove", path)?;
        state.change_name(NameChange::Remove(path.to_path_buf()));
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        let state = &mut *self.state.lock();
        if !state.dirs.contains(dir) {
            state.check(Operation::Create, "create", dir)?;
            state.dirs.extend(dir.ancestors().map(Path::to_path_buf));
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let state = &mut *self.state.lock();
        state.check(Operation::SyncDir, "sync", dir)?;
        for change in std::mem::take(&mut state.pending_names) {
            if change.paths().any(|path| path.parent() == Some(dir)) {
                change.apply(&mut state.durable_names);
            } else {
                state.pending_names.push(change);
            }
        }
        Ok(())
    }

    fn now(&self) -> i64 {
        self.state.lock().now
    }

    fn uptime(&self) -> i64 {
        self.state.lock().uptime
    }
}

/// An open file of the disk; it stays the same file when its name goes.
struct FaultFile {
    path: PathBuf,
    id: InodeId,
    state: Arc<Mutex<State>>,
}

impl FaultVfs {
    fn file(&self, path: &Path, id: InodeId) -> Arc<dyn VfsFile> {
        Arc::new(FaultFile {
            path: path.to_path_buf(),
            id,
            state: Arc::clone(&self.state),
        })
    }
}

impl VfsFile for FaultFile {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        let state = &mut *self.state.lock();
        state.check(Operation::Read, "stat", &self.path)?;
        Ok(state.inodes[self.id].bytes().len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let state = &mut *self.state.lock();
        state.check(Operation::Read, "read", &self.path)?;
        let bytes = state.inodes[self.id].bytes();
        let start = usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
        let read = buf.len().min(bytes.len() - start);
        buf[..read].copy_from_slice(&bytes[start..start + read]);
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let state = &mut *self.state.lock();
        let offset = offset as usize;
        let Some(failure) = state.begin(Operation::Write) else {
            state.inodes[self.id].write(offset, bytes);
            return Ok(());
        };
        if failure.short {
            let written = state.random.up_to(bytes.len());
            state.inodes[self.id].write(offset, &bytes[..written]);
        }
        Err(Error::io("write", &self.path)(failure.error))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let state = &mut *self.state.lock();
        state.check(Operation::SetLen, "resize", &self.path)?;
        state.inodes[self.id].set_len(len as usize);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let state = &mut *self.state.lock();
        let Some(failure) = state.begin(Operation::Sync) else {
            state.inodes[self.id].sync();
            return Ok(());
        };
        let inode = &mut state.inodes[self.id];
        inode.fail_sync(&mut state.random);
        Err(Error::io("sync", &self.path)(failure.error))
    }
}

#[cfg(test)]
mod tests;
