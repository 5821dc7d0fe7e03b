//! The table that is printed at the end.

use std::fmt;

/// What is measured, in the order of the table.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Figure {
    CopyOne,
    CopyTwo,
    Disk,
    MerchantWeek,
    AnyMerchantWeek,
    RevenueByDay,
    Count,
    Recovery,
    Memory,
}

const FIGURES: [(Figure, &str); 9] = [
    (Figure::CopyOne, "COPY csv, 1 connection, fsync on"),
    (Figure::CopyTwo, "COPY csv, 2 connections, fsync on"),
    (Figure::Disk, "on disk after compaction"),
    (
        Figure::MerchantWeek,
        "one merchant picked by rows, 7 days by hour, p50 / p99",
    ),
    (
        Figure::AnyMerchantWeek,
        "one merchant of all alike, 7 days by hour, p50 / p99",
    ),
    (
        Figure::RevenueByDay,
        "revenue of all merchants by day, median",
    ),
    (Figure::Count, "count(*), median"),
    (
        Figure::Recovery,
        "kill -9, then start until count(*) is answered",
    ),
    (Figure::Memory, "peak memory of the server"),
];

/// One system's figures.
pub(crate) struct Column {
    title: String,
    figures: Vec<(Figure, String)>,
}

impl Column {
    pub(crate) fn new(system: &str, rows: u64) -> Self {
        let title = format!("{system}, {:.1} M rows", rows as f64 / 1e6);
        eprintln!("measuring {title}");
        Self {
            title,
            figures: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, figure: Figure, text: String) {
        let name = FIGURES
            .iter()
            .find(|known| known.0 == figure)
            .map_or("", |known| known.1);
        eprintln!("  {name}: {text}");
        self.figures.push((figure, text));
    }

    pub(crate) fn put_all(&mut self, figures: Vec<(Figure, String)>) {
        for (figure, text) in figures {
            self.put(figure, text);
        }
    }
}

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) machine: String,
    /// Nanoseconds and bytes a generated row.
    pub(crate) generator: (f64, f64),
    pub(crate) columns: Vec<Column>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ns, bytes) = self.generator;
        writeln!(f, "Machine: {}.", self.machine)?;
        writeln!(
            f,
            "Client, generator and server share it; the generator takes {ns:.0} ns CPU for a row \
             of {bytes:.0} bytes.\n"
        )?;
        let titles: Vec<&str> = self
            .columns
            .iter()
            .map(|column| column.title.as_str())
            .collect();
        writeln!(f, "| | {} |", titles.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(titles.len()))?;
        for (figure, name) in FIGURES {
            let cells = self.columns.iter().map(|column| {
                let found = column.figures.iter().find(|known| known.0 == figure);
                found.map_or("–", |known| known.1.as_str())
            });
            writeln!(f, "| {name} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
        }
        Ok(())
    }
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
