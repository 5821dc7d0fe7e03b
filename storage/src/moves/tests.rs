//! What is kept, for whom, and for how long.

use super::*;
use crate::memtable::BlockRef;
use crate::{SegmentId, Sequence};

const TABLE: TableId = TableId(1);
const OTHER: TableId = TableId(2);

/// Rows of block `block` go to a segment of the same number, in reverse order.
fn sealed(block: u64, rows: u32) -> Option<Move> {
    Some(Move::Sealed(Sealed {
        blocks: [(at(block), 0)].into(),
        outputs: vec![(SegmentId(block), (0..rows).rev().collect())],
    }))
}

fn at(block: u64) -> BlockRef {
    BlockRef {
        sequence: Sequence(block),
        ordinal: 0,
    }
}

fn row_of_block(block: u64, row: u32) -> Deletes {
    Deletes {
        blocks: [(at(block), [row].into_iter().collect())].into(),
        ..Deletes::default()
    }
}

fn steps(moves: &Moves) -> usize {
    let log = moves.log.lock();
    log.tables.values().map(|trail| trail.steps.len()).sum()
}

#[test]
fn steps_stay_while_somebody_counts_on_an_older_generation() {
    let moves = Arc::new(Moves::new());
    moves.push(1, vec![(TABLE, sealed(1, 10))]);
    // Not everybody sees the new state yet: who begins now counts on the old one.
    let hold = moves.hold();
    moves.publish(1);
    let later = moves.hold();
    moves.push(2, vec![(TABLE, sealed(2, 10)), (OTHER, sealed(3, 10))]);
    moves.publish(2);
    assert_eq!(steps(&moves), 3);
    let mut deletes = row_of_block(1, 2);
    moves.follow(TABLE, &mut deletes, 0, 2).expect("followed");
    let expected = Deletes {
        rows: [(SegmentId(1), [7].into_iter().collect())].into(),
        ..Deletes::default()
    };
    assert_eq!(deletes, expected);
    drop(hold);
    assert_eq!(steps(&moves), 2);
    let again = moves.hold_at(1);
    drop(later);
    assert_eq!(steps(&moves), 2);
    drop(again);
    assert_eq!(steps(&moves), 0);
    let log = moves.log.lock();
    assert_eq!((log.bytes, log.tables.len(), log.holds.len()), (0, 0, 0));
}

#[test]
fn too_many_steps_cost_the_largest_table_its_oldest() {
    let moves = Arc::new(Moves::with_limit(4_000));
    let hold = moves.hold();
    for generation in 1..=10 {
        moves.push(
            generation,
            vec![
                (TABLE, sealed(generation, 200)),
                (OTHER, sealed(generation, 1)),
            ],
        );
        moves.publish(generation);
    }
    let lost = moves.follow(TABLE, &mut row_of_block(1, 0), 0, 10);
    assert!(matches!(lost, Err(Error::Conflict(_))), "{lost:?}");
    let mut recent = row_of_block(9, 0);
    moves.follow(TABLE, &mut recent, 8, 10).expect("followed");
    assert!(recent.blocks.is_empty());
    let mut small = row_of_block(1, 0);
    moves.follow(OTHER, &mut small, 0, 10).expect("followed");
    assert!(small.blocks.is_empty());
    // A step that nobody could describe is lost as well.
    moves.push(11, vec![(OTHER, None)]);
    let lost = moves.follow(OTHER, &mut row_of_block(11, 0), 10, 11);
    assert!(matches!(lost, Err(Error::Conflict(_))), "{lost:?}");
    assert!(moves.log.lock().bytes <= 4_000);
    drop(hold);
}

#[test]
fn turns_come_back_as_they_were() {
    let all = [
        (0, 1),
        (255, 127),
        (3, 128),
        (4, 70_000),
        (0, u32::MAX),
        (0, 5),
    ];
    let mut turns = Turns::default();
    for (input, rows) in all {
        turns.push_many(input, rows);
    }
    turns.push(0);
    turns.push(9);
    turns.flush();
    let mut expected = all.to_vec();
    expected[5] = (0, 6);
    expected.push((9, 1));
    assert_eq!(turns.iter().collect::<Vec<_>>(), expected);
}
