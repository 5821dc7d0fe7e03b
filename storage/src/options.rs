//! The engine's settings, each with its unit. The defaults stand here and nowhere else.

/// How the engine behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Size of a write-ahead log file in bytes.
    pub wal_file_bytes: u64,
    /// Unsealed rows are sealed when they take this many bytes of memory.
    pub memtable_seal_bytes: usize,
    /// Writers wait while unsealed rows take this many bytes of memory.
    pub memtable_max_bytes: usize,
    /// Unsealed rows are sealed when the oldest of them is this old, in milliseconds.
    pub memtable_seal_age_ms: u64,
    /// The log is trimmed by a seal when it holds this many bytes.
    pub wal_max_bytes: u64,
    /// A transaction writes its rows to segments of its own beyond this many bytes.
    pub transaction_memory_bytes: usize,
    /// Verified column values kept in memory, in bytes.
    pub cache_bytes: usize,
    /// Rows of a pack, about.
    pub pack_rows: usize,
    /// Rows of a segment at most.
    pub segment_rows_max: usize,
    /// Segments of one chunk that are merged when there are so many.
    pub compaction_runs: usize,
    /// Segments merged at once, at most.
    pub compaction_inputs_max: usize,
    /// How often background work is looked for, in milliseconds.
    pub maintenance_interval_ms: u64,
    /// Whether seal, compaction and retention run by themselves. Tests turn it off and call
    /// [`crate::Engine::seal`] and [`crate::Engine::compact`].
    pub background: bool,
}

impl Options {
    /// The settings of a server whose configuration says nothing.
    pub const DEFAULT: Options = Options {
        wal_file_bytes: 64 << 20,
        memtable_seal_bytes: 192 << 20,
        memtable_max_bytes: 384 << 20,
        memtable_seal_age_ms: 600_000,
        wal_max_bytes: 1 << 30,
        transaction_memory_bytes: 64 << 20,
        cache_bytes: 256 << 20,
        pack_rows: 32 * 1024,
        segment_rows_max: 4 << 20,
        compaction_runs: 4,
        compaction_inputs_max: 16,
        maintenance_interval_ms: 1_000,
        background: true,
    };
}

impl Default for Options {
    fn default() -> Self {
        Options::DEFAULT
    }
}
