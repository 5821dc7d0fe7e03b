//! Real clients: tokio-postgres and psql.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt, TryStreamExt, pin_mut};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::server::Server;

async fn connect(server: &Server) -> Client {
    let address = server.address();
    let settings = format!(
        "host={} port={} user=slicedb application_name=drivers",
        address.ip(),
        address.port()
    );
    let (client, connection) = tokio_postgres::connect(&settings, NoTls)
        .await
        .expect("a login");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn prepared_statements() {
    let client = connect(Server::shared()).await;
    let statement = client.prepare("select $1::int4, $2::text").await.unwrap();
    assert_eq!(statement.params().len(), 2);
    for (number, text) in [(1, "a"), (-7, ""), (i32::MAX, "ü")] {
        let row = client
            .query_one(&statement, &[&number, &text])
            .await
            .unwrap();
        assert_eq!(
            (row.get::<_, i32>(0), row.get::<_, &str>(1)),
            (number, text)
        );
    }
    let row = client
        .query_one(&statement, &[&None::<i32>, &None::<&str>])
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, Option<i32>>(0), row.get::<_, Option<&str>>(1)),
        (None, None)
    );
    let error = client.prepare("select nope").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_COLUMN));
    // Pipelined.
    let (one, two) = tokio::join!(
        client.query_one(&statement, &[&1, &"x"]),
        client.query_one(&statement, &[&2, &"y"])
    );
    assert_eq!(
        one.unwrap().get::<_, i32>(0) + two.unwrap().get::<_, i32>(0),
        3
    );
}

#[tokio::test]
async fn portals_with_row_limits() {
    let mut client = connect(Server::shared()).await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction
        .bind("select generate_series(1, 2500)", &[])
        .await
        .unwrap();
    let mut seen = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 999).await.unwrap();
        seen.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
        // Another statement in between does not disturb it.
        transaction.query_one("select 1", &[]).await.unwrap();
        if rows.len() < 999 {
            break;
        }
    }
    assert_eq!(seen, (1..=2500).collect::<Vec<_>>());
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn copy_in_and_out() {
    let client = connect(Server::shared()).await;
    client
        .batch_execute("create table wire_copy (a int, b text)")
        .await
        .unwrap();
    let sink = client
        .copy_in::<_, bytes::Bytes>("copy wire_copy from stdin")
        .await
        .unwrap();
    pin_mut!(sink);
    for start in (0..100_000).step_by(1000) {
        let lines: String = (start..start + 1000)
            .map(|row| format!("{row}\trow {row}\n"))
            .collect();
        sink.send(lines.into()).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 100_000);
    let row = client
        .query_one("select count(*) from wire_copy", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 100_000);

    let stream = client.copy_out("copy wire_copy to stdout").await.unwrap();
    let rows: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(rows.len(), 100_000);
    assert_eq!(rows[77], "77\trow 77\n");

    // A bad line in the middle: nothing of it stays, and the connection goes on.
    let sink = client
        .copy_in::<_, bytes::Bytes>("copy wire_copy from stdin")
        .await
        .unwrap();
    pin_mut!(sink);
    let lines = "1\tx\n".repeat(300_000) + "bad\tx\n" + &"1\tx\n".repeat(300_000);
    // The server may refuse while data is still being sent.
    let _ = sink.send(lines.into()).await;
    let error = sink.finish().await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
    let row = client
        .query_one("select count(*) from wire_copy", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 100_000);

    // Dropping the sink sends CopyFail.
    {
        let sink = client
            .copy_in::<_, bytes::Bytes>("copy wire_copy from stdin")
            .await
            .unwrap();
        pin_mut!(sink);
        sink.send("5\tx\n".into()).await.unwrap();
    }
    let row = client
        .query_one("select count(*) from wire_copy", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 100_000);
}

#[tokio::test]
async fn cancel_within_a_second() {
    let server = Server::shared();
    let client = connect(server).await;
    // The second one has rows on their way, which this slow build of a client must read first.
    let statements = [
        ("select pg_sleep(30)", 1_000),
        ("select generate_series(1, 2000000000)", 8_000),
    ];
    for (text, patience_ms) in statements {
        let token = client.cancel_token();
        let begun = Instant::now();
        let canceller = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            token.cancel_query(NoTls).await.unwrap();
        });
        let stream = client.query_raw(text, Vec::<i32>::new()).await.unwrap();
        let ended = stream.try_for_each(|_| async { Ok(()) }).await.unwrap_err();
        assert_eq!(ended.code(), Some(&SqlState::QUERY_CANCELED));
        assert!(
            begun.elapsed() < Duration::from_millis(300 + patience_ms),
            "{text}"
        );
        canceller.await.unwrap();
    }
    // A COPY that waits for data.
    client
        .batch_execute("create table wire_cancel (a int)")
        .await
        .unwrap();
    let sink = client
        .copy_in::<_, bytes::Bytes>("copy wire_cancel from stdin")
        .await
        .unwrap();
    pin_mut!(sink);
    sink.send("1\n".into()).await.unwrap();
    sink.flush().await.unwrap();
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        sink.finish().await.unwrap_err().code(),
        Some(&SqlState::QUERY_CANCELED)
    );
    // The next statement is not concerned.
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.query_one("select 1", &[]).await.unwrap();
}

#[tokio::test]
async fn a_copy_ends_with_its_time() {
    let client = connect(Server::shared()).await;
    let prepare = "create table wire_timeout (a int); set statement_timeout = '200ms'";
    client.batch_execute(prepare).await.unwrap();
    let sink = client
        .copy_in::<_, bytes::Bytes>("copy wire_timeout from stdin")
        .await
        .unwrap();
    pin_mut!(sink);
    sink.send("1\n".into()).await.unwrap();
    sink.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = sink.finish().await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    let row = client.query_one("select count(*) from wire_timeout", &[]);
    assert_eq!(row.await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_migration_ends_with_its_time() {
    let client = connect(Server::shared()).await;
    let prepare = "create table wire_migrated (ts timestamptz);
        insert into wire_migrated select to_timestamp(g) from generate_series(1, 300000) as s(g)";
    client.batch_execute(prepare).await.unwrap();
    client
        .batch_execute("set statement_timeout = '1ms'")
        .await
        .unwrap();
    let migrate = "select create_hypertable('wire_migrated', 'ts', migrate_data => true)";
    let error = client.simple_query(migrate).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    client
        .batch_execute("set statement_timeout = 0")
        .await
        .unwrap();
    client.simple_query(migrate).await.unwrap();
    let row = client.query_one("select count(*) from wire_migrated", &[]);
    assert_eq!(row.await.unwrap().get::<_, i64>(0), 300_000);
}

#[tokio::test]
async fn writes_take_parameters_and_return_rows() {
    let client = connect(Server::shared()).await;
    let create =
        "create table wire_writes (id int primary key, name text, at timestamptz, ids uuid)";
    client.batch_execute(create).await.unwrap();
    let insert = "insert into wire_writes values ($1, $2, $3, null), ($4, 'b', now(), $5)
        on conflict (id) do update set name = excluded.name || $6 returning id, name, $7::int + id";
    let insert = client.prepare(insert).await.unwrap();
    let types: Vec<&str> = insert.params().iter().map(|ty| ty.name()).collect();
    assert_eq!(
        types,
        [
            "int4",
            "text",
            "timestamptz",
            "int4",
            "uuid",
            "text",
            "int4"
        ]
    );
    let names: Vec<&str> = insert.columns().iter().map(|c| c.name()).collect();
    assert_eq!(names, ["id", "name", "?column?"]);
    let now = std::time::SystemTime::now();
    let none: Option<String> = None;
    for suffix in ["", "!"] {
        let rows = client
            .query(
                "insert into wire_writes (id, name, at) values ($1, $2, $3)
                on conflict (id) do update set name = wire_writes.name || $4 returning name",
                &[&1, &"a", &now, &suffix],
            )
            .await
            .unwrap();
        assert_eq!(rows[0].get::<_, String>(0), format!("a{suffix}"));
    }
    let update = "update wire_writes set name = $1 where id = $2 returning name, at > '2000-01-01'";
    let row = client.query_one(update, &[&none, &1]).await.unwrap();
    assert_eq!(row.get::<_, Option<String>>(0), None);
    assert!(row.get::<_, bool>(1));
    let changed = client
        .execute("delete from wire_writes where id = $1", &[&1])
        .await
        .unwrap();
    assert_eq!(changed, 1);
}

#[tokio::test]
async fn statements_of_one_message_are_one_transaction() {
    let client = connect(Server::shared()).await;
    client
        .batch_execute("create table wire_implicit (a int)")
        .await
        .unwrap();
    let error = client
        .batch_execute("insert into wire_implicit values (1); select nope")
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_COLUMN));
    let count = client
        .query_one("select count(*) from wire_implicit", &[])
        .await
        .unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);
    client
        .batch_execute("insert into wire_implicit values (1); insert into wire_implicit values (2)")
        .await
        .unwrap();
    let count = client
        .query_one("select count(*) from wire_implicit", &[])
        .await
        .unwrap();
    assert_eq!(count.get::<_, i64>(0), 2);
}

#[tokio::test]
async fn rows_stream_while_they_come() {
    let client = connect(Server::shared()).await;
    let rows = client
        .query_raw("select generate_series(1, 200000)", Vec::<i32>::new())
        .await
        .unwrap();
    assert_eq!(
        rows.fold(
            0,
            |count, row| async move { count + i32::from(row.is_ok()) }
        )
        .await,
        200_000
    );
}

// The output of psql, both streams in one.
fn psql(server: &Server, script: &str) -> Option<String> {
    let address = server.address();
    let mut psql = Command::new("psql")
        .args([
            "-X",
            "-q",
            "-At",
            "-U",
            "slicedb",
            "-h",
            &address.ip().to_string(),
        ])
        .args(["-p", &address.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    psql.stdin.take()?.write_all(script.as_bytes()).ok()?;
    let output = psql.wait_with_output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn psql_smoke() {
    let script = "select 1 as a, 'x' as b;\n\
        create table wire_psql (a int, b text);\n\
        copy wire_psql from stdin;\n1\tone\n2\t\\N\n\\.\n\
        copy wire_psql to stdout;\n\
        begin;\nselect nope;\nselect 1;\nrollback;\n\
        select 1 \\; select 2;\n";
    let Some(output) = psql(Server::shared(), script) else {
        eprintln!("psql is not installed");
        return;
    };
    let want = "1|x\n1\tone\n2\t\\N\n1\n2\n\
        ERROR:  column \"nope\" does not exist\nLINE 1: select nope;\n               ^\n\
        ERROR:  current transaction is aborted, commands ignored until end of transaction block\n";
    assert_eq!(output, want);
}
