//! `UPDATE=1`: writes what the engines answer into the files.

use std::fmt::Write;

use sqllogictest::{
    Condition, QueryExpect, Record, StatementExpect, default_validator, update_record_with_output,
};

use super::client::{Engine, Type, as_it_is, runner, types_match};
use super::file::File;
use super::postgres::Postgres;
use crate::server::Server;

/// Every file: PostgreSQL's answers where it is asked, SliceDB's otherwise.
pub(super) fn all(postgres: &Postgres) {
    for file in File::all() {
        let mut records = vec![file.setup, file.queries];
        if !file.is_only_slicedb {
            postgres.create_database(&file.name);
            answer(
                Engine::Postgres(&file.name),
                postgres.port(),
                &mut records,
                |_| true,
            );
        }
        let is_ours = |record: &Record<Type>| file.is_only_slicedb || is_only_slicedb(record);
        if records.iter().flatten().any(is_ours) {
            let server = Server::start();
            answer(
                Engine::SliceDb,
                server.address().port(),
                &mut records,
                is_ours,
            );
        }
        let mut text = String::new();
        for record in records.iter().flatten() {
            writeln!(text, "{record}").expect("room");
        }
        std::fs::write(&file.path, text.trim_end().to_owned() + "\n").expect("room");
    }
}

/// Runs the parts and writes the answers to those records that are to have this engine's.
fn answer(
    engine: Engine<'_>,
    port: u16,
    parts: &mut [Vec<Record<Type>>],
    has_its_answer: impl Fn(&Record<Type>) -> bool,
) {
    for part in parts {
        let mut runner = runner(engine, port, "hot");
        for record in part {
            let output = futures::executor::block_on(runner.apply_record(record.clone()));
            if !has_its_answer(record) {
                continue;
            }
            let updated = update_record_with_output(
                &without_empty_error(record),
                &output,
                "|",
                default_validator,
                as_it_is,
                types_match,
            );
            if let Some(updated) = updated
                && !is_volatile(record)
            {
                *record = updated;
            }
        }
        runner.shutdown();
    }
}

/// A bare `statement error` matches any error and would stay as it is.
fn without_empty_error(record: &Record<Type>) -> Record<Type> {
    let mut record = record.clone();
    if let Record::Statement { expected, .. } = &mut record
        && matches!(
            expected,
            StatementExpect::Error(sqllogictest::ExpectedError::Empty)
        )
    {
        *expected = StatementExpect::Ok;
    }
    record
}

/// Whether a person wrote which parts of the answer count.
fn is_volatile(record: &Record<Type>) -> bool {
    match record {
        Record::Query {
            expected: QueryExpect::Results { results, .. },
            ..
        } => results.iter().any(|line| line.contains("<slt:ignore>")),
        _ => false,
    }
}

fn is_only_slicedb(record: &Record<Type>) -> bool {
    let (Record::Query { conditions, .. } | Record::Statement { conditions, .. }) = record else {
        return false;
    };
    let only = Condition::OnlyIf {
        label: Engine::SliceDb.name().to_owned(),
    };
    conditions.contains(&only)
}
