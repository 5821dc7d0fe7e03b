//! Identities. Each is a number that is never used again.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A table.
    TableId(u32)
);
id!(
    /// A segment: immutable columnar rows of one table and one chunk of time.
    SegmentId(u64)
);
id!(
    /// The number of a commit. Commits are visible in the order of their sequences.
    Sequence(u64)
);

impl Sequence {
    /// The sequence that follows.
    pub fn next(self) -> Self {
        Sequence(self.0 + 1)
    }
}
