//! PostgreSQL over the same rows: at the end of a sequence each aggregate is what its query,
//! in PostgreSQL's words, answers there.

use super::schema::{NAMES, in_postgres, tables_in_postgres};
use super::session::{Session, said};
use crate::slt::postgres::Postgres;

/// A database of its own for one sequence after the other.
pub(super) struct Reference {
    session: Session,
}

impl Reference {
    /// Makes one.
    pub(super) async fn of(postgres: &Postgres, name: &str) -> Reference {
        postgres.create_database(name);
        let port = postgres.port();
        let settings = format!("host=127.0.0.1 port={port} user=postgres dbname={name}");
        let session = Session::connect(&settings).await;
        let quiet = session.rows("set client_min_messages = warning").await;
        quiet.expect("a setting");
        Reference { session }
    }

    /// Takes over the rows.
    ///
    /// # Errors
    /// What could not be copied.
    pub(super) async fn take(&mut self, from: &Session) -> Result<(), String> {
        let failed = |e| format!("rows for PostgreSQL: {}", said(&e));
        let tables = tables_in_postgres();
        self.session.rows(&tables).await.map_err(failed)?;
        for name in NAMES {
            let (out, into) = (
                format!("copy {name} to stdout"),
                format!("copy {name} from stdin"),
            );
            let rows = from.copy_out(&out).await.map_err(failed)?;
            self.session.copy_in(&into, rows).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Holds an aggregate against its query over the rows that were taken.
    ///
    /// # Errors
    /// Where they differ.
    pub(super) async fn compare(
        &self,
        ours: &Session,
        name: &str,
        query: &str,
        hourly: &str,
    ) -> Result<(), String> {
        let query = in_postgres(query, hourly);
        let kept = ours.rows(&format!("select * from {name}")).await;
        let mut kept = kept.map_err(|e| format!("{name}: {}", said(&e)))?;
        let rows = self.session.rows(&query).await;
        let mut rows = rows.map_err(|e| format!("{query}: {}", said(&e)))?;
        // What they are grouped by tells rows apart, and stands in front.
        kept.sort_unstable();
        rows.sort_unstable();
        let mut pairs = std::iter::zip(&kept, &rows);
        let uneven = pairs.find(|(kept, row)| !is_same_row(kept, row));
        match uneven {
            None if kept.len() == rows.len() => Ok(()),
            uneven => Err(format!(
                "{name} has {} rows and PostgreSQL {}: {uneven:?}\n{query}",
                kept.len(),
                rows.len()
            )),
        }
    }
}

fn is_same_row(one: &str, other: &str) -> bool {
    one.split('|').count() == other.split('|').count()
        && std::iter::zip(one.split('|'), other.split('|')).all(|(a, b)| is_same_value(a, b))
}

/// Numbers may be written in several ways.
fn is_same_value(one: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<f64>();
    match (number(one), number(other)) {
        _ if one == other => true,
        (Ok(one), Ok(other)) => (one - other).abs() <= 1e-9 * one.abs().max(other.abs()),
        _ => false,
    }
}
