//! Tests of the program from outside: a server as a process, clients over TCP.
//!
//! | room | answers |
//! |---|---|
//! | `server` | a server on a free port and a directory of its own |
//! | `smoke` | the main job in small, through psql and a driver |
//! | `slt` | SQL files, run hot, cold and reopened, and against PostgreSQL |
//! | `continuous` | continuous aggregates against their queries, after random changes and beside writers |
//! | `crash` | kill -9 at random moments and at failpoints, with a verifying client |
//! | `damage` | flipped bits and cut logs of a data directory |
//! | `faults` | a disk whose k-th write or sync fails, under everything |
//! | `wire` | the protocol, byte by byte |
//! | `tidy` | the rules that the code and the documents keep |

mod continuous;
mod crash;
mod damage;
mod faults;
mod server;
mod slt;
mod smoke;
mod tidy;
mod wire;
