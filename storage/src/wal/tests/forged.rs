//! Frames whose checksums match and that are wrong all the same: of an earlier life of the file, lost
//! from the middle of a transaction, swapped, numbered out of order.

use super::*;
use crate::wal::frame::{FLAG_LAST, FRAME_HEADER, stamp};

/// A log with transactions 1 and 2 in one group; the second has three frames.
fn log() -> (FaultVfs, Vec<u8>, u64) {
    let (vfs, _) = log_of(&[2], 16 << 10);
    let bytes = vfs.get(log_file(1)).unwrap();
    let epoch = frame::u64_at(&bytes, 24);
    (vfs, bytes, epoch)
}

/// Where the frames of the only group begin; the last number is its end.
fn starts(bytes: &[u8], epoch: u64) -> Vec<usize> {
    let file = Bytes::copy_from_slice(bytes);
    let mut starts = vec![HEADER_BYTES as usize];
    while let Ok(found) = frame::find(&file, starts[starts.len() - 1], epoch) {
        starts.push(found.end);
    }
    starts
}

/// What opening and checking answer once the file holds these bytes.
fn answer(vfs: &FaultVfs, bytes: Vec<u8>) -> Result<Vec<Transaction>> {
    vfs.put(log_file(1), bytes);
    let damage = check(vfs, 0).0;
    let opened = open(&vfs.fork(), 0).map(|(_, replayed)| replayed);
    assert_eq!(damage.is_empty(), opened.is_ok(), "{damage:?}");
    opened
}

fn reason(vfs: &FaultVfs, bytes: Vec<u8>) -> (usize, String) {
    match answer(vfs, bytes) {
        Err(Error::Corrupt { offset, reason, .. }) => (offset as usize, reason),
        other => panic!("{:?}", other.map(|replayed| replayed.len())),
    }
}

#[test]
fn frames_of_an_earlier_life_do_not_count_even_with_the_right_numbers() {
    let (vfs, mut bytes, epoch) = log();
    let header = Header {
        ordinal: 1,
        epoch: epoch + 1,
        first_group: 1,
        first_sequence: Sequence(1),
    };
    bytes[..HEADER_BYTES as usize].copy_from_slice(&header.encode());
    assert_eq!(answer(&vfs, bytes).unwrap(), []);
}

#[test]
fn a_transaction_with_a_frame_too_few_or_in_another_order_is_damage() {
    let (vfs, bytes, epoch) = log();
    let at = starts(&bytes, epoch);
    assert_eq!(at.len(), 7);
    // Frames 2, 3 and 4 are those of transaction 2, and 5 is its commit.
    let expected = "a commit does not match the frames before it";

    let mut lost = bytes.clone();
    lost.splice(at[3]..at[4], []);
    lost.resize(bytes.len(), 0);
    let commit = at[5] - (at[4] - at[3]);
    assert_eq!(reason(&vfs, lost), (commit, expected.into()));

    let mut swapped = bytes[..at[2]].to_vec();
    swapped.extend_from_slice(&bytes[at[3]..at[4]]);
    swapped.extend_from_slice(&bytes[at[2]..at[3]]);
    swapped.extend_from_slice(&bytes[at[4]..]);
    assert_eq!(reason(&vfs, swapped), (at[5], expected.into()));
}

#[test]
fn a_frame_that_validates_in_the_wrong_place_is_damage() {
    let (vfs, bytes, epoch) = log();
    let at = starts(&bytes, epoch);
    let forge = |index: usize, change: &dyn Fn(&mut [u8]), flags| {
        let mut bytes = bytes.clone();
        let frame = &mut bytes[at[index]..at[index + 1]];
        change(frame);
        stamp(frame, epoch, 1, flags);
        bytes
    };
    let sequence = forge(3, &|frame| frame[24] = 9, 0);
    assert_eq!(
        reason(&vfs, sequence),
        (at[3], "a frame of sequence 9 stands where 2 goes on".into())
    );
    let kind = forge(3, &|frame| frame[32] = 200, 0);
    assert_eq!(reason(&vfs, kind), (at[3], "unknown frame kind 200".into()));
    let last = forge(3, &|_| (), FLAG_LAST);
    assert_eq!(
        reason(&vfs, last),
        (at[3], "a group ends within a transaction".into())
    );
    // A length beyond the file is no reason to read there.
    let long = forge(3, &|frame| frame[..4].copy_from_slice(&[0xff; 4]), 0);
    assert_eq!(answer(&vfs, long).unwrap(), transactions(1..=1));
    assert!(at[3] + FRAME_HEADER < bytes.len());
}
