//! Many, idle, slow and greedy connections.

use std::fs;
use std::time::{Duration, Instant};

use super::client::{Client, PATIENCE, bind, execute, parse, query, startup, sync};
use crate::server::Server;

const IDLE: usize = 1_000;
// The promise for an idle connection.
const IDLE_BYTES_MAX: usize = 50 << 10;

// Resident memory of the server, in bytes.
fn memory(server: &Server) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("its memory");
    let kilobytes = line
        .split_whitespace()
        .nth(1)
        .expect("a number")
        .parse::<usize>();
    kilobytes.expect("a number") << 10
}

#[test]
fn a_thousand_idle_connections_are_cheap() {
    let server = Server::start();
    // What the first few connections need once does not count: pages of code, caches of threads.
    let mut warm: Vec<Client> = (0..50).map(|_| Client::login(server.address())).collect();
    for _ in 0..20 {
        for client in &mut warm {
            client.send(&query("select 1"));
            client.until_ready();
        }
    }
    let before = memory(&server);
    let mut clients: Vec<Client> = (0..IDLE).map(|_| Client::login(server.address())).collect();
    for client in &mut clients {
        client.send(&query("select 1"));
        client.until_ready();
    }
    let each = memory(&server).saturating_sub(before) / IDLE;
    println!("{each} bytes for each idle connection");
    assert!(
        each < IDLE_BYTES_MAX,
        "{each} bytes for each idle connection"
    );
    // And they still answer.
    for client in clients.iter_mut().step_by(100) {
        client.send(&query("select 1"));
        assert!(
            client
                .until_ready()
                .iter()
                .any(|answer| answer.kind == b'D')
        );
    }
    drop(warm);
}

#[test]
fn declared_lengths_cost_nothing() {
    let server = Server::start();
    let mut clients: Vec<Client> = (0..100).map(|_| Client::login(server.address())).collect();
    let before = memory(&server);
    for client in &mut clients {
        let most = (16_i32 << 20).to_be_bytes();
        client.send(&[&b"Q"[..], &most, &[b' '; 1000]].concat());
    }
    // Behind those 100, so that all of them have been read.
    Client::login(server.address());
    std::thread::sleep(Duration::from_millis(300));
    let grown = memory(&server).saturating_sub(before);
    assert!(
        grown < 20 << 20,
        "{grown} bytes for 100 messages that never came"
    );
}

#[test]
fn a_slow_reader_holds_its_query_back() {
    let server = Server::start();
    let mut client = Client::login(server.address());
    // The first query of a server takes memory for itself.
    client.send(&query("select generate_series(1, 10000)"));
    client.until_ready();
    let before = memory(&server);
    client.send(&query("select generate_series(1, 4000000)"));
    std::thread::sleep(Duration::from_secs(1));
    let grown = memory(&server).saturating_sub(before);
    assert!(
        grown < 32 << 20,
        "{grown} bytes for a result of 80 MB that nobody reads"
    );
    let rows = client
        .until_ready()
        .iter()
        .filter(|answer| answer.kind == b'D')
        .count();
    assert_eq!(rows, 4_000_000);
}

#[test]
fn statements_and_portals_are_limited() {
    let server = Server::shared();
    let mut client = Client::login(server.address());
    for index in 0..257 {
        client.send(&parse(&format!("s{index}"), "select 1"));
    }
    client.send(&sync());
    assert_eq!(refusal(&mut client), Some("54000".into()));
    for index in 0..65 {
        client.send(&bind(&format!("p{index}"), "s1", &[], (0, 0)));
    }
    client.send(&sync());
    assert_eq!(refusal(&mut client), Some("54000".into()));
    // Portals ended with the error, statements did not.
    client.send(&[bind("p0", "s1", &[], (0, 0)), execute("p0", 0), sync()].concat());
    assert_eq!(refusal(&mut client), None);
    let mut client = Client::login(server.address());
    let text = format!("select 1 {}", " ".repeat(200 << 10));
    for index in 0..42 {
        client.send(&parse(&format!("s{index}"), &text));
    }
    client.send(&sync());
    assert_eq!(refusal(&mut client), Some("54000".into()));
}

fn refusal(client: &mut Client) -> Option<String> {
    client
        .until_ready()
        .iter()
        .find(|answer| answer.kind == b'E')?
        .field(b'C')
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = Server::start_with(&["connections_max=3"]);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::login(server.address())).collect();
    let mut late = Client::open(server.address());
    late.send(&startup(0, &[("user", "slicedb")]));
    let answers = late.until_closed();
    assert_eq!(answers[0].field(b'C').as_deref(), Some("53300"));
    clients.pop();
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let mut next = Client::open(server.address());
        next.send(&startup(0, &[("user", "slicedb")]));
        if next.until_ready()[0].kind == b'R' {
            return;
        }
    }
    panic!("no place became free");
}

#[test]
fn shutdown_waits_for_statements_but_not_for_idle_clients() {
    let server = Server::start_with(&["drain_timeout_ms=3000"]);
    let mut idle = Client::login(server.address());
    let mut short = Client::login(server.address());
    let mut long = Client::login(server.address());
    short.send(&query("select pg_sleep(1)"));
    long.send(&query("select pg_sleep(60)"));
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    server.terminate();
    assert_eq!(idle.until_closed()[0].field(b'C').as_deref(), Some("57P01"));
    assert!(begun.elapsed() < Duration::from_secs(1));
    let answers = short.until_closed();
    assert!(
        answers.iter().any(|answer| answer.kind == b'C'),
        "{answers:?}"
    );
    assert_eq!(
        answers[answers.len() - 1].field(b'C').as_deref(),
        Some("57P01")
    );
    let answers = long.until_closed();
    assert_eq!(
        answers[answers.len() - 1].field(b'C').as_deref(),
        Some("57P01")
    );
    assert!(begun.elapsed() < Duration::from_secs(6));
    assert!(server.wait() < Duration::from_secs(6));
}

#[test]
fn who_leaves_frees_the_place_at_once() {
    let server = Server::start_with(&["connections_max=1"]);
    let mut client = Client::login(server.address());
    client.send(&query("select pg_sleep(60)"));
    std::thread::sleep(Duration::from_millis(300));
    drop(client);
    let begun = Instant::now();
    loop {
        let mut next = Client::open(server.address());
        next.send(&startup(0, &[("user", "slicedb")]));
        if next.until_ready()[0].kind == b'R' {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "the statement outlives its client"
        );
    }
}

#[test]
fn queries_are_refused_while_memory_is_short_and_writers_go_on() {
    let server = Server::start_with(&[
        "memory_max_bytes = 209715200",
        "memtable_seal_bytes = 8589934592",
        "memtable_max_bytes = 17179869184",
    ]);
    let fill =
        "insert into big select g, repeat('x', 1000) from generate_series(1, 20000) as s(g);\n";
    let said = server.psql(&format!(
        "create table big (id bigint, text text);\n{}",
        fill.repeat(16)
    ));
    assert_eq!(said, "");
    // The server looks every 50 ms.
    std::thread::sleep(Duration::from_millis(500));
    for query in [
        "select 1",
        "copy big to stdout",
        "update big set id = 2 where id = 1",
        "delete from big",
    ] {
        let said = server.psql(&format!("{query};"));
        assert!(said.contains("53200: out of memory"), "{query}: {said}");
    }
    let said = server.psql("show timezone;\ninsert into big values (1, 'x');\ntruncate big;\n");
    assert!(said.contains("UTC") && !said.contains("ERROR"), "{said}");
    let started = Instant::now();
    while server.psql("select 1;").contains("53200") {
        assert!(started.elapsed() < PATIENCE, "memory is not given back");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.log().contains("memory is beyond its limit"));
    assert!(server.log().contains("memory is below its limit again"));
}
