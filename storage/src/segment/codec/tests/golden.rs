//! The bytes of format version 1, for ever. `tests/golden/codec` shows them for people; a change
//! there is read, and rewritten by `UPDATE=1`. `tests/fixtures/v1` must stay readable: an existing
//! file there is never rewritten.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::columns::examples;
use super::{Column, codec_of, encode, round_trip};

fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

#[test]
fn examples_take_their_codec_and_return() {
    for (name, codec, array) in examples() {
        assert_eq!(codec_of(&array), codec, "{name}");
        let rows = array.len();
        round_trip(&array, &[0..rows / 2, rows / 2..rows]);
    }
}

#[test]
fn golden_bytes() {
    let dir = tests_dir().join("golden/codec");
    for (name, _, array) in examples() {
        let path = dir.join(format!("{name}.txt"));
        let text = describe(&array, &encode(&array));
        if updating() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, text).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            expected == text,
            "{} differs; UPDATE=1 rewrites it. Now:\n{text}",
            path.display()
        );
    }
}

/// Values of version 1 are read, whatever later versions write.
#[test]
fn version_1_fixtures_decode() {
    let dir = tests_dir().join("fixtures/v1");
    for (name, _, array) in examples() {
        let path = dir.join(format!("column-{name}.bin"));
        if updating() && !path.exists() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, encode(&array)).unwrap();
        }
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let column = Column::open(bytes.into(), array.data_type()).unwrap();
        assert_eq!(&column.decode(0..array.len()).unwrap(), &array, "{name}");
    }
}

/// Type and values of a column, then its bytes, sixteen a line.
fn describe(array: &ArrayRef, bytes: &[u8]) -> String {
    let options = FormatOptions::new().with_null("NULL");
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    let mut text = format!(
        "{}, {} rows, {} bytes\n",
        array.data_type(),
        array.len(),
        bytes.len()
    );
    let values: Vec<String> = (0..array.len())
        .map(|row| formatter.value(row).to_string())
        .collect();
    for line in values.chunks(16) {
        writeln!(text, "= {}", line.join(" | ").escape_debug()).unwrap();
    }
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{:04x}  {}", line * 16, hex.join(" ")).unwrap();
    }
    text
}
