//! All partials of an aggregate at one state, as a table to DataFusion: those that are kept, and
//! those of rows in memory and of what is stale, which are computed.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use slicedb_storage::scan::Place;
use slicedb_storage::{Scan, ScanRequest, State, derived};

use super::Definition;
use super::scan::PartialsScan;
use super::stale::{Stale, external};
use super::template::Asked;
use super::within::Within;
use crate::catalog::AggregateEntry;
use crate::plan::generic::{Parameters, has_parameter};
use crate::plan::pushdown::{self, Support};

/// The partials of an aggregate at a state.
#[derive(Debug)]
pub(crate) struct Partials {
    origin: Arc<Origin>,
    state: Arc<State>,
}

/// What partials are made of, at whichever state.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) entry: Arc<AggregateEntry>,
    pub(super) definition: Arc<Definition>,
    schema: SchemaRef,
    /// Those of the plan that reads them, when it is a generic one.
    pub(super) parameters: Option<Arc<Parameters>>,
    /// Which rows count, where it answers for its table.
    within: Option<Within>,
}

/// All times.
pub(super) const ALWAYS: (i64, i64) = (i64::MIN, i64::MAX);

/// What one query reads.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) definition: Arc<Definition>,
    /// The kept partials, with the columns of the answer, then key and slot where something is
    /// stale.
    pub(super) kept: Scan,
    /// Rows in memory that are not stale.
    pub(super) memory: Scan,
    /// All rows of what is stale.
    pub(super) stale_rows: Option<Scan>,
    /// Rows of slots of which some rows do not count: those that do.
    pub(super) edges: Vec<Scan>,
    /// The wanted slots, both ends included: rows are read of more.
    pub(super) slots: (i64, i64),
    pub(super) stale: Arc<Stale>,
}

impl Partials {
    pub(crate) fn new(
        entry: Arc<AggregateEntry>,
        definition: Arc<Definition>,
        state: Arc<State>,
        parameters: Option<Arc<Parameters>>,
    ) -> Self {
        let origin = Origin {
            schema: definition.schema(),
            entry,
            definition,
            parameters,
            within: None,
        };
        Partials {
            origin: Arc::new(origin),
            state,
        }
    }

    /// Of rows within some times only, to answer for the table. Where there are bounds the slots are
    /// those of no zone.
    pub(super) fn within(
        entry: Arc<AggregateEntry>,
        definition: Arc<Definition>,
        state: Arc<State>,
        parameters: Option<Arc<Parameters>>,
        within: Within,
    ) -> Self {
        let origin = Origin {
            schema: definition.schema(),
            entry,
            definition,
            parameters,
            within: Some(within),
        };
        Partials {
            origin: Arc::new(origin),
            state,
        }
    }

    /// Whether they can answer for the table, and save work.
    pub(super) fn answer(&self) -> Result<bool> {
        self.origin.answers(&self.state)
    }

    /// Rows and partials that a scan probably reads.
    pub(crate) fn rows(&self, filters: &[Expr]) -> Result<u64> {
        let filters = filters.iter().map(|filter| self.origin.bound(filter));
        let filters = filters.collect::<Result<Vec<_>>>()?;
        let parts = self.origin.parts(&self.state, &[], &filters)?;
        Ok(parts.likely_rows())
    }
}

impl Parts {
    /// Of partials that were computed, those of the wanted slots.
    pub(super) fn wanted(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        if self.slots == ALWAYS {
            return Ok(rows.clone());
        }
        let (from, to) = self.slots;
        let slots = rows.column(self.definition.slot);
        let slots = slots.as_primitive::<TimestampMicrosecondType>().values();
        let keep = slots.iter().map(|slot| Some((from..=to).contains(slot)));
        Ok(filter_record_batch(rows, &keep.collect::<BooleanArray>())?)
    }

    /// Rows and partials that are probably read.
    pub(super) fn likely_rows(&self) -> u64 {
        let others = self.stale_rows.iter().chain(&self.edges);
        let stale: u64 = others.map(Scan::likely_rows).sum();
        self.kept.likely_rows() + self.memory.likely_rows() + stale
    }
}

impl Origin {
    /// A filter as it is for the values that the plan is made for.
    pub(super) fn bound<'a>(&self, filter: &'a Expr) -> Result<Cow<'a, Expr>> {
        Ok(match &self.parameters {
            Some(parameters) => Cow::Owned(parameters.bind(filter, &self.schema)?),
            None => Cow::Borrowed(filter),
        })
    }

    /// What is done of a filter: what is computed has the wanted keys and slots too.
    pub(super) fn support(&self, state: &State, filter: &Expr) -> Support {
        let table = state.table(self.entry.partials);
        table.map_or(Support::None, |table| pushdown::support(&table.def, filter))
    }

    /// Whether partials answer what is asked of them at a state: of the table, they do where none is
    /// kept after its rows were dropped. And whether they save work: not all are still to be built.
    pub(super) fn answers(&self, state: &State) -> Result<bool> {
        let Some(within) = &self.within else {
            return Ok(true);
        };
        let Some((from, to)) = within.times()? else {
            return Ok(false);
        };
        let stale = self.entry.stale;
        if state.table(stale).is_none_or(|table| table.rows() == 0) {
            return Ok(true);
        }
        let gone = derived::times(state, stale, true).map_err(external)?;
        if gone.iter().any(|times| times.0 <= to && times.1 >= from) {
            return Ok(false);
        }
        Ok(Stale::read(state, stale, &self.definition)?.is_keyed())
    }

    /// The times of the rows that count, in microseconds, both ends included.
    fn times(&self) -> Result<(i64, i64)> {
        match self.within.as_ref().map(Within::times) {
            None => Ok(ALWAYS),
            Some(times) => match times? {
                Some(times) => Ok(times),
                None => internal_err!("a range of time without its ends"),
            },
        }
    }

    /// What a query of these columns and filters reads of a state.
    pub(super) fn parts(
        &self,
        state: &State,
        projection: &[usize],
        filters: &[Cow<'_, Expr>],
    ) -> Result<Parts> {
        let definition = &self.definition;
        let stale = Stale::read(state, self.entry.stale, definition)?;
        let kept_def = match state.table(self.entry.partials) {
            Some(table) => &table.def,
            None => return internal_err!("the partials are gone"),
        };
        let mut kept = ScanRequest {
            columns: projection.to_vec(),
            ..ScanRequest::default()
        };
        pushdown::apply(kept_def, filters.iter().map(Cow::as_ref), &mut kept);
        let wanted = kept.time.unwrap_or(ALWAYS);
        // Rows of the wanted slots: those columns are computed, but a slot tells its times.
        let times = kept
            .time
            .map(|times| definition.slots.reach(times))
            .transpose()?;
        let request = ScanRequest {
            columns: definition.reads.clone(),
            keys: definition.key.and_then(|_| kept.keys.clone()),
            time: times,
            ..ScanRequest::default()
        };
        let source = definition.source.def.id;
        let mut edges = Vec::new();
        let request = match self.times()? {
            ALWAYS => request,
            within => {
                let (inner, ends) = definition.slots.whole_within(within)?;
                let and = |a: Option<(i64, i64)>, b: (i64, i64)| {
                    let (from, to) = a.unwrap_or(ALWAYS);
                    (from.max(b.0), to.min(b.1))
                };
                for end in ends {
                    let time = Some(and(request.time, end));
                    let edge = ScanRequest {
                        time,
                        ..request.clone()
                    };
                    edges.push(Scan::new(state, source, edge).map_err(external)?);
                }
                // A slot is the first of its times.
                kept.time = Some(and(kept.time, inner));
                ScanRequest {
                    time: Some(and(request.time, inner)),
                    ..request
                }
            }
        };
        let memory = ScanRequest {
            place: Place::Memory,
            ..request.clone()
        };
        let memory = Scan::new(state, source, memory).map_err(external)?;
        let mut stale_rows = None;
        if let Some(stale_times) = stale.times {
            kept.columns.extend(definition.key);
            kept.columns.push(definition.slot);
            let (first, last) = definition.slots.reach(stale_times)?;
            let (from, to) = request.time.unwrap_or((i64::MIN, i64::MAX));
            let request = ScanRequest {
                time: Some((first.max(from), last.min(to))),
                ..request
            };
            stale_rows = Some(Scan::new(state, source, request).map_err(external)?);
        }
        let kept = Scan::new(state, self.entry.partials, kept).map_err(external)?;
        Ok(Parts {
            definition: definition.clone(),
            kept,
            memory,
            stale_rows,
            edges,
            slots: wanted,
            stale,
        })
    }
}

#[async_trait]
impl TableProvider for Partials {
    fn schema(&self) -> SchemaRef {
        self.origin.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let origin = &self.origin;
        let support = |filter: &&Expr| {
            let own = origin.support(&self.state, origin.bound(filter)?.as_ref());
            Ok(match own {
                Support::Exact => TableProviderFilterPushDown::Exact,
                Support::Inexact => TableProviderFilterPushDown::Inexact,
                // Storage may know what to do with it when it has other values.
                Support::None if origin.parameters.is_some() && has_parameter(filter)? => {
                    TableProviderFilterPushDown::Inexact
                }
                Support::None => TableProviderFilterPushDown::Unsupported,
            })
        };
        filters.iter().map(support).collect()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.origin.schema.fields().len()).collect();
        let projection: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let schema = Arc::new(self.origin.schema.project(&projection)?);
        let origin = &self.origin;
        let bound = filters.iter().map(|filter| origin.bound(filter));
        let bound = bound.collect::<Result<Vec<_>>>()?;
        let parts = origin.parts(&self.state, &projection, &bound)?;
        let is_exact = |filter: &Expr| origin.support(&self.state, filter) == Support::Exact;
        let exact = bound.iter().map(|filter| is_exact(filter));
        let partitions = state.config().target_partitions();
        let asked = Asked {
            origin: origin.clone(),
            projection,
            filters: filters.iter().cloned().zip(exact).collect(),
            schema,
        };
        Ok(Arc::new(PartialsScan::new(asked, parts, partitions)))
    }
}
