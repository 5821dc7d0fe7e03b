//! What goes with a relation that is dropped: materialized views and continuous aggregates that read
//! it, and those that read these.

use std::collections::HashSet;
use std::sync::Arc;

use slicedb_storage::{Transaction, View};

use super::{Session, aggregate, materialized};
use crate::catalog::{AggregateEntry, Catalog, PUBLIC, RelationKind, TableEntry};
use crate::dialect::TableName;
use crate::error::{Result, SqlError, SqlState};

/// A statement that drops relations.
pub(super) struct Removal {
    /// Whether what depends on them goes too.
    cascade: bool,
    /// Oids of those that go: named by the statement, or gone with others.
    gone: HashSet<u32>,
}

impl Removal {
    /// Of the relations that a statement names.
    pub(super) fn new(cascade: bool, catalog: &Catalog, names: &[TableName]) -> Self {
        let found = names.iter().filter_map(|name| {
            let schema = name.schema.as_deref().unwrap_or(PUBLIC);
            Some(catalog.relation(schema, &name.name)?.oid)
        });
        Removal {
            cascade,
            gone: found.collect(),
        }
    }
}

/// A relation that is filled from others.
enum Reader<'a> {
    View(&'a Arc<TableEntry>),
    Aggregate(&'a Arc<AggregateEntry>),
}

impl Reader<'_> {
    fn relation(&self) -> &Arc<TableEntry> {
        match self {
            Reader::View(view) => view,
            Reader::Aggregate(aggregate) => &aggregate.table,
        }
    }
}

impl Session {
    /// Drops what reads a relation, which is dropped itself by the caller.
    ///
    /// # Errors
    /// 2BP01 when there is something and the statement does not say `CASCADE`.
    pub(super) fn remove_readers(
        &mut self,
        writes: &mut Transaction,
        view: &View,
        catalog: &Catalog,
        of: &Arc<TableEntry>,
        removal: &mut Removal,
    ) -> Result<()> {
        let mut left = vec![of.clone()];
        while let Some(relation) = left.pop() {
            for reader in readers_of(catalog, &relation) {
                let own = reader.relation();
                if removal.gone.contains(&own.oid) {
                    continue;
                }
                if !removal.cascade {
                    return Err(has_dependents(of, &own.name));
                }
                self.notice(format!("drop cascades to materialized view {}", own.name));
                match reader {
                    Reader::View(reader) => materialized::remove(writes, view, reader),
                    Reader::Aggregate(reader) => aggregate::remove(writes, view, reader),
                }
                removal.gone.insert(own.oid);
                left.push(own.clone());
            }
        }
        Ok(())
    }
}

fn readers_of<'a>(catalog: &'a Catalog, relation: &TableEntry) -> Vec<Reader<'a>> {
    let aggregates = catalog.aggregates().filter(|a| a.reads_from(relation));
    let views = catalog.views();
    let views = views.filter(|(_, view)| view.reads.contains(&relation.oid));
    let views = views.map(|(table, _)| Reader::View(table));
    aggregates.map(Reader::Aggregate).chain(views).collect()
}

/// The materialized views and continuous aggregates that read a relation.
pub(super) fn readers(catalog: &Catalog, relation: &TableEntry) -> Vec<Arc<TableEntry>> {
    let readers = readers_of(catalog, relation);
    readers.iter().map(|r| r.relation().clone()).collect()
}

/// 2BP01.
fn has_dependents(of: &TableEntry, dependent: &str) -> SqlError {
    let kind = match of.kind {
        RelationKind::Table => "table",
        RelationKind::View | RelationKind::MaterializedView => "materialized view",
    };
    let name = &of.name;
    let message = format!("cannot drop {kind} {name} because other objects depend on it");
    let detail = format!("materialized view {dependent} depends on {kind} {name}");
    SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_detail(detail)
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}
