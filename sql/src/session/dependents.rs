//! What goes with a relation that is dropped: materialized views that read it, and those that read
//! these.

use std::collections::HashSet;
use std::sync::Arc;

use slicedb_storage::{Transaction, View};

use super::{Session, materialized};
use crate::catalog::{Catalog, PUBLIC, RelationKind, TableEntry};
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

impl Session {
    /// Drops the materialized views that read a relation, which is dropped itself by the caller.
    ///
    /// # Errors
    /// 2BP01 when there are some and the statement does not say `CASCADE`.
    pub(super) fn remove_readers(
        &mut self,
        writes: &mut Transaction,
        view: &View,
        catalog: &Catalog,
        of: &TableEntry,
        removal: &mut Removal,
    ) -> Result<()> {
        let mut left = vec![of.oid];
        while let Some(oid) = left.pop() {
            for reader in readers(catalog, oid) {
                if removal.gone.contains(&reader.oid) {
                    continue;
                }
                if !removal.cascade {
                    let kind = match of.kind {
                        RelationKind::Table => "table",
                        RelationKind::View | RelationKind::MaterializedView => "materialized view",
                    };
                    return Err(has_dependents(kind, &of.name, &reader.name));
                }
                let message = format!("drop cascades to materialized view {}", reader.name);
                self.notice(message);
                materialized::remove(writes, view, reader);
                removal.gone.insert(reader.oid);
                left.push(reader.oid);
            }
        }
        Ok(())
    }
}

/// The materialized views that read a relation.
pub(super) fn readers(catalog: &Catalog, oid: u32) -> impl Iterator<Item = &Arc<TableEntry>> {
    let views = catalog.views();
    let reads = views.filter(move |(_, view)| view.reads.contains(&oid));
    reads.map(|(table, _)| table)
}

/// 2BP01.
pub(super) fn has_dependents(kind: &str, name: &str, dependent: &str) -> SqlError {
    let message = format!("cannot drop {kind} {name} because other objects depend on it");
    let detail = format!("materialized view {dependent} depends on {kind} {name}");
    SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_detail(detail)
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too.")
}
