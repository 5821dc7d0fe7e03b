//! A session for the runner: SQL in, rows as text out, over the simple protocol.

use std::fmt;
use std::sync::LazyLock;

use sqllogictest::{ColumnType, DB, DBOutput, MakeConnection, Runner};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Runs all sessions of all files.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// Whose answers are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Engine<'a> {
    /// Ours.
    SliceDb,
    /// The reference, in the database of this name.
    Postgres(&'a str),
}

impl Engine<'_> {
    /// The name behind `onlyif` and `skipif`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Engine::SliceDb => "slicedb",
            Engine::Postgres(_) => "postgres",
        }
    }
}

/// The letter of a column: its type by oid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type(char);

impl Type {
    /// Any other type, and in a file: any type.
    const OTHER: Type = Type('?');

    fn of_oid(oid: u32) -> Type {
        Type(match oid {
            16 => 'B',                // bool
            17 => 'X',                // bytea
            18 | 19 => 'E',           // "char", name
            20 => 'L',                // int8
            21 => 'S',                // int2
            23 => 'I',                // int4
            25 => 'T',                // text
            26 => 'O',                // oid
            114 => 'J',               // json
            700 => 'F',               // float4
            701 => 'R',               // float8
            1042 => 'C',              // char(n)
            1043 => 'V',              // varchar
            1082 => 'D',              // date
            1083 => 'H',              // time
            1114 => 'P',              // timestamp
            1184 => 'Z',              // timestamptz
            1186 => 'W',              // interval
            1700 => 'N',              // numeric
            2950 => 'U',              // uuid
            3802 => 'K',              // jsonb
            199 | 1000..=1300 => 'A', // arrays of these
            2951 | 3807 => 'A',
            _ => return Type::OTHER,
        })
    }
}

impl ColumnType for Type {
    fn from_char(value: char) -> Option<Self> {
        Some(Type(value))
    }

    fn to_char(&self) -> char {
        self.0
    }
}

pub(super) fn types_match(actual: &Vec<Type>, expected: &Vec<Type>) -> bool {
    actual.len() == expected.len()
        && std::iter::zip(actual, expected).all(|(a, e)| *e == Type::OTHER || a == e)
}

/// Values are compared as they are.
#[expect(clippy::ptr_arg, reason = "the runner's signature")]
pub(super) fn as_it_is(value: &String) -> String {
    value.clone()
}

/// An error of the server as the files have it.
#[derive(Debug, PartialEq)]
pub(super) struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Error(match error.as_db_error() {
            Some(e) => format!("{}: {}", e.code().code(), e.message().replace('\n', "\\n")),
            None => error.to_string(),
        })
    }
}

/// The way in which each query is prepared and run several times.
pub(super) const PREPARED: &str = "prepared";

/// One connection.
pub(super) struct Session {
    client: Client,
    name: &'static str,
    /// Whether each query is prepared and run several times.
    prepares: bool,
}

/// What a statement answered.
#[derive(Debug, PartialEq)]
struct Answer {
    /// How many columns it has, if any.
    columns: Option<usize>,
    rows: Vec<Vec<String>>,
    count: u64,
}

impl Session {
    fn connect(engine: Engine<'_>, port: u16, prepares: bool) -> Result<Session, Error> {
        let database = match engine {
            Engine::SliceDb => "user=slicedb dbname=slicedb".to_owned(),
            Engine::Postgres(database) => format!("user=postgres dbname={database}"),
        };
        let config = format!("host=127.0.0.1 port={port} {database}");
        let (client, connection) = RUNTIME.block_on(tokio_postgres::connect(&config, NoTls))?;
        RUNTIME.spawn(connection);
        Ok(Session {
            client,
            name: engine.name(),
            prepares,
        })
    }

    fn ask(&self, sql: &str) -> Result<Answer, Error> {
        let messages = RUNTIME.block_on(self.client.simple_query(sql))?;
        let (mut columns, mut rows, mut count) = (None, Vec::new(), 0);
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(description) => {
                    columns = Some(description.len())
                }
                SimpleQueryMessage::Row(row) => {
                    let values: Vec<String> = (0..row.len()).map(|i| shown(row.get(i))).collect();
                    // One value to the runner, so that its own separator does not come in.
                    rows.push(vec![values.join("|")]);
                }
                SimpleQueryMessage::CommandComplete(n) => count = n,
                _ => {}
            }
        }
        Ok(Answer {
            columns,
            rows,
            count,
        })
    }

    /// The answer of a query that is prepared, and run with its own plan, with a generic plan that
    /// is made for it, and with that plan again. `None` for what cannot be prepared.
    fn ask_prepared(&self, sql: &str) -> Option<Result<Answer, Error>> {
        let first = sql.trim_start().to_ascii_lowercase();
        let is_query = ["select", "with", "values", "table", "("]
            .iter()
            .any(|w| first.starts_with(w));
        if !is_query || sql.contains(';') || self.ask("select 1").is_err() {
            return None;
        }
        // An error would end the transaction if there is one, and be told as another.
        let in_transaction = self.ask("savepoint again").is_ok();
        let release = || in_transaction.then(|| self.ask("release again"));
        let back = || in_transaction.then(|| self.ask("rollback to again"));
        if self.ask(&format!("prepare again as {sql}")).is_err() {
            back();
            release();
            return None;
        }
        let runs = [(); 3].map(|()| {
            let answer = self.ask("execute again");
            if answer.is_err() {
                back();
            }
            answer
        });
        let _ = self.ask("deallocate again");
        release();
        Some(match runs {
            [Ok(own), Ok(made), Ok(kept)] if own == made && own == kept => Ok(own),
            // As it is asked, it fails as it should.
            [Err(own), Err(made), Err(kept)] if own == made && own == kept => return None,
            runs => Err(Error(format!("runs differ: {runs:?}"))),
        })
    }

    /// Types of the answer's columns; the simple protocol's driver does not tell them. `None` for
    /// several statements, and for what cannot be planned a second time.
    fn types(&self, sql: &str) -> Option<Vec<Type>> {
        if sql.contains(';') {
            return None;
        }
        let statement = RUNTIME.block_on(self.client.prepare(sql)).ok()?;
        let columns = statement.columns().iter();
        Some(columns.map(|c| Type::of_oid(c.type_().oid())).collect())
    }
}

impl DB for Session {
    type Error = Error;
    type ColumnType = Type;

    fn run(&mut self, sql: &str) -> Result<DBOutput<Type>, Error> {
        let sql = match self.name {
            "postgres" => without_options(sql),
            _ => sql.to_owned(),
        };
        let prepared = match self.prepares {
            true => self.ask_prepared(&sql),
            false => None,
        };
        let answer = prepared.unwrap_or_else(|| self.ask(&sql))?;
        Ok(match answer.columns {
            Some(columns) => DBOutput::Rows {
                types: self
                    .types(&sql)
                    .unwrap_or_else(|| vec![Type::OTHER; columns]),
                rows: answer.rows,
            },
            None => DBOutput::StatementComplete(answer.count),
        })
    }

    fn engine_name(&self) -> &str {
        self.name
    }
}

/// A value as one line that is not empty.
fn shown(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.replace('\n', "\\n"),
    }
}

/// `CREATE TABLE … WITH (tsdb…)` as PostgreSQL knows it.
fn without_options(sql: &str) -> String {
    let lower = sql.to_ascii_lowercase();
    let found = ["tsdb.", "timescaledb."]
        .iter()
        .filter_map(|p| lower.find(p))
        .min()
        .and_then(|prefix| lower[..prefix].rfind("with"));
    match found {
        Some(with) if lower.starts_with("create table") => {
            let end = sql[with..].find(')').map_or(sql.len(), |i| with + i + 1);
            format!("{}{}", &sql[..with], &sql[end..])
        }
        _ => sql.to_owned(),
    }
}

/// A runner with sessions of its own. `way` is known to `onlyif` and `skipif`.
pub(super) fn runner<'a>(
    engine: Engine<'a>,
    port: u16,
    way: &str,
) -> Runner<Session, impl MakeConnection<Conn = Session> + use<'a>> {
    let prepares = way == PREPARED;
    let mut runner =
        Runner::new(move || std::future::ready(Session::connect(engine, port, prepares)));
    runner.add_label(way);
    runner.with_normalizer(as_it_is);
    runner.with_column_validator(types_match);
    runner
}
