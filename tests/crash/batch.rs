//! Batches of rows that prove themselves: what stands in row `n` of batch `b` follows from `b` and
//! `n`, and each row says how many rows its batch has. One grouped query then tells whether every
//! batch is whole, without a row twice, whoever asks and whenever.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::chance::mix;

/// Tables with the same columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    /// Time-series.
    Orders,
    /// Time-series.
    Payments,
    /// Reference, with a primary key.
    Merchants,
}

impl Table {
    pub(crate) const ALL: [Table; 3] = [Table::Orders, Table::Payments, Table::Merchants];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Table::Orders => "orders",
            Table::Payments => "payments",
            Table::Merchants => "merchants",
        }
    }

    /// The statement that creates it.
    pub(crate) fn create(self) -> String {
        let (key, with) = match self {
            Table::Merchants => (", PRIMARY KEY (id)", ""),
            _ => (
                "",
                " WITH (tsdb.hypertable, tsdb.partition_column='ts', tsdb.segmentby='merchant_id', tsdb.chunk_interval='1 hour')",
            ),
        };
        format!(
            "CREATE TABLE {} (id bigint, merchant_id bigint, ts timestamptz NOT NULL, batch bigint, n bigint,
             of_rows bigint, version bigint, amount double precision, note text{key}){with}",
            self.name()
        )
    }
}

/// Ids of a writer's batches.
pub(crate) fn batches_of(writer: u64) -> Range<u64> {
    writer * 1_000_000..(writer + 1) * 1_000_000
}

/// Every tenth batch stands in orders and payments alike, or in none of both.
pub(crate) fn is_twin(batch: u64) -> bool {
    batch.is_multiple_of(10)
}

/// What is to be known of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fact {
    pub(crate) rows: u64,
    /// How often it was updated.
    pub(crate) version: u64,
}

/// All batches of a writer, or of all.
pub(crate) type Facts = BTreeMap<(Table, u64), Fact>;

/// Unique as long as no batch has more rows than that.
fn id(batch: u64, n: u64) -> u64 {
    batch * 100_000 + n
}

fn merchant(batch: u64, n: u64) -> u64 {
    mix(batch << 20 | n) % 40
}

fn quarters(batch: u64, n: u64) -> u64 {
    mix(batch << 20 | n) >> 8 & 0xfff
}

/// Rows of a new batch as lines of CSV. A day and hour of its own, so that most batches come late.
pub(crate) fn csv(batch: u64, rows: u64) -> String {
    let mut text = String::new();
    for n in 0..rows {
        let second = mix(batch) % 96 * 1800 + n;
        let _ = writeln!(
            text,
            "{},{},2024-05-{:02} {:02}:{:02}:{:02}+00,{batch},{n},{rows},0,{},{}",
            id(batch, n),
            merchant(batch, n),
            1 + second / 86_400,
            second / 3600 % 24,
            second / 60 % 60,
            second % 60,
            quarters(batch, n) as f64 / 4.0,
            // Every other note is null.
            if n % 2 == 0 {
                format!("b{batch}")
            } else {
                String::new()
            },
        );
    }
    text
}

/// The same rows as a list for VALUES.
pub(crate) fn values(batch: u64, rows: u64) -> String {
    let tuples = csv(batch, rows)
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let note = match cells[8] {
                "" => "NULL".to_owned(),
                note => format!("'{note}'"),
            };
            format!(
                "({},{},'{}',{},{note})",
                cells[0],
                cells[1],
                cells[2],
                cells[3..8].join(",")
            )
        })
        .collect::<Vec<_>>();
    tuples.join(",")
}

/// Why there are no facts.
#[derive(Debug)]
pub(crate) enum NoFacts {
    /// The server is gone, or said so.
    Failed(tokio_postgres::Error),
    /// Something is there that must never be seen.
    Wrong(String),
}

/// What one query sees of all batches in a range of ids, in all tables at once.
pub(crate) async fn facts(client: &Client, ids: Range<u64>) -> Result<Facts, NoFacts> {
    let selects = Table::ALL.map(|table| {
        format!(
            "SELECT '{0}' AS t, batch, count(*), sum(n), sum(n * n), min(of_rows), max(of_rows), min(version), max(version),
             sum(merchant_id), sum(amount) * 4, count(note), min(note), max(note), sum(id)
             FROM {0} WHERE batch >= {1} AND batch < {2} GROUP BY batch",
            table.name(), ids.start, ids.end
        )
    });
    let query = selects.join(" UNION ALL ");
    let answer = client.simple_query(&query).await.map_err(NoFacts::Failed)?;
    let mut facts = Facts::new();
    for message in answer {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        let cells: Vec<&str> = (0..row.len())
            .map(|i| row.get(i).unwrap_or("null"))
            .collect();
        let (key, fact) = whole(&cells).ok_or_else(|| {
            NoFacts::Wrong(format!("a batch that is not whole: {}", cells.join(" ")))
        })?;
        if facts.insert(key, fact).is_some() {
            return Err(NoFacts::Wrong(format!("two groups of {key:?}")));
        }
    }
    for &(table, batch) in facts.keys().filter(|(_, batch)| is_twin(*batch)) {
        let of = |table| facts.get(&(table, batch));
        if table != Table::Merchants && of(Table::Orders) != of(Table::Payments) {
            let reason = format!(
                "half of a transaction: batch {batch} is {:?} in orders, {:?} in payments",
                of(Table::Orders),
                of(Table::Payments)
            );
            return Err(NoFacts::Wrong(reason));
        }
    }
    Ok(facts)
}

/// The batch that a line of the answer describes, if all its rows are there once.
fn whole(cells: &[&str]) -> Option<((Table, u64), Fact)> {
    let table = Table::ALL.into_iter().find(|t| t.name() == cells[0])?;
    let number = |i: usize| cells[i].parse::<f64>().ok();
    let batch: u64 = cells[1].parse().ok()?;
    let rows: u64 = cells[2].parse().ok()?;
    let version: u64 = cells[7].parse().ok()?;
    let sum = |of: &dyn Fn(u64) -> u64| (0..rows).map(of).sum::<u64>() as f64;
    let note = format!("b{batch}");
    let is_whole = number(5)? == rows as f64
        && number(6)? == rows as f64
        && number(8)? == version as f64
        && number(3)? == sum(&|n| n)
        && number(4)? == sum(&|n| n * n)
        && number(9)? == sum(&|n| merchant(batch, n))
        && number(10)? == sum(&|n| quarters(batch, n))
        && number(11)? == rows.div_ceil(2) as f64
        && (cells[12], cells[13]) == (note.as_str(), note.as_str())
        && number(14)? == sum(&|n| id(batch, n));
    is_whole.then_some(((table, batch), Fact { rows, version }))
}
