//! Memory of queries: a limit for each, within a limit for all.
//!
//! DataFusion's operators ask before they take much, and spill to disk when refused. Small
//! allocations are not counted; the limits leave room for them.
//!
//! One that has spilled needs a little to read its files again, and fails without it, however much
//! another of the same query holds that could spill. So the last quarter of a query's memory is kept for
//! shares: who can spill may take more than its share of that quarter only from what is before it.

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
    /// Consumers that can spill.
    spilling: AtomicUsize,
    pressure: Pressure,
}

impl QueryPool {
    /// What all reservations together may come to when this one grows to `own` bytes.
    fn limit_of(&self, reservation: &MemoryReservation, own: usize) -> usize {
        let kept = self.limit / 4;
        let consumers = self.spilling.load(Ordering::Relaxed).max(1);
        let is_share = own <= kept / consumers;
        match reservation.consumer().can_spill() && !is_share {
            true => self.limit - kept,
            false => self.limit,
        }
    }

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
        spilling: AtomicUsize::new(0),
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
        if consumer.can_spill() {
            self.spilling.fetch_add(1, Ordering::Relaxed);
        }
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spilling.fetch_sub(1, Ordering::Relaxed);
        }
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
        let limit = self.limit_of(reservation, reservation.size() + additional);
        let fits = |used: usize| Some(used + additional).filter(|&sum| sum <= limit);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(limit: usize) -> Arc<dyn MemoryPool> {
        Arc::new(QueryPool {
            all: QueryPool::shared(10 * limit),
            limit,
            used: AtomicUsize::new(0),
            spilling: AtomicUsize::new(0),
            pressure: Pressure::default(),
        })
    }

    #[test]
    fn who_has_spilled_is_not_starved() {
        let pool = pool(1_000);
        let spilling = |name| MemoryConsumer::new(name).with_can_spill(true);
        let (greedy, small) = (spilling("greedy"), spilling("small"));
        let (greedy, small) = (greedy.register(&pool), small.register(&pool));
        while greedy.try_grow(10).is_ok() {}
        assert_eq!(greedy.size(), 750);
        // The small one has its share of the last quarter, and reads what it has spilled.
        small.try_grow(100).unwrap();
        assert!(small.try_grow(50).is_err());
        let merge = small.new_empty();
        merge.try_grow(100).unwrap();
        let rest = MemoryConsumer::new("rest").register(&pool);
        rest.try_grow(50).unwrap();
        assert!(rest.try_grow(1).is_err());
        // Alone it takes what there is.
        drop((greedy, rest, merge));
        small.try_grow(600).unwrap();
        assert_eq!(pool.reserved(), 700);
        drop(small);
        assert_eq!(pool.reserved(), 0);
    }
}
