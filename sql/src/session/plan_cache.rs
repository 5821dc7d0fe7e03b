//! Generic plans that wait for their next run.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{OutputColumn, Prepared};
use crate::catalog::Catalog;
use crate::plan::generic::GenericPlan;
use crate::types::FormatSettings;

/// Plans that are kept, at most; some 25 KiB each, and more for a long statement.
const PLANS_MAX: usize = 256;

/// What a plan depends on, but for the values of its parameters.
#[derive(Debug)]
pub(super) struct PlanKey {
    /// The statement, which may be prepared in other sessions too.
    pub(super) prepared: Arc<Prepared>,
    pub(super) settings: FormatSettings,
    /// Whether queries over tables are answered from their aggregates.
    pub(super) uses_aggregates: bool,
    /// One that is gone shall not be kept alive by plans that can never run again.
    pub(super) catalog: Weak<Catalog>,
}

impl PartialEq for PlanKey {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.catalog, &other.catalog)
            && self.settings == other.settings
            && self.uses_aggregates == other.uses_aggregates
            && self.prepared.is_same_query(&other.prepared)
    }
}

/// A plan, and the columns of its rows.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) plan: GenericPlan,
    pub(super) columns: Arc<Vec<OutputColumn>>,
}

/// The plans of all sessions. Those used last are behind.
#[derive(Debug, Default)]
pub(crate) struct PlanCache {
    plans: Mutex<VecDeque<(Arc<PlanKey>, Kept)>>,
}

impl PlanCache {
    /// Takes a plan that nobody runs, for few rows or for many.
    pub(super) fn take(self: &Arc<Self>, key: &PlanKey, is_small: bool) -> Option<Lease> {
        let mut plans = self.plans.lock();
        let fits = |(known, kept): &(Arc<PlanKey>, Kept)| {
            kept.plan.is_small() == is_small && **known == *key
        };
        let at = plans.iter().rposition(fits)?;
        let (key, kept) = plans.remove(at)?;
        Some(Lease {
            key,
            kept: Some(kept),
            cache: self.clone(),
        })
    }

    /// Lends a plan that has just been made.
    pub(super) fn lend(self: &Arc<Self>, key: Arc<PlanKey>, kept: Kept) -> Lease {
        Lease {
            key,
            kept: Some(kept),
            cache: self.clone(),
        }
    }
}

/// A plan while it runs: it goes back when this is dropped.
pub(super) struct Lease {
    key: Arc<PlanKey>,
    kept: Option<Kept>,
    cache: Arc<PlanCache>,
}

impl Lease {
    /// The plan.
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else {
            return;
        };
        kept.plan.rest();
        let mut plans = self.cache.plans.lock();
        plans.retain(|(key, _)| key.catalog.strong_count() > 0);
        if plans.len() >= PLANS_MAX {
            plans.pop_front();
        }
        plans.push_back((self.key.clone(), kept));
    }
}
