//! [`Rows`]: rows of a system table, written as `INSERT` would write them, to a batch.
//!
//! A value is text in PostgreSQL's input form and becomes what its column is. A column that is not
//! given is null, or the zero of its type where it cannot be null: PostgreSQL's catalogs mean the
//! same by both.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};

use super::definition::Definition;
use super::relations;
use crate::error::{Result, SqlError};
use crate::types::{ColumnBuilder, Encoder, Format, FormatSettings, PgType};

/// Rows of one table.
pub(super) struct Rows {
    definition: &'static Definition,
    columns: Vec<ColumnBuilder>,
    /// The column of each value of [`Rows::push`].
    given: Vec<usize>,
    /// Columns that are not given.
    left: Vec<usize>,
    /// The first fault. It is a bug, told when the rows are finished.
    fault: Option<SqlError>,
    len: usize,
}

/// A value, or null.
pub(super) struct Cell(pub(super) Option<String>);

impl Rows {
    pub(super) fn new(definition: &'static Definition) -> Rows {
        let settings = FormatSettings::default();
        let columns = definition
            .columns
            .iter()
            .map(|c| ColumnBuilder::new(&c.ty, 16, &settings));
        Rows {
            definition,
            columns: columns.collect(),
            given: Vec::new(),
            left: (0..definition.columns.len()).collect(),
            fault: None,
            len: 0,
        }
    }

    /// Names the columns that the following rows give, as the list after `INSERT INTO` does.
    pub(super) fn columns(&mut self, names: &[&str]) {
        self.given.clear();
        for name in names {
            match self.definition.column(name) {
                Some(column) => self.given.push(column),
                None => self.fail(format!("{} has no column {name}", self.definition.name)),
            }
        }
        let all = 0..self.definition.columns.len();
        self.left = all.filter(|column| !self.given.contains(column)).collect();
    }

    /// A row.
    pub(super) fn push<const N: usize>(&mut self, values: [Cell; N]) {
        self.push_slice(&values);
    }

    fn push_slice(&mut self, values: &[Cell]) {
        if values.len() != self.given.len() {
            return self.fail(format!(
                "a row of {} has {} values",
                self.definition.name,
                values.len()
            ));
        }
        let missing = Cell(None);
        let given = self.given.clone().into_iter().zip(values);
        let left = self
            .left
            .clone()
            .into_iter()
            .map(|column| (column, &missing));
        for (column, value) in given.chain(left) {
            self.append(column, value);
        }
        self.len += 1;
    }

    fn append(&mut self, column: usize, value: &Cell) {
        let definition = &self.definition.columns[column];
        let text = match &value.0 {
            Some(text) => text.as_str(),
            None if definition.not_null => zero(&definition.ty),
            None => return self.columns[column].append_null(),
        };
        if let Err(error) = self.columns[column].append_text(text.as_bytes()) {
            self.fail(format!(
                "{}.{}: {}",
                self.definition.name, definition.name, error.message
            ));
            self.columns[column].append_null();
        }
    }

    fn fail(&mut self, message: String) {
        self.fault
            .get_or_insert_with(|| SqlError::internal(message));
    }

    /// The batch.
    pub(super) fn finish(mut self) -> Result<RecordBatch> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        RecordBatch::try_new(self.definition.schema.clone(), columns)
            .map_err(|e| SqlError::internal(format!("{}: {e}", self.definition.name)))
    }
}

fn zero(ty: &PgType) -> &'static str {
    match ty {
        PgType::Bool => "f",
        PgType::Array(_) => "{}",
        PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid | PgType::Float4 => "0",
        _ => "",
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Cell {
        Cell(Some(value.to_owned()))
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Cell {
        Cell(Some(value))
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Cell {
        if value { "t" } else { "f" }.into()
    }
}

macro_rules! number_cells {
    ($($ty:ty)*) => {
        $(impl From<$ty> for Cell {
            fn from(value: $ty) -> Cell {
                Cell(Some(value.to_string()))
            }
        })*
    };
}
number_cells!(i16 i32 i64 u32 u64 usize);

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell(None), Into::into)
    }
}

/// A table's columns and lines.
type Lines = (Vec<&'static str>, Vec<&'static str>);

/// A time in microseconds since 1970 UTC.
pub(super) fn time_cell(us: i64) -> Cell {
    let ty = PgType::Timestamptz;
    let value: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![us]).with_timezone("UTC"));
    let settings = FormatSettings::default();
    let encoder = Encoder::new(&ty.field("", true), &value, Format::Text, &settings);
    let mut text = Vec::new();
    if let Ok(encoder) = encoder {
        encoder.write(0, &mut text);
    }
    Cell(String::from_utf8(text).ok().filter(|text| !text.is_empty()))
}

/// Rows of `rows.txt`, which was written from a PostgreSQL 15, but for the types of summaries: `# table column …`, then rows as COPY
/// writes them; of `pg_type` those that this server keeps or its catalogs have, of `pg_proc` their
/// input and output functions.
static LINES: LazyLock<HashMap<&str, Lines>> = LazyLock::new(|| {
    let mut tables: HashMap<&str, Lines> = HashMap::new();
    let mut name = "";
    for line in include_str!("rows.txt").lines() {
        if let Some(head) = line.strip_prefix("# ") {
            let mut words = head.split(' ');
            name = words.next().unwrap_or_default();
            tables.insert(name, (words.collect(), Vec::new()));
        } else if let Some((_, lines)) = tables.get_mut(name) {
            lines.push(line);
        }
    }
    tables
});

/// The rows of a table that never change.
pub(super) fn fixed(definition: &'static Definition) -> Result<RecordBatch> {
    if let Some(batch) = definition.fixed.get() {
        return Ok(batch.clone());
    }
    let mut rows = Rows::new(definition);
    if let Some((columns, lines)) = LINES.get(definition.name) {
        rows.columns(columns);
        for line in lines {
            let values: Vec<Cell> = line
                .split('\t')
                .map(|value| (value != "\\N").then_some(value).into())
                .collect();
            rows.push_slice(&values);
        }
    }
    match (definition.schema_name, definition.name) {
        ("pg_catalog", "pg_class") => relations::system_classes(&mut rows),
        ("pg_catalog", "pg_attribute") => relations::system_attributes(&mut rows),
        _ => {}
    }
    let made = rows.finish()?;
    Ok(definition.fixed.get_or_init(|| made).clone())
}

/// A value of a row of `rows.txt`: that of `column` in the row whose `key` is `value`.
pub(super) fn fixed_text(
    table: &str,
    key: &str,
    value: &str,
    column: &str,
) -> Option<&'static str> {
    let (columns, lines) = LINES.get(table)?;
    let position = |name: &str| columns.iter().position(|column| *column == name);
    let (key, column) = (position(key)?, position(column)?);
    lines
        .iter()
        .find(|line| line.split('\t').nth(key) == Some(value))?
        .split('\t')
        .nth(column)
}

/// What `pg_type` says of a type, as `pg_attribute` and `information_schema` repeat it.
pub(super) struct TypeRow {
    pub(super) name: &'static str,
    pub(super) len: &'static str,
    pub(super) by_value: &'static str,
    pub(super) align: &'static str,
    pub(super) storage: &'static str,
    pub(super) collation: &'static str,
}

/// A type by its oid; that of `text` for one that is not there.
pub(super) fn type_row(oid: u32) -> &'static TypeRow {
    static TYPES: LazyLock<HashMap<u32, TypeRow>> = LazyLock::new(|| {
        let Some((columns, lines)) = LINES.get("pg_type") else {
            return HashMap::new();
        };
        let rows = lines.iter().filter_map(|line| {
            let values: Vec<&'static str> = line.split('\t').collect();
            let value = |name: &str| {
                values
                    .get(columns.iter().position(|column| *column == name)?)
                    .copied()
            };
            let row = TypeRow {
                name: value("typname")?,
                len: value("typlen")?,
                by_value: value("typbyval")?,
                align: value("typalign")?,
                storage: value("typstorage")?,
                collation: value("typcollation")?,
            };
            Some((value("oid")?.parse().ok()?, row))
        });
        rows.collect()
    });
    static TEXT: TypeRow = TypeRow {
        name: "text",
        len: "-1",
        by_value: "f",
        align: "i",
        storage: "x",
        collation: "100",
    };
    TYPES.get(&oid).unwrap_or(&TEXT)
}
