//! `--svg`: cycles a packet by size, a panel for each suite, a line for each direction, gateway and scope.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::{Direction, Measurement, Scope};
use crate::traffic::float;

/// Of one panel, pixels.
const PANEL: (u32, u32) = (900, 480);

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// By bytes, TSC cycles.
type Line = BTreeMap<usize, f64>;

/// Mixtures of lengths have no place on the axis and are left out.
pub(crate) fn write(path: &Path, rows: &[Measurement]) -> Result<()> {
    let mut suites: BTreeMap<&str, BTreeMap<String, Line>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.imix) {
        let lines = suites.entry(&row.suite).or_default();
        lines.entry(line(row, "Esplanade")).or_default().insert(row.bytes, row.tsc_per_packet);
        if let Some(with) = &row.comparison {
            lines.entry(line(row, with.peer)).or_default().insert(row.bytes, with.peer_tsc_per_packet);
        }
    }
    let panels = suites.len().max(1);
    let height = PANEL.1 * u32::try_from(panels)?;
    let area = SVGBackend::new(path, (PANEL.0, height)).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, (suite, lines)) in area.split_evenly((panels, 1)).iter().zip(&suites) {
        draw(panel, suite, lines)?;
    }
    area.present()?;
    Ok(())
}

fn line(row: &Measurement, gateway: &str) -> String {
    let direction = match row.direction {
        Direction::Encap => "encap",
        Direction::Decap => "decap",
    };
    let scope = match row.scope {
        Scope::Path => "path",
        Scope::Worker => "worker",
    };
    let mut name = format!("{gateway}, {scope}, {direction}");
    if row.sas > 1 || row.workers > 1 {
        name.push_str(&format!(", {} SAs, {} workers", row.sas, row.workers));
    }
    name
}

fn draw(panel: &Panel<'_>, suite: &str, lines: &BTreeMap<String, Line>) -> Result<()> {
    let points = || lines.values().flatten();
    let longest = points().map(|(bytes, _)| float(*bytes)).fold(64.0, f64::max);
    let highest = points().map(|(_, cycles)| *cycles).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(panel)
        .caption(suite, ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..longest * 1.05, 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("bytes of the inner IP packet")
        .y_desc("TSC cycles a packet")
        .x_label_formatter(&|bytes| format!("{bytes:.0}"))
        .y_label_formatter(&|cycles| format!("{cycles:.0}"))
        .draw()?;
    for (n, (name, line)) in lines.iter().enumerate() {
        let color = Palette99::pick(n).stroke_width(2);
        let points = line.iter().map(|(bytes, cycles)| (float(*bytes), *cycles));
        chart
            .draw_series(LineSeries::new(points, color).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::row;

    #[test]
    fn both_gateways_have_their_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plot.svg");
        write(&path, &[row(100.0, Some(0.5))]).expect("drawn");
        let svg = std::fs::read_to_string(&path).expect("written");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["AES-GCM-16-128", "Esplanade, worker, encap", "ipsec-secgw, worker, encap"] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }
}
