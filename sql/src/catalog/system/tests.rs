//! What clients ask the catalogs, and what they get.
//!
//! `tests/psql.txt` holds the queries that psql 15 sends for its commands and for tab completion,
//! captured with `psql -E` and from the log of a PostgreSQL 15 that had the same two tables, and its
//! rows: `#### command`, the query, `----`, the rows. `---- ours` stands before rows that are not
//! PostgreSQL's. `{orders}`, `{merchants}` and `{merchants_pkey}` are oids.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::config::Dialect;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as PlanStatement;
use datafusion::sql::sqlparser::ast;
use slicedb_storage::{Layout, Sequence, State, TableDef, TableId, TableState};

use super::relation::{Relation, split_name};
use super::{Context, SessionInfo, functions, rewrite_system_query};
use crate::catalog::{Catalog, CatalogView, Record, TableEntry, schemas, table_oid};
use crate::dialect::{self, PgTypePlanner, Statement};
use crate::types::{Encoder, Format, FormatSettings, PgType};

const ORDERS: TableId = TableId(1);
const MERCHANTS: TableId = TableId(2);

/// A time-series table and one with a primary key.
fn context() -> Context {
    let time_series = Layout::TimeSeries {
        time: 1,
        key: Some(0),
        chunk_us: 3_600_000_000,
        retention_us: None,
    };
    let numeric = PgType::Numeric {
        precision: 12,
        scale: 2,
    };
    let tags = PgType::Array(Box::new(PgType::Text));
    let tables = [
        table(
            "orders",
            ORDERS,
            time_series,
            &[("gross", "0.00")],
            &[
                PgType::Int8.field("merchant_id", false),
                PgType::Timestamptz.field("ts", false),
                PgType::Text.field("order_id", true),
                numeric.field("gross", true),
                PgType::Int4.field("items", true),
                PgType::Varchar(Some(10)).field("name", true),
                PgType::Bool.field("paid", true),
                tags.field("tags", true),
            ],
        ),
        table(
            "merchants",
            MERCHANTS,
            Layout::Reference {
                primary_key: vec![0],
            },
            &[("rank", "7")],
            &[
                PgType::Int8.field("id", false),
                PgType::Text.field("name", false),
                PgType::Varchar(Some(2)).field("country", true),
                PgType::Jsonb.field("meta", true),
                PgType::Int4.field("rank", true),
            ],
        ),
    ];
    let records = tables.iter().map(|t| (t.record_name(), t.record()));
    let states = tables.iter().map(|t| {
        (
            t.def.id,
            Arc::new(TableState::new(t.def.clone(), Sequence(1))),
        )
    });
    let state = State {
        sequence: Sequence(1),
        tables: Arc::new(states.collect::<HashMap<_, _>>()),
        records: Arc::new(records.collect::<BTreeMap<_, _>>()),
    };
    Context {
        catalog: Arc::new(Catalog::read(&state).unwrap()),
        state: Arc::new(state),
        session: Arc::new(SessionInfo {
            user: "slicedb".into(),
            database: "slicedb".into(),
            pid: 7,
        }),
    }
}

fn table(
    name: &str,
    id: TableId,
    layout: Layout,
    defaults: &[(&str, &str)],
    fields: &[Field],
) -> TableEntry {
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let def = Arc::new(TableDef::new(id, schema, layout).unwrap());
    let defaults = defaults
        .iter()
        .map(|(name, sql)| (name.to_string(), sql.to_string()))
        .collect();
    TableEntry::new(
        "public",
        name,
        def,
        Record {
            table: id,
            oid: table_oid(id),
            defaults,
        },
    )
}

fn session(context: &Context) -> SessionState {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema("slicedb", "public")
        .with_create_default_catalog_and_schema(false)
        .with_target_partitions(2)
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.dialect = Dialect::PostgreSQL;
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    let view = CatalogView {
        state: context.state.clone(),
        catalog: context.catalog.clone(),
        time_zone: "UTC".into(),
        row_ids_of: None,
        extra: Vec::new(),
        session: context.session.clone(),
    };
    let list = MemoryCatalogProviderList::new();
    for (name, provider) in schemas("slicedb", view).unwrap() {
        list.register_catalog(name, provider);
    }
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_catalog_list(Arc::new(list))
        .with_type_planner(Arc::new(PgTypePlanner))
        .build();
    for function in crate::functions::scalar_functions() {
        state.register_udf(function).unwrap();
    }
    for function in functions(&context.catalog, &context.state, &context.session) {
        state.register_udf(function).unwrap();
    }
    state
}

/// Runs a query as a session does.
async fn run(state: &SessionState, sql: &str) -> Result<Vec<String>, String> {
    let mut parsed = dialect::parse(sql).map_err(|e| e.to_string())?;
    let Some(Statement::Query(mut query)) = parsed.pop().map(|p| p.statement) else {
        return Err("no query".into());
    };
    rewrite_system_query(&mut query);
    dialect::rewrite_query(&mut query).map_err(|e| e.to_string())?;
    let statement = PlanStatement::Statement(Box::new(ast::Statement::Query(query)));
    let plan = state
        .statement_to_plan(statement)
        .await
        .map_err(|e| e.to_string())?;
    let frame = SessionContext::new_with_state(state.clone())
        .execute_logical_plan(plan)
        .await
        .map_err(|e| e.to_string())?;
    let fields: Vec<Field> = frame
        .schema()
        .fields()
        .iter()
        .map(|f| f.as_ref().clone())
        .collect();
    let batches = frame.collect().await.map_err(|e| e.to_string())?;
    Ok(batches
        .iter()
        .flat_map(|batch| lines(batch, &fields))
        .collect())
}

/// Rows as text, `|` between values and `\N` for null.
fn lines(batch: &RecordBatch, fields: &[Field]) -> Vec<String> {
    let settings = FormatSettings::default();
    let encoders = fields
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| Encoder::new(field, column, Format::Text, &settings).unwrap());
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
            .map_or(0, |r: Relation<'_>| r.oid())
            .to_string()
    };
    text.replace("{orders}", &oid("orders"))
        .replace("{merchants}", &oid("merchants"))
        .replace("{merchants_pkey}", &oid("merchants_pkey"))
}

#[tokio::test]
async fn psql_gets_what_postgresql_answers() {
    let context = context();
    let state = session(&context);
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
            .map(|line| with_oids(line, &context))
            .filter(|l| !l.is_empty())
            .collect();
        match run(&state, &with_oids(query, &context)).await {
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

#[test]
fn every_system_table_can_be_built() {
    let context = context();
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

#[test]
fn oids_differ() {
    let context = context();
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
