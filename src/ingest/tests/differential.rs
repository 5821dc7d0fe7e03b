//! COPY TO and COPY FROM against a live PostgreSQL, on random rows of every type.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::faults::{options, sql_options};
use super::round_trip::{all_types, batch};
use super::*;

/// What we write PostgreSQL reads, and then writes the same bytes as we do.
#[test]
fn postgresql_writes_what_we_write() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let types = all_types();
    let settings = FormatSettings::default();
    let mut runner = TestRunner::deterministic();
    let batches: Vec<RecordBatch> = (0..150)
        .map(|_| batch().new_tree(&mut runner).expect("rows").current())
        .collect();
    let columns: Vec<String> = types
        .iter()
        .map(|(name, ty)| format!("\"{name}\" {}", ty.name()))
        .collect();
    let ours = encode(&options("text"), &types, &batches, &settings);
    let ours_path = postgres.path("ours");
    std::fs::write(&ours_path, &ours).expect("a file");
    let cases = [
        "text",
        "text delimiter=| null=NULL header",
        "csv",
        "csv header force_quote=*",
        "csv delimiter=; quote=' null=-",
        "csv escape=\\ force_quote=text",
        "binary",
    ];
    let mut script = format!(
        "SET TimeZone = 'UTC'; CREATE TABLE t ({}); COPY t FROM '{}';\n",
        columns.join(", "),
        ours_path.display()
    );
    for (at, case) in cases.iter().enumerate() {
        let path = postgres.path(&format!("theirs{at}"));
        script.push_str(&format!(
            "COPY t TO '{}' ({});\n",
            path.display(),
            sql_options(case)
        ));
    }
    postgres.run(&script);
    for (at, case) in cases.iter().enumerate() {
        let theirs = std::fs::read(postgres.path(&format!("theirs{at}"))).expect("a file");
        let options = options(case);
        let ours = encode(&options, &types, &batches, &settings);
        if let Some(from) =
            (0..ours.len().max(theirs.len())).find(|at| ours.get(*at) != theirs.get(*at))
        {
            let around = |bytes: &[u8]| {
                let start = from.saturating_sub(80).min(bytes.len());
                String::from_utf8_lossy(&bytes[start..bytes.len().min(from + 80)]).into_owned()
            };
            panic!(
                "{case}: at {from} ours\n{}\ntheirs\n{}",
                around(&ours),
                around(&theirs)
            );
        }
        // And we read what PostgreSQL wrote.
        let text_null = options.format == CopyFormat::Text && options.null != "\\N";
        if !text_null {
            let decoded = decode(&options, &types, &theirs, &[1000]).expect("rows");
            assert_eq!(
                encode(&options, &types, &decoded, &settings),
                ours,
                "{case}"
            );
        }
    }
}
