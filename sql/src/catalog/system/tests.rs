//! What clients ask the catalogs, and what they get.
//!
//! `tests/psql.txt` holds the queries that psql 15 sends for its commands and for tab completion,
//! captured with `psql -E` and from the log of a PostgreSQL 15 that had the same two tables, and its
//! rows: `#### command`, the query, `----`, the rows. `---- ours` stands before rows that are not
//! PostgreSQL's. `{orders}`, `{merchants}` and `{merchants_pkey}` are oids, `{size}` that of the rows.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use slicedb_storage::Options;
use slicedb_storage::vfs::RealVfs;
use tempfile::TempDir;

use super::relation::split_name;
use super::{Context, SessionInfo};
use crate::database::{Database, DatabaseOptions};
use crate::session::{
    Outcome, OutputColumn, ServerSetting, ServerSource, ServerValue, Session, SessionOptions, Unit,
};
use crate::types::{Encoder, Format, FormatSettings};

/// A time-series table with rows, and one with a primary key.
const TABLES: [&str; 4] = [
    "create table orders (merchant_id bigint not null, ts timestamptz not null, order_id text, \
     gross numeric(12,2) default 0.00, items int, name varchar(10), paid boolean, tags text[]) \
     with (tsdb.hypertable, tsdb.partition_column = 'ts', tsdb.segmentby = 'merchant_id')",
    "create table merchants (id bigint primary key, name text not null, country varchar(2), \
     meta jsonb, rank int default 7)",
    "insert into orders (merchant_id, ts) values (1, '2024-01-01 00:10:00+00'), \
     (2, '2024-01-01 00:20:00+00'), (1, '2024-01-02 00:30:00+00')",
    "select add_retention_policy('orders', interval '10000 days')",
];

/// A database with both, and a session.
struct Fixture {
    session: Session,
    database: Database,
    _directory: TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let directory = TempDir::new().unwrap();
        let storage = Options {
            background: false,
            ..Options::default()
        };
        let options = DatabaseOptions {
            data_dir: directory.path().to_owned(),
            storage,
            queries_memory_bytes: 64 << 20,
            query_memory_bytes: 64 << 20,
            spill_bytes: 0,
            query_threads: 1,
            settings: vec![ServerSetting {
                name: "cache_bytes",
                value: ServerValue::Number {
                    value: 1 << 20,
                    default: 1 << 28,
                    least: 0,
                    unit: Unit::Bytes,
                },
                source: ServerSource::File,
                about: "Memory of the cache.",
            }],
            vfs: Arc::new(RealVfs),
        };
        let database = Database::open(options).unwrap();
        let options = SessionOptions {
            user: "slicedb".into(),
            database: "slicedb".into(),
            pid: 7,
            ..SessionOptions::default()
        };
        let mut session = database.connect(options).unwrap();
        for table in TABLES {
            let parsed = session.parse(table).unwrap().remove(0);
            session.begin_implicit();
            session.run(parsed).await.unwrap();
            session.end_implicit(true).await.unwrap();
        }
        Fixture {
            session,
            database,
            _directory: directory,
        }
    }

    fn context(&self) -> Context {
        let state = self.database.engine().state();
        Context {
            catalog: self.database.catalogs().of(&state).unwrap(),
            state,
            session: Arc::new(SessionInfo {
                user: "slicedb".into(),
                database: "slicedb".into(),
                pid: 7,
                ..SessionInfo::default()
            }),
        }
    }

    /// The rows of a query as text.
    async fn run(&mut self, sql: &str) -> Result<Vec<String>, String> {
        let told = |e: crate::error::SqlError| e.to_string();
        let parsed = self.session.parse(sql).map_err(told)?.remove(0);
        let Outcome::Rows(mut rows) = self.session.run(parsed).await.map_err(told)? else {
            return Err("no query".into());
        };
        let mut out = Vec::new();
        while let Some(batch) = rows.stream.next().await {
            out.extend(lines(&batch.map_err(told)?, &rows.columns));
        }
        Ok(out)
    }
}

/// Rows as text, `|` between values and `\N` for null.
fn lines(batch: &RecordBatch, columns: &[OutputColumn]) -> Vec<String> {
    let settings = FormatSettings::default();
    let encoders = columns.iter().zip(batch.columns()).map(|(column, values)| {
        Encoder::new(&column.field, values, Format::Text, &settings).unwrap()
    });
    let encoders: Vec<Encoder> = encoders.collect();
    let line = |row| {
        let mut line = Vec::new();
        for (i, encoder) in encoders.iter().enumerate() {
            if i > 0 {
                line.push(b'|');
            }
            if encoder.is_null(row) {
                line.extend_from_slice(b"\\N");
            } else {
                encoder.write(row, &mut line);
            }
        }
        String::from_utf8(line).unwrap().replace('\n', "\\n")
    };
    (0..batch.num_rows()).map(line).collect()
}

/// With the oids in the places of names in braces.
fn with_oids(text: &str, context: &Context) -> String {
    let oid = |name| {
        context
            .relation_named(name)
            .map_or(0, |relation| relation.oid())
            .to_string()
    };
    text.replace("{orders}", &oid("orders"))
        .replace("{merchants}", &oid("merchants"))
        .replace("{merchants_pkey}", &oid("merchants_pkey"))
}

#[tokio::test]
async fn psql_gets_what_postgresql_answers() {
    let mut fixture = Fixture::new().await;
    let context = fixture.context();
    let size = "select pg_size_pretty(pg_table_size('orders'))";
    let size = fixture.run(size).await.unwrap().remove(0);
    let mut report = String::new();
    let only = std::env::var("ONLY").ok();
    for case in include_str!("tests/psql.txt").split("#### ").skip(1) {
        let (command, rest) = case.split_once('\n').unwrap();
        let (query, rows) = rest.split_once("\n----").unwrap();
        if only.as_ref().is_some_and(|only| command != only) {
            continue;
        }
        let mut want: Vec<String> = rows
            .lines()
            .skip(1)
            .map(|line| with_oids(line, &context).replace("{size}", &size))
            .filter(|l| !l.is_empty())
            .collect();
        match fixture.run(&with_oids(query, &context)).await {
            Ok(mut got) => {
                if !query.to_lowercase().contains("order by") {
                    got.sort();
                    want.sort();
                }
                if got != want {
                    let _ = writeln!(
                        report,
                        "#### {command}\n{query}\n---- want\n{}\n---- got\n{}\n",
                        want.join("\n"),
                        got.join("\n")
                    );
                }
            }
            Err(error) => {
                let _ = writeln!(report, "#### {command}\n{query}\n---- error: {error}\n");
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[tokio::test]
async fn the_settings_of_the_server_are_shown_and_not_set() {
    let mut fixture = Fixture::new().await;
    assert_eq!(fixture.run("show CACHE_bytes").await.unwrap(), ["1MB"]);
    let all = fixture.run("show all").await.unwrap();
    assert!(all.contains(&"cache_bytes|1MB|Memory of the cache.".to_owned()));
    let names = all.iter().filter_map(|line| line.split('|').next());
    assert!(names.map(str::to_ascii_lowercase).is_sorted());
    for change in [
        "set cache_bytes = 1",
        "set local cache_bytes to default",
        "reset cache_bytes",
        "select set_config('cache_bytes', '1', false)",
    ] {
        let error = fixture.run(change).await.unwrap_err();
        let told = "parameter \"cache_bytes\" cannot be changed without restarting the server";
        assert!(error.contains(told), "{change}: {error}");
    }
}

#[tokio::test]
async fn a_session_is_listed_until_it_ends() {
    let mut fixture = Fixture::new().await;
    let options = SessionOptions {
        user: "slicedb".into(),
        application_name: "other".into(),
        client: Some("127.0.0.1:7".parse().unwrap()),
        pid: 8,
        ..SessionOptions::default()
    };
    let mut other = fixture.database.connect(options).unwrap();
    for text in ["begin", "select 1 as one"] {
        let parsed = other.parse(text).unwrap().remove(0);
        other.run(parsed).await.unwrap();
    }
    let list = "select application_name, client_addr, client_port, state, query, \
                xact_start <= query_start from pg_stat_activity where pid = 8";
    let got = fixture.run(list).await.unwrap();
    assert_eq!(got, ["other|127.0.0.1|7|active|select 1 as one|t"]);
    other.rest();
    let got = fixture.run(list).await.unwrap();
    assert_eq!(
        got,
        ["other|127.0.0.1|7|idle in transaction|select 1 as one|t"]
    );
    let cancel = "select pg_cancel_backend(8)";
    assert_eq!(fixture.run(cancel).await.unwrap(), ["t"]);
    drop(other);
    assert!(fixture.run(list).await.unwrap().is_empty());
}

#[test]
fn names_are_folded_unless_quoted() {
    let split = |text| split_name(text).map(|parts| parts.join("/"));
    assert_eq!(split("Public.Orders").as_deref(), Some("public/orders"));
    assert_eq!(split(" \"A.b\" . \"c\"\"d\"").as_deref(), Some("A.b/c\"d"));
    assert_eq!(split("a."), None);
    assert_eq!(split("\"a"), None);
    assert_eq!(split("\"a\"b"), None);
    assert_eq!(split(""), None);
}

#[tokio::test]
async fn every_system_table_can_be_built() {
    let context = Fixture::new().await.context();
    for definition in super::definition::all() {
        let Context {
            catalog,
            state,
            session,
        } = &context;
        let table = super::table(
            definition.schema_name,
            definition.name,
            catalog,
            state,
            session,
        );
        assert!(table.unwrap().is_some(), "{}", definition.name);
    }
}

#[tokio::test]
async fn oids_differ() {
    let context = Fixture::new().await.context();
    let mut seen = std::collections::HashSet::new();
    for definition in super::definition::all() {
        assert!(seen.insert(definition.oid), "{}", definition.name);
    }
    for table in context.catalog.tables() {
        for oid in [
            table.oid,
            table.oid + 1,
            super::relation::index_oid(table),
            super::relation::constraint_oid(table),
        ] {
            assert!(seen.insert(oid), "{}", table.name);
        }
    }
}
