//! Drawing: a heading, the workers, the tunnels, what happened, and the keys. It fits 80 columns and 24 lines.

use super::app::{App, Sort};
use super::model::{Negotiated, Rate, TunnelRow, WorkerRow};
use crate::cli::human;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table};

/// Lines of workers, at most, beside their heading.
const MOST_WORKERS: usize = 4;
/// Lines of what happened, beside their heading.
const EVENTS: u16 = 4;

/// The columns of tunnels, with room for the mark of the one that sorts: 80 characters with the spaces between.
const COLUMNS: [(&str, Constraint, Option<Sort>); 8] = [
    ("TUNNEL", Constraint::Min(16), Some(Sort::Name)),
    ("STATE", Constraint::Length(6), Some(Sort::State)),
    ("UP FOR", Constraint::Length(7), Some(Sort::Age)),
    ("IN bit/s", Constraint::Length(9), Some(Sort::In)),
    ("IN p/s", Constraint::Length(6), None),
    ("OUT bit/s", Constraint::Length(10), Some(Sort::Out)),
    ("OUT p/s", Constraint::Length(7), None),
    ("DROP/s", Constraint::Length(7), Some(Sort::Drops)),
];

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App) {
    let workers = u16::try_from(app.model.workers.len().clamp(1, MOST_WORKERS)).unwrap_or(1);
    let parts = [
        Constraint::Length(1),
        Constraint::Length(1 + workers),
        Constraint::Min(3),
        Constraint::Length(1 + EVENTS),
        Constraint::Length(1),
    ];
    let [head, middle, tunnels, events, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(heading(app), head);
    frame.render_widget(self::workers(&app.model.workers), middle);
    frame.render_widget(self::tunnels(app, tunnels), tunnels);
    frame.render_widget(self::events(app), events);
    frame.render_widget(footer(app), foot);
}

/// Lines that the screen needs to show every tunnel.
pub(super) fn height(app: &App) -> u16 {
    let rows = app.rows().len() + app.model.workers.len().clamp(1, MOST_WORKERS);
    u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(EVENTS + 5)
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn heading(app: &App) -> Paragraph<'static> {
    if let Some(problem) = app.model.problems.first() {
        return Paragraph::new(problem.clone()).style(Style::new().fg(Color::Red));
    }
    let (inbound, outbound, drops) = app.model.total();
    let all = &app.model.tunnels;
    let up = all.iter().filter(|row| row.state == Negotiated::Up).count();
    let rate = |rate: Rate| {
        format!("{}bit/s {}p/s", human::figure(rate.bits_per_second), human::figure(rate.packets_per_second))
    };
    let text = format!(
        "{up}/{} tunnels up   in {}   out {}   drops {}/s",
        all.len(),
        rate(inbound),
        rate(outbound),
        human::figure(drops)
    );
    Paragraph::new(text).style(bold())
}

fn right(text: String) -> Cell<'static> {
    Cell::new(Line::from(text).alignment(Alignment::Right))
}

fn workers(workers: &[WorkerRow]) -> Table<'static> {
    let row = |worker: &WorkerRow| {
        let load = if worker.stuck { "STUCK".to_owned() } else { format!("{:.1} %", worker.load * 100.0) };
        let cycles = worker.cycles_per_packet.map_or_else(|| "-".to_owned(), |cycles| format!("{cycles:.0}"));
        let style = if worker.stuck { Style::new().fg(Color::Red) } else { Style::new() };
        let figures =
            [load, cycles, human::figure(worker.packets_per_second), human::figure(worker.handed_over)];
        let cells = std::iter::once(Cell::new(worker.worker.to_string())).chain(figures.map(right));
        Row::new(cells).style(style)
    };
    let names = ["LOAD", "CYCLES/p", "p/s", "HANDED/s"].map(|name| right(name.to_owned()));
    let header = Row::new(std::iter::once(Cell::new("WORKER")).chain(names)).style(bold());
    let widths = [
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(9),
    ];
    Table::new(workers.iter().take(MOST_WORKERS).map(row), widths).header(header)
}

fn tunnels(app: &App, area: Rect) -> Table<'static> {
    let rows = app.rows();
    let fit = usize::from(area.height.saturating_sub(1));
    // The last rows fill the screen.
    let skipped = app.skipped.min(rows.len().saturating_sub(fit));
    let name = |(index, (name, _, sort)): (usize, &(&str, Constraint, Option<Sort>))| {
        let mark = if *sort == Some(app.sort) { if app.reverse { "^" } else { "v" } } else { "" };
        let text = format!("{name}{mark}");
        if index < 2 { Cell::new(text) } else { right(text) }
    };
    let header = Row::new(COLUMNS.iter().enumerate().map(name)).style(bold());
    let shown = rows.into_iter().skip(skipped).take(fit).map(tunnel);
    Table::new(shown, COLUMNS.map(|(_, width, _)| width)).header(header)
}

fn tunnel(row: &TunnelRow) -> Row<'static> {
    let (state, style) = match row.state {
        Negotiated::Up => ("up", Style::new()),
        Negotiated::Ike => ("ike", Style::new().fg(Color::Yellow)),
        Negotiated::Down => ("down", Style::new().fg(Color::Red)),
    };
    let name = match &row.failure {
        Some(code) => format!("{} {code}", row.name),
        None => row.name.clone(),
    };
    let age = row.up_secs.map(human::duration).unwrap_or_default();
    let figures = [
        row.inbound.bits_per_second,
        row.inbound.packets_per_second,
        row.outbound.bits_per_second,
        row.outbound.packets_per_second,
        row.drops,
    ];
    let texts = [Cell::new(name), Cell::new(state), right(age)];
    Row::new(texts.into_iter().chain(figures.map(|figure| right(human::figure(figure))))).style(style)
}

fn events(app: &App) -> Paragraph<'static> {
    let heading = Line::styled("WHAT HAPPENED", bold());
    let lines = app.events.iter().take(EVENTS.into()).map(|event| Line::from(event.clone()));
    Paragraph::new(std::iter::once(heading).chain(lines).collect::<Vec<_>>())
}

fn footer(app: &App) -> Paragraph<'static> {
    let text = if app.typing {
        format!("filter: {}_   Enter keeps it, Esc clears it", app.filter)
    } else {
        let filter = if app.filter.is_empty() { String::new() } else { format!(" ({})", app.filter) };
        let paused = if app.paused { "PAUSED   " } else { "" };
        let down = if app.down_only { " (on)" } else { "" };
        format!(
            "{paused}q quit  s sort  r reverse  / filter{filter}  d down only{down}  p pause  arrows move"
        )
    };
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::REVERSED))
}

#[cfg(test)]
mod tests;
