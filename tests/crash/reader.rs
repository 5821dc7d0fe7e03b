//! A reader: asserts at every moment that nothing half is visible.

use std::time::Duration;

use tokio_postgres::Client;

use super::account::Seen;
use super::batch::{self, NoFacts, batches_of};
use super::chance::Chance;
use super::trial::WRITERS;
use super::writer::Failed;

/// Between two queries, so that writers get to work.
const PAUSE: Duration = Duration::from_millis(30);

/// Reads until the server is gone; what it saw, and what the server said at last.
pub(crate) async fn read(client: Client, mut chance: Chance) -> (Seen, Option<String>) {
    let mut seen = Seen::new();
    loop {
        let ids = if chance.one_in(2) {
            0..batches_of(WRITERS).start
        } else {
            batches_of(chance.below(WRITERS))
        };
        tokio::time::sleep(PAUSE).await;
        match batch::facts(&client, ids).await {
            Ok(facts) => seen.extend(facts),
            Err(NoFacts::Wrong(reason)) => panic!("{reason}"),
            Err(NoFacts::Failed(error)) => match Failed::from(error) {
                Failed::Unknown(said) => return (seen, said),
                Failed::Refused(state, message) => panic!("a query failed: {state:?} {message}"),
            },
        }
    }
}
