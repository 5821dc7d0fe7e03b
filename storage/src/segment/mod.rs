//! Segments: immutable columnar rows of one table and one chunk of time, sorted and cut into packs.

pub mod cache;
pub mod codec;
pub mod meta;
mod reader;
pub mod stats;
pub mod writer;

pub use reader::{Segment, SegmentHome};
