//! `esplanade top`: a live view of tunnels, workers and what happens.
//!
//! One thread asks both planes; the other draws and reads keys, so that a plane that hangs does not hang the screen.

mod app;
mod model;
mod view;

use super::explain::Dataplane;
use super::{Format, runtime};
use anyhow::{Result, bail};
use app::{App, Sort, Wish};
use clap::Args;
use esplanade::client::Client;
use model::{Control, Snapshot};
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::{event, terminal};
use ratatui::{DefaultTerminal, Terminal};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// How soon a signal is seen.
const TICK: Duration = Duration::from_millis(100);
/// Columns where there is no terminal.
const WIDTH: u16 = 80;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Seconds between two frames
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    interval: f64,
    /// The column that tunnels are sorted by
    #[arg(long, value_enum, default_value_t = Sort::Name)]
    sort: Sort,
    /// Only tunnels whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Print one frame, of one interval, as text and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    dataplane: Dataplane,
    /// With --once: print one JSON document
    #[arg(long, requires = "once")]
    json: bool,
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("0.1 to 3600".to_owned()) }
}

pub(super) fn run(client: &Client, options: &Options) -> Result<ExitCode> {
    let source =
        Source { client: client.clone(), dataplane: options.dataplane.clone(), start: Instant::now() };
    let interval = Duration::from_secs_f64(options.interval);
    let app = App::new(options.sort, &options.filter);
    if options.once {
        return once(&source, interval, app, Format { json: options.json });
    }
    if !std::io::stdout().is_terminal() {
        bail!("standard output is no terminal: `esplanade top --once` prints a frame as text");
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let snapshots = source.follow(interval)?;
    // From here on a panic, too, gives the terminal back as it was.
    let mut screen = Screen(ratatui::try_init()?);
    screen.live(app, &snapshots, &stop)
}

/// The terminal, given back as it was when dropped.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

impl Screen {
    fn live(&mut self, mut app: App, snapshots: &Receiver<Snapshot>, stop: &AtomicBool) -> Result<ExitCode> {
        while !stop.load(Ordering::Relaxed) {
            snapshots.try_iter().for_each(|snapshot| app.take(snapshot));
            self.0.draw(|frame| view::draw(frame, &app))?;
            if event::poll(TICK)?
                && let event::Event::Key(key) = event::read()?
                && app.press(key) == Wish::Quit
            {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Who is asked.
#[derive(Clone)]
struct Source {
    client: Client,
    dataplane: Dataplane,
    start: Instant,
}

impl Source {
    fn snapshot(&self) -> Snapshot {
        let at = self.start.elapsed();
        let control = self.control().map_err(|error| format!("{error:#}"));
        let workers = runtime::ask(&self.dataplane).map_err(|error| format!("{error:#}"));
        Snapshot { at, control, workers }
    }

    fn control(&self) -> Result<Control> {
        Ok(Control {
            connections: self.client.list(api::path::CONNECTIONS)?,
            diagnoses: self.client.list(api::path::DIAGNOSES)?,
            drops: self.client.get(api::path::ERRORS).unwrap_or_default(),
        })
    }

    /// Snapshots from a thread that ends when nobody takes them any more.
    fn follow(self, interval: Duration) -> Result<Receiver<Snapshot>> {
        let (sender, receiver) = sync_channel(1);
        std::thread::Builder::new().name("snapshots".into()).spawn(move || {
            while sender.send(self.snapshot()).is_ok() {
                std::thread::sleep(interval);
            }
        })?;
        Ok(receiver)
    }
}

/// One frame, of the time between two snapshots, with all tunnels.
fn once(source: &Source, interval: Duration, mut app: App, format: Format) -> Result<ExitCode> {
    app.take(source.snapshot());
    std::thread::sleep(interval);
    app.take(source.snapshot());
    if format.json {
        return format.print(&app.model, |_| String::new());
    }
    let width = terminal::size().map_or(WIDTH, |(columns, _)| columns);
    let mut paper = Terminal::new(TestBackend::new(width.max(1), view::height(&app)))?;
    paper.draw(|frame| view::draw(frame, &app))?;
    let lines = lines(paper.backend().buffer());
    // The last line tells of keys.
    lines.split_last().into_iter().flat_map(|(_, lines)| lines).for_each(|line| println!("{line}"));
    Ok(ExitCode::SUCCESS)
}

/// What a buffer shows, without styles and without spaces at the ends.
fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width.max(1));
    let line = |cells: &[ratatui::buffer::Cell]| {
        cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned()
    };
    buffer.content.chunks(width).map(line).collect()
}
