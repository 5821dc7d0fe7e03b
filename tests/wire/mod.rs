//! The Postgres protocol, from outside.
//!
//! | file | holds |
//! |---|---|
//! | `client` | a client that sends any bytes, and prints and checks what comes back |
//! | `transcript`, `transcripts/*.txt` | conversations as data |
//! | `malformed` | every kind of message with every kind of wrong length |
//! | `fuzz` | random and mutated messages, 10,000 seeds |
//! | `load` | many, idle, slow and greedy connections |
//! | `drivers` | tokio-postgres and psql |

mod client;
mod drivers;
mod fuzz;
mod load;
mod malformed;
mod transcript;
