//! The two column families behind plain calls.
//!
//! `segments` receives finished files only, one per segment, so that no two files overlap and each
//! lands in the bottom level; RocksDB never compacts it. `meta` is written in synced batches.
//!
//! Dropping a segment is two calls because `DeleteFilesInRange` may leave keys behind: whole files
//! first, then a range tombstone only if something is left.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    ErrorKind, IngestExternalFileOptions, IteratorMode, Options, ReadOptions, SstFileWriter,
    WriteBatch, WriteOptions,
};

use tracing::error;

use super::keys::{MetaKey, SegmentKey};
use super::relink;
use crate::{Error, Result};

const META: &str = "meta";
const SEGMENTS: &str = "segments";
/// Index blocks of open segment files are held here, and nothing else is worth holding: verified
/// column values have a cache of their own.
const BLOCK_CACHE_BYTES: usize = 64 << 20;
/// After a full disk RocksDB goes on once there is room for its largest write buffer: small ones
/// let it go on early. The family `default` is opened unasked, with 64 MiB, unless it is named.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
const LEVELS: i32 = 7;

/// The RocksDB of one data directory.
pub struct Store {
    db: DB,
    dir: PathBuf,
    staging: PathBuf,
}

/// Changes of the manifest that happen together or not at all.
#[derive(Default)]
pub struct MetaBatch {
    puts: Vec<(MetaKey, Vec<u8>)>,
    deletes: Vec<MetaKey>,
}

impl MetaBatch {
    /// Sets a value.
    pub fn put(&mut self, key: MetaKey, value: Vec<u8>) {
        self.puts.push((key, value));
    }

    /// Removes a value; it need not exist.
    pub fn delete(&mut self, key: MetaKey) {
        self.deletes.push(key);
    }
}

/// A segment's values on their way into a file. Removed again unless it is ingested.
pub struct SegmentFile {
    path: PathBuf,
    key: SegmentKey,
    bytes: u64,
    kept: AtomicBool,
}

impl SegmentFile {
    /// It outlives this value, until a start.
    fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The segment it holds.
    pub fn key(&self) -> SegmentKey {
        self.key
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if *self.kept.get_mut() {
            return;
        }
        // Ingestion moves the file away. If it did not happen the file has no reader; if it
        // cannot be removed now, the next start empties the folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Store {
    /// Opens or creates the store in `dir`, with files under construction in `staging`.
    pub fn open(dir: &Path, staging: &Path) -> Result<Self> {
        std::fs::create_dir_all(staging).map_err(Error::io("create", staging))?;
        let mut options = database_options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let open = |threads| {
            let mut options = options.clone();
            options.set_max_file_opening_threads(threads);
            DB::open_cf_descriptors(&options, dir, families())
        };
        let db = relink::open(dir, staging, open).map_err(|e| failed("open", dir, e))?;
        for entry in std::fs::read_dir(staging).map_err(Error::io("read", staging))? {
            let path = entry.map_err(Error::io("read", staging))?.path();
            std::fs::remove_file(&path).map_err(Error::io("remove", path))?;
        }
        Ok(Store {
            db,
            dir: dir.to_path_buf(),
            staging: staging.to_path_buf(),
        })
    }

    /// Opens the store in `dir` to be read; not a byte on the disk changes. What RocksDB's own log
    /// holds is replayed in memory.
    pub fn open_for_reading(dir: &Path, staging: &Path) -> Result<Self> {
        let options = database_options();
        let db = DB::open_cf_descriptors_read_only(&options, dir, families(), false)
            .map_err(|e| failed("open", dir, e))?;
        Ok(Store {
            db,
            dir: dir.to_path_buf(),
            staging: staging.to_path_buf(),
        })
    }

    /// Applies the changes and syncs them. When it returns they are durable.
    pub fn commit_meta(&self, changes: MetaBatch) -> Result<()> {
        let meta = self.family(META)?;
        let mut batch = WriteBatch::default();
        for key in changes.deletes {
            batch.delete_cf(meta, key.encode());
        }
        for (key, value) in changes.puts {
            batch.put_cf(meta, key.encode(), value);
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db
            .write_opt(batch, &options)
            .map_err(|e| failed("write", &self.dir, e))
    }

    /// Whether RocksDB still writes. After some failures, of its log or its own manifest, it answers
    /// every write with the same error until it is opened again; a full disk it gets over.
    pub fn check_writable(&self) -> Result<()> {
        self.commit_meta(MetaBatch::default())
    }

    /// Every record of the manifest, in key order.
    pub fn read_meta(&self, visit: &mut dyn FnMut(MetaKey, &[u8]) -> Result<()>) -> Result<()> {
        let meta = self.family(META)?;
        for record in self.db.iterator_cf(meta, IteratorMode::Start) {
            let (key, value) = record.map_err(|e| failed("read", &self.dir, e))?;
            let key = MetaKey::decode(&key).ok_or_else(|| {
                Error::corrupt(self.dir.join("meta"), 0, format!("unknown key {key:?}"))
            })?;
            visit(key, &value)?;
        }
        Ok(())
    }

    /// Writes a segment's values, in ascending key order, to a file that [`Store::ingest`] takes.
    pub fn write_segment<'a>(
        &self,
        key: SegmentKey,
        values: impl Iterator<Item = (u16, u32, &'a [u8])>,
    ) -> Result<SegmentFile> {
        let path = self.staging.join(format!("segment-{}.sst", key.segment));
        let mut file = SegmentFile {
            path,
            key,
            bytes: 0,
            kept: AtomicBool::new(false),
        };
        let options = segment_options();
        let mut writer = SstFileWriter::create(&options);
        writer
            .open(&file.path)
            .map_err(|e| failed("create", &file.path, e))?;
        for (column, pack, value) in values {
            writer
                .put(key.value(column, pack), value)
                .map_err(|e| failed("write", &file.path, e))?;
        }
        writer.finish().map_err(|e| failed("sync", &file.path, e))?;
        file.bytes = writer.file_size();
        Ok(file)
    }

    /// Takes finished files in, durably, all in one call because each call syncs RocksDB's own
    /// manifest. The segments exist for readers of this process at once, and after a restart only
    /// if the manifest names them.
    pub fn ingest(&self, files: &[SegmentFile]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        options.set_snapshot_consistency(false);
        options.set_allow_blocking_flush(false);
        let paths = files.iter().map(|f| f.path.clone()).collect();
        self.db
            .ingest_external_file_cf_opts(self.family(SEGMENTS)?, &options, paths)
            .map_err(|e| {
                if let Err(e) = self.can_be_opened() {
                    error!(error = %e, "a start may need what is left in staging");
                    files.iter().for_each(|file| file.keep());
                }
                failed("ingest", &self.staging, e)
            })
    }

    /// After a failed ingest: the next start finds every file that it looks for.
    fn can_be_opened(&self) -> std::result::Result<(), rocksdb::Error> {
        let open = |threads| {
            let mut options = database_options();
            options.set_max_file_opening_threads(threads);
            DB::open_cf_descriptors_read_only(&options, &self.dir, families(), false)
        };
        relink::open(&self.dir, &self.staging, open).map(drop)
    }

    /// One column of one pack. Its absence is damage: the manifest named it.
    pub fn value(&self, key: SegmentKey, column: u16, pack: u32) -> Result<Bytes> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let found = self
            .db
            .get_pinned_cf_opt(self.family(SEGMENTS)?, key.value(column, pack), &options)
            .map_err(|e| match e.kind() {
                ErrorKind::Corruption => Error::corrupt(key.path(column, pack), 0, e.to_string()),
                _ => failed("read", &self.dir, e),
            })?;
        match found {
            Some(value) => Ok(Bytes::copy_from_slice(&value)),
            None => Err(Error::corrupt(
                key.path(column, pack),
                0,
                "the value is missing",
            )),
        }
    }

    /// Removes a segment's values. Nobody may read them any more.
    pub fn drop_segment(&self, key: SegmentKey) -> Result<()> {
        let segments = self.family(SEGMENTS)?;
        let (first, last) = key.range();
        self.db
            .delete_file_in_range_cf(segments, first, last)
            .map_err(|e| failed("remove files of", &self.dir, e))?;
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(last);
        let mut left = self.db.raw_iterator_cf_opt(segments, options);
        left.seek(first);
        let is_left = left.valid();
        left.status().map_err(|e| failed("read", &self.dir, e))?;
        if is_left {
            self.db
                .delete_range_cf(segments, first, last)
                .map_err(|e| failed("remove a range of", &self.dir, e))?;
        }
        Ok(())
    }

    /// The segments that have files.
    pub fn segments(&self) -> Result<Vec<SegmentKey>> {
        let mut found = Vec::new();
        for file in self
            .db
            .live_files()
            .map_err(|e| failed("list", &self.dir, e))?
        {
            if file.column_family_name != SEGMENTS {
                continue;
            }
            let bounds = [file.start_key, file.end_key];
            for key in bounds.into_iter().flatten() {
                let key = SegmentKey::parse(&key).ok_or_else(|| {
                    Error::corrupt(
                        self.dir.join(file.name.trim_start_matches('/')),
                        0,
                        "unknown key",
                    )
                })?;
                found.push(key);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Bytes on disk of all segment files.
    pub fn segment_bytes(&self) -> Result<u64> {
        let files = self
            .db
            .live_files()
            .map_err(|e| failed("list", &self.dir, e))?;
        Ok(files
            .iter()
            .filter(|f| f.column_family_name == SEGMENTS)
            .map(|f| f.size as u64)
            .sum())
    }

    fn family(&self, name: &str) -> Result<&rocksdb::ColumnFamily> {
        self.db
            .cf_handle(name)
            .ok_or_else(|| Error::corrupt(self.dir.clone(), 0, format!("no column family {name}")))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.db.cancel_all_background_work(true);
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(4 << 20);
    options.set_max_total_wal_size(32 << 20);
    options.set_max_background_jobs(2);
    options.set_max_open_files(-1);
    options
}

fn families() -> [ColumnFamilyDescriptor; 3] {
    let mut meta = Options::default();
    meta.set_write_buffer_size(WRITE_BUFFER_BYTES);
    meta.set_compression_type(DBCompressionType::Lz4);
    let mut unused = Options::default();
    unused.set_write_buffer_size(WRITE_BUFFER_BYTES);
    [
        ColumnFamilyDescriptor::new("default", unused),
        ColumnFamilyDescriptor::new(META, meta),
        ColumnFamilyDescriptor::new(SEGMENTS, segment_options()),
    ]
}

fn segment_options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(5);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    // The values are packed already: lz4 and zstd gained nothing on them.
    options.set_compression_type(DBCompressionType::None);
    options.set_disable_auto_compactions(true);
    options.set_num_levels(LEVELS);
    options.set_write_buffer_size(1 << 20);
    options
}

/// RocksDB's errors carry text only; the kinds that matter are told apart here.
fn failed(op: &'static str, path: &Path, error: rocksdb::Error) -> Error {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Corruption => Error::corrupt(path, 0, text),
        _ => {
            let kind = if text.contains("No space left on device") {
                std::io::ErrorKind::StorageFull
            } else {
                std::io::ErrorKind::Other
            };
            Error::Io {
                op,
                path: path.to_path_buf(),
                source: Arc::new(std::io::Error::new(kind, text)),
            }
        }
    }
}
