//! The rows for people.

use std::fmt::{self, Write as _};

use comfy_table::{CellAlignment, Row, Table, presets};

use crate::report::{Comparison, Measurement};

/// A column: its title, what it has of a row, and what the title means.
type Column = (&'static str, fn(&Measurement) -> String, &'static str);

const COLUMNS: [Column; 12] = [
    ("scope", |row| lowercase(row.scope), "path: without receiving and transmitting; worker: whole"),
    ("direction", |row| lowercase(row.direction), ""),
    ("suite", |row| row.suite.clone(), ""),
    ("bytes", bytes, "of the inner IP packets; imix: 64, 570 and 1,400 as 7 to 4 to 1"),
    ("SAs", |row| row.sas.to_string(), ""),
    ("workers", |row| row.workers.to_string(), ""),
    ("t", |row| format!("{:.1}", row.tsc_per_packet), "TSC cycles a packet, on each worker"),
    ("c", |row| or_dash(row.core_cycles_per_packet, 1), "core cycles a packet"),
    (
        "raw t",
        |row| format!("{:.1}", row.raw_tsc_per_packet),
        "TSC cycles of the cryptography alone, in warm caches",
    ),
    ("Mpps", |row| format!("{:.3}", row.mpps), ""),
    ("Gbit/s", |row| format!("{:.2}", row.gbit_per_s), "of inner IP packets"),
    ("CPU", |row| format!("{:.2}", row.cpu_share), "share of its CPU that the thread got"),
];

/// Of several workers.
const SCALED: Column = (
    "x one",
    |row| row.times_one_worker.map_or_else(String::new, |times| format!("{times:.2}")),
    "rate of all workers to that of one of them alone",
);

/// Of a comparison.
const COMPARED: [Column; 4] = [
    ("peer t", |row| compared(row, |with| format!("{:.1}", with.peer_tsc_per_packet)), "the peer's"),
    (
        "I/O t",
        |row| compared(row, |with| format!("{:.1}", with.io_tsc_per_packet)),
        "the devices with nothing between",
    ),
    ("ratio", |row| compared(row, ratio), "ours to the peer's: median of the rounds, lowest and highest"),
    (
        "less I/O",
        |row| compared(row, |with| format!("{:.3}", with.ratio_tsc_less_io)),
        "the ratio without what the devices cost",
    ),
];

/// A table without lines: so many columns of names to the left, and the figures of the others to the right.
pub(crate) fn plain<R: Into<Row>>(
    header: impl Into<Row>,
    rows: impl IntoIterator<Item = R>,
    names: usize,
) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The rows as a table, and under it what its columns mean.
pub(crate) fn render(rows: &[Measurement]) -> Result<String, fmt::Error> {
    let scaled = rows.iter().any(|row| row.times_one_worker.is_some());
    let compared = rows.iter().any(|row| row.comparison.is_some());
    let columns = COLUMNS.iter().chain([&SCALED].into_iter().filter(|_| scaled));
    let columns: Vec<_> = columns.chain(COMPARED.iter().filter(|_| compared)).collect();
    let titles = columns.iter().map(|(title, ..)| *title);
    let table = plain(titles, rows.iter().map(|row| columns.iter().map(|(_, cell, _)| cell(row))), 3);
    let mut text = format!("{table}\n\n");
    for (title, _, meaning) in columns.iter().filter(|(.., meaning)| !meaning.is_empty()) {
        writeln!(text, "{title}: {meaning}")?;
    }
    if rows.iter().any(|row| row.core_cycles_per_packet.is_none()) {
        writeln!(
            text,
            "c is -: this machine does not let us count core cycles (a virtual machine without a PMU,"
        )?;
        writeln!(text, "or kernel.perf_event_paranoid above 2)")?;
    }
    for row in rows.iter().filter(|row| !row.drops.is_empty()) {
        writeln!(text, "{}: packets were dropped: {:?}", name(row), row.drops)?;
    }
    Ok(text)
}

/// What a row is of, in words.
pub(crate) fn name(row: &Measurement) -> String {
    let (scope, direction, bytes) = (lowercase(row.scope), lowercase(row.direction), bytes(row));
    let counts = format!("{} SAs, {} workers", row.sas, row.workers);
    format!("{scope} {direction} {} {bytes} bytes, {counts}", row.suite)
}

pub(crate) fn bytes(row: &Measurement) -> String {
    if row.imix { "imix".to_owned() } else { row.bytes.to_string() }
}

pub(crate) fn lowercase(value: impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn or_dash(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn compared(row: &Measurement, cell: impl Fn(&Comparison) -> String) -> String {
    row.comparison.as_ref().map_or_else(String::new, cell)
}

fn ratio(with: &Comparison) -> String {
    let ratio = &with.ratio;
    format!("{:.3} ({:.3}-{:.3})", ratio.median, ratio.lowest, ratio.highest)
}
