//! Every type of message with every kind of wrong length, before and after login. Each gets FATAL
//! 08P01 or an error of its own, or the server waits for the rest and closes when none comes.

use std::time::Duration;

use super::client::{
    Answer, Client, PATIENCE, bind, execute, message, packet, parse, query, startup, sync, texts,
};
use crate::server::Server;

const KNOWN: &[u8] = b"BCDEFHPQSXcdf";

// Type, declared length, and what comes after them.
fn frame(kind: u8, length: i32, rest: &[u8]) -> Vec<u8> {
    [&[kind][..], &length.to_be_bytes(), rest].concat()
}

fn last_error(answers: &[Answer]) -> Option<(String, String)> {
    let error = answers.iter().rev().find(|answer| answer.kind == b'E')?;
    Some((error.field(b'S')?, error.field(b'C')?))
}

#[track_caller]
fn assert_fatal(answers: &[Answer], state: &str, what: &str) {
    assert_eq!(
        last_error(answers),
        Some(("FATAL".into(), state.into())),
        "{what}: {answers:?}"
    );
}

fn assert_no_bug(answers: &[Answer], what: &str) {
    let bug = answers
        .iter()
        .find(|answer| answer.field(b'C').is_some_and(|code| code == "XX000"));
    assert_eq!(bug.map(Answer::print), None, "{what}");
}

#[test]
fn impossible_lengths_are_fatal_at_once() {
    let server = Server::shared();
    for kind in KNOWN {
        for length in [i32::MIN, -1, 0, 3, (16 << 20) + 1, 1 << 30, i32::MAX] {
            let mut client = Client::login(server.address());
            client.send(&frame(*kind, length, &[]));
            let what = format!("{:?} of length {length}", *kind as char);
            assert_fatal(&client.until_closed(), "08P01", &what);
        }
    }
}

#[test]
fn unknown_types_are_fatal_at_once() {
    let server = Server::shared();
    for kind in (0..=255).filter(|kind| !KNOWN.contains(kind)) {
        let mut client = Client::login(server.address());
        // The type alone; the length never comes.
        client.send(&[kind]);
        assert_fatal(&client.until_closed(), "08P01", &format!("type {kind}"));
    }
}

#[test]
fn short_bodies_are_answered() {
    let server = Server::shared();
    for kind in KNOWN {
        for fill in [0, 1, b'S', 0xff] {
            for length in 0..12 {
                let mut client = Client::login(server.address());
                client.send(&frame(*kind, 4 + length, &vec![fill; length as usize]));
                client.send(&sync());
                client.finish();
                let what = format!("{:?} with {length} bytes {fill}", *kind as char);
                assert_no_bug(&client.until_closed(), &what);
            }
        }
    }
}

#[test]
fn truncated_bodies_are_fatal() {
    let server = Server::shared();
    let messages = [
        query("select 1"),
        parse("", "select 1"),
        message(
            b'P',
            &[
                texts(&["", "select 1"]),
                vec![0, 2, 0, 0, 0, 23, 0, 0, 0, 23],
            ]
            .concat(),
        ),
        bind("", "", &[Some(b"abc".to_vec()), None], (1, 1)),
        execute("", 0),
        message(b'D', b"S\0"),
        message(b'C', b"Pname\0"),
    ];
    for whole in messages {
        for end in 5..whole.len() {
            let mut client = Client::login(server.address());
            let mut cut = whole[..end].to_vec();
            cut[1..5].copy_from_slice(&(end as i32 - 1).to_be_bytes());
            client.send(&cut);
            let what = format!("{:?} cut after {end} bytes", whole[0] as char);
            assert_fatal(&client.until_closed(), "08P01", &what);
        }
        // A byte too many is as bad as one too few.
        let mut client = Client::login(server.address());
        let mut long = [&whole[..], &[0]].concat();
        long[1..5].copy_from_slice(&(whole.len() as i32).to_be_bytes());
        client.send(&long);
        assert_fatal(
            &client.until_closed(),
            "08P01",
            &format!("{:?}, long", whole[0] as char),
        );
    }
}

#[test]
fn counts_beyond_the_body_are_fatal() {
    let server = Server::shared();
    let names = texts(&["", ""]);
    let bodies = [
        (b'P', [&names[..], &[0xff, 0xff]].concat()),
        (b'P', [&names[..], &[0x7f, 0xff, 0, 0, 0, 0]].concat()),
        (b'B', [&names[..], &[0xff, 0xff, 0, 0, 0, 0]].concat()),
        (b'B', [&names[..], &[0, 0, 0xff, 0xff, 0, 0]].concat()),
        (b'B', [&names[..], &[0, 0, 0, 0, 0xff, 0xff]].concat()),
        // A value of 2 GiB, one of -2 bytes, one of the least length there is.
        (
            b'B',
            [&names[..], &[0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0]].concat(),
        ),
        (
            b'B',
            [&names[..], &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, 0, 0]].concat(),
        ),
        (
            b'B',
            [&names[..], &[0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0]].concat(),
        ),
    ];
    for (kind, body) in bodies {
        let mut client = Client::login(server.address());
        client.send(&message(kind, &body));
        assert_fatal(
            &client.until_closed(),
            "08P01",
            &format!("{:?} {body:?}", kind as char),
        );
    }
}

#[test]
fn startup_packets_have_a_length_and_a_layout() {
    let server = Server::shared();
    let good = startup(0, &[("user", "slicedb")]);
    let cut = |end: usize| packet(3 << 16, &good[8..end]);
    let packets = [
        (0_i32.to_be_bytes().to_vec(), "08P01"),
        (3_i32.to_be_bytes().to_vec(), "08P01"),
        (7_i32.to_be_bytes().to_vec(), "08P01"),
        ((-1_i32).to_be_bytes().to_vec(), "08P01"),
        (10_001_i32.to_be_bytes().to_vec(), "08P01"),
        ((1_i32 << 30).to_be_bytes().to_vec(), "08P01"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "08P01"),
        (packet(3 << 16, &[]), "08P01"),
        (cut(good.len() - 1), "08P01"),
        (cut(good.len() - 2), "08P01"),
        (packet(3 << 16, b"user\0slicedb\0\0x"), "08P01"),
        (packet(3 << 16, b"user\0\xff\0\0"), "22021"),
        (packet(3 << 16, b"\0"), "28000"),
        (packet(2 << 16, b"\0"), "0A000"),
        (packet(4 << 16, b"\0"), "0A000"),
        (packet(-1, b"\0"), "0A000"),
        (packet(80_877_103, b"x"), "08P01"),
        (startup(0, &[("user", "root")]), "28000"),
        (
            startup(0, &[("user", "slicedb"), ("database", "postgres")]),
            "3D000",
        ),
        (
            startup(0, &[("user", "slicedb"), ("client_encoding", "LATIN1")]),
            "22023",
        ),
        (
            startup(0, &[("user", "slicedb"), ("options", "-x")]),
            "42601",
        ),
        (
            startup(0, &[("user", "slicedb"), ("replication", "true")]),
            "0A000",
        ),
    ];
    for (packet, state) in packets {
        let mut client = Client::open(server.address());
        client.send(&packet);
        assert_fatal(
            &client.until_closed(),
            state,
            &packet.escape_ascii().to_string(),
        );
    }
}

#[test]
fn nothing_may_follow_an_encryption_request() {
    let server = Server::shared();
    for code in [80_877_103, 80_877_104] {
        let mut client = Client::open(server.address());
        client.send(&[packet(code, &[]), startup(0, &[("user", "slicedb")])].concat());
        assert_fatal(&client.until_closed(), "08P01", "bytes behind the request");
        // One of each, but not two.
        let mut client = Client::open(server.address());
        client.send(&packet(code, &[]));
        assert_eq!(client.byte(), Some(b'N'));
        client.send(&packet(code, &[]));
        assert_fatal(&client.until_closed(), "08P01", "two requests");
    }
}

#[test]
fn no_statement_runs_before_login() {
    let server = Server::shared();
    for bytes in [
        query("select 1"),
        parse("", "select 1"),
        sync(),
        message(b'p', b"secret\0"),
    ] {
        let mut client = Client::open(server.address());
        client.send(&bytes);
        assert_fatal(&client.until_closed(), "08P01", "a message before login");
        // Nor after a login that failed.
        let mut client = Client::open(server.address());
        client.send(&[startup(0, &[("user", "mallory")]), bytes].concat());
        let answers = client.until_closed();
        assert_fatal(&answers, "28000", "a login that failed");
        assert_eq!(answers.len(), 1, "{answers:?}");
    }
}

#[test]
fn a_cancel_request_is_never_answered() {
    let server = Server::shared();
    for body in [&[][..], &[1], &[0; 4], &[0; 8], &[0; 36], &[7; 300]] {
        let mut client = Client::open(server.address());
        client.send(&packet(80_877_102, body));
        client.finish();
        assert_eq!(client.until_closed(), [], "{body:?}");
    }
}

#[test]
fn text_must_be_utf8_and_the_connection_goes_on() {
    let server = Server::shared();
    let mut client = Client::login(server.address());
    client.send(&message(b'Q', b"select '\xc3\x28'\0"));
    let answers = client.until_ready();
    assert_eq!(last_error(&answers), Some(("ERROR".into(), "22021".into())));
    client.send(&[message(b'P', b"\0select '\xff'\0\0\0"), sync()].concat());
    let answers = client.until_ready();
    assert_eq!(last_error(&answers), Some(("ERROR".into(), "22021".into())));
    client.send(&query("select 1"));
    assert_eq!(last_error(&client.until_ready()), None);
}

#[test]
fn who_sends_slowly_is_sent_away() {
    let server = Server::shared();
    let starts = [
        vec![],
        vec![0],
        startup(0, &[("user", "slicedb")])[..9].to_vec(),
    ];
    let mut clients: Vec<Client> = starts
        .iter()
        .map(|_| Client::open(server.address()))
        .collect();
    for (client, start) in clients.iter_mut().zip(&starts) {
        client.send(start);
    }
    // Asks for encryption, hears no, and falls silent.
    let mut asked = Client::open(server.address());
    asked.send(&packet(80_877_103, &[]));
    assert_eq!(asked.byte(), Some(b'N'));
    clients.push(asked);
    let begun = std::time::Instant::now();
    for client in &mut clients {
        assert_fatal(&client.until_closed(), "57014", "a slow start");
    }
    assert!(begun.elapsed() < PATIENCE.min(Duration::from_secs(13)));
}
