//! Memory of queries: a limit for each, within a limit for all.
//!
//! DataFusion's operators ask before they take much, and spill to disk when refused. Small
//! allocations are not counted; the limits leave room for them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::disk_manager::DiskManager;
use datafusion::execution::memory_pool::{
    GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::RuntimeEnv;
use slicedb_storage::Pressure;

/// The share of one query in the memory of all.
#[derive(Debug)]
pub(crate) struct QueryPool {
    all: Arc<dyn MemoryPool>,
    limit: usize,
    used: AtomicUsize,
    pressure: Pressure,
}

impl QueryPool {
    /// The memory that all queries share.
    pub(crate) fn shared(bytes: usize) -> Arc<dyn MemoryPool> {
        Arc::new(GreedyMemoryPool::new(bytes))
    }
}

/// What a query runs in: its own memory limit, the shared spill files.
pub(crate) fn query_environment(
    template: &Arc<RuntimeEnv>,
    all: &Arc<dyn MemoryPool>,
    disk: &Arc<DiskManager>,
    limit: usize,
    pressure: &Pressure,
) -> Arc<RuntimeEnv> {
    let pool = QueryPool {
        all: all.clone(),
        limit,
        used: AtomicUsize::new(0),
        pressure: pressure.clone(),
    };
    let mut environment = template.as_ref().clone();
    environment.memory_pool = Arc::new(pool);
    environment.disk_manager = disk.clone();
    Arc::new(environment)
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "query memory: {} of {} bytes",
            self.used.load(Ordering::Relaxed),
            self.limit
        )
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        self.all.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if self.pressure.is_high() {
            return Err(DataFusionError::ResourcesExhausted(
                "the server holds more memory than memory_max_bytes allows".into(),
            ));
        }
        let fits = |used: usize| Some(used + additional).filter(|&sum| sum <= self.limit);
        if self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_err()
        {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the query needs more than the {} bytes of memory that it may take",
                self.limit
            )));
        }
        self.all.try_grow(reservation, additional).inspect_err(|_| {
            self.used.fetch_sub(additional, Ordering::Relaxed);
        })
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}
