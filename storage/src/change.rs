//! What a transaction changes, as log frames and as a step from one state to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;

use crate::deletes::Deletes;
use crate::moves::{Hold, Moves};
use crate::segment::codec;
use crate::segment::meta::SegmentMeta;
use crate::segment::{Segment, SegmentHome};
use crate::state::{State, TableState};
use crate::table::TableDef;
use crate::wal::{Frame, FrameKind};
use crate::{Error, Result, Sequence, TableId};

mod rows;

/// The sequence that rows of a transaction have in its own eyes, before it commits.
pub(crate) const PRIVATE: Sequence = Sequence(u64::MAX);

/// Everything that one transaction changes.
#[derive(Clone, Default)]
pub struct Change {
    /// Tables created or altered (`Some`) and dropped (`None`).
    pub tables: BTreeMap<TableId, Option<Arc<TableDef>>>,
    /// Catalog records put (`Some`) and removed (`None`).
    pub records: BTreeMap<String, RecordChange>,
    /// Rows.
    pub rows: BTreeMap<TableId, RowChange>,
    /// Tables whose rows others must not have changed after a commit.
    pub unchanged: BTreeMap<TableId, Sequence>,
    /// The tables with partials of those whose sealed rows it deletes or adds to, as it knew them:
    /// it has marked theirs as stale, and nobody else's.
    pub partials: BTreeMap<TableId, Vec<TableId>>,
    /// The generation of the addresses in the deletes, see [`State::generation`].
    pub generation: u64,
    /// Keeps what moved rows since then.
    pub(crate) hold: Option<Arc<Hold>>,
}

/// A catalog record put or removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordChange {
    /// What the transaction saw under the name. Another value at commit is a conflict.
    pub seen: Option<Bytes>,
    /// The new value.
    pub value: Option<Bytes>,
}

/// Rows of one table added and removed.
#[derive(Debug, Clone, Default)]
pub struct RowChange {
    /// Added rows, each batch sorted.
    pub blocks: BTreeMap<u32, RecordBatch>,
    /// Added rows that were too many for memory.
    pub segments: Vec<Arc<Segment>>,
    /// Removed rows, also of the added ones.
    pub deletes: Deletes,
    /// Keys of the added rows are known to be new as of this commit.
    pub unique_as_of: Option<Sequence>,
}

/// How strictly a change must fit the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Whatever does not fit is a conflict: somebody else was faster.
    Strict,
    /// Replaying the log: the manifest holds every effect up to `applied` except the rows of
    /// blocks after `sealed`, so that what is missing has been done.
    Replay {
        /// See above.
        applied: Sequence,
        /// See above.
        sealed: Sequence,
    },
}

impl Change {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
            && self.records.is_empty()
            && self
                .rows
                .values()
                .all(|r| r.blocks.is_empty() && r.segments.is_empty() && r.deletes.is_empty())
    }

    /// Whether rows are deleted, whose addresses have to follow them.
    pub fn has_deletes(&self) -> bool {
        self.rows.values().any(|rows| !rows.deletes.is_empty())
    }

    /// The deletes of each table, with the addresses of a later generation.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody else has deleted a row.
    pub(crate) fn followed(&self, moves: &Moves, to: u64) -> Result<Vec<(TableId, Deletes)>> {
        let mut followed = Vec::new();
        for (&id, rows) in self.rows.iter().filter(|(_, r)| !r.deletes.is_empty()) {
            let mut deletes = rows.deletes.clone();
            moves.follow(id, &mut deletes, self.generation, to)?;
            followed.push((id, deletes));
        }
        Ok(followed)
    }

    /// Lets the deletes follow their rows to a generation, if it is a later one.
    pub(crate) fn follow(&mut self, moves: &Arc<Moves>, to: u64) -> Result<bool> {
        if to <= self.generation {
            return Ok(false);
        }
        for (id, deletes) in self.followed(moves, to)? {
            self.rows.entry(id).or_default().deletes = deletes;
        }
        self.generation = to;
        if self.hold.is_some() {
            self.hold = Some(moves.hold_at(to));
        }
        Ok(true)
    }

    /// Writes the deletes into their frames again, after they have followed their rows.
    pub fn renew_deletes(&self, frames: &mut [Frame]) {
        let deletes = frames.iter_mut().filter(|f| f.kind == FrameKind::Delete);
        for frame in deletes {
            if let Some(rows) = self.rows.get(&frame.table) {
                frame.payload = rows.deletes.encode().into();
            }
        }
    }

    /// The state after this change. The addresses of its deletes are of the state's generation.
    ///
    /// # Errors
    /// [`Error::Conflict`] and [`Error::Duplicate`] when it does not fit, see [`Fit`].
    pub fn apply(&self, state: &State, sequence: Sequence, fit: Fit) -> Result<State> {
        for (id, since) in &self.unchanged {
            let is_unchanged = state
                .table(*id)
                .is_some_and(|table| table.changed <= *since);
            if fit == Fit::Strict && sequence != PRIVATE && !is_unchanged {
                return Err(changed_meanwhile());
            }
        }
        if fit == Fit::Strict && sequence != PRIVATE {
            let known = |(source, known): (&TableId, &Vec<TableId>)| {
                let now = state.partials_of(*source);
                now.iter().all(|table| known.contains(&table.def.id))
            };
            if !self.partials.iter().all(known) {
                return Err(changed_meanwhile());
            }
        }
        if fit == Fit::Strict && sequence != PRIVATE && self.leaves_derived(state) {
            return Err(changed_meanwhile());
        }
        let mut next = State {
            sequence,
            ..state.clone()
        };
        let is_done = matches!(fit, Fit::Replay { applied, .. } if sequence <= applied);
        if !self.records.is_empty() && !is_done {
            let records = Arc::make_mut(&mut next.records);
            for (name, change) in &self.records {
                if fit == Fit::Strict && records.get(name) != change.seen.as_ref() {
                    return Err(Error::Conflict(format!(
                        "catalog record {name} was changed meanwhile"
                    )));
                }
                match &change.value {
                    Some(value) => records.insert(name.clone(), value.clone()),
                    None => records.remove(name),
                };
            }
        }
        if self.tables.is_empty() && self.rows.is_empty() {
            return Ok(next);
        }
        let tables = Arc::make_mut(&mut next.tables);
        if !is_done {
            for (&id, def) in &self.tables {
                match (def, tables.get(&id)) {
                    (Some(def), Some(old)) => {
                        let changed = TableState {
                            def: def.clone(),
                            ..(**old).clone()
                        };
                        tables.insert(id, Arc::new(changed));
                    }
                    (Some(def), None) => {
                        tables.insert(id, Arc::new(TableState::new(def.clone(), sequence)));
                    }
                    (None, _) => {
                        tables.remove(&id);
                    }
                }
            }
        }
        for (&id, rows) in &self.rows {
            match tables.get_mut(&id) {
                Some(table) => rows.apply(Arc::make_mut(table), sequence, fit)?,
                None if fit == Fit::Strict => {
                    return Err(Error::Conflict("the table was dropped meanwhile".into()));
                }
                None => {}
            }
        }
        Ok(next)
    }

    /// Whether a table is dropped but not one that was derived from it meanwhile.
    fn leaves_derived(&self, state: &State) -> bool {
        let is_dropped = |id: &TableId| matches!(self.tables.get(id), Some(None));
        let is_left = |table: &Arc<TableState>| {
            let derived = table.def.derived;
            derived.is_some_and(|d| is_dropped(&d.source)) && !is_dropped(&table.def.id)
        };
        self.tables.values().any(Option::is_none) && state.tables.values().any(is_left)
    }

    /// The change as frames of the log, in the order in which replay applies them.
    pub fn frames(&self, versions: &dyn Fn(TableId) -> u32) -> Vec<Frame> {
        let frame = |kind, table, payload: Vec<u8>| Frame {
            kind,
            table,
            schema_version: versions(table),
            payload: payload.into(),
        };
        let mut frames = Vec::new();
        for (&id, def) in &self.tables {
            frames.push(frame(
                FrameKind::Table,
                id,
                def.as_ref().map_or_else(Vec::new, |d| d.encode()),
            ));
        }
        for (name, change) in &self.records {
            frames.push(frame(
                FrameKind::Record,
                TableId(0),
                encode_record(name, change.value.as_ref()),
            ));
        }
        for (&id, rows) in &self.rows {
            if !rows.segments.is_empty() {
                let metas: Vec<Vec<u8>> = rows.segments.iter().map(|s| s.meta.encode()).collect();
                // Plain structs cannot fail to serialise into a growing vector.
                frames.push(frame(
                    FrameKind::Segments,
                    id,
                    postcard::to_allocvec(&metas).unwrap_or_default(),
                ));
            }
            if !rows.deletes.is_empty() {
                frames.push(frame(FrameKind::Delete, id, rows.deletes.encode()));
            }
            for block in rows.blocks.values() {
                frames.push(frame(FrameKind::Block, id, codec::encode_batch(block)));
            }
        }
        frames
    }

    /// Reads the frames of one commit. Definitions come from the frames themselves or from
    /// `state`. The error says which frame does not hold.
    pub fn from_frames(
        frames: Vec<Frame>,
        state: &State,
        home: &Arc<SegmentHome>,
    ) -> std::result::Result<Self, String> {
        let mut change = Change::default();
        for frame in frames {
            let id = frame.table;
            match frame.kind {
                FrameKind::Table if frame.payload.is_empty() => {
                    change.tables.insert(id, None);
                }
                FrameKind::Table => {
                    let def = TableDef::decode(&frame.payload)?;
                    change.tables.insert(id, Some(Arc::new(def)));
                }
                FrameKind::Record => {
                    let (name, value) = decode_record(&frame.payload)?;
                    change
                        .records
                        .insert(name, RecordChange { seen: None, value });
                }
                FrameKind::Delete => {
                    change.rows.entry(id).or_default().deletes = Deletes::decode(&frame.payload)?;
                }
                FrameKind::Segments => {
                    let metas: Vec<Vec<u8>> = postcard::from_bytes(&frame.payload)
                        .map_err(|e| format!("segments: {e}"))?;
                    let segments = &mut change.rows.entry(id).or_default().segments;
                    for meta in metas {
                        segments.push(Arc::new(Segment::kept(
                            SegmentMeta::decode(&meta)?,
                            home.clone(),
                        )));
                    }
                }
                FrameKind::Block => {
                    let created = change.tables.get(&id).cloned().flatten();
                    let Some(def) = created.or_else(|| state.table(id).map(|t| t.def.clone()))
                    else {
                        // The table was dropped later on: the manifest is ahead of this frame.
                        continue;
                    };
                    if def.version != frame.schema_version {
                        return Err(format!(
                            "block of table {id} in version {}",
                            frame.schema_version
                        ));
                    }
                    let batch = codec::decode_batch(&frame.payload, &def.schema).map_err(|d| {
                        format!("block of table {id}: {} at byte {}", d.reason, d.offset)
                    })?;
                    let blocks = &mut change.rows.entry(id).or_default().blocks;
                    blocks.insert(blocks.len() as u32, batch);
                }
                FrameKind::Commit => return Err("a commit inside a transaction".into()),
            }
        }
        Ok(change)
    }
}

fn changed_meanwhile() -> Error {
    Error::Conflict("rows were changed meanwhile".into())
}

/// `| name length u32 le | name | 0 or 1 | value |`; 0 and no value when the record is removed.
fn encode_record(name: &str, value: Option<&Bytes>) -> Vec<u8> {
    let mut out = (name.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(name.as_bytes());
    out.push(u8::from(value.is_some()));
    out.extend_from_slice(value.map_or(&[][..], |v| v));
    out
}

fn decode_record(bytes: &Bytes) -> std::result::Result<(String, Option<Bytes>), String> {
    let (length, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or("catalog record: too short")?;
    let length = u32::from_le_bytes(*length) as usize;
    let (name, rest) = rest
        .split_at_checked(length)
        .ok_or("catalog record: too short")?;
    let name = String::from_utf8(name.to_vec()).map_err(|e| format!("catalog record: {e}"))?;
    match rest.split_first() {
        Some((0, [])) => Ok((name, None)),
        Some((1, value)) => Ok((name, Some(bytes.slice_ref(value)))),
        _ => Err("catalog record: neither put nor removed".into()),
    }
}
