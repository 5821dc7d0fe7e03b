//! What the guard lets through, and that the decoder can then take it.

use bytes::BytesMut;
use pgwire::messages::{DecodeContext, PgWireFrontendMessage};

use super::*;

const MAX: usize = 16 << 20;

const KINDS: &[(u8, Kind)] = &[
    (b'B', Kind::Bind),
    (b'C', Kind::Close),
    (b'd', Kind::CopyData),
    (b'c', Kind::CopyDone),
    (b'f', Kind::CopyFail),
    (b'D', Kind::Describe),
    (b'E', Kind::Execute),
    (b'H', Kind::Flush),
    (b'P', Kind::Parse),
    (b'Q', Kind::Query),
    (b'S', Kind::Sync),
    (b'X', Kind::Terminate),
];

fn start(kind: u8, length: i32) -> Vec<u8> {
    [&[kind][..], &length.to_be_bytes()].concat()
}

#[test]
fn a_header_needs_five_bytes_but_a_wrong_type_one() {
    assert_eq!(header(&[], MAX), Ok(None));
    let whole = start(b'Q', 10);
    for end in 1..5 {
        assert_eq!(header(&whole[..end], MAX), Ok(None));
    }
    let got = header(&whole, MAX).unwrap().unwrap();
    assert_eq!((got.kind, got.body, got.total()), (Kind::Query, 6, 11));
    for byte in 0..=255 {
        let known = byte == b'F' || KINDS.iter().any(|(kind, _)| *kind == byte);
        assert_eq!(header(&[byte], MAX).is_ok(), known, "{byte}");
    }
}

#[test]
fn lengths_are_signed_and_bounded() {
    for (byte, kind) in KINDS {
        let (least, most) = kind.lengths(MAX);
        let accepts = |length: i32| header(&start(*byte, length), MAX).is_ok();
        assert!(accepts(least as i32) && accepts(most as i32), "{kind:?}");
        for length in [
            i32::MIN,
            -1,
            0,
            3,
            least as i32 - 1,
            most as i32 + 1,
            1 << 30,
            i32::MAX,
        ] {
            assert!(!accepts(length), "{kind:?} of length {length}");
        }
    }
}

#[test]
fn startup_lengths() {
    assert_eq!(startup_length(&[0, 0, 0]), Ok(None));
    for length in [i32::MIN, -1, 0, 7, 10_001, i32::MAX] {
        assert!(startup_length(&length.to_be_bytes()).is_err(), "{length}");
    }
    for length in [8_i32, 10_000] {
        assert_eq!(
            startup_length(&length.to_be_bytes()),
            Ok(Some(length as usize))
        );
    }
}

#[test]
fn bodies_end_where_their_fields_do() {
    let good: &[(Kind, &[u8])] = &[
        (Kind::Query, b"select 1\0"),
        (Kind::Parse, b"\0\0\0\0"),
        (Kind::Parse, b"a\0b\0\0\x01\0\0\0\x17"),
        (Kind::Bind, b"\0\0\0\0\0\0\0\0"),
        (
            Kind::Bind,
            b"p\0s\0\0\x01\0\0\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\x01",
        ),
        (Kind::Execute, b"\0\0\0\0\0"),
        (Kind::Describe, b"S\0"),
        (Kind::Close, b"Pname\0"),
        (Kind::CopyFail, b"why\0"),
        (Kind::Sync, b""),
    ];
    for (kind, body) in good {
        assert!(check(*kind, body).is_ok(), "{kind:?} {body:?}");
        for end in 0..body.len() {
            assert!(
                check(*kind, &body[..end]).is_err(),
                "{kind:?} {:?}",
                &body[..end]
            );
        }
        assert!(
            check(*kind, &[body, &b"\0"[..]].concat()).is_err(),
            "{kind:?}, long"
        );
    }
}

#[test]
fn text_that_is_not_utf8_is_no_breach() {
    let cases = [
        (&b"\xff\0"[..], "0xff"),
        (b"a\xc3(\0", "0xc3 0x28"),
        (b"\xe2\x82\0", "0xe2 0x82"),
    ];
    for (body, bytes) in cases {
        let Err(Fault::Statement(error)) = check(Kind::Query, body) else {
            panic!("{body:?}");
        };
        assert_eq!(error.state, SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        assert!(
            error.message.ends_with(&format!(": {bytes}")),
            "{}",
            error.message
        );
    }
}

#[test]
fn startup_pairs() {
    for good in [
        &b"\0"[..],
        b"user\0me\0\0",
        b"user\0\0\0",
        b"a\0b\0c\0d\0\0",
    ] {
        assert!(check_startup(good).is_ok(), "{good:?}");
    }
    for bad in [
        &b""[..],
        b"\0\0",
        b"user\0me\0",
        b"user\0me",
        b"user\0",
        b"user\0me\0\0\0",
    ] {
        assert!(check_startup(bad).is_err(), "{bad:?}");
    }
}

// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[test]
fn what_passes_can_be_decoded_and_nothing_is_left() {
    let mut context = DecodeContext::default();
    (
        context.awaiting_frontend_ssl,
        context.awaiting_frontend_startup,
    ) = (false, false);
    let mut passed = [0; KINDS.len()];
    let state = &mut 1;
    for round in 0..400_000_usize {
        let (byte, kind) = KINDS[round % KINDS.len()];
        let length = next(state) % 24;
        // Mostly small numbers, so that counts and lengths often fit.
        let body: Vec<u8> = (0..length)
            .map(|_| match next(state) {
                bits if bits % 8 == 0 => (bits >> 8) as u8,
                bits if bits % 2 == 0 => 0,
                bits => (bits >> 8) as u8 % 4,
            })
            .collect();
        let message = [start(byte, body.len() as i32 + 4), body.clone()].concat();
        let fits = matches!(header(&message, MAX), Ok(Some(_)));
        if !fits || check(kind, &body).is_err() {
            continue;
        }
        passed[round % KINDS.len()] += 1;
        let mut message = BytesMut::from(&message[..]);
        let decoded = PgWireFrontendMessage::decode(&mut message, &context);
        assert!(matches!(decoded, Ok(Some(_))), "{kind:?} {body:?}");
        assert!(message.is_empty(), "{kind:?} {body:?}");
    }
    assert!(passed.iter().all(|count| *count > 20), "{passed:?}");
}
