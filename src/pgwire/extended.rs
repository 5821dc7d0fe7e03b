//! The extended protocol: Parse, Bind, Describe, Execute, Close.
//!
//! All up to Sync is one implicit transaction; the first error skips the rest of it. Errors are
//! worded as PostgreSQL words them.

use std::sync::Arc;

use bytes::Bytes;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
    PortalSuspended,
};
use pgwire::messages::response::EmptyQueryResponse;
use slicedb_sql::error::{SqlError, SqlState};
use slicedb_sql::session::{Outcome, Param, Prepared};
use slicedb_sql::types::{ColumnBuilder, Format, FormatSettings, PgType};

use super::error::{Fault, violation};
use super::portal::{Portal, State, missing};
use super::rows::{self, Cursor};
use super::session::{Connection, Effect, shifted};
use super::statement::Statement;

/// The type of a literal whose type is open; in a Parse message the same as no type.
const UNKNOWN_OID: u32 = 705;

impl Connection<'_> {
    pub(super) async fn parse(&mut self, message: Parse) -> Result<(), Fault> {
        self.begin();
        self.channel.arm();
        let Parse {
            name,
            query,
            type_oids,
            ..
        } = message;
        let name = name.unwrap_or_default();
        self.statements.admit(&name, query.len())?;
        let mut statements = self.session.parse(&query)?;
        if statements.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).into());
        }
        let types = type_oids
            .into_iter()
            .map(parameter_type)
            .collect::<Result<_, _>>()?;
        let prepared = match statements.pop() {
            None => None,
            Some(parsed) => {
                let offset = parsed.offset;
                let preparing = self.session.prepare(parsed, types);
                let prepared = self.channel.race(preparing).await?;
                Some(prepared.map_err(|error| shifted(error, offset))?)
            }
        };
        self.statements.insert(
            name,
            Statement {
                prepared,
                bytes: query.len(),
            },
        );
        self.channel.put(&ParseComplete::new());
        Ok(())
    }

    pub(super) fn bind(&mut self, message: Bind) -> Result<(), Fault> {
        self.begin();
        let name = message.portal_name.unwrap_or_default();
        let statement_name = message.statement_name.unwrap_or_default();
        let prepared = self.statements.get(&statement_name)?.prepared.clone();
        let types = prepared
            .as_deref()
            .map_or(&[][..], |prepared| &prepared.params[..]);
        let columns = prepared
            .as_deref()
            .and_then(|prepared| prepared.columns.as_ref());
        let columns = columns.map_or(0, |columns| columns.len());

        let (codes, values) = (message.parameter_format_codes, message.parameters);
        let parameter_formats = spread(&codes, values.len(), |formats, parameters| {
            format!("bind message has {formats} parameter formats but {parameters} parameters")
        })?;
        if values.len() != types.len() {
            let (got, wanted) = (values.len(), types.len());
            let message = format!(
                "bind message supplies {got} parameters, but prepared statement \
                 \"{statement_name}\" requires {wanted}"
            );
            return Err(violation(message).into());
        }
        let formats = spread(
            &message.result_column_format_codes,
            columns,
            |formats, columns| {
                format!("bind message has {formats} result formats but query has {columns} columns")
            },
        )?;
        let bytes = values.iter().flatten().map(Bytes::len).sum();
        self.portals.admit(&name, bytes)?;
        let settings = self.session.format_settings();
        let values = values.iter().zip(parameter_formats).zip(types).enumerate();
        let parameters = values
            .map(|(index, ((value, format), ty))| {
                let parameter = parameter(value.as_deref(), format, ty, &settings);
                parameter.map_err(|error| which(error, &name, index + 1))
            })
            .collect::<Result<_, _>>()?;
        let state = State::Bound(parameters);
        self.portals.insert(
            name,
            Portal {
                prepared,
                formats,
                state,
                bytes,
            },
        );
        self.channel.put(&BindComplete::new());
        Ok(())
    }

    pub(super) fn describe(&mut self, message: Describe) -> Result<(), Fault> {
        self.begin();
        let name = message.name.unwrap_or_default();
        let (prepared, formats) = match message.target_type {
            b'S' => {
                let prepared = self.statements.get(&name)?.prepared.clone();
                let types = prepared.iter().flat_map(|prepared| &prepared.params);
                let types = types.map(PgType::oid).collect();
                self.channel.put(&ParameterDescription::new(types));
                (prepared, Vec::new())
            }
            b'P' => {
                let portal = self.portals.get(&name)?;
                (portal.prepared.clone(), portal.formats.clone())
            }
            target => {
                return Err(violation(format!("invalid DESCRIBE message subtype {target}")).into());
            }
        };
        match prepared
            .as_deref()
            .and_then(|prepared| prepared.columns.as_ref())
        {
            Some(columns) => self.channel.put(&rows::description(columns, &formats)?),
            None => self.channel.put(&NoData::new()),
        }
        Ok(())
    }

    pub(super) async fn execute(&mut self, message: Execute) -> Result<(), Fault> {
        self.begin();
        self.channel.arm();
        let name = message.name.unwrap_or_default();
        let limit = match message.max_rows {
            ..=0 => u64::MAX,
            rows => rows.unsigned_abs().into(),
        };
        let mut portal = self.portals.take(&name).ok_or_else(|| missing(&name))?;
        let effect = match &portal.prepared {
            Some(prepared) => Effect::of(&prepared.parsed.statement),
            None => Effect::None,
        };
        // An error ends all portals, so one that failed does not come back.
        self.run_portal(&name, &mut portal, limit).await?;
        self.portals.insert(name, portal);
        self.forget(effect);
        Ok(())
    }

    async fn run_portal(
        &mut self,
        name: &str,
        portal: &mut Portal,
        limit: u64,
    ) -> Result<(), Fault> {
        let Some(prepared) = &portal.prepared else {
            self.channel.put(&EmptyQueryResponse::new());
            return Ok(());
        };
        if let State::Bound(parameters) = &mut portal.state {
            let parameters = std::mem::take(parameters);
            portal.state = match self.start(prepared, parameters).await? {
                Some(cursor) => State::Open(cursor),
                None => State::Finished,
            };
            if matches!(portal.state, State::Finished) {
                return Ok(());
            }
        }
        let State::Open(cursor) = &mut portal.state else {
            let message = format!("portal \"{name}\" cannot be run");
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).into());
        };
        let settings = self.session.format_settings();
        let count = cursor
            .send(self.channel, &portal.formats, &settings, limit)
            .await?;
        // Like PostgreSQL, which does not look beyond the last row that was asked for.
        if count == limit {
            self.channel.put(&PortalSuspended::new());
        } else {
            self.held = Some(cursor.tag(count));
        }
        Ok(())
    }

    // Runs a bound statement; what has no rows is done after that.
    async fn start(
        &mut self,
        prepared: &Arc<Prepared>,
        parameters: Vec<Param>,
    ) -> Result<Option<Cursor>, Fault> {
        let statement = &prepared.parsed.statement;
        if let Some(tag) = self.deallocate(statement) {
            self.held = Some(tag);
            return Ok(None);
        }
        let running = self.session.execute(prepared, parameters);
        let outcome = self.channel.race(running).await?;
        self.tell_notices();
        let tag = match outcome.map_err(|error| shifted(error, prepared.parsed.offset))? {
            // A client that was told of no rows may crash when some come.
            Outcome::Rows(_) if prepared.columns.is_none() => {
                return Err(SqlError::internal("rows from a statement without columns").into());
            }
            Outcome::Rows(rows) => return Ok(Some(Cursor::new(rows))),
            Outcome::Command(tag) => tag,
            Outcome::CopyIn(copy) => self.copy_in(copy).await?,
            Outcome::CopyOut(copy) => self.copy_out(copy).await?,
        };
        self.held = Some(tag);
        Ok(None)
    }

    pub(super) fn close(&mut self, message: Close) -> Result<(), Fault> {
        let name = message.name.unwrap_or_default();
        match message.target_type {
            b'S' => drop(self.statements.remove(&name)),
            b'P' => drop(self.portals.take(&name)),
            target => {
                return Err(violation(format!("invalid CLOSE message subtype {target}")).into());
            }
        }
        self.channel.put(&CloseComplete::new());
        Ok(())
    }
}

fn parameter_type(oid: u32) -> Result<Option<PgType>, SqlError> {
    match oid {
        0 | UNKNOWN_OID => Ok(None),
        oid => PgType::from_oid(oid).map(Some).ok_or_else(|| {
            let message = format!("type with OID {oid} does not exist");
            SqlError::new(SqlState::UNDEFINED_OBJECT, message)
        }),
    }
}

// No code means text for all, one code is for all, else there is one code each.
fn spread(
    codes: &[i16],
    count: usize,
    mismatch: impl Fn(usize, usize) -> String,
) -> Result<Vec<Format>, SqlError> {
    let formats = codes.iter().map(|code| match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        code => {
            let message = format!("unsupported format code: {code}");
            Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
    });
    let formats: Vec<Format> = formats.collect::<Result<_, _>>()?;
    match formats[..] {
        [] => Ok(vec![Format::Text; count]),
        [format] => Ok(vec![format; count]),
        _ if formats.len() == count => Ok(formats),
        _ => Err(violation(mismatch(formats.len(), count))),
    }
}

fn parameter(
    value: Option<&[u8]>,
    format: Format,
    ty: &PgType,
    settings: &FormatSettings,
) -> Result<Param, SqlError> {
    let mut builder = ColumnBuilder::new(ty, 1, settings);
    match (value, format) {
        (None, _) => builder.append_null(),
        (Some(value), Format::Text) => builder.append_text(value)?,
        (Some(value), Format::Binary) => builder.append_binary(value)?,
    }
    Ok(builder.finish())
}

// Says which parameter it was, though not its value.
fn which(error: SqlError, portal: &str, number: usize) -> SqlError {
    let portal = match portal {
        "" => "unnamed portal".to_owned(),
        name => format!("portal \"{name}\""),
    };
    error.in_context(format!("{portal} parameter ${number} = '...'"))
}
