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
                // An application's setting that was not there is empty afterwards, as in PostgreSQL.
                (Some(open), before) if open.explicit => {
                    open.local
                        .push((name.to_owned(), before.unwrap_or_default()));
                }
                (_, before) => {
                    self.settings.set(name, before.as_deref())?;
                    let message = "SET LOCAL can only be used in transaction blocks";
                    self.warn(SqlState::NO_ACTIVE_SQL_TRANSACTION, message);
                }
            }
        }
        Ok(Outcome::Command("SET".into()))
    }

    /// What `set_config` has set since this was asked last.
    pub(super) fn apply_changes(&mut self) {
        let changes = std::mem::take(&mut *self.info.changes.lock());
        let in_block = self.open.as_ref().is_some_and(|open| open.explicit);
        for change in changes {
            // Until the end of a transaction that ended with the statement.
            if change.local && !in_block {
                continue;
            }
            let value = SetValue::Values(vec![change.value]);
            // It was tried when the function was called.
            let _ = self.set(&change.name, &value, change.local);
        }
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
            self.prepared = Arc::default();
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
        let settings = self.visible_settings();
        if name.eq_ignore_ascii_case("all") {
            let own = SETTINGS.iter().map(|setting| (setting.name, setting.about));
            let server = settings.server().iter().map(|s| (s.name, s.about));
            let mut all: Vec<_> = own.chain(server).collect();
            all.sort_by_key(|(name, _)| name.to_ascii_lowercase());
            let rows = all.into_iter().map(|(name, about)| {
                Ok([name.to_owned(), settings.shown(name)?, about.to_owned()])
            });
            return Ok(text_rows(
                &["name", "setting", "description"],
                rows.collect::<Result<_>>()?,
                RowsTag::Show,
            ));
        }
        let value = settings.shown(name)?;
        let column = settings.spelled(name);
        Ok(text_rows(&[column], vec![[value]], RowsTag::Show))
    }

    /// The settings as they are now, those of an open transaction among them.
    pub(super) fn visible_settings(&self) -> Settings {
        let mut settings = self.settings.clone();
        if let Some(open) = &self.open {
            let read_only = if open.read_only { "on" } else { "off" };
            settings.tell("transaction_read_only", read_only);
            settings.tell("transaction_isolation", open.isolation());
        }
        settings
    }

    /// The columns that `SHOW` answers with.
    pub(super) fn show_columns(&self, name: &str) -> Vec<OutputColumn> {
        if name.eq_ignore_ascii_case("all") {
            return text_columns(&["name", "setting", "description"]);
        }
        text_columns(&[self.settings.spelled(name)])
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
