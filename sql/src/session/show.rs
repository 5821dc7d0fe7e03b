//! `SET`, `SHOW`, `RESET`, `DISCARD`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::{Outcome, OutputColumn, RowStream, Rows, RowsTag, SETTINGS, Session, Settings};
use crate::dialect::{Discard, SetValue, TransactionModes};
use crate::error::{Result, SqlError, SqlState};

impl Session {
    pub(super) fn set(&mut self, name: &str, value: &SetValue, local: bool) -> Result<Outcome> {
        let before = self.settings.get(name).ok();
        let default = self.initial.get(name).ok();
        let value = match value {
            SetValue::Values(values) => Some(values.join(", ")),
            SetValue::Default => default,
        };
        self.settings.set(name, value.as_deref())?;
        if name.eq_ignore_ascii_case("transaction_read_only")
            && let Some(open) = &mut self.open
        {
            open.read_only = value.as_deref() == Some("on");
        }
        if local {
            match (&mut self.open, before) {
                (Some(open), Some(before)) if open.explicit => {
                    open.local.push((name.to_owned(), before))
                }
                (Some(open), None) if open.explicit => {}
                (_, before) => {
                    self.settings.set(name, before.as_deref())?;
                    let message = "SET LOCAL can only be used in transaction blocks";
                    self.warn(SqlState::NO_ACTIVE_SQL_TRANSACTION, message);
                }
            }
        }
        Ok(Outcome::Command("SET".into()))
    }

    pub(super) fn set_characteristics(&mut self, modes: &TransactionModes) -> Result<Outcome> {
        if let Some(level) = modes.isolation {
            self.settings
                .set("default_transaction_isolation", Some(level.as_str()))?;
        }
        if let Some(read_only) = modes.read_only {
            let value = if read_only { "on" } else { "off" };
            self.settings
                .set("default_transaction_read_only", Some(value))?;
        }
        Ok(Outcome::Command("SET".into()))
    }

    pub(super) fn reset(&mut self, name: &str) -> Result<Outcome> {
        if name.eq_ignore_ascii_case("all") {
            self.settings = self.initial.clone();
        } else {
            let initial = self.initial.get(name).ok();
            self.settings.set(name, initial.as_deref())?;
        }
        Ok(Outcome::Command("RESET".into()))
    }

    pub(super) fn discard(&mut self, what: Discard) -> Result<Outcome> {
        if what == Discard::All {
            if self.open.as_ref().is_some_and(|open| open.explicit) {
                let message = "DISCARD ALL cannot run inside a transaction block";
                return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
            }
            self.settings = self.initial.clone();
            self.prepared.clear();
        }
        Ok(Outcome::Command(
            match what {
                Discard::All => "DISCARD ALL",
                Discard::Plans => "DISCARD PLANS",
                Discard::Sequences => "DISCARD SEQUENCES",
                Discard::Temp => "DISCARD TEMP",
            }
            .into(),
        ))
    }

    pub(super) fn show(&self, name: &str) -> Result<Outcome> {
        if name.eq_ignore_ascii_case("all") {
            let rows = SETTINGS
                .iter()
                .map(|s| [s.name, self.settings.value(s), s.about].map(str::to_owned));
            return Ok(text_rows(
                &["name", "setting", "description"],
                rows.collect(),
                RowsTag::Show,
            ));
        }
        let value = match self.transaction_setting(name) {
            Some(value) => value,
            None => self.settings.get(name)?,
        };
        let column = Settings::find(name).map_or(name, |setting| setting.name);
        Ok(text_rows(&[column], vec![[value]], RowsTag::Show))
    }

    fn transaction_setting(&self, name: &str) -> Option<String> {
        let open = self.open.as_ref()?;
        match name.to_ascii_lowercase().as_str() {
            "transaction_read_only" => Some(if open.read_only { "on" } else { "off" }.to_owned()),
            "transaction_isolation" => Some(open.isolation().to_owned()),
            _ => None,
        }
    }

    /// The columns that `SHOW` answers with.
    pub(super) fn show_columns(&self, name: &str) -> Vec<OutputColumn> {
        if name.eq_ignore_ascii_case("all") {
            return text_columns(&["name", "setting", "description"]);
        }
        text_columns(&[Settings::find(name).map_or(name, |setting| setting.name)])
    }
}

/// Columns of type text.
pub(super) fn text_columns(names: &[&str]) -> Vec<OutputColumn> {
    let field = |name: &&str| Arc::new(Field::new(*name, DataType::Utf8, true));
    names
        .iter()
        .map(|name| OutputColumn::new(field(name)))
        .collect()
}

/// A result of texts.
pub(super) fn text_rows<const N: usize>(
    names: &[&str],
    rows: Vec<[String; N]>,
    tag: RowsTag,
) -> Outcome {
    let columns = text_columns(names);
    let schema = Arc::new(Schema::new(
        columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>(),
    ));
    let arrays = (0..N).map(|c| {
        let values: StringArray = rows.iter().map(|row| Some(row[c].as_str())).collect();
        Arc::new(values) as ArrayRef
    });
    // The arrays are made for the schema, one of text for each column.
    let batch = RecordBatch::try_new(schema.clone(), arrays.collect());
    let stream = RowStream::ready(vec![
        batch.unwrap_or_else(|_| RecordBatch::new_empty(schema)),
    ]);
    Outcome::Rows(Rows {
        columns: Arc::new(columns),
        stream,
        tag,
    })
}
