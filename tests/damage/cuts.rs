//! The log cut within its last group, as by a crash: everything before it is there.

use std::path::Path;

use super::directory::{Directory, newest_log};
use super::verdict::{Outcome, outcome};
use crate::crash::chance::number;
use crate::server::check;

#[test]
fn a_log_that_ends_within_its_last_group_loses_only_that() {
    let directory = Directory::build();
    let cuts = number("SLICEDB_CUTS", 50);
    let marker = directory.marker.clone();
    for nth in 0..=cuts {
        // The last cut takes nothing away.
        let at = marker.start + (marker.end - marker.start) * nth / cuts;
        let zeroed = nth % 2 == 1;
        let damage = |data: &Path| {
            let log = std::fs::File::options().write(true).open(newest_log(data));
            let log = log.expect("the log");
            let length = log.metadata().expect("a length").len();
            log.set_len(at).expect("a cut");
            if zeroed {
                log.set_len(length).expect("zeros");
            }
        };
        let copy = directory.copy();
        damage(&copy.path().join("data"));
        let expected = if at < marker.end {
            directory.facts_before_marker()
        } else {
            directory.facts.clone()
        };
        match outcome(&copy) {
            Outcome::Facts(facts) => assert_eq!(facts, expected, "cut at {at}"),
            Outcome::Reported(reason) => panic!("cut at {at} of {marker:?}: {reason}"),
        }
        if nth % 10 == 0 {
            let (is_well, said) = check(&copy.path().join("data"));
            assert!(is_well, "cut at {at}: {said}");
        }
    }
}
