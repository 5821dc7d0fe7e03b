//! Random frames and mutated conversations. Whatever comes in, what goes out are whole messages and no
//! error of the server's own making, and the next client is served.
//!
//! `WIRE_FUZZ_SEEDS` sets the number of seeds, `WIRE_FUZZ_SEED` runs a single one.

use super::client::{Client, bind, execute, message, packet, parse, query, startup, sync, texts};
use crate::server::Server;

const SEEDS: u64 = 10_000;

// SplitMix64: any seed gives a good sequence.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1))
            .map(|_| self.pick(&[0, 0, 1, b'S', b'P', 0xff, self.0 as u8]))
            .collect()
    }
}

const STATEMENTS: &[&str] = &[
    "",
    ";",
    "select 1",
    "select 1; select nope; select 2",
    "select $1::int4",
    "begin",
    "commit",
    "rollback",
    "copy wire_fuzz from stdin",
    "copy wire_fuzz to stdout",
    "select '",
    "selec",
    "copy wire_fuzz from stdin; select 1",
    "deallocate all",
    "discard all",
    "show application_name",
    "select generate_series(1, 3000)",
    "set application_name = 'fuzz'",
];
const NAMES: &[&str] = &["", "a", "b"];

fn one(random: &mut Random) -> Vec<u8> {
    match random.below(16) {
        0 | 1 => query(random.pick(STATEMENTS)),
        2 | 3 => parse(random.pick(NAMES), random.pick(STATEMENTS)),
        4 | 5 => {
            let values: Vec<_> = (0..random.below(3))
                .map(|_| Some(random.bytes(6)))
                .collect();
            let formats = (random.pick(&[0, 1, 2]), random.pick(&[0, 1, 0xffff]));
            bind(random.pick(NAMES), random.pick(NAMES), &values, formats)
        }
        6 | 7 => execute(random.pick(NAMES), random.pick(&[0, 1, 1000, -1, i32::MIN])),
        8 => message(
            b'D',
            &texts(&[random.pick(&["S", "P", "Sa", "Pa", "X", ""])]),
        ),
        9 => message(
            b'C',
            &texts(&[random.pick(&["S", "P", "Sa", "Pa", "X", ""])]),
        ),
        10 => sync(),
        11 => message(
            b'd',
            random.pick(&[&b"1\tx\n"[..], b"x\n", b"", b"\\.\n", b"1\t\xff\n"]),
        ),
        12 => message(random.pick(b"cHF"), &[]),
        13 => message(b'f', &texts(&["enough"])),
        14 => message(random.next() as u8, &random.bytes(30)),
        _ => random.bytes(12),
    }
}

fn conversation(random: &mut Random) -> Vec<u8> {
    let count = random.below(8) + 1;
    let mut bytes: Vec<u8> = (0..count).flat_map(|_| one(random)).collect();
    for _ in 0..random.pick(&[0, 0, 1, 2, 5]) {
        if !bytes.is_empty() {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes.truncate(at),
                _ => drop(bytes.remove(at)),
            }
        }
    }
    bytes
}

#[test]
fn random_messages_never_find_a_bug() {
    let server = Server::shared();
    let mut admin = Client::login(server.address());
    admin.send(&query("create table wire_fuzz (a int, b text)"));
    admin.until_ready();
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|seeds| seeds.parse::<u64>().ok())
    };
    let seeds = match number("WIRE_FUZZ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WIRE_FUZZ_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let random = &mut Random(seed);
        let mut client = match random.below(8) {
            0 => Client::open(server.address()),
            1 => {
                let mut client = Client::open(server.address());
                let code = random.pick(&[3 << 16, 80_877_102, 80_877_103, 80_877_104]);
                let mut start = packet(code, &random.bytes(40));
                if random.below(2) == 0 {
                    start = startup(random.pick(&[0, 1, 2, 9]), &[("user", "slicedb")]);
                    let at = random.below(start.len());
                    start[at] = random.next() as u8;
                }
                client.send(&start);
                // An 'N' would be taken for the type of a message.
                if code > 80_877_102 && start.len() == 8 && client.byte() != Some(b'N') {
                    continue;
                }
                client
            }
            _ => Client::login(server.address()),
        };
        client.send(&conversation(random));
        client.finish();
        for answer in client.until_closed() {
            let found =
                answer.kind == b'E' && answer.field(b'C').is_some_and(|code| code == "XX000");
            assert!(!found, "seed {seed}: {}", answer.print());
        }
    }
    admin.send(&query("select 1"));
    assert!(admin.until_ready().iter().any(|answer| answer.kind == b'D'));
}
