use super::super::app::Wish;
use super::super::model::{Control, Snapshot};
use super::*;
use crate::cli::samples;
use api::{NegotiationStatus, TunnelTraffic};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use shm::inspect::Runtime;
use std::time::Duration;

fn snapshot(at: u64, tunnels: usize) -> Snapshot {
    let connection = |n: usize| {
        let mut connection = samples::connection(&format!("site{n:03}"), 1);
        let tunnel = &mut connection.tunnels[0];
        let carried = at * 100 * (1 + n as u64);
        tunnel.traffic =
            Some(TunnelTraffic { in_packets: carried, in_bytes: carried * 500, ..Default::default() });
        if n == 1 {
            tunnel.failure = Some("PskMismatch".to_owned());
        } else {
            tunnel.status = NegotiationStatus::IpsecSaEstablished;
            tunnel.up_secs = Some(90_000 + at);
        }
        connection
    };
    let control = Control {
        connections: (0..tunnels).map(connection).collect(),
        diagnoses: vec![samples::diagnosis("site001", 1, "PskMismatch")],
        drops: Vec::new(),
    };
    let worker = Runtime {
        ticks_per_second: 1_000_000,
        busy_ticks: 300_000 * at,
        idle_ticks: 700_000 * at,
        packets: 2000 * at,
        ..Runtime::default()
    };
    Snapshot { at: Duration::from_secs(at), control: Ok(control), workers: Ok(vec![worker]) }
}

fn app(tunnels: usize) -> App {
    let mut app = App::new(Sort::Name, "");
    app.take(snapshot(1, tunnels));
    app.take(snapshot(2, tunnels));
    app
}

fn press(app: &mut App, keys: &str) -> Wish {
    let mut wish = Wish::Stay;
    for character in keys.chars() {
        let code = if character == '\n' { KeyCode::Enter } else { KeyCode::Char(character) };
        wish = app.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
    wish
}

/// The screen as lines.
fn screen(app: &App, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, app)).expect("drawn");
    super::super::lines(terminal.backend().buffer())
}

#[test]
fn eighty_columns_and_twenty_four_lines_hold_everything() {
    let screen = screen(&app(200), 80, 24);
    assert_eq!(screen.len(), 24);
    assert_eq!(screen[0], "199/200 tunnels up   in 8.04Gbit/s 2.01Mp/s   out 0bit/s 0p/s   drops 0/s");
    assert_eq!(screen[1], "WORKER      LOAD  CYCLES/p      p/s  HANDED/s");
    assert_eq!(screen[2], "0         30.0 %       150    2.00k         0");
    assert!(screen[3].starts_with("TUNNELv") && screen[3].ends_with("DROP/s"), "{screen:#?}");
    assert!(screen[4].starts_with("site000/1"), "{screen:#?}");
    assert!(screen[4].contains(" up       1d 1h      400k    100"), "{screen:#?}");
    assert!(screen[5].starts_with("site001/1 PskMismatch down"), "{screen:#?}");
    assert_eq!(screen[18], "WHAT HAPPENED");
    assert!(screen[19].starts_with("site001/1: PskMismatch (psk), 4s ago"), "{screen:#?}");
    assert!(screen[23].starts_with("q quit"), "{screen:#?}");
}

#[test]
fn keys_sort_filter_and_move() {
    let mut app = app(200);
    press(&mut app, "sss");
    assert_eq!(app.sort, Sort::In);
    assert!(screen(&app, 80, 24)[4].starts_with("site199/1"), "the busiest first");
    press(&mut app, "r");
    assert!(screen(&app, 80, 24)[4].starts_with("site000/1"));
    press(&mut app, "/site19\n");
    assert_eq!((app.rows().len(), app.typing), (10, false));
    press(&mut app, "/");
    assert_eq!(press(&mut app, "q"), Wish::Stay, "it is part of the filter");
    app.press(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
    assert_eq!(app.rows().len(), 200);
    press(&mut app, "d");
    assert_eq!(app.rows().len(), 1);
    press(&mut app, "d");
    app.press(KeyEvent::new(KeyCode::End, KeyModifiers::NONE));
    assert!(screen(&app, 80, 24)[17].starts_with("site199/1"), "the last fills the screen");
    assert_eq!(press(&mut app, "q"), Wish::Quit);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(app.press(control_c), Wish::Quit);
}

#[test]
fn a_paused_screen_stands_still() {
    let mut app = app(3);
    press(&mut app, "p");
    let before = screen(&app, 80, 24);
    app.take(snapshot(9, 2));
    assert_eq!(screen(&app, 80, 24), before);
    assert!(before[23].starts_with("PAUSED"));
    press(&mut app, "p");
    app.take(snapshot(10, 2));
    assert!(screen(&app, 80, 24)[0].starts_with("1/2 tunnels up"));
}

#[test]
fn a_tiny_or_a_huge_terminal_is_no_reason_to_fail() {
    for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 100)] {
        assert_eq!(screen(&app(3), width, height).len(), usize::from(height));
    }
}
