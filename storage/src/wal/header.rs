//! The first 4 KiB of a log file.
//!
//! ```text
//! integers little endian
//!    0  magic           8 bytes  "SliceWAL"
//!    8  format version  u32      1
//!   12  crc32           u32      over every other byte of the 4096
//!   16  ordinal         u64      the number in the file's name
//!   24  epoch           u64      grows with every use of any file
//!   32  first group     u64      of the first group in this file
//!   40  first sequence  u64      of the first transaction in this file
//!   48  zeros to 4096
//! ```
//!
//! Magic, version and checksum keep their places in every version to come.
//!
//! A header is written and synced under the file's spare name, before the rename that makes it part
//! of the log. So a file of the log always has a valid header of its own, and one that does not is
//! damaged. The first group and sequence of a file say where the file before it must have ended.

use std::path::Path;

use super::BLOCK;
use super::frame::{u32_at, u64_at};
use crate::{Error, Result, Sequence};

const MAGIC: &[u8; 8] = b"SliceWAL";
/// The format this program writes, and the only one it reads.
pub(super) const FORMAT_VERSION: u32 = 1;
/// Bytes of the header, and where the first group begins.
pub(super) const HEADER_BYTES: u64 = BLOCK;

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) ordinal: u64,
    pub(super) epoch: u64,
    pub(super) first_group: u64,
    pub(super) first_sequence: Sequence,
}

impl Header {
    /// The header's block.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; HEADER_BYTES as usize];
        block[..8].copy_from_slice(MAGIC);
        block[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.ordinal.to_le_bytes());
        block[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        block[32..40].copy_from_slice(&self.first_group.to_le_bytes());
        block[40..48].copy_from_slice(&self.first_sequence.0.to_le_bytes());
        let crc = checksum(&block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads and verifies the start of the file `path`, which is to have this ordinal.
    pub(super) fn decode(bytes: &[u8], path: &Path, ordinal: u64) -> Result<Header> {
        let damage = |reason: String| Err(Error::corrupt(path, 0, reason));
        let Some(block) = bytes.get(..HEADER_BYTES as usize) else {
            return damage(format!(
                "the file ends within its header of {HEADER_BYTES} bytes"
            ));
        };
        if &block[..8] != MAGIC {
            return damage("this is not a write-ahead log file".into());
        }
        let (stored, computed) = (u32_at(block, 12), checksum(block));
        if stored != computed {
            return damage(format!(
                "header checksum is {computed:08x}, {stored:08x} was expected"
            ));
        }
        let version = u32_at(block, 8);
        if version != FORMAT_VERSION {
            return Err(Error::Invalid(format!(
                "write-ahead log file {} has format version {version}, and this program reads \
                 version {FORMAT_VERSION}",
                path.display()
            )));
        }
        let header = Header {
            ordinal: u64_at(block, 16),
            epoch: u64_at(block, 24),
            first_group: u64_at(block, 32),
            first_sequence: Sequence(u64_at(block, 40)),
        };
        if header.ordinal != ordinal {
            return damage(format!("this is the log's file {}", header.ordinal));
        }
        if header.epoch == 0 || header.first_group == 0 || header.first_sequence.0 == 0 {
            return damage("the header counts from zero".into());
        }
        Ok(header)
    }
}

fn checksum(block: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&block[..12]);
    crc.update(&block[16..]);
    crc.finalize()
}
