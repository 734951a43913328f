//! The daemon: sockets, clock and signals around the [`Engine`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use api::Occurrence;
use api::server::{Call, Calls, Limits, Server};
use shm::session::ControlEnd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::clock;
use crate::document::{self, Loaded};
use crate::engine::{Engine, State, reload_failed};
use crate::notify::{notify, watchdog_interval};
use crate::random;
use crate::session::Session;
use crate::sockets::Sockets;
use crate::state::Source;
use crate::transactions::Transactions;

/// Calls of the API that may wait.
const CALLS: usize = 64;
/// First and longest pause between attempts to reach the data plane.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Longest sleep: a bound for the clock's jumps.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Runs until a signal or the API ends it. The data plane keeps forwarding, unless the API asked otherwise.
///
/// # Errors
/// What keeps the daemon from starting.
pub async fn run(document: Loaded, source: Source) -> Result<()> {
    let control = &document.desired.control;
    let folder = document.file.parent().unwrap_or(Path::new("."));
    let sockets = Sockets::open(&control.socket, &control.api, folder, &source)?;
    let (calls, queue) = Calls::new(CALLS);
    let server =
        Server::new(calls, Limits::default(), sockets.access.clone()).context("the API cannot be served")?;
    sockets.serve(&server);
    let mut seed = [0; 32];
    random::fill(&mut seed).context("no random numbers")?;
    let socket = document.desired.control.socket.clone();
    let mut daemon = Daemon::new(document, source, seed, queue)?;
    notify("READY=1");
    daemon.serve().await;
    notify("STOPPING=1");
    // Who still waits for an answer hears that none will come.
    drop(daemon);
    server.stop().await;
    // A successor may own the path already; it then binds anew.
    drop(std::fs::remove_file(socket));
    Ok(())
}

/// What woke the daemon.
enum Wake {
    Call(Call),
    /// The session has something to read, or is over.
    Session(Result<(), shm::SessionError>),
    Connected(Box<ControlEnd>),
    NotConnected(shm::ConnectError),
    /// The store has been written, or not.
    Stored(Result<(), store::StoreError>),
    Timer,
    Reload,
    Stop,
}

struct Daemon {
    engine: Engine,
    transactions: Transactions,
    queue: mpsc::Receiver<Call>,
    session: Option<Session>,
    connecting: Option<tokio::task::JoinHandle<Result<ControlEnd, shm::ConnectError>>>,
    retry_at: Instant,
    pause: Duration,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    watchdog: Option<Duration>,
}

impl Daemon {
    fn new(document: Loaded, source: Source, seed: [u8; 32], queue: mpsc::Receiver<Call>) -> Result<Self> {
        let mut engine = Engine::new(document, seed, clock::now());
        if matches!(source, Source::Store(..)) {
            engine.make_keys();
        }
        Ok(Self {
            transactions: Transactions::new(source),
            engine,
            queue,
            session: None,
            connecting: None,
            retry_at: Instant::now(),
            pause: BACKOFF.0,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            watchdog: watchdog_interval(),
        })
    }

    async fn serve(&mut self) {
        loop {
            let wake = self.wait().await;
            // It may have been set while we slept.
            self.engine.set_wall_clock(clock::wall(), clock::now());
            match wake {
                Wake::Call(Call::ReloadConfig(reply)) => {
                    let answer = self.reload();
                    drop(reply.send(answer));
                }
                Wake::Call(Call::Transact(transaction)) => {
                    self.transactions.submit(transaction, &self.engine)
                }
                Wake::Stored(stored) => self.transactions.handle_stored(stored, &mut self.engine),
                Wake::Call(call) => {
                    let figures = self.session.as_ref().map(Session::counters);
                    self.engine.handle_call(call, figures, clock::now());
                }
                Wake::Session(Ok(())) => self.receive(),
                Wake::Session(Err(error)) => self.lose(&error.to_string()),
                Wake::Connected(end) => self.begin_session(*end),
                Wake::NotConnected(error) => self.not_connected(&error),
                Wake::Timer => self.run_timers(),
                Wake::Reload => drop(self.reload()),
                Wake::Stop => self.engine.leave(false, clock::now()),
            }
            self.run_due_timers();
            self.transactions.handle_timeout(&self.engine);
            self.send();
            if self.engine.has_left(clock::now()) {
                tracing::info!("stopping; the data plane keeps what it has");
                return;
            }
        }
    }

    /// Input is served before the clock: a flood of it must not keep the timers from their turn.
    fn run_due_timers(&mut self) {
        if self.engine.poll_timeout().is_some_and(|at| at <= clock::now()) {
            self.run_timers();
        }
    }

    fn run_timers(&mut self) {
        let now = clock::now();
        if let Some(session) = &self.session {
            self.engine.hear(session.counters(), now);
        }
        self.engine.handle_timeout(now);
    }

    async fn wait(&mut self) -> Wake {
        self.connect();
        let deadline = self.engine.poll_timeout().into_iter().chain(self.transactions.poll_timeout()).min();
        let deadline = deadline.map(|at| at.since(clock::now()));
        let sleep = deadline.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        let sleep = self.watchdog.map_or(sleep, |interval| sleep.min(interval));
        let session = async {
            match &self.session {
                Some(session) => session.ready().await,
                None => std::future::pending().await,
            }
        };
        let connecting = async {
            match &mut self.connecting {
                Some(task) => task.await,
                None => std::future::pending().await,
            }
        };
        if self.watchdog.is_some() {
            notify("WATCHDOG=1");
        }
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wake::Stop,
            _ = self.interrupt.recv() => Wake::Stop,
            _ = self.hangup.recv() => Wake::Reload,
            ready = session => Wake::Session(ready),
            done = connecting => {
                self.connecting = None;
                match done {
                    Ok(Ok(end)) => Wake::Connected(Box::new(end)),
                    Ok(Err(error)) => Wake::NotConnected(error),
                    // The task was cancelled: try again.
                    Err(_) => Wake::Timer,
                }
            }
            stored = self.transactions.stored() => Wake::Stored(stored),
            Some(call) = self.queue.recv() => Wake::Call(call),
            () = tokio::time::sleep(sleep) => Wake::Timer,
        }
    }

    /// Starts to connect where there is no session. Connecting blocks, so it has a thread of its own.
    fn connect(&mut self) {
        if self.session.is_some() || self.connecting.is_some() {
            return;
        }
        let path: PathBuf = self.engine.document().desired.control.dataplane_socket.clone();
        let at = self.retry_at;
        self.connecting = Some(tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            let attempt = tokio::task::spawn_blocking(move || ControlEnd::connect(&path)).await;
            attempt.unwrap_or_else(|error| Err(shm::ConnectError::Socket(std::io::Error::other(error))))
        }));
    }

    fn not_connected(&mut self, error: &shm::ConnectError) {
        if self.pause == BACKOFF.0 {
            tracing::warn!(%error, "no data plane; trying again");
        } else {
            tracing::debug!(%error, "no data plane");
        }
        self.retry_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(BACKOFF.1);
    }

    fn begin_session(&mut self, end: ControlEnd) {
        let journal = self.engine.document().desired.control.journal;
        match Session::new(end, journal) {
            Ok(session) => {
                self.pause = BACKOFF.0;
                let entries = session.journal_entries();
                self.engine.connected(session.epoch(), &entries, clock::now());
                self.session = Some(session);
            }
            Err(error) => self.not_connected(&shm::ConnectError::Socket(error)),
        }
    }

    fn receive(&mut self) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.receive(&mut self.engine, clock::now())
        {
            self.lose(&error.to_string());
        }
    }

    fn send(&mut self) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.send(&mut self.engine)
        {
            self.lose(&error.to_string());
        }
    }

    fn lose(&mut self, why: &str) {
        self.session = None;
        self.retry_at = Instant::now() + self.pause;
        if self.engine.state() != State::Away {
            self.engine.disconnected(why, clock::now());
        }
    }

    /// Reads the document again; the one in force stays unless the new one is valid.
    fn reload(&mut self) -> Result<api::ConfigReport, api::Problem> {
        notify("RELOADING=1");
        let document = self
            .transactions
            .read_again(&self.engine)
            .unwrap_or_else(|| document::load(&self.engine.document().file, self.engine.interface_ids()));
        let answer = match document {
            Ok(document) => {
                let report = self.engine.reload(document, clock::now());
                self.engine.tell(Occurrence::ConfigReloaded { changed: report.changed.len() });
                Ok(report)
            }
            Err(error) => {
                tracing::error!(%error, "the document in force stays");
                reload_failed(&error)
            }
        };
        notify("READY=1");
        answer
    }
}
