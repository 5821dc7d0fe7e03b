//! [`Arguments`]: those of a call, by position and name.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::TimestampMicrosecondType;

use super::super::Session;
use super::super::ddl::interval_us;
use crate::dialect::{AdminCall, AdminValue, TableName};
use crate::error::{Result, SqlError, SqlState};
use crate::types::{ColumnBuilder, PgType};

/// The arguments of a call, by position and name.
pub(super) struct Arguments<'a> {
    pub(super) call: &'a AdminCall,
    names: &'static [&'static str],
}

impl<'a> Arguments<'a> {
    /// The arguments, if the function takes them.
    ///
    /// # Errors
    /// 42883 for others.
    pub(super) fn of(call: &'a AdminCall, names: &'static [&'static str]) -> Result<Self> {
        for (position, argument) in call.arguments.iter().enumerate() {
            let is_known = match &argument.name {
                Some(name) => names.contains(&name.as_str()),
                None => position < names.len(),
            };
            if !is_known {
                let message = format!(
                    "function {} does not take these arguments",
                    call.function.name()
                );
                return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
                    .with_hint(format!("Its arguments are {}.", names.join(", "))));
            }
        }
        Ok(Arguments { call, names })
    }

    /// An argument that is given and not NULL.
    pub(super) fn get(&self, name: &str) -> Option<&'a AdminValue> {
        let position = self.names.iter().position(|n| *n == name)?;
        let mut arguments = self.call.arguments.iter().enumerate();
        let found = arguments.find(|(i, argument)| match &argument.name {
            Some(given) => given == name,
            None => *i == position,
        });
        found
            .map(|(_, argument)| &argument.value)
            .filter(|value| !matches!(value, AdminValue::Null))
    }

    /// Whether an argument is true.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(AdminValue::Boolean(true)))
    }

    /// The relation that the first argument names.
    ///
    /// # Errors
    /// 22023 when it is no name.
    pub(super) fn table(&self) -> Result<TableName> {
        match self.names.first().and_then(|name| self.get(name)) {
            Some(AdminValue::Text(text)) => {
                let (schema, name) = match text.split_once('.') {
                    Some((schema, name)) => (Some(schema.to_owned()), name.to_owned()),
                    None => (None, text.clone()),
                };
                Ok(TableName {
                    schema,
                    name,
                    position: 0,
                })
            }
            _ => Err(self.invalid("the first argument must be the name of a table")),
        }
    }

    /// A fixed length of time in microseconds.
    ///
    /// # Errors
    /// 22023 and 22007 when it is none.
    pub(super) fn interval(&self, value: &AdminValue) -> Result<i64> {
        match value {
            AdminValue::Interval(text) | AdminValue::Text(text) => interval_us(text),
            AdminValue::Integer(us) => Ok(*us),
            _ => Err(self.invalid("an interval is wanted")),
        }
    }

    /// 22023 with the function's name.
    pub(super) fn invalid(&self, message: &str) -> SqlError {
        SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{}: {message}", self.call.function.name()),
        )
    }
}

impl Session {
    /// The moment that an argument tells, in microseconds: a time, or an interval back from now.
    /// `None` when it is not given.
    pub(super) async fn moment(
        &mut self,
        arguments: &Arguments<'_>,
        name: &str,
        ty: &PgType,
    ) -> Result<Option<i64>> {
        let value = match arguments.get(name) {
            None => return Ok(None),
            Some(AdminValue::Interval(text)) => {
                let now = self.database.engine().now();
                return Ok(Some(now.saturating_sub(interval_us(text)?)));
            }
            Some(AdminValue::Text(text)) => {
                let mut builder = ColumnBuilder::new(ty, 1, &self.format_settings());
                builder.append_text(text.as_bytes())?;
                builder.finish()
            }
            Some(AdminValue::Expression(expr)) => self.constant(expr, ty).await?,
            Some(_) => return Err(arguments.invalid("a time or an interval is wanted")),
        };
        Ok(time_of(&value))
    }
}

fn time_of(value: &ArrayRef) -> Option<i64> {
    let times = value.as_primitive::<TimestampMicrosecondType>();
    times.iter().next().flatten()
}
