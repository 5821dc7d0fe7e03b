//! The tables that are printed at the end.

use std::fmt;
use std::path::Path;

use crate::load::Orders;
use crate::{machine, process};

/// What is measured, with its name, in the order of the table.
pub(crate) type Names<F> = &'static [(F, &'static str)];

/// One system's figures.
pub(crate) struct Column<F: 'static> {
    title: String,
    names: Names<F>,
    figures: Vec<(F, String)>,
}

impl<F: Copy + PartialEq> Column<F> {
    pub(crate) fn new(names: Names<F>, system: &str, rows: u64) -> Self {
        let title = format!("{system}, {:.1} M rows", rows as f64 / 1e6);
        eprintln!("measuring {title}");
        Self {
            title,
            names,
            figures: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, figure: F, text: String) {
        let name = self
            .names
            .iter()
            .find(|known| known.0 == figure)
            .map_or("", |known| known.1);
        eprintln!("  {name}: {text}");
        self.figures.push((figure, text));
    }

    pub(crate) fn put_all(&mut self, figures: Vec<(F, String)>) {
        for (figure, text) in figures {
            self.put(figure, text);
        }
    }
}

/// What it was measured on, and what the generator takes for a row.
pub(crate) struct Circumstances {
    machine: String,
    generator_ns: f64,
    generator_bytes: f64,
}

impl Circumstances {
    /// Looks at the machine, and has the generator make a part of the orders.
    pub(crate) fn of(dir: &Path, orders: &Orders) -> Self {
        let machine = machine::facts(dir);
        let (mut rows, mut bytes, mut buffer) = (0, 0, Vec::new());
        let before = process::cpu_seconds("self");
        for minute in orders.minutes().step_by(7) {
            buffer.clear();
            orders
                .generator()
                .write_csv(minute, 0..u64::MAX, &mut buffer);
            bytes += buffer.len();
            rows += orders.generator().rows_in(minute);
        }
        let rows = rows.max(1) as f64;
        Self {
            machine,
            generator_ns: (process::cpu_seconds("self") - before) * 1e9 / rows,
            generator_bytes: bytes as f64 / rows,
        }
    }
}

impl fmt::Display for Circumstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Machine: {}.", self.machine)?;
        writeln!(
            f,
            "Client, generator and server share it; the generator takes {:.0} ns CPU for a row \
             of {:.0} bytes.",
            self.generator_ns, self.generator_bytes
        )
    }
}

/// The systems beside each other.
pub(crate) struct Table<F: 'static>(pub(crate) Vec<Column<F>>);

impl<F: Copy + PartialEq> fmt::Display for Table<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else {
            return Ok(());
        };
        let titles: Vec<&str> = self.0.iter().map(|column| column.title.as_str()).collect();
        writeln!(f, "| | {} |", titles.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(titles.len()))?;
        for (figure, name) in first.names {
            let cells = self.0.iter().map(|column| {
                let found = column.figures.iter().find(|known| known.0 == *figure);
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
