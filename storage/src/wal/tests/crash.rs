//! The power goes at any operation, also while the log recovers from the last time.

use super::*;
use crate::vfs::fault::Fault;

/// Small numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What the log must answer.
#[derive(Default)]
struct Model {
    acknowledged: Vec<Transaction>,
    in_flight: Vec<Transaction>,
    sealed: u64,
}

impl Model {
    /// Works until the power goes or the work is done.
    fn work(&mut self, wal: &mut Wal, salt: u64, dice: &mut Dice) -> Result<()> {
        for _ in 0..2 + dice.roll(8) {
            for _ in 0..1 + dice.roll(3) {
                let sequence = wal.last_sequence().next();
                let frames = frames(sequence.0, salt);
                wal.append(sequence, &frames)?;
                self.in_flight.push((sequence, frames));
            }
            wal.sync()?;
            self.acknowledged.append(&mut self.in_flight);
            match dice.roll(4) {
                0 => {
                    self.sealed += dice.roll(self.acknowledged.len() as u64 - self.sealed + 1);
                    wal.release(Sequence(self.sealed))?;
                }
                1 => while wal.prepare()? {},
                _ => {}
            }
        }
        Ok(())
    }

    /// Compares with a replay, which is what counts from then on.
    fn compare(&mut self, replayed: Vec<Transaction>, what: &str) {
        let mut all = self.acknowledged[..self.sealed as usize].to_vec();
        all.extend(replayed);
        let acknowledged = self.acknowledged.len();
        assert!(
            all.starts_with(&self.acknowledged),
            "{what}: an acknowledged transaction is gone"
        );
        assert!(
            self.in_flight.starts_with(&all[acknowledged..]),
            "{what}: a transaction that nobody wrote"
        );
        self.acknowledged = all;
        self.in_flight.clear();
    }
}

fn lives(seed: u64) {
    let mut dice = Dice(seed);
    let mut vfs = FaultVfs::new(seed);
    let mut model = Model::default();
    let noted = Noted::default();
    for life in 0..4 {
        let what = format!("seed {seed}, life {life}");
        // Recovery is cut off too, sometimes more than once.
        while dice.roll(3) == 0 {
            vfs.fail(Fault::power_cut(1 + dice.roll(6)));
            match open_noting(&vfs, options(), model.sealed, &noted) {
                Ok((wal, replayed)) => {
                    model.compare(replayed, &what);
                    drop(wal);
                }
                Err(error) => assert!(matches!(error, Error::Io { .. }), "{what}: {error}"),
            }
            vfs = vfs.crash();
        }
        let (damage, _) = check(&vfs, model.sealed);
        assert!(
            damage.is_empty() || names(&vfs).is_empty(),
            "{what}: {damage:?}"
        );
        // What is noted was there: no crash makes the log look as if it had lost its newest file.
        let (mut wal, replayed) = open_noting(&vfs, options(), model.sealed, &noted)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        model.compare(replayed, &what);
        vfs.fail(Fault::power_cut(1 + dice.roll(60)));
        let _ = model.work(&mut wal, life, &mut dice);
        vfs = vfs.crash();
    }
}

#[test]
fn two_thousand_seeds_of_power_cuts_lose_nothing() {
    for seed in 0..2000 {
        lives(seed);
    }
}

#[test]
fn a_cut_at_every_operation_of_a_long_run_loses_nothing() {
    for nth in 1.. {
        let vfs = FaultVfs::new(nth);
        let mut dice = Dice(7);
        let mut model = Model::default();
        vfs.fail(Fault::power_cut(nth));
        let done = open(&vfs, 0).and_then(|(mut wal, _)| {
            for _ in 0..4 {
                model.work(&mut wal, 0, &mut dice)?;
            }
            Ok(())
        });
        let after = vfs.crash();
        let what = format!("cut at operation {nth}");
        let (mut wal, replayed) =
            open(&after, model.sealed).unwrap_or_else(|error| panic!("{what}: {error}"));
        model.compare(replayed, &what);
        commit(&mut wal, 3, 5).unwrap();
        if done.is_ok() {
            assert!(nth > 60, "{nth}");
            return;
        }
    }
}
