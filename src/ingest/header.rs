//! The first line of the data, if it holds names.

use slicedb_sql::dialect::CopyHeader;
use slicedb_sql::error::SqlError;

use super::rows::Rows;

/// Checks the names of a first line; None is the NULL string.
pub(super) fn check(
    header: CopyHeader,
    names: &[Option<Vec<u8>>],
    null: &[u8],
    line: &[u8],
    rows: &Rows,
) -> Result<(), SqlError> {
    if header != CopyHeader::Match {
        return Ok(());
    }
    if names.len() != rows.columns.len() {
        return Err(rows.in_line(
            line,
            format!(
                "wrong number of fields in header line: got {}, expected {}",
                names.len(),
                rows.columns.len()
            ),
        ));
    }
    for (at, (name, column)) in names.iter().zip(&rows.columns).enumerate() {
        let expected = &column.name;
        let field = at + 1;
        let Some(name) = name else {
            let null = String::from_utf8_lossy(null);
            return Err(rows.in_line(
                line,
                format!(
                    "column name mismatch in header line field {field}: got null value (\"{null}\"), expected \"{expected}\""
                ),
            ));
        };
        if name != expected.as_bytes() {
            let got = String::from_utf8_lossy(name);
            return Err(rows.in_line(
                line,
                format!(
                    "column name mismatch in header line field {field}: got \"{got}\", expected \"{expected}\""
                ),
            ));
        }
    }
    Ok(())
}
