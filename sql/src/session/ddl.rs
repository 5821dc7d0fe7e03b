//! CREATE TABLE and DROP TABLE.

use std::sync::Arc;

use arrow::datatypes::Schema;
use slicedb_storage::table::{DAY_US, HOUR_US};
use slicedb_storage::{Layout, TableDef};

use super::dependents::Removal;
use super::{Outcome, Session};
use crate::catalog::{ColumnEntry, PUBLIC, Properties, RelationKind, TableEntry, table_oid};
use crate::dialect::{CreateTable, DropTable, OptionValue, TableName};
use crate::error::{Result, SqlError, SqlState};
use crate::types::{FormatSettings, PgType};

/// PostgreSQL's limit.
const COLUMNS_MAX: usize = 1600;

impl Session {
    pub(super) async fn create_table(&mut self, create: &CreateTable) -> Result<Outcome> {
        let mut writes = self.start_write("CREATE TABLE")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let schema = match self.schema_of(&create.name) {
            Ok(schema) => schema,
            Err(e) => {
                self.give_back(writes);
                return Err(e);
            }
        };
        let name = &create.name.name;
        if catalog.get(schema, name).is_some() || catalog.aggregate(schema, name).is_some() {
            self.give_back(writes);
            self.refuse_existing(name, create.if_not_exists)?;
            return Ok(Outcome::Command("CREATE TABLE".into()));
        }
        for column in &create.columns {
            if let Some(default) = &column.default {
                // A default that cannot be evaluated is refused now and not with the first row.
                self.constant(default, &column.ty).await?;
            }
        }
        let entry = define(create, self.database.engine().new_table_id())?;
        writes.put_table((*entry.def).clone());
        writes.put_record(&view, &entry.record_name(), Some(entry.record()));
        // An aggregate of the same name that is created meanwhile is a conflict.
        writes.put_record(&view, &format!("aggregate/{schema}/{name}"), None);
        self.finish_write(writes).await.map_err(|e| match e.state {
            SqlState::SERIALIZATION_FAILURE if self.is_autocommit() => {
                let message = format!("relation \"{}\" already exists", create.name.name);
                SqlError::new(SqlState::DUPLICATE_TABLE, message)
            }
            _ => e,
        })?;
        Ok(Outcome::Command("CREATE TABLE".into()))
    }

    /// A relation of that name is there: an error, or a notice.
    ///
    /// # Errors
    /// 42P07 unless it may be there.
    pub(super) fn refuse_existing(&mut self, name: &str, if_not_exists: bool) -> Result<()> {
        let message = format!("relation \"{name}\" already exists");
        let exists = SqlError::new(SqlState::DUPLICATE_TABLE, message);
        if !if_not_exists {
            return Err(exists);
        }
        self.notify(SqlError {
            message: format!("{}, skipping", exists.message),
            ..exists
        });
        Ok(())
    }

    /// The schema of a new relation.
    ///
    /// # Errors
    /// 3F000 and 42501 for schemas that do not exist, and those of the system.
    pub(super) fn schema_of<'a>(&self, name: &'a TableName) -> Result<&'a str> {
        let schema = name.schema.as_deref().unwrap_or(PUBLIC);
        if schema == PUBLIC {
            return Ok(schema);
        }
        let known = matches!(
            schema,
            "pg_catalog" | "information_schema" | "timescaledb_information" | "slicedb"
        );
        Err(if known {
            let message = format!("permission denied to create \"{name}\"");
            SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                .with_detail("System catalog modifications are currently disallowed.")
        } else {
            SqlError::new(
                SqlState::INVALID_SCHEMA_NAME,
                format!("schema \"{schema}\" does not exist"),
            )
        })
    }

    pub(super) async fn drop_table(&mut self, drop: &DropTable) -> Result<Outcome> {
        let mut writes = self.start_write("DROP TABLE")?;
        let view = self.view_for(&mut writes)?;
        let catalog = self.database.catalogs().of(&view.state)?;
        let mut removal = Removal::new(drop.cascade, &catalog, &drop.names);
        for name in &drop.names {
            match catalog.find(name) {
                Ok(entry) => {
                    let removed =
                        self.remove_readers(&mut writes, &view, &catalog, entry, &mut removal);
                    if let Err(e) = removed {
                        self.give_back(writes);
                        return Err(e);
                    }
                    writes.drop_table(entry.def.id);
                    writes.put_record(&view, &entry.record_name(), None);
                }
                Err(e) if e.state == SqlState::WRONG_OBJECT_TYPE => {
                    self.give_back(writes);
                    let message = format!("\"{}\" is not a table", name.name);
                    return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)
                        .with_hint("Use DROP MATERIALIZED VIEW to remove a materialized view."));
                }
                Err(_) if drop.if_exists => {
                    self.notice(format!("table \"{name}\" does not exist, skipping"));
                }
                Err(_) => {
                    self.give_back(writes);
                    let message = format!("table \"{name}\" does not exist");
                    return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
                }
            }
        }
        self.finish_write(writes).await?;
        Ok(Outcome::Command("DROP TABLE".into()))
    }

    /// Ends a write that changed nothing.
    pub(super) fn give_back(&mut self, writes: slicedb_storage::Transaction) {
        if let Some(open) = &mut self.open
            && !writes.is_empty()
        {
            open.writes = Some(writes);
        }
    }
}

fn define(create: &CreateTable, id: slicedb_storage::TableId) -> Result<TableEntry> {
    if create.columns.len() > COLUMNS_MAX {
        let message = format!("tables can have at most {COLUMNS_MAX} columns");
        return Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message));
    }
    for (i, column) in create.columns.iter().enumerate() {
        if create.columns[..i]
            .iter()
            .any(|earlier| earlier.name == column.name)
        {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
    }
    let wanted = Hypertable::of(create)?;
    let target_lag_us = wanted.as_ref().and_then(|wanted| wanted.target_lag_us);
    let mut columns: Vec<ColumnEntry> = create
        .columns
        .iter()
        .map(|column| ColumnEntry {
            name: column.name.clone(),
            ty: column.ty.clone(),
            not_null: column.not_null || create.primary_key.contains(&column.name),
            default: column.default.as_ref().map(ToString::to_string),
        })
        .collect();
    let position = |name: &str| columns.iter().position(|column| column.name == name);
    let layout = match wanted {
        Some(hypertable) => {
            if !create.primary_key.is_empty() {
                return Err(
                    SqlError::unsupported("a primary key on a time-series table").with_hint(
                        "Leave the key out: rows of a time-series table are not looked up by it.",
                    ),
                );
            }
            let time = hypertable.time_column(&columns)?;
            let key = hypertable.key.as_deref().map(|key| {
                position(key).ok_or_else(|| {
                    let message = format!("column \"{key}\" does not exist");
                    SqlError::new(SqlState::UNDEFINED_COLUMN, message)
                })
            });
            let key = key.transpose()?;
            columns[time].not_null = true;
            Layout::TimeSeries {
                time,
                key,
                chunk_us: hypertable.chunk_us,
                retention_us: None,
            }
        }
        None => Layout::Reference {
            primary_key: create
                .primary_key
                .iter()
                .filter_map(|key| position(key))
                .collect(),
        },
    };
    let mut entry = entry_of(id, PUBLIC, &create.name.name, columns, layout)?;
    entry.properties.target_lag_us = target_lag_us;
    Ok(entry)
}

/// The entry of a table with these columns.
pub(super) fn entry_of(
    id: slicedb_storage::TableId,
    schema: &str,
    name: &str,
    columns: Vec<ColumnEntry>,
    layout: Layout,
) -> Result<TableEntry> {
    let fields: Vec<_> = columns
        .iter()
        .map(|c| c.ty.field(&c.name, !c.not_null))
        .collect();
    let def = TableDef::new(id, Arc::new(Schema::new(fields)), layout)?;
    Ok(TableEntry {
        kind: RelationKind::Table,
        schema: schema.to_owned(),
        name: name.to_owned(),
        oid: table_oid(id),
        def: Arc::new(def),
        columns,
        properties: Properties::default(),
    })
}

/// What `WITH (tsdb.…)` and `create_hypertable` ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hypertable {
    pub(super) time: Option<String>,
    pub(super) key: Option<String>,
    pub(super) chunk_us: i64,
    pub(super) target_lag_us: Option<i64>,
}

impl Default for Hypertable {
    fn default() -> Self {
        Hypertable {
            time: None,
            key: None,
            chunk_us: HOUR_US,
            target_lag_us: None,
        }
    }
}

impl Hypertable {
    fn of(create: &CreateTable) -> Result<Option<Hypertable>> {
        let mut hypertable = None;
        let mut wanted = Hypertable::default();
        for (name, value) in &create.options {
            match name.as_str() {
                "tsdb.hypertable" => {
                    let is_one = value.as_bool().ok_or_else(|| {
                        let message =
                            format!("invalid value for tsdb.hypertable: \"{}\"", value.as_str());
                        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
                    })?;
                    hypertable = Some(is_one);
                }
                "tsdb.partition_column" => wanted.time = Some(value.as_str().to_owned()),
                "tsdb.segmentby" | "tsdb.segment_by" => {
                    wanted.key = Some(value.as_str().to_owned())
                }
                "tsdb.chunk_interval" => wanted.chunk_us = interval_us(value.as_str())?,
                "tsdb.target_lag" => wanted.target_lag_us = Some(target_lag(value)?),
                _ => return Err(unrecognized(name)),
            }
        }
        if hypertable != Some(true) && !create.options.is_empty() {
            let message = "tsdb options take effect only with tsdb.hypertable";
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        Ok(hypertable.filter(|&is_one| is_one).map(|_| wanted))
    }

    /// Position of the time column: the one that is named, or the only one there is.
    pub(super) fn time_column(&self, columns: &[ColumnEntry]) -> Result<usize> {
        let is_time = |ty: &PgType| matches!(ty, PgType::Timestamp | PgType::Timestamptz);
        let Some(name) = &self.time else {
            let times: Vec<usize> = (0..columns.len())
                .filter(|&c| is_time(&columns[c].ty))
                .collect();
            return match times[..] {
                [one] => Ok(one),
                _ => Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "partition column could not be determined",
                )
                .with_hint("Use tsdb.partition_column to name it.")),
            };
        };
        let position = columns
            .iter()
            .position(|column| column.name == *name)
            .ok_or_else(|| {
                SqlError::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column \"{name}\" does not exist"),
                )
            })?;
        if !is_time(&columns[position].ty) {
            let message = format!("invalid type for dimension \"{name}\"");
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message)
                .with_hint("Use a column of type timestamp or timestamptz."));
        }
        Ok(position)
    }
}

/// `tsdb.target_lag` in microseconds.
///
/// # Errors
/// As [`interval_us`], and 22023 when it is not positive.
pub(super) fn target_lag(value: &OptionValue) -> Result<i64> {
    let us = interval_us(value.as_str())?;
    if us > 0 {
        return Ok(us);
    }
    let message = format!("invalid value for tsdb.target_lag: \"{}\"", value.as_str());
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
}

/// 22023 for an option.
pub(super) fn unrecognized(name: &str) -> SqlError {
    let message = format!("unrecognized parameter \"{name}\"");
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// A fixed interval in microseconds.
///
/// # Errors
/// 22007 when it is none, 22023 when it has months, whose length varies.
pub(super) fn interval_us(text: &str) -> Result<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::IntervalMonthDayNanoType;
    let mut builder =
        crate::types::ColumnBuilder::new(&PgType::Interval, 1, &FormatSettings::default());
    builder.append_text(text.as_bytes())?;
    let value = builder.finish();
    let value = value.as_primitive::<IntervalMonthDayNanoType>().value(0);
    if value.months != 0 {
        let message = format!("interval \"{text}\" must not have months");
        return Err(
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("Use days.")
        );
    }
    Ok(i64::from(value.days)
        .saturating_mul(DAY_US)
        .saturating_add(value.nanoseconds / 1000))
}
