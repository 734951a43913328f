//! The state of the screen, and what keys do to it.

use super::model::{Model, Snapshot, TunnelRow};
use clap::ValueEnum;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// What happened that is remembered.
const MOST_EVENTS: usize = 100;
/// Rows that a page key moves.
const PAGE: usize = 10;

/// By which column tunnels are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    Name,
    /// What is down first
    State,
    /// The youngest first
    Age,
    /// The busiest inbound first
    In,
    /// The busiest outbound first
    Out,
    /// The most drops first
    Drops,
}

impl Sort {
    fn next(self) -> Self {
        let all = Self::value_variants();
        let place = all.iter().position(|sort| *sort == self).unwrap_or(0);
        all[(place + 1) % all.len()]
    }

    fn order(self, a: &TunnelRow, b: &TunnelRow) -> Ordering {
        let by = match self {
            Self::Name => Ordering::Equal,
            Self::State => a.state.cmp(&b.state),
            Self::Age => a.up_secs.cmp(&b.up_secs),
            Self::In => b.inbound.bits_per_second.total_cmp(&a.inbound.bits_per_second),
            Self::Out => b.outbound.bits_per_second.total_cmp(&a.outbound.bits_per_second),
            Self::Drops => b.drops.total_cmp(&a.drops),
        };
        by.then_with(|| a.name.cmp(&b.name))
    }
}

/// What a key asks of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Stay,
    Quit,
}

/// The screen's state.
#[derive(Debug)]
pub(super) struct App {
    pub(super) model: Model,
    pub(super) events: VecDeque<String>,
    pub(super) sort: Sort,
    pub(super) reverse: bool,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) down_only: bool,
    pub(super) paused: bool,
    /// Rows that are above the screen.
    pub(super) skipped: usize,
    last: Option<Snapshot>,
}

impl App {
    pub(super) fn new(sort: Sort, filter: &str) -> Self {
        Self {
            model: Model::default(),
            events: VecDeque::new(),
            sort,
            reverse: false,
            filter: filter.to_owned(),
            typing: false,
            down_only: false,
            paused: false,
            skipped: 0,
            last: None,
        }
    }

    /// Shows a new snapshot, unless the screen stands still.
    pub(super) fn take(&mut self, snapshot: Snapshot) {
        if self.paused {
            return;
        }
        self.model = Model::between(self.last.as_ref(), &snapshot);
        for event in self.model.events.iter().rev() {
            self.events.push_front(event.clone());
        }
        self.events.truncate(MOST_EVENTS);
        self.last = Some(snapshot);
    }

    /// The tunnels that are asked for, in the order that is.
    pub(super) fn rows(&self) -> Vec<&TunnelRow> {
        let wanted = |row: &&TunnelRow| {
            row.name.contains(&self.filter) && !(self.down_only && row.state == super::model::Negotiated::Up)
        };
        let mut rows: Vec<&TunnelRow> = self.model.tunnels.iter().filter(wanted).collect();
        rows.sort_by(|a, b| self.sort.order(a, b));
        if self.reverse {
            rows.reverse();
        }
        rows
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::Stay;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Wish::Quit,
            code if self.typing => self.type_filter(code),
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Char('d') => self.down_only = !self.down_only,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('/') => self.typing = true,
            code => self.scroll(code),
        }
        self.skipped = self.skipped.min(self.rows().len().saturating_sub(1));
        Wish::Stay
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => (self.typing, self.filter) = (false, String::new()),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(character) => self.filter.push(character),
            _ => {}
        }
    }

    fn scroll(&mut self, code: KeyCode) {
        self.skipped = match code {
            KeyCode::Up | KeyCode::Char('k') => self.skipped.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.skipped + 1,
            KeyCode::PageUp => self.skipped.saturating_sub(PAGE),
            KeyCode::PageDown => self.skipped + PAGE,
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            _ => self.skipped,
        };
    }
}
