//! Damage: what a disk, a tool or a full file system does to a data directory.
//!
//! | file | holds |
//! |---|---|
//! | `directory` | a data directory with sealed segments and an unsealed log, and copies of it |
//! | `verdict` | what a server and `slicedb check` may say of a damaged copy |
//! | `flips` | flipped bits and lost files: reported, or without effect; never a wrong answer |
//! | `cuts` | the log cut within its last group: everything before it is there |
//! | `full` | no room on the disk: refused, nothing lost, and going on when there is room |

mod cuts;
mod directory;
mod flips;
mod full;
mod verdict;
